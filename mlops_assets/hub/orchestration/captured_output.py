"""What Dagster has captured of the output of runs that are under way."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
from dagster._core.storage.cloud_storage_compute_log_manager import (
    CloudStorageComputeLogManager,
)
from dagster._core.storage.compute_log_manager import ComputeIOType, ComputeLogManager
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)

from mlops_assets.components.project.storage_failures import storage_failures
from mlops_assets.errors import OrchestratorUnavailable

_ERRORS = ComputeIOType.STDERR  # what a worker prints is passed on to it
_EXTENSION = IO_TYPE_EXTENSION[_ERRORS]


class CapturedOutput:
    """The output that the steps of Dagster's runs have printed so far."""

    def __init__(self, dagster_home: Path) -> None:
        """Read that of the instance at a home, which is opened with the first question."""
        self._home = dagster_home

    def read(self, run_id: str, step: str, first: int, limit: int) -> tuple[bytes, int]:
        """Return what a step has printed.

        Args:
            run_id: id of a Dagster run.
            step: key of the step; the last step that has begun if it is not there.
            first: number of the first byte.
            limit: bytes at most; the end of a longer output where that can be found.

        Returns:
            The bytes, and the number of the byte after them.

        Raises:
            OrchestratorUnavailable: Dagster's storage cannot be read.
        """
        try:
            instance = _instance(self._home)
            key = _log_key(instance, run_id, step)
            if key is None:
                return b"", first
            manager = instance.compute_log_manager
            size = _size(manager, key)
            if size is not None:
                first = max(min(first, size), size - limit)
            content, _ = manager.get_log_data_for_type(key, _ERRORS, first, limit)
        except _failures() as error:
            raise OrchestratorUnavailable(
                f"what Dagster has captured cannot be read: {error}; see 'mlops doctor'"
            ) from error
        found = content or b""
        return found, first + len(found)


def _size(manager: ComputeLogManager, key: list[str]) -> int | None:
    """Return the bytes that are captured so far; None if that cannot be found.

    What a bucket has is fetched with any question: all of a step that has ended, else what its pod
    has uploaded so far, under a name of its own.
    """
    if isinstance(manager, LocalComputeLogManager):
        paths = [manager.get_captured_local_path(key, _EXTENSION)]
    elif isinstance(manager, CloudStorageComputeLogManager):
        manager.get_log_data_for_type(key, _ERRORS, 0, 1)
        local = manager.local_manager
        paths = [
            local.get_captured_local_path(key, _EXTENSION, partial=partial)
            for partial in (False, True)
        ]
    else:
        return None
    found = [Path(path) for path in paths if Path(path).exists()]
    return found[0].stat().st_size if found else 0


def _failures() -> tuple[type[Exception], ...]:
    """Return what Dagster's storages raise, and boto3, where it is there to read logs."""
    found = storage_failures()
    if find_spec("botocore") is None:
        return found
    from botocore.exceptions import BotoCoreError, ClientError

    return *found, BotoCoreError, ClientError


@lru_cache(2)
def _instance(home: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(home))


def _log_key(instance: dg.DagsterInstance, run_id: str, step: str) -> list[str] | None:
    """Return the key of the log that has the output of a step."""
    kind = dg.DagsterEventType.LOGS_CAPTURED
    keys: list[str] | None = None
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        captured = event.logs_captured_data
        keys = [run_id, "compute_logs", captured.file_key]
        if step in (captured.step_keys or ()):
            break
    return keys
