"""Objects as lines of name and value."""

from __future__ import annotations

import pytest

from mlops_assets.cli.terminal.output import show_one


def test_objects_in_lists_are_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    files = [{"name": "a.tif", "size": 1}, {"name": "b.tif", "size": 2}]
    scene = {"name": "a", "files": files, "bands": ["red", "nir"], "mask": None}
    show_one({"scenes": [scene, {"name": "b"}]}, as_json=False)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        " scenes  - name: a",
        "           files:",
        "             - name: a.tif",
        "               size: 1",
        "             - name: b.tif",
        "               size: 2",
        "           bands: red, nir",
        "           mask:",
        "         - name: b",
    ]
