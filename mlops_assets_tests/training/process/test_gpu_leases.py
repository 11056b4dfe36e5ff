"""Leases of GPUs: no device is ever lent twice, and no process waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops_assets.errors import TrainerError
from mlops_assets.training.process import gpu_leases
from mlops_assets.training.process.gpu_leases import leased

HOLDER = """
import sys, time
from pathlib import Path
from mlops_assets.training.process.gpu_leases import leased
with leased(1, ["0", "1"], Path(sys.argv[1])) as held:
    print(held[0], flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_leases, "WAIT_SECONDS", 0.01)


def test_more_than_there_are_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainerError, match=r"compute.gpus is 3, this machine has 2 \(0, 1\)"),
        leased(3, ["0", "1"], tmp_path),
    ):
        pass


def test_devices_are_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with leased(2, ["0", "1"], tmp_path) as held:
            assert held == ["0", "1"]


def test_a_device_is_lent_to_one_process_and_free_when_it_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder, holder.stdout:  # type: ignore[union-attr]
        assert holder.stdout is not None and holder.stdout.readline() == "0\n"
        with leased(1, ["0", "1"], tmp_path) as held:
            assert held == ["1"]
        holder.kill()
    with leased(2, ["0", "1"], tmp_path) as held:
        assert held == ["0", "1"]


def test_devices_are_never_over_committed(tmp_path: Path) -> None:
    """Many lease one or two of three at once; each device has one holder."""
    busy: set[str] = set()
    most, problems = [0], []

    def use(count: int) -> None:
        for _ in range(4):
            with leased(count, ["0", "1", "2"], tmp_path) as held:
                if busy & set(held):
                    problems.append(held)
                busy.update(held)
                most[0] = max(most[0], len(busy))
                time.sleep(0.005)
                busy.difference_update(held)

    threads = [threading.Thread(target=use, args=(1 + number % 2,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and 2 <= most[0] <= 3
