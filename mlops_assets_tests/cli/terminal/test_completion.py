"""Completion in a shell.

Commands, fixed choices, and names from the registry and the project's files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.cli.terminal import completion
from mlops_assets.registry.store import Registry
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.cli.test_status import publish, registry, start  # noqa: F401


def completed(line: str, tmp_path: Path) -> list[str]:
    """Ask as bash does after `line` and TAB, in a process that must not load Dagster."""
    words = line.split(" ")
    program = (
        "import sys; sys.argv[0] = 'mlops'; sys.modules['dagster'] = None;"
        " sys.modules['sqlalchemy'] = None\nfrom mlops_assets.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_MLOPS_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mlops sta", ["status"]),
        ("mlops ru", ["run"]),
        ("mlops sweep x --method ", ["tpe", "random", "grid"]),
        ("mlops dataset recall x y --split t", ["train", "test"]),
        ("mlops dataset commit ", ["samples"]),
        ("mlops train s", ["samples_forest"]),
        ("mlops model show ", []),
    ],
)
def test_a_new_project_completes_commands_choices_and_declarations(
    project: Path, tmp_path: Path, line: str, expected: list[str]
) -> None:
    assert completed(line, tmp_path) == expected
    assert not (project / "workspace" / "registry.db").exists()


def test_names_come_from_the_registry(registry: Registry) -> None:  # noqa: F811
    start(registry, "1" * 36, "samples_forest")
    publish(registry, "1" * 36, "samples_forest", "v1-00000001")
    registry.promote(registry.model_versions()[0], [])
    registry.tag("samples", "v1", "harvest")
    assert completion.datasets("") == ["samples"]
    assert completion.data_references("samples@") == ["samples@harvest", "samples@v1"]
    assert completion.models_on_data("samples_forest@") == [
        "samples_forest@harvest",
        "samples_forest@v1",
    ]
    assert completion.model_references("sam") == [
        "samples_forest",
        "samples_forest@production",
        "samples_forest@v1-00000001",
    ]
    assert completion.aliases("p") == ["production"]
    assert completion.run_ids("1") == [("11111111", "samples_forest on v1, succeeded")]


def test_whatever_goes_wrong_completion_is_silent(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "workspace" / "registry.db").write_bytes(b"no database")
    assert completion.run_ids("") == []
    monkeypatch.setenv("MLOPS_REGISTRY", "nonsense://")
    (project / "fieldwork" / "defs" / "samples" / "defs.yaml").write_text("a: [")
    assert completion.models("") == []
    assert capsys.readouterr() == ("", "")


def test_help_shows_choices_unfolded_and_a_wrong_one_is_refused(mlops: Mlops) -> None:
    listed = mlops("sweep", "--help").out
    assert "<tpe|random|grid>" in listed
    sentence = "Search for parameters; the best model on the validation split becomes candidate."
    assert f"\n  {sentence}\n" in listed
    refused = mlops("sweep", "x", "--space", "y", "--method", "bayes")
    assert refused.code == 2 and "'bayes' is not one of 'tpe', 'random', 'grid'" in refused.err
