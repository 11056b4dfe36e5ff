"""`mlops sweep` in a new project."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets_tests.cli.conftest import Mlops

SPACE = """
parameters:
  n_estimators: {min: 3, max: 30}
method: random
trials: 1
"""


@pytest.fixture
def space(committed: Path) -> Path:
    file = committed / "space.yaml"
    file.write_text(SPACE)
    return file


@pytest.mark.slow
def test_a_sweep_continues_until_there_are_enough_trials(space: Path, mlops: Mlops) -> None:
    first = mlops("sweep", "samples_forest", "--space", str(space), "--name", "trees", "--json")
    assert first.code == 0, first.err
    found = first.json
    assert (found["sweep"], found["data_version"], found["split"]) == ("trees", "v1", "validation")
    assert [trial["state"] for trial in found["trials"]] == ["succeeded"]

    second = mlops(
        "sweep", "samples_forest@v1", "--space", str(space), "--name", "trees", "--trials", "2"
    )
    assert second.code == 0, second.err
    lines = second.out.splitlines()
    assert lines[0].split() == ["trial", "state", "value", "n_estimators", "seconds", "run_id"]
    assert sorted(line.split()[:2] for line in lines[1:3]) == [
        ["0", "succeeded"],
        ["1", "succeeded"],
    ]
    assert "best: trial " in second.out and "on the validation split" in second.out
    assert "samples_forest@candidate is samples_forest@v1-" in second.out


def test_an_invalid_sweep_is_one_line_and_nothing_is_launched(space: Path, mlops: Mlops) -> None:
    for arguments, said in (
        (("nobody", "--space", str(space)), "'nobody' is not declared"),
        (("samples_forest", "--space", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (
            ("samples_forest", "--space", str(space), "--metric", "test_accuracy"),
            "metric: 'test_accuracy' is of the test",
        ),
        (("samples_forest@v7", "--space", str(space)), "v7 is not known"),
    ):
        refused = mlops("sweep", *arguments)
        assert refused.code == 1 and said in " ".join(refused.err.split()), refused.err
    assert mlops("run", "list", "--json").json == []
