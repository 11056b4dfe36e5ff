"""The life of a model version on small data.

What each stage publishes, and what is left when a trainer fails.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import (
    Conflict,
    ExportError,
    IntegrityError,
    NotFound,
    ParityError,
    SpecificationError,
    StorageError,
    TrainerError,
)
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.export.parity import compare_outputs
from mlops_assets.models.lifecycle import version_for
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, model_folder
from mlops_assets.registry import Run
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.training.metric_writer import FLUSH_POINTS
from mlops_assets.training.resume import close_abandoned_runs
from mlops_assets.training.seeds import seed_everything
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.training.example_trainers import (
    HERE,
    POINTS,
    lifecycle,
    model_specification,
    require_documents,
    training_request,
    windows_source,
)

MOODY = f"{HERE}:moody"


def published(store: Store, subject: str) -> dict[str, str]:
    """Return path → sha256 of a model version's registered files, which are all unchanged."""
    files = store.registry.files(Owner(f"model:{subject}"))
    assert [store.workspace.stat(file.path) for file in files] == files
    return {file.path: file.sha256 for file in files}


def test_each_stage_publishes_its_files(store: Store, land_table: Callable[..., Commit]) -> None:
    land_table()
    specification = model_specification()
    row = train(store, training_request(specification, "v1", {"depth": 3}, 5))
    folder, subject, reference = (
        model_folder(row.model, row.version),
        f"crops@{row.version}",
        Reference("crops", row.version),
    )
    trained = {
        f"{folder}/native/model.skops",
        f"{folder}/parameters.json",
        f"{folder}/environment.json",
        f"runs/{row.run_id}/run.json",
        f"runs/{row.run_id}/points.parquet",
    }
    assert published(store, subject).keys() == trained
    assert (row.version, row.stage, row.framework) == (
        f"v1-{row.run_id[:8]}",
        "trained",
        "scikit-learn",
    )
    report = export(store, specification, row)
    exported = trained | {f"{folder}/model.onnx", f"{folder}/parity.json"}
    assert published(store, subject).keys() == exported
    assert store.registry.model_version(reference).stage == "exported"
    written = json.loads(store.workspace.get(f"{folder}/parity.json"))
    assert written.pop("onnx")["producer"].startswith("skl2onnx")
    assert written.pop("features")["reason"].startswith("its last layer is TreeEnsemble")
    assert written == report.document()
    evaluation, figure = evaluate_version(store, specification, row)
    evaluated = {
        f"{folder}/metrics.json",
        f"{folder}/latency.json",
        f"{folder}/figures/confusion_matrix.png",
        f"{folder}/figures/reliability.png",
        f"{folder}/model-card.md",
        f"{folder}/model-card.html",
    }
    assert published(store, subject).keys() == exported | evaluated
    assert store.workspace.get(f"{folder}/figures/confusion_matrix.png") == figure
    final, document = (
        store.registry.model_version(reference),
        json.loads(store.workspace.get(f"{folder}/metrics.json")),
    )
    assert final.stage == "evaluated"
    assert final.metrics == document["metrics"] == evaluation.metrics
    assert final.metrics["accuracy"] > 0.9
    assert (
        document["samples"]
        == np.sum(document["confusion_matrix"])
        == land_table().version.counts["test"]
    )


def test_run_and_files_record_the_training(store: Store, land_table: Callable[..., Commit]) -> None:
    data = land_table().version
    row = lifecycle(store, model_specification(seed=5), depth=3)
    run = store.registry.run(row.run_id)
    assert (run.status, run.error, run.model_version, run.seed) == (
        "succeeded",
        None,
        row.version,
        5,
    )
    assert (run.parameters, run.trainer, run.pid) == ({"depth": 3}, f"{HERE}:tree", os.getpid())
    assert run.data_digest == row.data_digest == data.digest
    assert run.metrics == {**row.metrics, "train_accuracy": run.metrics["train_accuracy"]}
    require_documents(store, run.run_id)
    assert json.loads(
        store.workspace.get(f"{model_folder(row.model, row.version)}/parameters.json")
    ) == {"depth": 3}
    assert (
        "torch"
        in json.loads(
            store.workspace.get(f"{model_folder(row.model, row.version)}/environment.json")
        )["packages"]
    )
    card = store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    assert all(
        text in card
        for text in (data.digest, run.run_id, "depth: `3`", f"{row.metrics['accuracy']:.4f}")
    )


