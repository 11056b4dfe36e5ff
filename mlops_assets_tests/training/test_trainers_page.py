"""docs/trainers.md: its trainer trains, and its tables have all that `data` and `run` offer."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from pathlib import Path

import pytest

from mlops_assets import TrainingData, TrainingRun
from mlops_assets_tests import interpreter

PAGE = (Path(__file__).parents[2] / "docs" / "trainers.md").read_text()


def public(owner: type) -> set[str]:
    """Methods, properties, and what `__init__` sets."""
    source = textwrap.dedent(inspect.getsource(owner.__init__))  # type: ignore[misc]
    written = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return {name for name in written | set(vars(owner)) if not name.startswith("_")}


@pytest.mark.parametrize(("owner", "handle"), [(TrainingData, "data"), (TrainingRun, "run")])
def test_the_tables_have_every_public_attribute_and_no_other(owner: type, handle: str) -> None:
    rows = re.findall(rf"^\| (`{handle}\.[^|]*) \|", PAGE, re.MULTILINE)
    assert set(re.findall(rf"`{handle}\.(\w+)", " ".join(rows))) == public(owner)


@pytest.mark.parametrize(("owner", "handle"), [(TrainingData, "data"), (TrainingRun, "run")])
def test_the_tables_name_the_arguments_of_methods(owner: type, handle: str) -> None:
    shown = dict(re.findall(rf"^\| `{handle}\.(\w+)\(([^)]*)\)`", PAGE, re.MULTILINE))
    for name in public(owner):
        member = inspect.unwrap(getattr(owner, name, None) or owner)
        if inspect.isfunction(member):
            parameters = [
                str(parameter.replace(annotation=parameter.empty))
                for parameter in list(inspect.signature(member).parameters.values())[1:]
            ]
            assert shown.pop(name) == ", ".join(parameters)
    # a property that is a function itself
    assert shown in ({}, {"prepare": "X"})


@pytest.mark.slow
def test_the_trainer_of_the_page_trains(tmp_path: Path) -> None:
    root = tmp_path / "fieldwork"
    interpreter.run(["mlops", "init", str(root)], tmp_path)
    blocks = re.findall(r"^```(?:python|yaml)\n# (fieldwork/\S+)\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) == 3
    for name, text in blocks:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    for command in (["dataset", "commit", "samples"], ["train", "samples_network"]):
        done = interpreter.run(["mlops", *command], root)
        assert done.returncode == 0, done.stdout + done.stderr
    listed = interpreter.run(["mlops", "model", "list", "--json"], root)
    (model,) = json.loads(listed.stdout)
    assert (model["model"], model["stage"]) == ("samples_network", "recorded")
