"""The command `mlops` in a project made by `mlops init`, as a person uses it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from mlops_assets.paths import checkpoints_folder, scene_key
from mlops_assets.registry import Checkpoint, open_registry
from mlops_assets.registry.store import now
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.registry.rows import data_version, new_run


@pytest.mark.slow
def test_a_project_goes_from_data_to_production_and_back(project: Path, mlops: Mlops) -> None:
    assert (
        "samples@v1 is new: 1 file(s), 960 sample(s)"
        in mlops("dataset", "commit", "samples", "--tag", "first").out
    )
    assert "nothing new" in mlops("dataset", "commit", "samples").out
    (version,) = mlops("dataset", "list", "--json").json
    assert {
        "dataset": "samples",
        "version": "v1",
        "tags": ["first"],
        "files": 1,
        "samples": 960,
    }.items() <= version.items()
    assert len(version["digest"]) == 64

    trained = mlops("train", "samples_forest@first", "-p", "n_estimators=20", "-p", "seed=7")
    assert trained.code == 0, trained.err
    assert "is recorded: accuracy 0." in trained.out
    second = mlops("train", "samples_forest", "-p", "n_estimators=40", "--json").json
    runs = mlops("run", "list", "--sort", "started", "--json").json
    assert [run["parameters"]["n_estimators"] for run in runs] == [20, 40]
    assert {
        "run_id",
        "model",
        "data_version",
        "status",
        "parameters",
        "metrics",
        "model_version",
    } <= runs[0].keys()
    assert {run["status"] for run in runs} == {"succeeded"}
    models = mlops("model", "list", "--json").json
    assert [model["version"] for model in models] == [run["model_version"] for run in runs]
    assert {"model", "version", "data_version", "run_id", "aliases", "metrics"} <= models[0].keys()
    assert {"accuracy", "balanced_accuracy", "macro_f1", "kappa"} <= models[0]["metrics"].keys()
    compared = mlops("run", "compare", runs[0]["run_id"][:8], runs[1]["run_id"], "--json").json
    assert {"n_estimators", "seed"} <= {row["what"] for row in compared["differences"]}
    assert "accuracy" in {row["metric"] for row in compared["metrics"]}

    first = models[0]["version"]
    assert mlops("model", "promote", f"samples_forest@{first}").code == 0
    assert mlops("model", "promote", f"samples_forest@{second['version']}").code == 0
    assert (
        mlops("model", "show", "samples_forest@production", "--json").json["version"]
        == second["version"]
    )
    assert mlops("model", "rollback", "samples_forest").code == 0
    shown = mlops("model", "show", "samples_forest@production", "--json").json
    assert shown["version"] == first
    assert shown["promotions"][0]["by"] == "tester"

    assert mlops("model", "verify", "samples_forest@production").code == 0
    stored = project / "workspace" / shown["files"][0]["path"]
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    failed = mlops("model", "verify", "samples_forest@production")
    assert (failed.code, shown["files"][0]["path"] in failed.err) == (1, True)
    assert mlops("model", "verify").code == 1
    for command in (
        ["dataset", "list"],
        ["run", "list"],
        ["model", "list"],
        ["dataset", "show", "samples"],
        ["run", "show", runs[0]["run_id"]],
        ["model", "show", "samples_forest"],
    ):
        assert mlops(*command).code == 0


@pytest.mark.slow
def test_a_model_that_fails_its_gates_is_reported_with_the_reason_and_kept(
    committed: Path, mlops: Mlops
) -> None:
    declared = committed / "fieldwork" / "defs" / "samples" / "defs.yaml"
    declared.write_text(declared.read_text().replace("min: 0.5", "min: 1.5"))
    trained = mlops("train", "samples_forest", "-p", "n_estimators=5")
    assert trained.code == 1
    assert "check 'gates' failed: accuracy ≥ 1.5: FAILED at 0." in trained.err
    assert "is recorded" in trained.out
    (model,) = mlops("model", "list", "--json").json
    promoted = mlops("model", "promote", f"samples_forest@{model['version']}")
    assert promoted.code == 1
    assert "stays out of production" in promoted.err
    assert mlops("model", "list", "--json").json[0]["aliases"] == []


BAD_INPUT = [
    (["dataset", "show", "nothing"], 1, "dataset 'nothing' has no data version"),
    (["dataset", "show", "x@../.."], 1, "cannot be used"),
    (["dataset", "show", "x[/red]"], 1, "cannot be used"),
    (["dataset", "commit", "nothing"], 1, "this project declares samples"),
    (["dataset", "commit", "samples", "--tag", "v9"], 1, "looks like a version"),
    (["dataset", "tag", "samples", "x"], 2, "name a version"),
    (["train", "nothing"], 1, "this project declares samples_forest"),
    (["train", "samples_forest"], 1, "dataset 'samples' has no data version"),
    (["train", "samples_forest", "-p", "n_estimators"], 2, "not NAME=VALUE"),
    (["train", "samples_forest", "-p", "n=[1"], 2, "cannot be read"),
    (["model", "show", "nothing@production"], 1, "model 'nothing' has no version"),
    (["model", "rollback", "nothing"], 1, "this project declares samples_forest"),
    (["model", "approve", "samples_forest", "--reason", "good"], 2, "name a version"),
    (["model", "reject", "samples_forest@v9", "--reason", "bad"], 1, "has no version"),
    (["model", "deprecate", "samples_forest@production"], 2, "Missing option '--reason'"),
    (["run", "show", "abc"], 1, "no run begins with 'abc'"),
    (["run", "compare", "abc"], 2, "at least two"),
    (["predict", "samples_forest", "nowhere.tif"], 1, "is not a file"),
    (["init", "."], 1, "is not empty"),
    (["init", "sklearn"], 1, "would hide the Python package"),
    (["nonsense"], 2, "No such command"),
    (["dataset", "list", "-m", "nowhere.definitions"], 2, "No such option"),
    (["dataset", "commit", "samples", "-m", "nowhere.definitions"], 1, "cannot be loaded"),
]


def test_bad_input_is_one_message_without_a_traceback(project: Path, mlops: Mlops) -> None:
    unlike = {}
    for arguments, code, said in BAD_INPUT:
        outcome = mlops(*arguments)
        message = " ".join(outcome.err.replace("│", " ").split())
        if outcome.code != code or said not in message or "Traceback" in message:
            unlike[" ".join(arguments)] = outcome
    assert not unlike, "\n".join(f"{what}: {outcome}" for what, outcome in unlike.items())


FAILING = {
    "raise ValueError('boom [/red]')": "ValueError: boom [/red]",
    "return None": "returned nothing",
    "return {'a': 1}": "returned a builtins.dict",
    "raise SystemExit(3)": "SystemExit: 3",
    "run.log({'loss': float('nan')}, step=4)": "loss is nan at step 4",
}


@pytest.mark.slow
def test_a_failed_trainer_is_reported_and_can_be_run_again(committed: Path, mlops: Mlops) -> None:
    declared = committed / "fieldwork" / "defs" / "samples" / "defs.yaml"
    text = declared.read_text().replace(
        "mlops_assets.training.trainers.sklearn:train", "fieldwork.own:train"
    )
    declared.write_text("".join(line + "\n" for line in text.splitlines() if "params:" not in line))
    unlike = {}
    for body in (*FAILING, next(iter(FAILING))):
        (committed / "fieldwork" / "own.py").write_text(
            "from pydantic import BaseModel\n\n\nclass Params(BaseModel):\n    pass\n\n\n"
            f"def train(data, params: Params, run):\n    {body}\n"
        )
        outcome = mlops("train", "samples_forest")
        if outcome.code != 1 or FAILING[body] not in outcome.err:
            unlike[body] = outcome
    assert not unlike, "\n".join(f"{what}: {outcome}" for what, outcome in unlike.items())
    runs = mlops("run", "list", "--json").json
    assert [run["status"] for run in runs] == ["failed"] * 6
    assert mlops("model", "list", "--json").json == []


def test_doctor_passes_a_new_project_and_names_problems(project: Path, mlops: Mlops) -> None:
    rows = {row["what"]: row for row in mlops("doctor", "--json").json}
    assert all(row["well"] for row in rows.values())
    orphan = project / "workspace" / "models" / "half" / "written.bin"
    orphan.parent.mkdir(parents=True)
    orphan.touch()
    outcome = mlops("doctor", "--json")
    assert outcome.code == 1
    assert "written.bin" in outcome.out
    wrong = project / "fieldwork" / "defs" / "wrong" / "defs.yaml"
    wrong.parent.mkdir()
    wrong.write_text(
        "type: mlops_assets.components.TrainingDataset\nattributes: {name: wrong, oops: 1}\n"
    )
    assert "invalid and left out: wrong" in mlops("doctor", "--json").out
    outcome = mlops("dataset", "commit", "wrong")
    assert (outcome.code, f"{wrong}:2: attributes.oops: unknown key" in outcome.err) == (1, True)


def test_doctor_knows_checkpoints_and_unfinished_maps(project: Path, mlops: Mlops) -> None:
    store = open_store(Settings.from_environment())
    store.registry.publish_data_version(data_version(dataset="samples", digest="d" * 64), [])
    of_samples = {"dataset": "samples", "data_digest": "d" * 64}
    store.registry.start_run(new_run("1" * 8, **of_samples))
    store.registry.finish_run("1" * 8, "failed", "ValueError: boom")
    kept, leftover = (f"{checkpoints_folder('1' * 8)}/{step}.safetensors" for step in (7, 8))
    for key in (kept, leftover):
        store.workspace.put(key, b"state")
    store.registry.add_checkpoint(
        Checkpoint(run_id="1" * 8, step=7, seq=0, path=kept, sha256="s", size=5, created=now())
    )
    store.workspace.put(scene_key("0" * 64, 0), b"a part")
    rows = {row["what"]: row for row in mlops("doctor", "--json").json}
    found = rows["files"]["detail"]
    assert found.startswith(f"1 file(s) were never published, e.g. {leftover};")
    assert rows["maps"]["detail"].startswith(f"1 map(s) are not finished, e.g. parts/{'0' * 64};")


def test_reindex_rebuilds_a_lost_registry_and_never_overwrites_one(
    committed: Path, mlops: Mlops
) -> None:
    assert mlops("dataset", "tag", "samples@v1", "spring").code == 0
    kept = mlops("reindex")
    assert (kept.code, "has rows already" in kept.err) == (1, True)
    elsewhere = mlops("reindex", "--into", f"sqlite:///{committed / 'other.db'}", "--json").json
    assert elsewhere["rows"].items() >= {"data_versions": 1, "tags": 1, "runs": 0}.items()
    assert elsewhere["unproven"] == []
    for left in (committed / "workspace").glob("registry.db*"):
        left.unlink()
    open_registry.cache_clear()
    lost = mlops("dataset", "commit", "samples")
    assert (lost.code, "'mlops reindex'" in lost.err) == (1, True)
    rebuilt = mlops("reindex")
    head = elsewhere["head"]
    assert (
        f"from the log, of which entry {head['seq']} is the newest: {head['sha256']}" in rebuilt.out
    )
    assert "1 data versions" in rebuilt.out and "1 tags" in rebuilt.out
    assert mlops("dataset", "show", "samples@spring", "--json").json["version"] == "v1"
    assert (
        mlops("reindex", "--into", "nonsense").err.count("the URL of the registry cannot be read")
        == 1
    )


def test_warnings_about_files_of_others_do_not_act_on_a_terminal(mlops: Mlops) -> None:
    mlops("--version")
    record = logging.LogRecord(
        "pyogrio", logging.WARNING, "", 0, "cannot read %s", ("\x1b[2J",), None
    )
    assert logging.lastResort is not None
    assert logging.lastResort.format(record) == r"cannot read \x1b[2J"
    assert r"Glyph \x1b is missing" in warnings.formatwarning(
        "Glyph \x1b is missing", UserWarning, "a.py", 1
    )
