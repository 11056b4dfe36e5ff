"""Retries of steps that storage or registry failed, or whose pod was taken away, and of no others.

A retry policy of Dagster would repeat every error: wrong data and a failing trainer, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from mlops_assets.components.naming import COMMAND
from mlops_assets.errors import StorageUnreachable
from mlops_assets.settings import in_step_pod

# seconds before each retry; obstore has retried for half a minute before
WAITS = (10, 30, 90)
# pods of one step that the cluster may take away, by pre-emption or with their node
MAX_LOST_PODS = 5

Step = TypeVar("Step", bound=Callable[..., Any])


def retried(step: Step) -> Step:
    """Have Dagster retry a step if the workspace, a landing or the registry does not answer.

    So it does if the step's pod is asked to leave its node, in whose place another one starts.

    Its other errors end it, and so does every error in a run of an `mlops` command. The step must
    do nothing twice that it did before it failed.

    Args:
        step: the function of an asset, whose first parameter is the context.
    """
    if inspect.isgeneratorfunction(step):

        @wraps(step)
        def events(context: dg.AssetExecutionContext, *given: object, **named: object) -> Any:
            with _retrying(context):
                yield from step(context, *given, **named)

        return cast("Step", events)

    @wraps(step)
    def result(context: dg.AssetExecutionContext, *given: object, **named: object) -> Any:
        with _retrying(context):
            return step(context, *given, **named)

    return cast("Step", result)


@contextmanager
def _retrying(context: dg.AssetExecutionContext) -> Iterator[None]:
    try:
        yield
    except StorageUnreachable as error:
        # the last error is the step's own, not Dagster's about retries
        if context.retry_number >= len(WAITS) or COMMAND in context.run.tags:
            raise
        wait = WAITS[context.retry_number]
        raise dg.RetryRequested(max_retries=len(WAITS), seconds_to_wait=wait) from error
    except DagsterExecutionInterruptedError as error:
        # a node that is drained, or a pod that is pre-empted, gives the step some seconds; a run
        # that is cancelled ends its steps by the same signal
        if not in_step_pod() or not _is_wanted(context):
            raise
        raise dg.RetryRequested(max_retries=MAX_LOST_PODS) from error


def _is_wanted(context: dg.AssetExecutionContext) -> bool:
    """Return whether a run is to continue."""
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status == dg.DagsterRunStatus.STARTED
