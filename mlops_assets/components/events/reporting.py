"""Reports to Dagster of the stages of a model version.

The stages are those of Dagster's own steps, and of sweeps, external runs and imports.

Nothing is published here, and an unreachable Dagster prevents no publishing.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.instance.utils import RUNLESS_JOB_NAME

from mlops_assets.components.events.model_results import (
    Result,
    applicability_result,
    evaluation_result,
    onnx_result,
    parity_failure,
    promotion_result,
    record_result,
    trained_result,
)
from mlops_assets.components.naming import add_data_versions, check_results
from mlops_assets.components.project.home import prepare_home
from mlops_assets.components.project.storage_failures import storage_failures
from mlops_assets.datasets.quality import Check
from mlops_assets.errors import MlopsError, ParityError, StorageError
from mlops_assets.models.applicability.document import ApplicabilityDocument
from mlops_assets.models.evaluation.tally import Evaluation
from mlops_assets.models.export.parity import ParityReport
from mlops_assets.models.gates.outcomes import GateOutcome
from mlops_assets.models.lifecycle import Outcome, do_stage
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion, Promotion
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


class _Reporter(AbstractContextManager["_Reporter"], ABC):
    """Makes Dagster's events of the reports of stages."""

    def __init__(self, store: Store, specification: ModelSpecification) -> None:
        self._store = store
        self._specification = specification

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End."""

    def trained(self, row: ModelVersion) -> None:
        """The model version is published."""
        result = trained_result(self._store, self._specification, row)
        self._materialised(row, "trained_model", result)

    def exported(self, row: ModelVersion, report: ParityReport) -> None:
        """Its ONNX file is published and proved."""
        result = onnx_result(self._store, self._specification, row, report)
        self._materialised(row, "onnx_model", result)

    def unproved(self, row: ModelVersion, error: ParityError) -> None:
        """Its ONNX file is not what the model is."""
        self._failed(row, "onnx_model", parity_failure(error))

    def delimited(self, row: ModelVersion, found: ApplicabilityDocument) -> None:
        """Its area of applicability is published, or why that is unknown."""
        result = applicability_result(self._store, self._specification, row, found)
        self._materialised(row, "applicability", result)

    def evaluated(self, row: ModelVersion, found: Evaluation, figure: bytes) -> None:
        """It is measured."""
        result = evaluation_result(self._store, self._specification, row, found, figure)
        self._materialised(row, "evaluation", result)

    def recorded(
        self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]
    ) -> None:
        """It is in the catalogue and compared with its gates."""
        result = record_result(self._store, self._specification, row, files, outcomes)
        self._materialised(row, "record", result)

    @abstractmethod
    def _materialised(self, row: ModelVersion, step: str, result: Result) -> None: ...

    @abstractmethod
    def _failed(
        self, row: ModelVersion, step: str, checks: Sequence[dg.AssetCheckResult]
    ) -> None: ...


class _StepReporter(_Reporter):
    """Keeps what a step of the asset graph yields."""

    def __init__(self, store: Store, specification: ModelSpecification) -> None:
        super().__init__(store, specification)
        self.events: list[Result | dg.AssetCheckResult] = []

    def _materialised(self, row: ModelVersion, step: str, result: Result) -> None:
        self.events.append(result)

    def _failed(self, row: ModelVersion, step: str, checks: Sequence[dg.AssetCheckResult]) -> None:
        self.events.extend(checks)


def stage_events(
    name: str, store: Store, specification: ModelSpecification, row: ModelVersion
) -> Iterator[Result | dg.AssetCheckResult]:
    """Do a stage as a step of the asset graph, and yield its events.

    Raises:
        MlopsError: the stage fails; the events until then are yielded before.
    """
    reporter = _StepReporter(store, specification)
    try:
        do_stage(name, store, specification, row, Outcome(row.model, row.version), reporter)
    except MlopsError:
        yield from reporter.events
        raise
    yield from reporter.events


class DagsterReporter(_Reporter):
    """A reporter of model version stages that no step of the asset graph did.

    It reports them as events without a Dagster run.
    """

    def __init__(
        self, store: Store, specification: ModelSpecification, to: Path | dg.DagsterInstance
    ) -> None:
        """Report to an instance, or to that of a Dagster home, created if it is missing.

        Args:
            store: workspace and registry of the model.
            specification: the model as declared.
            to: the instance, or its home.
        """
        super().__init__(store, specification)
        self._to = to
        self._opened: dg.DagsterInstance | None = None

    def __exit__(self, *error: object) -> None:
        """End; an instance that was opened here is left again."""
        if self._opened is not None and self._opened is not self._to:
            self._opened.dispose()
        self._opened = None

    def _materialised(self, row: ModelVersion, step: str, result: Result) -> None:
        with self._instance(row) as instance:
            version = result.data_version
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=[row.model, step],
                    description=f"Reported of run {row.run_id}, which is not a step of this asset.",
                    metadata=result.metadata,
                    partition=row.data_version,
                    tags={DATA_VERSION_TAG: version.value} if version else {},
                )
            )
            _report_checks(
                instance, row, step, result.check_results or [], _newest(instance, row, step)
            )

    def _failed(self, row: ModelVersion, step: str, checks: Sequence[dg.AssetCheckResult]) -> None:
        with self._instance(row) as instance:
            _report_checks(instance, row, step, checks)

    def decided(self, row: ModelVersion, check: Check) -> None:
        """An approver has decided on the version; `check` is whether it is approved now."""
        with self._instance(row) as instance:
            # under an id of its own, so that Dagster keeps each decision
            run_id = str(uuid.uuid4())
            _report_checks(instance, row, "record", check_results([check]), run_id=run_id)

    def promoted(self, row: ModelVersion, moved: Promotion) -> None:
        """An alias has moved to the version."""
        result = promotion_result(row, moved)
        with self._instance(row) as instance:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=[row.model, "production"],
                    description="Reported of a move that is not a step of this asset.",
                    metadata=result.metadata,
                    tags={DATA_VERSION_TAG: row.version},
                )
            )

    @contextmanager
    def _instance(self, row: ModelVersion) -> Iterator[dg.DagsterInstance]:
        """Yield the instance, opened when it is first needed.

        A job that takes days holds nothing meanwhile.
        """
        failures: tuple[type[Exception], ...] = (StorageError, *storage_failures())
        try:
            if self._opened is None:
                home = self._to
                opened = (
                    dg.DagsterInstance.from_config(str(prepare_home(home)))
                    if isinstance(home, Path)
                    else home
                )
                add_data_versions(opened, self._store.registry, row.dataset)
                self._opened = opened
            yield self._opened
        except failures as error:
            where = f" at {self._to}" if isinstance(self._to, Path) else ""
            raise StorageError(
                f"Dagster{where} did not record the events of {row.model}@{row.version}: {error};"
                " the registry has the version"
            ) from error


def _report_checks(
    instance: dg.DagsterInstance,
    row: ModelVersion,
    step: str,
    results: Sequence[dg.AssetCheckResult],
    target: AssetCheckEvaluationTargetMaterializationData | None = None,
    run_id: str | None = None,
) -> None:
    """Report checks of a model version.

    Of evaluations without a run, Dagster 1.13 keeps one for each check and partition, and fails at
    the next one. So these are of a run, which Dagster does not need to have; that of the version if
    no other id is given.
    """
    for result in results:
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([row.model, step]),
            check_name=str(result.check_name),
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            target_materialization_data=target,
            partition=row.data_version,
        )
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION.value,
            job_name=RUNLESS_JOB_NAME,
            event_specific_data=evaluation,
        )
        instance.report_dagster_event(event, run_id=run_id or row.run_id)


def _newest(
    instance: dg.DagsterInstance, row: ModelVersion, step: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return the materialisation that was just reported, as the target of its checks."""
    wanted = dg.AssetRecordsFilter(
        dg.AssetKey([row.model, step]), asset_partitions=[row.data_version]
    )
    records = instance.fetch_materializations(wanted, limit=1).records
    if not records:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp
    )
