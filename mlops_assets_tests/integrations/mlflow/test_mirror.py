"""Runs, models and aliases mirrored to a real MLflow server, and read back by its client."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip(
    "mlflow", reason="needs MLflow's client; run: pip install 'mlops-assets[mlflow]'"
)

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import StorageError, TrainerError
from mlops_assets.integrations.mlflow.mirror import mirror_run, sync, sync_aliases
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.models.signing.keys import make_key, trust
from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    training_request,
)

pytestmark = [pytest.mark.frameworks, pytest.mark.services]


def runs_there(
    client: MlflowClient, model: str, view: int = ViewType.ACTIVE_ONLY
) -> list[MlflowRun]:
    experiment = client.get_experiment_by_name(model)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], run_view_type=view))


def test_a_run_is_there_with_parameters_tags_times_and_every_point(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    row = train(
        store,
        training_request(
            model_specification(model), "v1", {"depth": 2}, 7, tags={"campaign": "autumn 2024"}
        ),
    )
    points = [
        (seq, ("loss", "accuracy")[seq % 2], seq // 2, 1 / (seq + 1), 1e9 + seq / 100)
        for seq in range(1100)
    ]
    store.registry.put_run(store.registry.run(row.run_id), points)  # more than MLflow takes at once
    told = mirror_run(store, mlflow_server, row.run_id)
    (there,) = runs_there(client, model)
    run = store.registry.run(row.run_id)
    assert told.outcome == "created" and told.url.endswith(there.info.run_id)
    assert (there.info.status, there.info.run_name) == ("FINISHED", row.version)
    assert there.info.start_time == round(run.started.timestamp() * 1000)
    assert run.finished is not None and there.info.end_time == round(
        run.finished.timestamp() * 1000
    )
    assert there.data.params == {"depth": "2"}
    tags = {
        "mlops.run_id": row.run_id,
        "mlops.data_version": "fields@v1",
        "mlops.data_digest": row.data_digest,
        "mlops.code_version": run.code_version,
        "mlops.seed": "7",
        "campaign": "autumn 2024",
        "mlflow.user": "tester",
    }
    assert there.data.tags.items() >= tags.items()
    assert there.inputs is not None
    (data,) = there.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("fields@v1", row.data_digest[:36])
    for name, curve in store.registry.series(row.run_id).items():
        history = sorted(
            client.get_metric_history(there.info.run_id, name), key=lambda point: point.step
        )
        assert [(point.step, point.value) for point in history] == curve
    logged = {
        (step, round(at * 1000))
        for _, name, step, _, at in store.registry.points(row.run_id)
        if name == "loss"
    }
    history = client.get_metric_history(there.info.run_id, "loss")
    assert {(point.step, point.timestamp) for point in history} == logged


def test_the_onnx_model_is_registered_and_mlflow_loads_it(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    recorded: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror_run(store, mlflow_server, recorded.run_id)
    (version,) = client.search_model_versions(f"name='{recorded.model}'")
    key = f"{model_folder(recorded.model, recorded.version)}/model.onnx"
    published = store.workspace.stat(key)
    assert (
        version.tags.items()
        >= {
            "mlops.version": recorded.version,
            "mlops.onnx_sha256": published.sha256,
        }.items()
    )
    (there,) = runs_there(client, recorded.model)
    assert version.run_id == there.info.run_id
    assert {
        name: value for name, value in there.data.metrics.items() if name.startswith("test/")
    } == {f"test/{name}": value for name, value in recorded.metrics.items()}
    X = crops_table()[recorded.signature["features"]].to_numpy(np.float32)[:20]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    uri = f"models:/{recorded.model}/{version.version}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        native = mlflow.onnx.load_model(uri)
        loaded = mlflow.pyfunc.load_model(uri)
    content = store.workspace.get(key)
    assert native.SerializeToString() == content
    expected = OnnxModel(store.workspace.local_path(key)).predict(X)
    for name, values in loaded.predict({"input": X}).items():
        np.testing.assert_array_equal(values, expected[name])


def test_a_second_mirror_changes_nothing_and_asks_only_once(
    store: Store, faulty_mlflow: FaultyProxy, client: MlflowClient, recorded: ModelVersion
) -> None:
    assert mirror_run(store, faulty_mlflow.url, recorded.run_id).outcome == "created"
    (before,) = runs_there(client, recorded.model)
    faulty_mlflow.requests.clear()
    assert mirror_run(store, faulty_mlflow.url, recorded.run_id).outcome == "unchanged"
    assert {request.split("?")[0].rsplit("/", 1)[-1] for request in faulty_mlflow.requests} == {
        "get-by-name",
        "search",
    }
    (after,) = runs_there(client, recorded.model)
    assert after.to_dictionary() == before.to_dictionary()
    run = store.registry.run(recorded.run_id)
    run.tags = {"note": "new"}
    store.registry.put_run(run, None)
    assert mirror_run(store, faulty_mlflow.url, recorded.run_id).outcome == "updated"
    assert runs_there(client, recorded.model)[0].data.tags["note"] == "new"
    assert len(client.search_model_versions(f"name='{recorded.model}'")) == 1


def test_a_run_is_brought_up_to_date_as_its_model_comes_along(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    from mlops_assets.names import Reference
    from mlops_assets.stac.datasets import write_dataset_record
    from mlops_assets.stac.mlm.facts import ModelDeclaration
    from mlops_assets.stac.models import write_model_record

    land_table()
    specification = model_specification(model)
    row = train(store, training_request(specification))
    assert mirror_run(store, mlflow_server, row.run_id).outcome == "created"
    assert client.search_registered_models(f"name='{model}'") == []
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
    from mlops_assets.models.evaluation.evaluate import evaluate_version
    from mlops_assets.models.export.export import export

    export(store, specification, row)
    evaluation, _ = evaluate_version(store, specification, row)
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    write_dataset_record(store.workspace, store.registry, committed)
    write_model_record(store.workspace, store.registry, row, ModelDeclaration())
    assert mirror_run(store, mlflow_server, row.run_id).outcome == "updated"
    (there,) = runs_there(client, model)
    assert there.data.metrics["test/accuracy"] == evaluation.metrics["accuracy"]
    assert len(client.search_model_versions(f"name='{model}'")) == 1


def test_a_model_without_the_signature_that_is_required_stays_here(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    recorded: ModelVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = make_key(tmp_path, "release")
    trust(monkeypatch, tmp_path, {"name": "release", "file": "release.pub"})
    refused = mirror_run(store, mlflow_server, recorded.run_id)
    assert refused.outcome == "created" and "without its model: " in refused.detail
    assert "has no signature" in refused.detail
    assert client.search_registered_models(f"name='{recorded.model}'") == []
    sign_version(store, recorded, key)
    assert mirror_run(store, mlflow_server, recorded.run_id).detail == ""
    assert len(client.search_model_versions(f"name='{recorded.model}'")) == 1


def test_aliases_follow_promotion_and_rollback(
    store: Store, mlflow_server: str, client: MlflowClient, recorded: ModelVersion
) -> None:
    second = lifecycle(store, model_specification(recorded.model), recorded=True, depth=2)
    sync(store, mlflow_server)
    numbers = {
        v.tags["mlops.version"]: v.version
        for v in client.search_model_versions(f"name='{recorded.model}'")
    }

    def aliases() -> dict[str, str]:
        assert sync_aliases(store, mlflow_server, recorded.model) == []
        found = client.get_registered_model(recorded.model).aliases
        return {
            alias: next(v for v, n in numbers.items() if n == number)
            for alias, number in found.items()
        }

    assert aliases() == {}
    promote(store, recorded, [])
    assert aliases() == {"production": recorded.version}
    promote(store, second, [])
    promote(store, second, [], alias="candidate")
    assert aliases() == {
        "production": second.version,
        "previous": recorded.version,
        "candidate": second.version,
    }
    rollback(store, recorded.model)
    assert aliases() == {
        "production": recorded.version,
        "previous": second.version,
        "candidate": second.version,
    }


def test_an_alias_that_mlflow_does_not_accept_is_reported(
    store: Store, mlflow_server: str, recorded: ModelVersion, land_table: Callable[..., Commit]
) -> None:
    promote(store, recorded, [], alias="latest")
    promote(store, recorded, [], alias="spring.2025")
    assert sync_aliases(store, mlflow_server, recorded.model)[0].startswith("latest: ")
    mirror_run(store, mlflow_server, recorded.run_id)
    assert [line.split(":")[0] for line in sync_aliases(store, mlflow_server, recorded.model)] == [
        "latest",
        "spring.2025",
    ]


def test_a_failed_run_is_there_with_its_error(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    with pytest.raises(TrainerError):
        train(
            store,
            training_request(
                model_specification(model, trainer=f"{HERE}:moody"), "v1", {"does": "raise"}
            ),
        )
    (run,) = store.registry.runs(model)
    mirror_run(store, mlflow_server, run.run_id)
    (there,) = runs_there(client, model)
    assert (there.info.status, there.data.metrics) == ("FAILED", {"loss": 1.0})
    assert "out of luck" in there.data.tags["mlops.error"]


def test_a_run_that_is_tried_again_replaces_its_mirror(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    specification = model_specification(model, trainer=f"{HERE}:moody")
    with pytest.raises(TrainerError):
        train(
            store,
            training_request(specification, "v1", {"does": "raise"}, orchestration_run="attempt"),
        )
    (run,) = store.registry.runs(model)
    mirror_run(store, mlflow_server, run.run_id)
    train(
        store, training_request(specification, "v1", {"does": "work"}, orchestration_run="attempt")
    )
    assert mirror_run(store, mlflow_server, run.run_id).outcome == "created"
    (there,) = runs_there(client, model)
    assert (there.info.status, there.data.params) == ("FINISHED", {"does": "work"})
    assert len(client.get_metric_history(there.info.run_id, "loss")) == 1
    assert len(runs_there(client, model, ViewType.DELETED_ONLY)) == 1


def test_what_is_deleted_in_mlflow_stays_deleted(
    store: Store, mlflow_server: str, client: MlflowClient, recorded: ModelVersion
) -> None:
    mirror_run(store, mlflow_server, recorded.run_id)
    (there,) = runs_there(client, recorded.model)
    client.delete_run(there.info.run_id)
    assert mirror_run(store, mlflow_server, recorded.run_id).outcome == "deleted"
    assert [told.outcome for told in sync(store, mlflow_server)[0]] == ["deleted"]
    assert runs_there(client, recorded.model) == []


def test_odd_names_and_long_values_reach_the_server(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    row = train(store, training_request(model_specification(model)))
    run = store.registry.run(row.run_id)
    odd = {
        "F1 (wheat)": 0.5,
        "F1 [wheat]": 0.25,
        "val/loss": 0.1,
        "../up": 0.2,
        "größe": 1.0,
        "x" * 400: 2.0,
        "with space": 3.0,
        "a//b": 4.0,
        "": 5.0,
    }
    run.parameters = {
        "text": "é" * 9000,
        "list": [1, {"a": None}],
        "a(b)": True,
        **{f"p{n}": n for n in range(250)},
    }
    run.tags = {"mlflow.user": "somebody else", "note": "n" * 9000, "odd (tag)": "x"}
    points = [(seq, name, seq, value, 1e9 + seq) for seq, (name, value) in enumerate(odd.items())]
    run.metrics = dict.fromkeys(odd, 1.0) | {"final only": 9.0, "no number": None, "none": math.inf}
    store.registry.put_run(run, points)
    mirror_run(store, mlflow_server, row.run_id)
    (there,) = runs_there(client, model)
    assert len(there.data.params) == 253
    assert there.data.params["list"] == '[1, {"a": null}]' and there.data.params["a_b_"] == "true"
    assert len(there.data.params["text"]) == 6000 and len(there.data.tags["note"]) == 5000
    assert there.data.tags["mlflow.user"] == "tester" and there.data.tags["odd _tag_"] == "x"
    found = there.data.metrics
    assert found.pop("train_accuracy") == 1.0
    assert sorted(found.values()) == sorted([*odd.values(), 9.0])
    assert (
        found["val/loss"] == 0.1
        and found["with space"] == 3.0
        and found["größe"] == 1.0
        and found["up"] == 0.2
    )


def test_sync_catches_up_with_what_the_server_has_missed(
    store: Store, faulty_mlflow: FaultyProxy, client: MlflowClient, recorded: ModelVersion
) -> None:
    second = lifecycle(store, model_specification(recorded.model), recorded=True, depth=2)
    promote(store, second, [])
    fault = faulty_mlflow.add("*", status=503)
    for action in (
        lambda: mirror_run(store, faulty_mlflow.url, second.run_id),
        lambda: sync(store, faulty_mlflow.url),
    ):
        with pytest.raises(StorageError, match="MLflow at http"):
            action()
    assert fault.times is None and client.get_experiment_by_name(recorded.model) is None
    faulty_mlflow.clear()
    # in the middle of a model
    faulty_mlflow.add("*mlflow-artifacts*", method="PUT", status=500, times=1)
    with pytest.raises(StorageError):
        sync(store, faulty_mlflow.url)
    assert {told.outcome for told in sync(store, faulty_mlflow.url)[0]} == {"created", "updated"}
    assert [told.outcome for told in sync(store, faulty_mlflow.url)[0]] == [
        "unchanged",
        "unchanged",
    ]
    assert len(runs_there(client, recorded.model)) == 2
    versions = client.search_model_versions(f"name='{recorded.model}'")
    assert {version.tags["mlops.version"] for version in versions} == {
        recorded.version,
        second.version,
    }
    assert len(versions) == 2 and len(client.get_registered_model(recorded.model).aliases) == 1


def test_a_run_that_goes_on_and_one_from_mlflow_are_not_mirrored(
    store: Store,
    mlflow_server: str,
    client: MlflowClient,
    model: str,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    row = train(store, training_request(model_specification(model)))
    for changes, why in (
        ({"status": "running"}, "still running"),
        ({"source": "mlflow"}, "imported"),
    ):
        run = store.registry.run(row.run_id)
        run.status, run.source = "succeeded", "platform"
        for name, value in changes.items():
            setattr(run, name, value)
        store.registry.put_run(run, [])
        told = mirror_run(store, mlflow_server, row.run_id)
        assert told.outcome == "skipped" and why in told.detail
    assert client.get_experiment_by_name(model) is None


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "MLFLOW_TRACKING_USERNAME"),
        (403, "MLFLOW_TRACKING_TOKEN"),
        (500, "whether the server runs"),
    ],
)
def test_a_server_that_refuses_is_an_error_with_a_remedy(
    status: int, says: str, store: Store, faulty_mlflow: FaultyProxy, recorded: ModelVersion
) -> None:
    faulty_mlflow.add("*", status=status)
    secret = faulty_mlflow.url.replace("http://", "http://me:secret@")
    with pytest.raises(StorageError, match=says) as raised:
        mirror_run(store, secret, recorded.run_id)
    assert "secret" not in str(raised.value)


def test_a_server_that_is_unreachable_is_an_error_with_its_url(
    store: Store, recorded: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError, match=r"MLflow at http://127\.0\.0\.1:9: "):
        mirror_run(store, "http://127.0.0.1:9", recorded.run_id)
