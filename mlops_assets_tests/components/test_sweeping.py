"""The job `<model>_sweep`: what it is launched with, and what people see of it in Dagster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.naming import add_data_versions
from mlops_assets.components.project.definitions import declared_models
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions, model_specification

GRID: dict[str, Any] = {
    "parameters": {"n_estimators": {"choices": [2, 5]}},
    "method": "grid",
    "parallel": 2,
}


@pytest.fixture
def launch(
    store: Store, land_table: Callable[..., Commit], instance: dg.DagsterInstance
) -> Callable[..., dg.ExecuteInProcessResult]:
    land_table()
    add_data_versions(instance, store.registry, "fields")

    def run(config: dict[str, object], **model: object) -> dg.ExecuteInProcessResult:
        return (
            definitions(**model)
            .resolve_job_def("crop_forest_sweep")
            .execute_in_process(
                instance=instance,
                partition_key="v1",
                run_config={"ops": {"crop_forest__sweep": {"config": config}}},
                raise_on_error=False,
            )
        )

    return run


def test_the_job_shows_the_trials_and_leaves_the_alias_if_a_gate_fails(
    launch: Callable[..., dg.ExecuteInProcessResult], store: Store
) -> None:
    result = launch(GRID, gates=[{"metric": "accuracy", "max": 0.1}])
    assert result.success
    (output,) = [
        event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT
    ]
    metadata: dict[str, Any] = {
        name: value.value for name, value in output.step_output_data.metadata.items()
    }
    assert metadata["metric"] == "validation_score" and metadata["direction"] == "maximize"
    assert metadata["best_value"] > 0.5 and metadata["best_parameters"]["n_estimators"] in (2, 5)
    table = str(metadata["trials"]).splitlines()
    assert table[0] == "| trial | state | value | n_estimators | run |" and len(table) == 4
    assert metadata["candidate"] is False and str(metadata["gates"]).startswith(
        "accuracy ≤ 0.1: FAILED"
    )
    assert metadata["accuracy"] > 0.5
    assert store.registry.aliases("crop_forest") == {}
    runs = store.registry.runs("crop_forest")
    assert {run.tags["trial"]: run.parameters["n_estimators"] for run in runs} == {"0": 2, "1": 5}
    assert {run.orchestration_run for run in runs} == {result.run_id}


def test_the_best_is_in_the_graph_as_if_its_steps_had_made_it(
    launch: Callable[..., dg.ExecuteInProcessResult], store: Store, instance: dg.DagsterInstance
) -> None:
    assert launch(GRID, gates=[{"metric": "accuracy", "min": 0.1}]).success
    candidate = store.registry.aliases("crop_forest")["candidate"]
    assert launch(GRID, gates=[{"metric": "accuracy", "min": 0.1}]).success  # nothing is left to do
    for step in ("trained_model", "onnx_model", "applicability", "evaluation", "record"):
        key = dg.AssetKey(["crop_forest", step])
        wanted = dg.AssetRecordsFilter(key, asset_partitions=["v1"])
        (record,) = instance.fetch_materializations(wanted, limit=9).records
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["model_version"].value == candidate, step
        assert instance.get_latest_materialization_event(key) is not None
    for step, check in (("onnx_model", "parity"), ("record", "gates")):
        checked = dg.AssetCheckKey(dg.AssetKey(["crop_forest", step]), check)
        (execution,) = instance.event_log_storage.get_asset_check_execution_history(
            checked, limit=9
        )
        assert execution.status.value == "SUCCEEDED"
        assert execution.partition == "v1"


def test_wrong_settings_are_refused_before_anything_is_launched(
    launch: Callable[..., dg.ExecuteInProcessResult], store: Store
) -> None:
    for config in (
        GRID | {"method": "bayes"},
        GRID | {"trials": "many"},
        GRID | {"trails": 3},
        {"method": "grid"},
    ):
        with pytest.raises(dg.DagsterInvalidConfigError):
            launch(config)
    result = launch(GRID | {"parameters": {"n_estimators": {"choices": []}}})
    error = result.failure_data_for_node("crop_forest__sweep")
    assert error is not None and error.error is not None and error.error.cause is not None
    assert (
        "parameters.n_estimators.choices: List should have at least 1 item"
        in error.error.cause.message
    )
    assert store.registry.runs() == []


def test_the_job_has_the_model_as_it_was_declared() -> None:
    assert declared_models(definitions()) == {"crop_forest": model_specification()}
