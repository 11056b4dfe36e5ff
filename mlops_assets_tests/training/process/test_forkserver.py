"""The preloaded process from which trainers are forked; `test_supervisor` trains in it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_assets.models.frameworks import preloadable_modules
from mlops_assets.training.process.forkserver import (
    Fork,
    ForkMessage,
    ForkServer,
    close_all,
    fork_server,
)

NO_REQUEST = Path("no-such-request.json")  # the worker ends at once with a traceback that names it


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[ForkServer]:
    modules = [*preloadable_modules("pytorch"), *preloadable_modules("scikit-learn")]
    started = ForkServer(environment)
    started.load(modules)
    yield started
    started.close()


def test_a_forked_process_has_its_own_folder_output_session_and_exit_code(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "log.txt").open("w+b") as output:
        process = server.start(NO_REQUEST, output, environment)
        assert process.wait(120) == process.poll() == 1
        text = (tmp_path / "log.txt").read_text()
        assert "FileNotFoundError" in text and str(NO_REQUEST) in text
        threads = [
            (task / "comm").read_text().strip()
            for task in Path(f"/proc/{server.pid}/task").iterdir()
        ]
        # any other thread may hold a lock when the process forks; jemalloc, in pyarrow, sees to its
        # own
        assert len([name for name in threads if name != "jemalloc_bg_thd"]) == 1, threads


def test_a_killed_process_has_its_signal_and_a_running_one_can_be_waited_for(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    waits = tmp_path / "request.json"
    os.mkfifo(waits)  # reading the request blocks until it is written
    with (tmp_path / "log.txt").open("w+b") as output:
        process = server.start(waits, output, environment)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        assert os.getsid(process.pid) == process.pid
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM


def test_a_process_ends_with_the_parent_that_reports_its_exit_code(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    waits = tmp_path / "request.json"
    os.mkfifo(waits)
    with (tmp_path / "log.txt").open("w+b") as output:
        process = server.start(waits, output, environment)
        worker = psutil.Process(process.pid)
        while os.getsid(process.pid) != process.pid:  # the limit on a test ends it
            time.sleep(0.01)
        os.kill(worker.ppid(), signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_a_variable_that_is_not_valid_utf_8_reaches_a_forked_process(
    server: ForkServer, environment: dict[str, str], tmp_path: Path
) -> None:
    latin = {**environment, "REGION": os.fsdecode(b"Caf\xe9")}
    with (tmp_path / "log.txt").open("w+b") as output:
        assert server.start(NO_REQUEST, output, latin).wait(120) == 1
    assert "FileNotFoundError" in (tmp_path / "log.txt").read_text()
    message = ForkMessage(fork=Fork(request=NO_REQUEST, cwd=tmp_path, environment=latin))
    assert ForkMessage.decode(message.encode()) == message


def test_what_libraries_read_when_they_are_loaded_decides_which_process_serves(
    environment: dict[str, str],
) -> None:
    try:
        first = fork_server(environment)
        assert fork_server({**environment, "HOME": "/elsewhere"}) is first
        for name in ("OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
            assert fork_server({**environment, name: "2"}) is not first
    finally:
        close_all()


def test_a_preloaded_process_that_is_gone_is_replaced(
    environment: dict[str, str], tmp_path: Path
) -> None:
    try:
        first = fork_server(environment)
        os.kill(first.pid, signal.SIGKILL)
        with (
            (tmp_path / "log.txt").open("w+b") as output,
            pytest.raises(OSError, match=r"gone|Broken pipe|reset"),
        ):
            while True:  # until the signal has arrived
                first.start(NO_REQUEST, output, environment).wait(120)
        second = fork_server(environment)
        assert second is not first
    finally:
        close_all()
