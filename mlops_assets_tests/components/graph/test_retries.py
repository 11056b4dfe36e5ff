"""Steps that storage failed, run by Dagster."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from mlops_assets.components import trained_model
from mlops_assets.components.events.model_results import trained_result
from mlops_assets.components.graph import retries
from mlops_assets.components.graph.retries import WAITS, retried
from mlops_assets.components.naming import COMMAND, add_data_versions
from mlops_assets.errors import SpecificationError, StorageUnreachable
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "WAITS", (0,) * len(WAITS))


def attempts(
    errors: Sequence[BaseException],
    instance: dg.DagsterInstance,
    tags: Mapping[str, str] | None = None,
) -> tuple[bool, int, str]:
    """Success, attempts, and the last error of a step that fails with these errors in turn."""
    made: list[int] = []
    left = list(errors)

    @dg.asset
    @retried
    def step(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        made.append(context.retry_number)
        if left:
            raise left.pop(0)
        yield dg.MaterializeResult(metadata={"attempt": context.retry_number})

    result = dg.materialize([step], instance=instance, raise_on_error=False, tags=tags)
    failures = [event for event in result.all_events if event.is_step_failure]
    error = failures[0].step_failure_data.error if failures else None
    return result.success, len(made), str(error.cause.message if error and error.cause else "")


def test_storage_that_does_not_answer_is_retried_and_then_is_the_steps_own_error(
    instance: dg.DagsterInstance,
) -> None:
    away = [StorageUnreachable(f"no answer, {n}") for n in range(9)]
    assert attempts(away[:2], instance) == (True, 3, "")
    success, made, error = attempts(away, instance)
    assert (success, made) == (False, len(WAITS) + 1)
    assert "StorageUnreachable: no answer, 3" in error


def test_any_other_error_ends_the_step(instance: dg.DagsterInstance) -> None:
    success, made, error = attempts([SpecificationError("no column crop")], instance)
    assert (success, made) == (False, 1)
    assert "no column crop" in error


def test_a_command_reports_at_once_that_storage_does_not_answer(
    instance: dg.DagsterInstance,
) -> None:
    away = [StorageUnreachable("no answer")]
    assert attempts(away, instance, {COMMAND: "true"})[:2] == (False, 1)


def test_a_model_that_is_trained_is_not_trained_again_by_a_retry(
    assessed: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [StorageUnreachable("no answer")]

    def reading_fails_once(
        store: Store, specification: ModelSpecification, row: ModelVersion
    ) -> object:
        if failures:
            raise failures.pop()
        return trained_result(store, specification, row)

    monkeypatch.setattr(trained_model, "trained_result", reading_fails_once)
    add_data_versions(instance, assessed.registry, "fields")
    job = dg.define_asset_job("train", selection=[dg.AssetKey(["crop_forest", "trained_model"])])
    defs = dg.Definitions.merge(definitions(), dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("train").execute_in_process(instance=instance, partition_key="v1")
    (run,) = assessed.registry.runs()
    assert (run.attempts, run.status, failures) == (1, "succeeded", [])
    (event,) = result.asset_materializations_for_node("crop_forest__trained_model")
    assert event.metadata["model_version"].value == run.model_version


def test_a_step_whose_pod_is_to_leave_its_node_is_started_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_RUN_STEP_KEY", "step")
    interrupted = [DagsterExecutionInterruptedError()]
    assert attempts(interrupted, instance) == (True, 2, "")


@pytest.mark.parametrize("in_pod", [True, False])
def test_a_run_that_is_cancelled_ends_its_step(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, in_pod: bool
) -> None:
    if in_pod:
        monkeypatch.setenv("DAGSTER_RUN_STEP_KEY", "step")
        monkeypatch.setattr(retries, "_is_wanted", lambda context: False)
    assert attempts([DagsterExecutionInterruptedError()], instance)[:2] == (False, 1)