def test_the_onnx_file_has_its_origin_and_takes_raw_values(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    data = land_table(specification=table_specification(units={"ndvi_02": "°C"})).version
    row = lifecycle(store, model_specification())
    path = store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert facts.items() >= {"mlops.version": row.version, "mlops.data_digest": data.digest}.items()
    classes, features = facts["mlops.classes"].split("\n"), facts["mlops.features"].split("\n")
    assert facts["mlops.units"].split("\n") == [
        "°C" if name == "ndvi_02" else "" for name in features
    ]
    assert (
        "`ndvi_02` (in °C)"
        in store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    )
    frame = crops_table()
    X = frame[features].to_numpy(np.float32)
    predicted = np.array(classes)[decide(OnnxModel(path).predict(X))]
    assert np.mean(predicted == frame["crop"]) > 0.9


FAILURES = [
    ("raise", TrainerError, "failed", "RuntimeError: out of luck"),
    ("return nothing", TrainerError, "failed", "returned nothing"),
    ("return a dictionary", TrainerError, "failed", "builtins.dict"),
    ("log NaN", TrainerError, "failed", "loss is nan at step 1"),
    ("interrupt", KeyboardInterrupt, "canceled", "KeyboardInterrupt: stopped from outside"),
]


@pytest.mark.parametrize(
    ("does", "error", "status", "message"), FAILURES, ids=[case[0] for case in FAILURES]
)
def test_a_failing_trainer_leaves_a_run_with_its_reason_and_its_documents_only(
    does: str,
    error: type[BaseException],
    status: str,
    message: str,
    store: Store,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    before = store.registry.files()
    specification = model_specification(trainer=MOODY)
    with pytest.raises(error) as raised:
        train(
            store,
            training_request(specification, "v1", {"does": does}, orchestration_run="attempt"),
        )
    assert error is KeyboardInterrupt or message in str(raised.value)
    (run,) = store.registry.runs()
    assert (run.status, run.model_version) == (status, None)
    assert run.finished is not None and run.error is not None and message in run.error
    assert store.registry.series(run.run_id)["loss"] == [(0, 1.0)]  # what it logged is kept
    assert store.registry.model_versions() == []
    require_documents(store, run.run_id)
    documents = store.registry.files(Owner(f"run:{run.run_id}"))
    assert store.registry.files() == sorted(before + documents, key=lambda file: file.path)
    assert {key for folder in ("models", "runs") for key in store.workspace.list(folder)} == {
        file.path for file in documents
    }
    again = train(
        store, training_request(specification, "v1", {"does": "work"}, orchestration_run="attempt")
    )
    assert again.run_id == run.run_id
    assert [(r.status, r.error) for r in store.registry.runs()] == [("succeeded", None)]
    require_documents(store, run.run_id)
    assert store.registry.series(run.run_id)["loss"] == [(0, 1.0)]


def test_a_run_that_succeeded_is_not_done_again(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    row = train(store, training_request(model_specification(), orchestration_run="done"))
    before = published(store, f"crops@{row.version}")
    with pytest.raises(Conflict, match="has succeeded already"):
        train(store, training_request(model_specification(), "v1", {}, 1, orchestration_run="done"))
    assert published(store, f"crops@{row.version}") == before
    assert [run.status for run in store.registry.runs()] == ["succeeded"]


@pytest.mark.parametrize(
    ("changes", "parameters", "error", "message"),
    [
        ({}, {"depth": 0}, TrainerError, "depth"),
        ({"trainer": f"{HERE}:nothing"}, {}, TrainerError, "has no function nothing"),
        ({"inputs": "patch"}, {}, SpecificationError, "read as row, not as patch"),
        pytest.param(
            {"task": "regression"},
            {},
            SpecificationError,
            "names, not numbers",
        ),
        (
            {"task": "semantic-segmentation"},
            {},
            SpecificationError,
            "does not go with samples read as row",
        ),
        ({"dataset": "nowhere"}, {}, NotFound, "nowhere"),
    ],
    ids=["parameters", "trainer", "inputs", "number wanted", "windows wanted", "dataset"],
)
def test_what_cannot_work_is_refused_before_a_run_starts(
    changes: dict[str, Any],
    parameters: dict[str, Any],
    error: type[Exception],
    message: str,
    store: Store,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    with pytest.raises(error, match=message):
        train(store, training_request(model_specification(**changes), "v1", parameters))
    assert store.registry.runs() == []


def test_two_runs_on_one_data_version_are_two_model_versions(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    deep, flat = (lifecycle(store, model_specification(), depth=depth) for depth in (4, 1))
    assert deep.version != flat.version and deep.data_version == flat.data_version == "v1"
    assert store.registry.run(deep.run_id).parameters == {"depth": 4}
    assert deep.metrics["accuracy"] > flat.metrics["accuracy"]
    assert [row.version for row in store.registry.model_versions("crops")] == [
        deep.version,
        flat.version,
    ]
    published(store, f"crops@{deep.version}")
    published(store, f"crops@{flat.version}")


def test_a_later_stage_works_on_its_own_run_then_on_ancestors_then_on_the_latest(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    first, second, third = (
        train(store, training_request(model_specification(), orchestration_run=name))
        for name in ("one", "two", "three")
    )

    def found(*runs: str) -> str:
        return version_for(store.registry, "crops", "v1", runs).version

    assert found("one", "two") == first.version
    assert found("unknown", "two", "one") == second.version
    assert found("unknown") == found() == third.version
    with pytest.raises(NotFound, match="mlops train crops@v2"):
        version_for(store.registry, "crops", "v2", ["one"])


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(
    store: Store, run_id: str, pid: int, host: str | None = None, model: str = "crops"
) -> None:
    """Record a run that is under way in some process."""
    done = store.registry.runs()[0]
    values = {column.name: getattr(done, column.name) for column in Run.__table__.columns}
    started = values | {
        "run_id": run_id,
        "status": "running",
        "pid": pid,
        "model": model,
        "finished": None,
    }
    store.registry.start_run(
        Run(**started | {"host": host or done.host, "model_version": None, "started": now()})
    )


def test_a_run_whose_process_is_gone_is_closed_when_training_again(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    train(store, training_request(model_specification()))
    running(store, "gone", dead_pid())
    running(store, "alive", os.getpid())
    running(store, "elsewhere", dead_pid(), host="another-machine")
    running(store, "other-model", dead_pid(), model="roads")
    train(store, training_request(model_specification()))
    status = {run.run_id: run.status for run in store.registry.runs()}
    assert status.pop("gone") == "failed"
    assert "exited unexpectedly" in str(store.registry.run("gone").error)
    require_documents(store, "gone")
    assert {status[name] for name in ("alive", "elsewhere", "other-model")} == {"running"}
    assert close_abandoned_runs(store) == ["other-model"]


def test_every_logged_point_is_there_in_order(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    assert 2 * POINTS > FLUSH_POINTS
    row = train(store, training_request(model_specification(trainer=f"{HERE}:talkative")))
    series = store.registry.series(row.run_id)
    assert series["loss"] == [(step, 1 / (step + 1)) for step in range(POINTS)]
    assert series["accuracy"] == [(step, step / POINTS) for step in range(POINTS)]
    assert store.registry.run(row.run_id).metrics["loss"] == 1 / POINTS
    assert f"{model_folder(row.model, row.version)}/figures/learning_curves.png" in published(
        store, f"crops@{row.version}"
    )
    document = json.loads(store.workspace.get(f"runs/{row.run_id}/run.json"))
    assert document["series"]["loss"][-1] == [POINTS - 1, 1 / POINTS]


def test_equal_seeds_give_equal_models(store: Store, land_table: Callable[..., Commit]) -> None:
    land_table()
    forest: dict[str, Any] = {
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "n_estimators": 5,
        "max_depth": 2,
    }
    specification = model_specification(
        trainer="mlops_assets.training.trainers.sklearn:train", params=forest
    )
    one, two = (lifecycle(store, specification, **forest) for _ in range(2))
    assert one.metrics == two.metrics
    X = crops_table()[one.signature["features"]].to_numpy(np.float32)
    scores = [
        OnnxModel(
            store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
        ).predict(X)
        for row in (one, two)
    ]
    np.testing.assert_array_equal(scores[0]["scores"], scores[1]["scores"])
    other = lifecycle(store, specification.model_copy(update={"seed": 1}), **forest)
    path = store.workspace.local_path(f"{model_folder(other.model, other.version)}/model.onnx")
    assert not np.array_equal(OnnxModel(path).predict(X)["scores"], scores[0]["scores"])


def test_equal_seeds_give_equal_artefacts(store: Store, land_table: Callable[..., Commit]) -> None:
    land_table()
    one, two = (train(store, training_request(model_specification())) for _ in range(2))
    native = [
        published(store, f"crops@{r.version}")[
            f"{model_folder(r.model, r.version)}/native/model.skops"
        ]
        for r in (one, two)
    ]
    assert native[0] == native[1]


def test_equal_seeds_give_equal_networks(store: Store, land_scenes: Callable[..., Commit]) -> None:
    land_scenes()
    specification = model_specification(dataset="scenes", trainer=f"{HERE}:network")
    one, two, other = (
        train(store, training_request(specification, "v1", {}, seed)) for seed in (3, 3, 4)
    )
    shas = [
        published(store, f"crops@{r.version}")[
            f"{model_folder(r.model, r.version)}/native/model.safetensors"
        ]
        for r in (one, two)
    ]
    assert shas[0] == shas[1]
    assert (
        published(store, f"crops@{other.version}")[
            f"{model_folder(other.model, other.version)}/native/model.safetensors"
        ]
        != shas[0]
    )


def test_python_numpy_and_torch_are_seeded_alike_by_equal_seeds_only() -> None:
    def drawn(seed: int) -> tuple[float, float, float]:
        seed_everything(seed)
        return random.random(), np.random.random(), float(torch.rand(()))

    first, again, other = drawn(2**40), drawn(2**40), drawn(1)
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_segmentation_of_windows_works_from_end_to_end(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes(scenes_specification(**windows_source()))
    specification = model_specification(
        "cover",
        dataset="scenes",
        task="semantic-segmentation",
        trainer=f"{HERE}:network",
        params={"steps": 40},
    )
    row = lifecycle(store, specification, steps=40)
    assert row.stage == "evaluated" and row.signature["shape"] == [4, 8, 8]
    assert row.metrics["accuracy"] > 0.9
    document = json.loads(
        store.workspace.get(f"{model_folder(row.model, row.version)}/metrics.json")
    )
    # unknown pixels do not count
    assert 0 < np.sum(document["confusion_matrix"]) < document["samples"] * 64


def test_regression_works_from_end_to_end(store: Store, land_table: Callable[..., Commit]) -> None:
    frame = crops_table()
    frame["crop"] = frame["ndvi_01"] * 10 + frame["ndvi_02"]
    land_table(frame)
    specification = model_specification(
        "yields", task="regression", trainer="mlops_assets.training.trainers.sklearn:train"
    )
    row = lifecycle(store, specification, estimator="sklearn.linear_model.Ridge", alpha=1e-6)
    assert row.signature["classes"] is None
    assert row.metrics["r2"] > 0.99
    assert f"{model_folder(row.model, row.version)}/figures/scatter.png" in published(
        store, f"yields@{row.version}"
    )


def test_a_model_that_reads_back_otherwise_is_not_published(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.models.frameworks.scikit_learn import ScikitLearn

    land_table()
    exact = ScikitLearn.load

    def forgetting(self: ScikitLearn, folder: Path) -> Any:
        model = exact(self, folder)
        assert isinstance(model, DecisionTreeClassifier)
        model.tree_.value[:] = model.tree_.value[:, :, ::-1]
        return model

    monkeypatch.setattr(ScikitLearn, "load", forgetting)
    with pytest.raises(ExportError, match="reads back with other predictions"):
        train(store, training_request(model_specification()))
    assert [run.status for run in store.registry.runs()] == ["failed"]
    assert store.registry.model_versions() == []


def test_an_onnx_file_without_parity_is_not_published(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    row = train(store, training_request(model_specification()))
    before = published(store, f"crops@{row.version}")
    monkeypatch.setattr(
        "mlops_assets.models.export.export.compare_outputs",
        lambda *args, **more: replace(compare_outputs(*args, **more), passed=False, difference=0.5),
    )
    with pytest.raises(ParityError, match=r"largest relative difference 5\.00e-01"):
        export(store, model_specification(), row)
    assert published(store, f"crops@{row.version}") == before
    assert store.registry.model_version(Reference("crops")).stage == "trained"
    with pytest.raises(StorageError, match=r"model\.onnx was never published"):
        evaluate_version(store, model_specification(), row)
    assert not store.workspace.exists(f"{model_folder(row.model, row.version)}/model.onnx")


@pytest.mark.parametrize(
    ("file", "step"), [("native/model.skops", export), ("model.onnx", evaluate_version)]
)
def test_a_tampered_model_is_noticed_before_it_is_used(
    store: Store, land_table: Callable[..., Commit], file: str, step: Callable[..., Any]
) -> None:
    land_table()
    row = lifecycle(store, model_specification())
    path = store.workspace.local_path(f"{model_folder(row.model, row.version)}/{file}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{row.version}/{file} is not as it was published"):
        step(store, model_specification(), row)


def test_doing_a_stage_again_goes_no_stage_back(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    row = lifecycle(store, model_specification())
    export(store, model_specification(), row)
    assert store.registry.model_version(Reference("crops")).stage == "evaluated"
    published(store, f"crops@{row.version}")


def test_an_older_data_version_can_still_be_trained_on(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    grown = land_table(crops_table(400, seed=1), table_specification())
    assert grown.version.version == "v2"
    old, new = (
        train(store, training_request(model_specification(), version)) for version in ("v1", "v2")
    )
    assert (old.data_version, new.data_version) == ("v1", "v2")
    assert old.data_digest != new.data_digest
