"""Telling Dagster of models made elsewhere: the events that its own steps would have left, without a run of Dagster.

Nothing is published here; and a Dagster that is away keeps nobody from publishing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.components.launching import prepare_home
from mlops_assets.components.model_results import (
    Result,
    evaluation_result,
    onnx_result,
    parity_failure,
    record_result,
    trained_result,
)
from mlops_assets.components.naming import add_data_versions
from mlops_assets.errors import ParityError, StorageError
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat
from mlops_assets.training.evaluation import Evaluation
from mlops_assets.training.parity import ParityReport
from mlops_assets.training.promotion import GateOutcome
from mlops_assets.training.store import Store


class DagsterReporter:
    """Reports the stages of a model version to a Dagster instance, as materialisations and checks of its assets."""

    def __init__(self, store: Store, home: Path) -> None:
        """Report to the instance of a Dagster home, which is made if it is missing."""
        self._store, self._home = store, home
        self._opened: dg.DagsterInstance | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End; the instance is left again."""
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None

    def trained(self, row: ModelVersion) -> None:
        """The model version is published."""
        self._report(row, "trained_model", lambda: trained_result(self._store, row))

    def exported(self, row: ModelVersion, report: ParityReport) -> None:
        """Its ONNX file is published and proved."""
        self._report(row, "onnx_model", lambda: onnx_result(self._store, row, report))

    def unproved(self, row: ModelVersion, error: ParityError) -> None:
        """Its ONNX file is not what the model is."""
        with self._instance(row) as instance:
            _report_checks(instance, row, "onnx_model", parity_failure(error))

    def evaluated(self, row: ModelVersion, found: Evaluation, figure: bytes) -> None:
        """It is measured."""
        self._report(row, "evaluation", lambda: evaluation_result(self._store, row, found, figure))

    def recorded(self, row: ModelVersion, files: Sequence[FileStat], outcomes: Sequence[GateOutcome]) -> None:
        """It is in the catalogue and held against its gates."""
        self._report(row, "record", lambda: record_result(self._store, row, files, outcomes))

    def _report(self, row: ModelVersion, step: str, make: Callable[[], Result]) -> None:
        result = make()
        with self._instance(row) as instance:
            version = result.data_version
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=[row.model, step],
                    description=f"Made elsewhere; run {row.run_id} has it.",
                    metadata=result.metadata,
                    partition=row.data_version,
                    tags={DATA_VERSION_TAG: version.value} if version else {},
                )
            )
            _report_checks(instance, row, step, result.check_results or [], _newest(instance, row, step))

    @contextmanager
    def _instance(self, row: ModelVersion) -> Iterator[dg.DagsterInstance]:
        """Yield the instance, opened when it is first needed: a job that goes on for days holds nothing meanwhile."""
        try:
            if self._opened is None:
                self._opened = dg.DagsterInstance.from_config(str(prepare_home(self._home)))
                add_data_versions(self._opened, self._store.registry, row.dataset)
            yield self._opened
        except (dg.DagsterError, SQLAlchemyError, OSError) as error:
            raise StorageError(
                f"Dagster at {self._home} was not told of {row.model}@{row.version}: {error}; the registry has it"
            ) from error


def _report_checks(
    instance: dg.DagsterInstance,
    row: ModelVersion,
    step: str,
    results: Sequence[dg.AssetCheckResult],
    target: AssetCheckEvaluationTargetMaterializationData | None = None,
) -> None:
    for result in results:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey([row.model, step]),
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
                target_materialization_data=target,
            )
        )


def _newest(
    instance: dg.DagsterInstance, row: ModelVersion, step: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return the materialisation that was just reported: what its checks are about."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey([row.model, step]), asset_partitions=[row.data_version])
    records = instance.fetch_materializations(wanted, limit=1).records
    if not records:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=records[0].storage_id, run_id=records[0].run_id, timestamp=records[0].timestamp
    )
