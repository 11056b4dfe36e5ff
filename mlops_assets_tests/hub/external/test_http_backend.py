"""Runs that are reported over HTTP with our own client: the same interface, the same result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sklearn.tree import DecisionTreeClassifier
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    ExportError,
    NotFound,
    ParityError,
    SettingsError,
    SpecificationError,
    StorageError,
)
from mlops_assets.external import external_run
from mlops_assets.hub.external.publisher import publish_apart
from mlops_assets.integrations.external.http_backend import record_over_http
from mlops_assets.integrations.external.origin import origin_of
from mlops_assets.integrations.external.recording import ExternalRunRequest
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN, hub
from mlops_assets_tests.models.export.onnx_files import linear_classifier, scores_of
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.training.example_trainers import require_documents

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 16


def tree(store: Store) -> DecisionTreeClassifier:
    """A tree trained on `fields`, as a caller with a copy of the data would."""
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    X, y = TrainingData(committed, "classification").arrays("train")
    return DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_model_sent_over_http_goes_through_everything(store: Store) -> None:
    with (
        hub(store, publish_apart) as url,
        external_run(
            "crops", "fields@v1", {"depth": 4}, 3, url=url, token=TOKEN, task="classification"
        ) as run,
    ):
        for step in range(30):
            run.log({"loss": 1 / (step + 1), "accuracy": step / 30}, step)
        run.figure("importance", PNG)
        run.model(tree(store))
        with pytest.raises(StorageError, match="cannot be read by HTTP"):
            _ = run.data
    recorded = store.registry.run(run.run_id)
    assert (recorded.source, recorded.status, recorded.seed, recorded.trainer) == (
        "external",
        "succeeded",
        3,
        Path(__file__).name,
    )
    assert recorded.metrics["loss"] == pytest.approx(1 / 30)
    assert recorded.usage["peak_memory_bytes"] > 1e7
    assert len(store.registry.series(run.run_id)["accuracy"]) == 30
    assert recorded.code["commit"] == recorded.code_version.partition("+")[0]
    (row,) = store.registry.model_versions("crops")
    assert (row.stage, row.framework) == ("recorded", "scikit-learn")
    assert verify_model(store, row).problems == []
    assert store.workspace.get(f"models/crops/{row.version}/figures/importance.png") == PNG
    assert run.outcome is not None and run.outcome.gates_passed and not run.outcome.notes
    with dg.DagsterInstance.from_config(str(store.workspace.root / "dagster")) as instance:
        for asset in ("trained_model", "onnx_model", "applicability", "evaluation", "record"):
            (found,) = instance.fetch_materializations(
                dg.AssetKey(["crops", asset]), limit=5
            ).records
            assert found.asset_materialization is not None
            assert found.asset_materialization.metadata["model_version"].value == row.version
    # what was sent is gone
    assert list((store.workspace.cache / "external" / run.run_id).glob("n*")) == []


def test_an_onnx_file_sent_over_http_is_proved_by_its_outputs(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    linear_classifier(path)
    with hub(store) as url:
        with pytest.raises(ExportError, match="must have one input"):
            run_id = report(url, "declared_crops", path, {}, 1.0)
        run_id = report(url, "crops", path, {"task": "classification"}, 1.0)
        with pytest.raises(ParityError, match="differs from the trained model"):
            report(url, "crops", path, {"task": "classification"}, 0.5)
    rows = {row.run_id: row for row in store.registry.model_versions("crops")}
    assert rows.pop(run_id).stage == "recorded"
    (unproved,) = rows.values()
    assert unproved.stage == "trained"
    (run,) = store.registry.runs("declared_crops")
    assert run.status == "failed"
    require_documents(store, run.run_id)


def report(url: str, model: str, path: Path, declared: dict[str, Any], factor: float) -> str:
    with external_run(model, "fields", url=url, token=TOKEN, **declared) as run:
        samples = run.samples()
        run.onnx(path, factor * scores_of(path, samples) if samples.shape[1] == 7 else None)
    return run.run_id


def test_a_server_that_is_unreachable_for_a_while_loses_nothing(store: Store) -> None:
    with hub(store) as url, FaultyProxy(url) as proxy:
        proxy.add("/api/v1/runs", method="POST", status=503, times=1)
        proxy.add("*/points", status=503, times=3)
        proxy.add("*/native/*", cut=True, times=1)
        proxy.add("*/finish", cut=True, times=1)  # done, but the response is lost
        with external_run(
            "crops", "fields", url=proxy.url, token=TOKEN, task="classification"
        ) as run:
            for step in range(25_000):
                run.log({"loss": float(step)}, step)
            run.model(tree(store))
    assert store.registry.series(run.run_id)["loss"] == [
        (step, float(step)) for step in range(25_000)
    ]
    (row,) = store.registry.model_versions("crops")
    assert row.stage == "recorded"
    assert [found.attempts for found in store.registry.runs("crops")] == [1]


def test_a_run_can_continue_after_a_server_was_unreachable_for_too_long(store: Store) -> None:
    request = ExternalRunRequest(
        model="crops",
        data=Reference("fields"),
        parameters={},
        seed=0,
        origin=origin_of(Path(__file__), "tester"),
        declared={"task": "classification"},
    )
    with hub(store) as url, FaultyProxy(url) as proxy:
        with (
            pytest.raises(StorageError, match="is kept: continue with run_id='"),
            record_over_http(proxy.url, TOKEN, request, unreachable_seconds=0.5) as run,
        ):
            run.log({"loss": 1.0}, 0)
            run.model(tree(store))
            proxy.add("*/native/*", status=503)
        assert store.registry.run(run.run_id).status == "running"
        with record_over_http(url, TOKEN, replace(request, run_id=run.run_id)) as again:
            again.log({"loss": 0.5}, 1)
            again.model(tree(store))
    assert store.registry.series(run.run_id) == {"loss": [(0, 1.0), (1, 0.5)]}
    assert store.registry.run(run.run_id).attempts == 2
    assert store.registry.model_versions("crops")[0].stage == "recorded"


def test_several_runs_at_once_do_not_mix(store: Store) -> None:
    def report_tree(number: int) -> tuple[str, int]:
        with external_run(
            "crops", "fields", {}, number, url=url, token=TOKEN, task="classification"
        ) as run:
            for step in range(200):
                run.log({"number": float(number)}, step)
            run.model(tree(store))
        return run.run_id, number

    with hub(store) as url, ThreadPoolExecutor(2) as pool:
        found = dict(pool.map(report_tree, range(2)))
    for run_id, number in found.items():
        assert store.registry.run(run_id).seed == number
        assert store.registry.series(run_id)["number"] == [
            (step, float(number)) for step in range(200)
        ]
    assert {row.stage for row in store.registry.model_versions("crops")} == {"recorded"}


def test_a_run_that_cannot_start_raises_the_error_of_the_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(store) as url:
        for kind, message, model, data, token in (
            (SpecificationError, "task: Field required", "crops", "fields", TOKEN),
            (NotFound, "v9", "declared_crops", "fields@v9", TOKEN),
            (SettingsError, "does not accept the token", "declared_crops", "fields", "x" * 20),
        ):
            with (
                pytest.raises(kind, match=message),
                external_run(model, data, url=url, token=token),
            ):
                pass
        with pytest.raises(SettingsError, match="MLOPS_API_TOKEN"):
            external_run("crops", "fields", url=url)
        monkeypatch.setenv("MLOPS_API_TOKEN", TOKEN)
        with (
            pytest.raises(KeyboardInterrupt),
            external_run("declared_crops", "fields", url=url) as run,
        ):
            raise KeyboardInterrupt
    with (
        pytest.raises(SettingsError, match="address of a server"),
        external_run("crops", "fields", url="here"),
    ):
        pass
    with (
        served(Starlette(routes=[Mount("/", PlainTextResponse("another server"))])) as url,
        pytest.raises(SettingsError, match="does not return the state of a run; check that url="),
        external_run("crops", "fields", url=url),
    ):
        pass
    assert store.registry.run(run.run_id).status == "canceled"
    require_documents(store, run.run_id)
    assert len(store.registry.runs()) == 1
