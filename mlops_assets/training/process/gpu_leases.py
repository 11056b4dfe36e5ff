"""Leases of GPUs to training steps.

Each GPU is lent to one process at a time, by locks that die with their holder.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from tenacity import RetryCallState, Retrying, retry_if_result, wait_fixed

from mlops_assets.errors import TrainerError

WAIT_SECONDS = 1.0
# of the machine, not of a project: all projects share its GPUs
LOCKS = Path(tempfile.gettempdir()) / "mlops-gpus"

log = logging.getLogger(__name__)


@contextmanager
def leased(count: int, devices: Sequence[str], locks: Path = LOCKS) -> Iterator[list[str]]:
    """Lease devices exclusively; wait until there are enough.

    A waiting process holds none, so that two that need several cannot wait for each other.

    Args:
        count: number of devices.
        devices: names of all devices of this machine, as CUDA_VISIBLE_DEVICES takes them.
        locks: folder of the locks.

    Yields:
        The names of the leased devices.

    Raises:
        TrainerError: the machine has fewer than `count`.
    """
    if count > len(devices):
        raise TrainerError(
            f"compute.gpus is {count}, this machine has {len(devices)}"
            f" ({', '.join(devices) or 'none'}); lower it, or train where there are more"
        )
    locks.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        waiting = Retrying(
            retry=retry_if_result(lambda names: len(names) < count),
            wait=wait_fixed(WAIT_SECONDS),
            before_sleep=partial(_log_first_wait, count, len(devices)),
        )
        yield waiting(_take, count, devices, locks, held)


def _take(count: int, devices: Sequence[str], locks: Path, held: ExitStack) -> list[str]:
    """Return the names of devices that `held` now holds; none if fewer than `count` are free."""
    with ExitStack() as taken, FileLock(locks / "gathering.lock"):
        names: list[str] = []
        for device in devices:
            if len(names) == count:
                break
            try:
                taken.enter_context(FileLock(locks / f"{device}.lock", timeout=0))
            except Timeout:
                continue
            names.append(device)
        if len(names) < count:
            return []
        held.push(taken.pop_all())
        return names


def _log_first_wait(count: int, devices: int, state: RetryCallState) -> None:
    if state.attempt_number == 1:
        log.info("waiting for %s of %s GPUs, which other runs are using", count, devices)
