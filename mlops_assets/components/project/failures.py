"""Failures of Dagster runs in the words of the steps and checks that failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

FAILED_CHECK = "DagsterAssetCheckFailedError"


def failure_messages(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """Yield the messages of failed checks and steps.

    Args:
        events: those of one run.
    """
    events = list(events)
    for event in events:
        if event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = cast("dg.AssetCheckEvaluation", event.event_specific_data)
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            yield (
                f"{check.asset_key.to_user_string()}: check {check.check_name!r} failed:"
                f" {check.description}"
            )
    for error in step_errors(events):
        if error.cls_name != FAILED_CHECK:
            yield error.message.strip().split(": ", 1)[-1]


def innermost(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """Return the error that led to an error, itself if none did."""
    while error.cause is not None:
        error = error.cause
    return error


def step_errors(events: Iterable[dg.DagsterEvent]) -> Iterator[SerializableErrorInfo]:
    """Yield the error of each failed step, without the errors of Dagster that wrap it."""
    for event in events:
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            while (
                error.cause is not None and error.cls_name == "DagsterExecutionStepExecutionError"
            ):
                error = error.cause
            yield error
