"""Runs of the asset graph: what they publish, and that concurrent ones never mix."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components import TrainedModel
from mlops_assets.components.naming import data_versions
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality import CHECKS
from mlops_assets.models.approval.decisions import deprecate
from mlops_assets.models.approval.standing import decided_files
from mlops_assets.models.record import record_version
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import record_owner
from mlops_assets.store import Store
from mlops_assets_tests.components.project import (
    FOREST,
    definitions,
    lifecycle_job,
    model_specification,
)
from mlops_assets_tests.interpreter import Process

MODEL_ASSETS = ["trained_model", "onnx_model", "applicability", "evaluation", "record"]


def launch(
    defs: dg.Definitions,
    job: str,
    instance: dg.DagsterInstance,
    partition: str | None = None,
    **config: Any,
) -> dg.ExecuteInProcessResult:
    ops = {"crop_forest__trained_model": {"config": config}} if config else {}
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=partition, run_config={"ops": ops}, raise_on_error=False
    )


def metadata(result: dg.ExecuteInProcessResult, step: str) -> dict[str, Any]:
    events = result.asset_materializations_for_node(f"crop_forest__{step}")
    return {name: value.value for name, value in events[-1].metadata.items()}


@pytest.fixture
def store(assessed: Store) -> Store:
    """`fields`, v1, in a workspace of the test's own."""
    return assessed


@pytest.fixture
def landed(store: Store, instance: dg.DagsterInstance) -> dg.Definitions:
    """The project whose own landing asset has found the data version."""
    defs = definitions()
    assert launch(defs, "fields_landing", instance).success
    return defs


