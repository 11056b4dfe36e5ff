"""`mlops up` as a process: what it starts answers, and none of it outlives it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from mlops_assets_tests import interpreter

pytestmark = pytest.mark.slow


@dataclass
class Up:
    """A running `mlops up`, and the process below it, in whose session all others are."""

    process: interpreter.Process
    port: int
    session: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def members(self) -> list[psutil.Process]:
        """The processes of Dagster that are running."""
        found = []
        for each in psutil.process_iter(["status"]):
            try:
                ours = os.getpgid(each.pid) == self.session
            except ProcessLookupError:
                continue
            if ours and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(each)
        return found

    def member(self, command: str) -> psutil.Process:
        """The process of Dagster with a word in its command."""
        return next(each for each in self.members() if command in each.cmdline())

    def wait_until_all_have_ended(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while left := self.members():
            assert time.monotonic() < deadline, [each.cmdline() for each in left]
            time.sleep(0.2)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))


@pytest.fixture
def up(project: Path) -> Iterator[Up]:
    """`mlops up` on a new project, once it has printed all it prints at its start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "DAGSTER_HOME"}
    with interpreter.Process(["mlops", "up", "--port", str(port)], project, environment) as process:
        process.wait_for_output("Ctrl-C ends it")
        (child,) = psutil.Process(process.pid).children()
        started = Up(process, port, child.pid)
        yield started
    for left in started.members():
        left.kill()


def test_it_serves_the_project_and_ends_all_of_it_with_sigterm(up: Up, project: Path) -> None:
    assert httpx.get(f"{up.url}/server_info").json()["dagster_version"]
    assert up.process.out == f"Dagster is up: {up.url}\n"
    landing = (project / "workspace" / "landing" / "samples").as_uri()
    assert f"landing     {landing} (not watched: samples_new_data is off)" in up.process.err
    assert "on          verify_changes, verify_everything" in up.process.err
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 0
    assert up.members() == []
    assert "Traceback" not in up.process.err
    assert "Dagster services shut down" in (project / "workspace/dagster/up.log").read_text()


@pytest.mark.parametrize(
    ("command", "name"), [("dagster._daemon", "daemon"), ("dagster_webserver", "webserver")]
)
def test_the_end_of_one_process_of_dagster_is_an_error_and_ends_the_others(
    up: Up, command: str, name: str
) -> None:
    up.member(command).kill()
    assert up.process.wait(60) == 1
    assert up.members() == []
    message = up.process.err.splitlines()[-1]
    assert f"dagster-{name} process shut down unexpectedly with return code -9" in message
    assert "Traceback" not in up.process.err


@pytest.mark.parametrize("killed", ["mlops up", "dg dev"])
def test_nothing_outlives_a_kill(up: Up, killed: str) -> None:
    if killed == "mlops up":
        up.process.kill()
    else:
        os.kill(up.session, signal.SIGKILL)
        assert up.process.wait(60) == 1
    up.wait_until_all_have_ended()
