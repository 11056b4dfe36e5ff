"""The shipped example, end to end, by the commands of the README."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets_tests import interpreter

Run = Callable[..., subprocess.CompletedProcess[str]]

# the demo takes a minute or two, on a busy machine ten times that
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """The demo run in an empty directory without our environment variables, and its output."""
    pytest.importorskip("tensorly", reason="needs the extra 'demo'")
    directory = tmp_path_factory.mktemp("demo")
    ours = ("MLOPS_", "DAGSTER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return interpreter.run(command, directory, environment | more, timeout=900)

    # the script itself, as a person runs it: with what it imports and the processes that it starts
    first = subprocess.run(
        [str(Path(sys.executable).with_name("mlops")), "demo"],
        cwd=directory,
        env=environment,
        text=True,
        capture_output=True,
        timeout=900,
        check=False,
    )
    assert first.returncode == 0, first.stdout + first.stderr
    return run, first.stdout


def workspace(run: Run) -> Path:
    rows = json.loads(run("mlops", "doctor", "--json").stdout)
    found = next(row["detail"] for row in rows if row["what"] == "workspace")
    return Path(found.removeprefix("file://").removesuffix(": write, read, list, delete"))


def test_the_demo_reaches_its_accuracy_promotes_verifies_and_classifies_the_scene(
    demo: tuple[Run, str],
) -> None:
    run, out = demo
    models = json.loads(run("mlops", "model", "list", "--json").stdout)
    latest = {model["model"]: model for model in models if model["data_version"] == "v2"}
    assert latest["indian_pines_svm"]["metrics"]["accuracy"] >= 0.80
    assert latest["indian_pines_cnn"]["metrics"]["accuracy"] >= 0.85
    assert latest["indian_pines_cnn"]["aliases"] == ["production"]
    assert "sensor indian_pines_new_data: run requested" in out
    assert "all as published" in out
    folder = (
        workspace(run) / "predictions" / "indian_pines_cnn" / latest["indian_pines_cnn"]["version"]
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "indian_pines.applicability.tif",
        "indian_pines.map.json",
        "indian_pines.png",
        "indian_pines.tif",
        "indian_pines.tif.aux.xml",
    ]
    versions = json.loads(run("mlops", "dataset", "list", "--json").stdout)
    assert [(v["version"], v["samples"]) for v in versions] == [("v1", 5143), ("v2", 10249)]


def test_the_demo_is_safe_to_run_twice(demo: tuple[Run, str]) -> None:
    run, _ = demo
    before = run("mlops", "model", "list", "--json").stdout
    again = run("mlops", "demo")
    assert again.returncode == 0, again.stderr
    assert run("mlops", "model", "list", "--json").stdout == before


def test_one_asset_is_materialised_from_the_shell(demo: tuple[Run, str]) -> None:
    run, _ = demo
    command = ["dagster", "asset", "materialize", "-m", "mlops_assets.definitions"]
    select = ["--select", "indian_pines_svm/trained_model", "--partition", "v2"]
    done = run(*command, *select, DAGSTER_HOME=str(workspace(run) / "dagster"))
    assert done.returncode == 0, done.stderr
    runs = json.loads(run("mlops", "run", "list", "indian_pines_svm", "--json").stdout)
    assert len(runs) == 3
    assert runs[0]["model_version"].startswith("v2-")


def test_everything_the_demo_stored_verifies_and_a_flipped_byte_does_not(
    demo: tuple[Run, str],
) -> None:
    run, _ = demo
    assert run("mlops", "model", "verify").returncode == 0
    models = json.loads(
        run("mlops", "model", "show", "indian_pines_cnn@production", "--json").stdout
    )
    target = workspace(run) / next(
        file["path"] for file in models["files"] if file["path"].endswith("model.onnx")
    )
    kept = shutil.copy(target, target.with_suffix(".kept"))
    content = bytearray(target.read_bytes())
    content[1000] ^= 1
    target.write_bytes(content)
    failed = run("mlops", "model", "verify", "indian_pines_cnn@production")
    Path(kept).rename(target)
    assert failed.returncode == 1
    assert "model.onnx: its bytes are not those that were published" in failed.stderr