def test_landing_adds_the_partition_and_reports_whether_the_content_is_new(
    landed: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert instance.get_dynamic_partitions(str(data_versions("fields").name)) == ["v1"]
    again = launch(landed, "fields_landing", instance).asset_materializations_for_node(
        "fields__landing"
    )[0]
    assert (again.metadata["new"].value, again.metadata["data_version"].value) == (False, "v1")


def test_lifecycle_materialises_every_asset_with_checks_and_figures_for_people(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    result = launch(landed, "crop_forest_lifecycle", instance, "v1")
    assert result.success
    checks = {
        (e.asset_check_key.asset_key.path[-1], e.check_name, e.passed)
        for e in result.get_asset_check_evaluations()
    }
    assert checks == {
        *(("training_data", name, True) for name in CHECKS),
        *(("onnx_model", name, True) for name in ("parity", "portable")),
        ("applicability", "max_outside", True),
        ("record", "gates", True),
    }
    (row,) = store.registry.model_versions("crop_forest")
    trained, evaluation = metadata(result, "trained_model"), metadata(result, "evaluation")
    assert trained["parameters"]["n_estimators"] == 5
    assert {"code_version", "seed", "run_id", "data_digest", "data_version"} <= trained.keys()
    assert evaluation["accuracy"] == row.metrics["accuracy"] > 0.9
    assert evaluation["figure"].startswith("![")
    assert {metadata(result, step)["model_version"] for step in MODEL_ASSETS} == {row.version}
    assert row.stage == "recorded"
    record = metadata(result, "record")
    assert record["trained_by"] == result.run_id
    for name in (f"{row.version}.json", "model-card.md", "run.json"):
        assert Path(record[name]).is_file()


def test_runs_can_be_filtered_by_model_data_version_and_user(
    landed: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    launched = instance.get_runs(dg.RunsFilter(tags={"mlops/dataset": "fields"}))
    assert [run.tags["mlops/data_version"] for run in launched] == ["v1"]
    # from the graph, of two models at once; opened in the Launchpad from the run of another user
    other = TrainedModel(model_specification(name="other_forest")).build_defs(None)  # type: ignore[arg-type]
    both = dg.Definitions.merge(landed, other)
    steps = dg.AssetSelection.assets(
        ["crop_forest", "trained_model"], ["other_forest", "trained_model"]
    )
    both = dg.Definitions.merge(both, dg.Definitions(jobs=[dg.define_asset_job("both", steps)]))
    before = {"mlops/data_version": "v0", "mlops/user": "somebody"}
    assert (
        both.resolve_job_def("both")
        .execute_in_process(instance=instance, partition_key="v1", tags=before)
        .success
    )
    (run,) = instance.get_runs(
        dg.RunsFilter(tags={"mlops/user": "tester", "mlops/data_version": "v1"}), limit=1
    )
    assert run.tags["mlops/model"] == "crop_forest, other_forest"


@pytest.mark.slow
def test_a_run_with_other_parameters_makes_a_second_model_version_with_another_data_version(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    key, versions = dg.AssetKey(["crop_forest", "trained_model"]), []
    for trees in (5, 7):
        assert launch(landed, "crop_forest_lifecycle", instance, "v1", n_estimators=trees).success
        event = instance.get_latest_data_version_record(key, partition_key="v1")
        assert event is not None and event.event_log_entry.tags is not None
        versions.append(dg.DataVersion(str(event.event_log_entry.tags["dagster/data_version"])))
    rows = store.registry.model_versions("crop_forest")
    assert len({row.version for row in rows}) == 2
    assert [store.registry.run(row.run_id).parameters["n_estimators"] for row in rows] == [5, 7]
    assert versions[0] != versions[1]


@pytest.mark.slow
def test_an_experiment_is_distinguished_from_the_best_and_the_version_in_production(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    declared = launch(landed, "crop_forest_lifecycle", instance, "v1")
    (best,) = store.registry.model_versions("crop_forest")
    store.registry.promote(best, [])
    poor = launch(landed, "crop_forest_lifecycle", instance, "v1", n_estimators=1, max_depth=1)
    assert declared.success
    assert poor.success
    for step in MODEL_ASSETS:
        assert metadata(declared, step)["experiment"] is False
        assert "differs_from_declared" not in metadata(declared, step)
        found = metadata(poor, step)
        assert (found["experiment"], found["differs_from_declared"]) == (
            True,
            {
                "n_estimators": {"declared": 5, "used": 1},
                "max_depth": {"declared": None, "used": 1},
            },
        )
    tags = [instance.get_run_by_id(run.run_id).tags for run in (declared, poor)]  # type: ignore[union-attr]
    assert [found.get("mlops/experiment") for found in tags] == [None, "true"]
    assert metadata(declared, "record")["best_accuracy"] == best.metrics["accuracy"]
    assert "production_accuracy" not in metadata(declared, "record")
    for step in ("evaluation", "record"):
        found = metadata(poor, step)
        assert found["accuracy"] < found["best_accuracy"] == found["production_accuracy"]
        assert found["best_model_version"] == found["production_model_version"] == best.version


def test_parameters_of_the_wrong_type_are_refused_before_anything_is_launched(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="estimator"):
        launch(landed, "crop_forest_lifecycle", instance, "v1", estimator=["no", "text"])
    assert store.registry.runs() == []


@pytest.mark.slow
def test_steps_of_interleaved_runs_on_one_partition_never_mix(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    command = ["-m", "mlops_assets_tests.components.interleaved", str(tmp_path / "dagster")]
    with ExitStack() as running:
        runs = [
            running.enter_context(Process([*command, str(trees), "2"], tmp_path))
            for trees in (5, 9)
        ]
        for run in runs:
            assert run.wait(200) == 0, run.err
    answers = [json.loads(run.out.splitlines()[-1]) for run in runs]
    made = {}
    for answer in answers:
        assert answer["success"]
        assert len(set(answer["versions"].values())) == 1, (
            "steps of one run worked on different model versions"
        )
        version = made[answer["trees"]] = answer["versions"]["trained_model"]
        row = store.registry.model_version(Reference("crop_forest", version))
        assert store.registry.run(row.run_id).parameters["n_estimators"] == answer["trees"]
        assert row.stage == "recorded"
    assert made[5] != made[9]


@pytest.mark.slow
def test_a_reexecution_from_failure_works_on_the_model_of_the_run_that_failed(
    landed: dg.Definitions,
    store: Store,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("power cut")

    job = dg.reconstructable(lifecycle_job)
    tags = {"dagster/partition": "v1"}
    with monkeypatch.context() as broken:
        broken.setattr("mlops_assets.models.evaluation.evaluate.evaluate_version", fails)
        with dg.execute_job(job, instance=instance, tags=tags) as failed:
            assert not failed.success
    assert launch(landed, "crop_forest_lifecycle", instance, "v1", n_estimators=9).success
    options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    with dg.execute_job(job, instance=instance, tags=tags, reexecution_options=options) as again:
        assert again.success
        steps = {event.step_key for event in again.all_events if event.is_step_success}
        assert steps == {"crop_forest__evaluation", "crop_forest__record"}
        (event,) = again.asset_materializations_for_node("crop_forest__evaluation")
    first, second = store.registry.model_versions("crop_forest")
    assert event.metadata["model_version"].value == first.version
    assert (first.stage, second.stage) == ("recorded", "recorded")
    assert FOREST["n_estimators"] == store.registry.run(first.run_id).parameters["n_estimators"]


def test_gates_that_fail_block_promotion_but_not_the_record(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    store.registry.set_webhooks({"team": ["model.gate_failed"]})
    strict = definitions(gates=[{"metric": "accuracy", "min": 1.1}], auto_promote=True)
    result = launch(strict, "crop_forest_lifecycle", instance, "v1")
    assert not result.success
    (gates,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "gates"]
    assert not gates.passed
    assert "FAILED" in str(gates.description)
    assert store.registry.model_versions("crop_forest")[0].stage == "recorded"
    assert store.registry.aliases("crop_forest") == {}
    (message,) = store.registry.webhook_messages()
    assert "accuracy ≥ 1.1: FAILED" in message.body


@pytest.mark.parametrize("auto_promote", [False, True])
def test_a_version_waits_for_a_required_approval(
    auto_promote: bool, landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    waiting = definitions(approval={"required": True}, auto_promote=auto_promote)
    result = launch(waiting, "crop_forest_lifecycle", instance, "v1")
    assert result.success
    (check,) = [e for e in result.get_asset_check_evaluations() if e.check_name == "approved"]
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "waits for approval" in str(check.description)
    production = dg.define_asset_job(
        "once", dg.AssetSelection.assets(["crop_forest", "production"])
    )
    once = dg.Definitions.merge(waiting, dg.Definitions(jobs=[production]))
    assert not launch(once, "once", instance).success
    assert store.registry.aliases("crop_forest") == {}
    (row,) = store.registry.model_versions("crop_forest")
    store.registry.decide(row, "approved", "good", decided_files(store.registry, row))
    assert launch(once, "once", instance).success
    assert store.registry.aliases("crop_forest") == {"production": row.version}


def test_the_record_of_a_deprecated_version_states_it_also_when_it_is_written_again(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    assert launch(landed, "crop_forest_lifecycle", instance, "v1").success
    (row,) = store.registry.model_versions("crop_forest")

    def recorded() -> dict[str, Any]:
        (file,) = store.registry.files(record_owner(row.model, row.version))
        found = json.loads(store.workspace.get(file.path))
        return dict(found["properties"])

    deprecate(store, row, "its sensor has ended")
    assert recorded()["deprecated"] is True
    record_version(store, model_specification(), row)
    assert recorded()["deprecated"] is True
    deprecate(store, row, "it has not", undo=True)
    assert "deprecated" not in recorded()
    assert verify_all(store).problems == []


def test_what_cannot_be_told_is_a_warning_that_stops_promotion(
    landed: dg.Definitions,
    store: Store,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gates = [{"metric": "accuracy", "not_worse_than": "production", "tolerance": 0.05}]
    compared = definitions(gates=gates, auto_promote=True)
    first = launch(compared, "crop_forest_lifecycle", instance, "v1")
    assert first.success and evaluation_of(first).passed
    production = store.registry.aliases("crop_forest")["production"]
    monkeypatch.setattr("mlops_assets.models.gates.check.MIN_UNITS", 10_000)
    second = launch(compared, "crop_forest_lifecycle", instance, "v1")
    assert not second.success
    found = evaluation_of(second)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["verdict"].value == "cannot tell"
    assert found.metadata["compared_with"].value == production
    assert found.metadata["test_data"].value == "fields@v1"
    row = store.registry.model_versions("crop_forest")[-1]
    assert found.metadata["model_version"].value == row.version != production
    assert row.stage == "recorded"
    assert store.registry.aliases("crop_forest") == {"production": production}


def evaluation_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "better_than_production"
    ]
    return found


def test_auto_promote_puts_the_runs_own_model_into_production(
    landed: dg.Definitions, store: Store, instance: dg.DagsterInstance
) -> None:
    result = launch(definitions(auto_promote=True), "crop_forest_lifecycle", instance, "v1")
    assert result.success
    (row,) = store.registry.model_versions("crop_forest")
    assert store.registry.aliases("crop_forest") == {"production": row.version}
    (event,) = result.asset_materializations_for_node("crop_forest__production")
    assert event.metadata["promoted_by"].value == "tester"


def test_a_leaking_split_stops_before_training(
    land_table: Callable[..., Commit], store: Store, instance: dg.DagsterInstance
) -> None:
    from mlops_assets.components import TrainedModel, TrainingDataset
    from mlops_assets_tests.components.project import model_specification
    from mlops_assets_tests.conftest import crops_table, table_specification
    from resources import MlflowMirror, StoreResource

    frame = crops_table(100).assign(part="train")
    copied = frame.assign(part="test")
    source = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "split": "part"},
    }
    specification = table_specification(source=source, split={"method": "column"})
    import pandas as pd

    land_table(pd.concat([frame, copied]), specification)
    built = [
        TrainingDataset(specification).build_defs(None),  # type: ignore[arg-type]
        TrainedModel(model_specification()).build_defs(None),  # type: ignore[arg-type]
    ]
    defs = dg.Definitions.merge(
        *built, dg.Definitions(resources={"store": StoreResource(), "mlflow": MlflowMirror()})
    )
    assert launch(defs, "fields_landing", instance).success
    result = launch(defs, "crop_forest_lifecycle", instance, "v2")
    assert not result.success
    assert {e.check_name for e in result.get_asset_check_evaluations() if not e.passed} == {
        "leakage"
    }
    assert store.registry.runs() == []
