"""Outcomes of the checks of data versions: passed, failed, or cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import JsonValue

from mlops_assets.datasets.quality.checks import (
    CHECKS,
    RESEMBLES_TARGET,
    TARGET_CHECK,
    Check,
    Report,
)
from mlops_assets.datasets.quality.published import checks_of
from mlops_assets.datasets.quality.target.document import TargetReport
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.hub.views.data.published import PublishedFile, document_in, file_of, files_of
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.store import Store

Outcome = Literal["passed", "failed", "cannot tell"]


@dataclass(frozen=True)
class CheckOutcome:
    """The outcome of one check.

    Attributes:
        name: of the check.
        subject: what it requires.
        outcome: `cannot tell` where there is nothing to measure.
        blocking: whether a failure keeps models from being trained.
        finding: what was found, and what to do.
    """

    name: str
    subject: str
    outcome: Outcome
    blocking: bool
    finding: str


@dataclass(frozen=True)
class QualityState:
    """The checks of a data version in numbers.

    Attributes:
        state: `failed` if a check that blocks training failed, `warning` if another one did.
        passed: checks that passed.
        warnings: checks that failed, and block nothing.
        blocking: checks that failed, and block training.
        unknown: checks that could not tell.
    """

    state: Literal["passed", "warning", "failed", "not assessed", "unreadable"]
    passed: int = 0
    warnings: int = 0
    blocking: int = 0
    unknown: int = 0

    @classmethod
    def of(cls, checks: Sequence[CheckOutcome]) -> QualityState:
        """Count outcomes."""
        failed = [check for check in checks if check.outcome == "failed"]
        blocking = sum(check.blocking for check in failed)
        warnings = len(failed) - blocking
        passed = sum(check.outcome == "passed" for check in checks)
        state: Literal["passed", "warning", "failed"] = "warning" if warnings else "passed"
        return cls(
            "failed" if blocking else state,
            passed,
            warnings,
            blocking,
            len(checks) - len(failed) - passed,
        )


NOT_ASSESSED = QualityState("not assessed")


def quality_states(
    store: Store, rows: Sequence[DataVersion], declared: DeclaredDatasets
) -> dict[tuple[str, str], QualityState]:
    """Return the states of several data versions.

    Args:
        store: has the reports.
        rows: the data versions.
        declared: has the thresholds.

    Returns:
        Dataset and version → state.
    """
    reports = files_of(store, rows, "quality.json")
    targets = files_of(store, rows, "target_area.json")
    documents = files_of(store, rows, "version.json")
    found = {}
    for row in rows:
        key = (row.dataset, row.version)
        if key not in reports:
            found[key] = NOT_ASSESSED
            continue
        try:
            outcomes = _outcomes(
                reports[key],
                documents.get(key),
                targets.get(key),
                declared.thresholds(row.dataset),
            )
        except (IntegrityError, StorageError, ValueError):  # a damaged report is not a verdict
            found[key] = QualityState("unreadable")
            continue
        found[key] = QualityState.of(outcomes)
    return found


def check_outcomes(
    store: Store, row: DataVersion, report: PublishedFile, thresholds: QualityThresholds | None
) -> list[CheckOutcome]:
    """Return the outcomes of the checks of a data version.

    Args:
        store: has its other documents.
        row: the data version.
        report: its `quality.json`.
        thresholds: to judge by; those of the report if None.

    Raises:
        IntegrityError: the report is not as it was published.
    """
    document = file_of(store, row, "version.json")
    target = file_of(store, row, "target_area.json")
    return list(_outcomes(report, document, target, thresholds))


@lru_cache(maxsize=16)
def report_in(file: PublishedFile) -> Report:
    """Return the content of a `quality.json`.

    Raises:
        IntegrityError: it is not as it was published.
    """
    return Report.model_validate_json(file.content())


@lru_cache(maxsize=1024)
def _outcomes(
    report: PublishedFile,
    document: PublishedFile | None,
    target: PublishedFile | None,
    thresholds: QualityThresholds | None,
) -> tuple[CheckOutcome, ...]:
    read = report_in(report)
    classes = None if document is None else document_in(document).classes
    measured = read.model_extra or {}
    found = [_outcome(check, measured) for check in checks_of(read, classes, thresholds)]
    if target is not None:
        compared = TargetReport.model_validate_json(target.content())
        unknown = bool(compared.unknown) and compared.geographic is compared.bands is None
        found.append(
            CheckOutcome(
                RESEMBLES_TARGET,
                TARGET_CHECK.description,
                _named(compared.check.passed, unknown),
                TARGET_CHECK.blocking,
                compared.check.description,
            )
        )
    return tuple(found)


def _outcome(check: Check, measured: dict[str, JsonValue]) -> CheckOutcome:
    kind = CHECKS.get(check.name)
    return CheckOutcome(
        check.name,
        "" if kind is None else kind.description,
        _named(check.passed, _has_nothing_to_measure(check.name, measured)),
        check.blocking,
        check.description,
    )


def _named(passed: bool, unknown: bool) -> Outcome:
    if not passed:
        return "failed"
    return "cannot tell" if unknown else "passed"


def _has_nothing_to_measure(name: str, measured: dict[str, JsonValue]) -> bool:
    """Return whether a check has passed only as the data has nothing that it could measure."""
    if name in ("label_noise", "distance_between_splits"):
        return name in measured and measured[name] is None
    if name == "shift":
        shift = measured.get("shift")
        return isinstance(shift, dict) and shift.get("compared_with") is None
    return False
