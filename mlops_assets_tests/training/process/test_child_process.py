"""Child processes: the request they read, the outcome they leave, and how they are stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from mlops_assets.settings import parent_settings
from mlops_assets.store import Store
from mlops_assets.training.process.child_process import (
    ChildOutcome,
    ChildRequest,
    read_outcome,
    read_request,
    start_child,
    wait_for,
    write_outcome,
    write_request,
)

CHILD = """
import sys
from pathlib import Path
from mlops_assets.training.process import child_process
from mlops_assets.training.process.child_process import ChildRequest, ChildOutcome
request = child_process.read_request(Path(sys.argv[1]), ChildRequest)
store = request.open_store()
facts = [store.registry.url, store.user, sys.path[0], store.workspace.url]
child_process.write_outcome(Path(sys.argv[1]), ChildOutcome(result=" ".join(facts)))
"""
HANGS = """
import subprocess, sys
subprocess.Popen(["sleep", "600"], start_new_session=True)
print("begun", flush=True)
sys.stdin.read()
"""

DISK_FULL = """
import resource, sys
from pathlib import Path
from mlops_assets.training.process.child_process import ChildOutcome, write_outcome
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
write_outcome(Path(sys.argv[1]), ChildOutcome(result="v1"))
"""


@pytest.fixture
def request_file(store: Store, tmp_path: Path) -> Path:
    request = ChildRequest(
        workspace=store.workspace.url,
        cache=store.workspace.cache,
        registry=store.registry.url,
        principal=store.registry.principal,
        import_path=["/first"],
    )
    return write_request(tmp_path, request)


def environment(store: Store) -> dict[str, str]:
    return {**os.environ, **parent_settings(store.registry.url)}


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_child_reads_its_request_and_leaves_its_outcome(
    store: Store, request_file: Path, tmp_path: Path
) -> None:
    assert read_outcome(request_file) is None
    with (tmp_path / "log.txt").open("w+b") as output:
        child = start_child(["-c", CHILD, str(request_file)], environment(store), output)
        assert wait_for(child, lambda: None) is None, (tmp_path / "log.txt").read_text()
    facts = f"{store.registry.url} {store.user} /first {store.workspace.url}"
    assert read_outcome(request_file) == ChildOutcome(result=facts)


def test_the_registry_of_which_the_url_may_have_a_password_is_not_in_the_file(
    store: Store, request_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.registry.url not in request_file.read_text()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MLOPS_PARENT_REGISTRY", "sqlite:///of-the-parent.db")
    request = read_request(request_file, ChildRequest)
    assert request.registry == "sqlite:///of-the-parent.db"
    assert "of-the-parent" not in repr(request)


def test_a_child_that_exceeds_a_limit_is_stopped_with_its_descendants(
    store: Store, tmp_path: Path
) -> None:
    with (tmp_path / "log.txt").open("w+b") as output:
        child = start_child(["-c", HANGS], environment(store), output)
        found: list[psutil.Process] = []

        def check() -> str | None:
            if b"begun" not in (tmp_path / "log.txt").read_bytes():
                return None
            found.extend(psutil.Process(child.pid).children())
            return "took too long"

        assert wait_for(child, check) == "took too long"
    assert len(found) == 1
    assert not psutil.pid_exists(child.pid)
    while alive(found[0]):  # the limit on a test ends it
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "reported"),
    [
        (signal.SIGKILL, "SIGKILL; most likely the machine is out of memory"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_signal_that_killed_a_child_is_reported(
    number: int, reported: str, store: Store, tmp_path: Path
) -> None:
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    with (tmp_path / "log.txt").open("w+b") as output:
        child = start_child(["-c", code], environment(store), output)
        reason = wait_for(child, lambda: None)
    assert reason == f"was killed by {reported}"


@pytest.mark.parametrize("message", ["no samples", os.fsdecode(b"no file Caf\xe9.csv")])
def test_an_error_is_an_outcome_too(message: str, request_file: Path) -> None:
    outcome = ChildOutcome(error="TrainerError", message=message)
    write_outcome(request_file, outcome)
    assert read_outcome(request_file) == outcome


def test_an_outcome_that_could_not_be_written_whole_is_none(
    store: Store, request_file: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log.txt").open("w+b") as output:
        child = start_child(["-c", DISK_FULL, str(request_file)], environment(store), output)
        assert wait_for(child, lambda: None) is None
    assert child.returncode != 0
    assert read_outcome(request_file) is None
