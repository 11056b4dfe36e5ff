"""Outcomes of Dagster runs, the same wherever they were executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.components.project.failures import (
    FAILED_CHECK,
    failure_messages,
    innermost,
    step_errors,
)
from mlops_assets.datasets.quality import Check
from mlops_assets.errors import MlopsError
from mlops_assets.text.printable import printable

INTERRUPTED = "DagsterExecutionInterruptedError"
# of a run that could not be started, or whose process was killed
RUN_FAILURES = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.ENGINE_EVENT}


class StepFailure(MlopsError):
    """A step of a Dagster run failed; the message is the step's own error.

    `run_id` is None if nothing was started.

    `checks` are those that were evaluated before.
    """

    def __init__(
        self, message: str, run_id: str | None = None, checks: Sequence[Check] = ()
    ) -> None:
        self.run_id = run_id
        self.checks = checks
        super().__init__(message)


class CheckFailure(StepFailure):
    """A blocking check failed; the steps themselves did not."""


@dataclass(frozen=True)
class RunResult:
    """A Dagster run that has succeeded.

    Attributes:
        run_id: of the Dagster run.
        events: what its steps reported, in order.
    """

    run_id: str
    events: Sequence[dg.DagsterEvent]

    @property
    def checks(self) -> list[Check]:
        """The checks that it evaluated, as the core has them."""
        return list(evaluated_checks(self.events))

    @property
    def materializations(self) -> list[dg.AssetMaterialization]:
        """The assets that it materialised."""
        return [
            event.step_materialization_data.materialization
            for event in self.events
            if event.is_step_materialization
        ]

    def metadata(self, *path: str) -> Mapping[str, dg.MetadataValue]:
        """Return the metadata of an asset that it materialised; the first time, if several.

        Args:
            path: of the asset's key.

        Raises:
            StepFailure: it materialised no such asset.
        """
        key = dg.AssetKey(path)
        for made in self.materializations:
            if made.asset_key == key:
                return made.metadata
        raise StepFailure(
            f"Dagster's run {self.run_id[:8]} ended without a materialisation of"
            f" {key.to_user_string()}; its log has more",
            self.run_id,
        )


def evaluated_checks(events: Sequence[dg.DagsterEvent]) -> Iterator[Check]:
    """Yield the checks that a run evaluated, as the core has them."""
    for event in events:
        if event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = cast("dg.AssetCheckEvaluation", event.event_specific_data)
        yield Check(
            check.check_name,
            check.passed,
            check.description or "",
            check.severity == dg.AssetCheckSeverity.ERROR,
        )


def failure_of(run_id: str, events: Sequence[dg.DagsterEvent]) -> StepFailure | None:
    """Return the failure of a run that failed; None if it was interrupted.

    It is a `CheckFailure` if only blocking checks failed. Without any that failed, and without a
    step that did, the reason is that of the run, such as a resource that could not be set up.

    Args:
        run_id: of the Dagster run.
        events: what its steps reported.
    """
    found = list(step_errors(events))
    if any(error.cls_name == INTERRUPTED for error in found):
        return None
    messages = [message for message in failure_messages(events) if message]
    if not messages:
        reason = run_failure(events) or "its log has no reason"
        return StepFailure(f"Dagster's run {run_id[:8]} failed: {reason}", run_id)
    by_check = all(error.cls_name == FAILED_CHECK for error in found)
    kind = CheckFailure if by_check else StepFailure
    return kind("\n".join(messages), run_id, list(evaluated_checks(events)))


def run_failure(events: Sequence[dg.DagsterEvent]) -> str:
    """Return the first line of why a run failed, by its own log; empty if that has no reason.

    Args:
        events: of the run, in order; those of `RUN_FAILURES` suffice.
    """
    for event in reversed(events):
        if event.event_type not in RUN_FAILURES:
            continue
        message = event.message or ""
        data = event.event_specific_data
        error = getattr(data, "error", None)
        if isinstance(error, SerializableErrorInfo):
            message = innermost(error).message.strip().split(": ", 1)[-1]
        if lines := message.strip().splitlines():
            return printable(lines[0])
    return ""
