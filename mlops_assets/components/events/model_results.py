"""Results of each stage of a model version for Dagster, of its own steps or external.

The stages themselves are the core's; nothing is computed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.components.events.presentation import (
    figure_markdown,
    file_metadata,
    logged_markdown,
)
from mlops_assets.components.naming import check_results
from mlops_assets.datasets.quality import Check
from mlops_assets.errors import ParityError
from mlops_assets.names import Reference
from mlops_assets.paths import applicability_key, model_folder, model_owner, run_document_key

if TYPE_CHECKING:
    from dagster._core.definitions.metadata import RawMetadataValue

    from mlops_assets.models.applicability.document import ApplicabilityDocument
    from mlops_assets.models.evaluation.tally import Evaluation
    from mlops_assets.models.export.parity import ParityReport
    from mlops_assets.models.gates.outcomes import GateOutcome
    from mlops_assets.models.specification import ModelSpecification
    from mlops_assets.registry import ModelVersion, Promotion
    from mlops_assets.storage import FileStat
    from mlops_assets.store import Store
    from mlops_assets.text.json_values import JsonObject

Result = dg.MaterializeResult[Any]
# checks of an ONNX file: the same outputs, and what other software lacks to run it
PARITY = "parity"
PORTABLE = "portable"
# check of an area of applicability: the share outside
MAX_OUTSIDE = "max_outside"
# checks of a record: floors and ceilings, and comparisons with other versions
GATES = "gates"
COMPARED = "better_than_production"


def identity(row: ModelVersion) -> dict[str, str]:
    """Return the metadata of every event of a model version."""
    return {
        "model_version": row.version,
        "data_version": row.data_version,
        "data_digest": row.data_digest,
    }


def promotion_result(row: ModelVersion, moved: Promotion) -> Result:
    """Return the result of a move of an alias.

    Args:
        row: the version that it names now.
        moved: the move.
    """
    return dg.MaterializeResult(
        data_version=dg.DataVersion(row.version),
        metadata={
            **identity(row),
            "alias": moved.alias,
            "previous": moved.previous or "none",
            "promoted_by": moved.moved_by,
            "reason": moved.reason or "none",
            "gates": dg.MetadataValue.json(moved.gates),
            **row.metrics,
        },
    )


def _run_identity(
    store: Store, specification: ModelSpecification, row: ModelVersion
) -> dict[str, RawMetadataValue]:
    """Return the metadata of every event of a model version, with whether it is an experiment."""
    from mlops_assets.training.experiment import departures

    run = store.registry.run(row.run_id)
    found = departures(specification, run.trainer, run.parameters, run.seed)
    metadata: dict[str, RawMetadataValue] = {**identity(row), "experiment": bool(found)}
    if found:
        differing = {name: asdict(departure) for name, departure in found.items()}
        metadata["differs_from_declared"] = dg.MetadataValue.json(differing)
    return metadata


def _compared(
    store: Store, specification: ModelSpecification, row: ModelVersion
) -> dict[str, RawMetadataValue]:
    """Return the metrics of the best version on the data version, and of that in production.

    They are plotted beside the metrics of the version that a partition shows.
    """
    from mlops_assets.models.standing import measured, standing

    found = standing(store.registry, specification, row)
    metadata: dict[str, RawMetadataValue] = {}
    if found.best is not None:
        metadata |= {"best_by": found.metric, "best_model_version": found.best.version}
        metadata |= {f"best_{name}": value for name, value in measured(found.best).items()}
    if found.production is not None:
        metadata |= {
            "production_model_version": found.production.version,
            "production_data_version": found.production.data_version,
        }
        if found.comparable:
            values = measured(found.production)
            metadata |= {f"production_{name}": value for name, value in values.items()}
    return metadata


def trained_result(store: Store, specification: ModelSpecification, row: ModelVersion) -> Result:
    """Return the result of a training."""
    from mlops_assets.models.native import native_files
    from mlops_assets.registry.files.verified_read import read_published

    run = store.registry.run(row.run_id)
    files = store.registry.files(model_owner(row.model, row.version))
    native = list(native_files(store, row).values())
    made_of = [
        row.data_digest,
        run.code_version,
        run.parameters,
        run.seed,
        [file.sha256 for file in native],
    ]
    own: dict[str, RawMetadataValue] = {
        **_run_identity(store, specification, row),
        "run_id": run.run_id,
        "seed": run.seed,
        "code_version": run.code_version,
        "parameters": dg.MetadataValue.json(run.parameters),
        "seconds": run.seconds or 0.0,
    }
    metadata: dict[str, RawMetadataValue] = {
        **own,
        # a trainer may log a metric under any name
        **{name: value for name, value in run.metrics.items() if name not in own},
        **file_metadata(store.workspace, native),
    }
    if run.metrics:
        logged = logged_markdown(run.metrics, store.registry.ranges(run.run_id))
        metadata["logged_metrics"] = dg.MetadataValue.md(logged)
    curves = f"{model_folder(row.model, row.version)}/figures/learning_curves.png"
    if any(file.path == curves for file in files):
        drawn = read_published(store.workspace, store.registry, curves)
        metadata["learning_curves"] = figure_markdown(drawn, "learning curves")
    version = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return dg.MaterializeResult(data_version=dg.DataVersion(version), metadata=metadata)


def onnx_result(
    store: Store, specification: ModelSpecification, row: ModelVersion, report: ParityReport
) -> Result:
    """Return the result of an export that passed the parity check.

    Of an imported model, whose parity is not claimed, the check is a failed warning.
    """
    (file,) = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(file.sha256),
        metadata={
            **_run_identity(store, specification, row),
            "size": file.size,
            "sha256": file.sha256,
            "difference": report.difference,
            **file_metadata(store.workspace, [file]),
        },
        check_results=check_results(
            [
                Check(
                    PARITY,
                    report.passed and report.claimed,
                    report.description,
                    blocking=report.claimed,
                    values=report.document(),
                ),
                _portable(store, row, file.path),
            ]
        ),
    )


def _portable(store: Store, row: ModelVersion, key: str) -> Check:
    """Return the check of what other software lacks to run an ONNX file, which never blocks."""
    from mlops_assets.models.onnx.takers import checklist, described
    from mlops_assets.registry.files.verified_read import published_path
    from mlops_assets.registry.model_documents import Signature

    path = published_path(store.workspace, store.registry, key)
    takers = checklist(path, Signature.of(row))
    passed = not any(own.missing for own in takers if own.applies)
    values: JsonObject = {
        own.name: "; ".join(own.missing) or "runs" for own in takers if own.applies
    }
    return Check(PORTABLE, passed, described(takers), False, values)


def parity_failure(error: ParityError) -> list[dg.AssetCheckResult]:
    """Return the check of an export that failed parity."""
    return check_results([Check(PARITY, False, str(error))])


def applicability_result(
    store: Store,
    specification: ModelSpecification,
    row: ModelVersion,
    found: ApplicabilityDocument,
) -> Result:
    """Return the result of measuring the area of applicability; what is unknown is a warning."""
    from mlops_assets.models.applicability.document import outside_check

    (file,) = store.registry.files_at(applicability_key(row.model, row.version))
    details: dict[str, RawMetadataValue] = {}
    if found.measured is not None:
        details = {
            "space": found.measured.space,
            "threshold": found.measured.threshold,
            "references": found.measured.references,
            "difference_to_exact_at_most": found.measured.gap,
        }
        if found.measured.outside is not None:
            details["outside"], details["outside_of"] = found.measured.outside
    if found.notes:
        details["notes"] = "; ".join(found.notes)
    passed, described = outside_check(found, specification.gates)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(file.sha256),
        metadata={
            **_run_identity(store, specification, row),
            **details,
            **file_metadata(store.workspace, [file]),
        },
        check_results=check_results([Check(MAX_OUTSIDE, passed, described, blocking=False)]),
    )


def evaluation_result(
    store: Store,
    specification: ModelSpecification,
    row: ModelVersion,
    found: Evaluation,
    figure: bytes,
) -> Result:
    """Return the result of an evaluation; `figure` is its main one."""
    from mlops_assets.models.evaluation.model_card import (
        metrics_table,
        per_class_table,
        slices_markdown,
    )
    from mlops_assets.registry.files.verified_read import read_published

    (file,) = store.registry.files_at(f"{model_folder(row.model, row.version)}/metrics.json")
    details: dict[str, RawMetadataValue] = {
        "metrics_with_intervals": dg.MetadataValue.md(metrics_table(found))
    }
    if not found.per_class.empty:
        details["per_class"] = dg.MetadataValue.md(per_class_table(found))
    if found.unmeasured:
        details["unmeasured_classes"] = ", ".join(found.unmeasured)
    if found.slices:
        details["slices"] = dg.MetadataValue.md(slices_markdown(found))
    if found.calibration:
        key = f"{model_folder(row.model, row.version)}/figures/reliability.png"
        png = read_published(store.workspace, store.registry, key)
        details["reliability"] = figure_markdown(png, "reliability")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(file.sha256),
        metadata={
            **_run_identity(store, specification, row),
            **found.metrics,
            **_compared(store, specification, row),
            **details,
            "figure": figure_markdown(figure, row.version),
            **file_metadata(store.workspace, [file]),
        },
    )


def record_result(
    store: Store,
    specification: ModelSpecification,
    row: ModelVersion,
    files: Sequence[FileStat],
    outcomes: Sequence[GateOutcome],
) -> Result:
    """Return the result of a record, with the checks of the gates."""
    card = store.registry.files_at(f"{model_folder(row.model, row.version)}/model-card.md")
    run = store.registry.files_at(run_document_key(row.run_id))
    links: dict[str, RawMetadataValue] = {
        **file_metadata(store.workspace, [*files[:1], *card, *run])
    }
    orchestration_run = store.registry.run(row.run_id).orchestration_run
    if orchestration_run:
        links["trained_by"] = dg.MetadataValue.dagster_run(orchestration_run)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(files[0].sha256),
        metadata={
            **_run_identity(store, specification, row),
            **evaluated.metrics,
            **_compared(store, specification, row),
            **links,
        },
        check_results=check_results(_gate_checks(row, outcomes)),
    )


def _gate_checks(row: ModelVersion, outcomes: Sequence[GateOutcome]) -> list[Check]:
    """Return the check of floors and ceilings, and that of comparisons with other versions.

    What cannot be told is a warning, which stops promotion nevertheless.
    """
    from mlops_assets.models.gates.outcomes import gates_description, verdict_of

    own = [outcome for outcome in outcomes if outcome.compares is None]
    measured: JsonObject = {
        "model_version": row.version,
        "gates": [outcome.document() for outcome in own],
    }
    passed = all(outcome.passed for outcome in own)
    checks = [Check(GATES, passed, gates_description(own), values=measured)]
    compared = [outcome for outcome in outcomes if outcome.compares is not None]
    if not compared:
        return checks
    verdict = verdict_of(compared)
    values: JsonObject = {"model_version": row.version, "verdict": verdict}
    evidence = next((outcome.evidence for outcome in compared if outcome.evidence), None)
    if evidence is not None:
        values |= {
            "compared_with": evidence.other,
            "test_data": evidence.data,
            "units": evidence.units,
            "unit": evidence.unit,
            "left_out": evidence.left_out,
        }
    values["gates"] = [outcome.document() for outcome in compared]
    described = gates_description(compared)
    blocking = verdict == "failed"
    return [*checks, Check(COMPARED, verdict == "passed", described, blocking, values)]
