"""Waiting for a registry that is unreachable for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_delay,
    wait_exponential,
)

from mlops_assets.errors import ReleaseRefused, StorageError

# the longest time that a run waits for an unreachable registry or server before it gives up
MAX_UNREACHABLE_SECONDS = 600.0

T = TypeVar("T")

log = logging.getLogger(__name__)


def patiently(action: Callable[[], T], seconds: float = MAX_UNREACHABLE_SECONDS) -> T:
    """Return the result of an action on the registry, retrying while it is unreachable.

    Raises:
        ReleaseRefused: a newer release writes the registry, at once.
        StorageError: it was unreachable for `seconds`.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(StorageError) & retry_if_not_exception_type(ReleaseRefused),
        wait=wait_exponential(multiplier=0.2, max=10),
        stop=stop_after_delay(seconds),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )
    return retrying(action)
