"""`mlops up` as a process: what it starts answers, and none of it outlives it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets_tests import interpreter
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.services import require_program
from mlops_assets_tests.test_browser import CHROMIUM

pytestmark = pytest.mark.slow
TRAINER = """
import time

from pydantic import BaseModel


class Params(BaseModel):
    pass


def train(data, params: Params, run):
    for epoch in range(1000):
        run.checkpoint({"epoch": epoch}, epoch)
        time.sleep(0.1)
"""
LAUNCH = """
mutation Launch($selector: JobOrPipelineSelector!, $metadata: ExecutionMetadata!) {
  launchRun(executionParams: {selector: $selector, executionMetadata: $metadata, mode: "default"}) {
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""


@dataclass
class Up:
    """A running `mlops up`, and the process below it.

    In its session are all others but Dagster's web servers, which are children of the hub.
    """

    process: interpreter.Process
    port: int
    session: int
    home: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def members(self) -> list[psutil.Process]:
        """The processes of Dagster that are running."""
        found = []
        for each in psutil.process_iter(["status", "cmdline", "environ"]):
            try:
                ours = os.getpgid(each.pid) == self.session
            except ProcessLookupError:
                continue
            server = "mlops_assets.hub.orchestration.web.web_server_process"
            if server in (each.info["cmdline"] or []):
                ours = (each.info["environ"] or {}).get("DAGSTER_HOME") == str(self.home)
            if ours and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(each)
        return found

    def graphql(self, query: str, **variables: object) -> Any:
        """Ask Dagster's web server, which is started by the first request."""
        asked = {"query": query, "variables": variables}
        deadline = time.monotonic() + 120
        while True:
            response = httpx.post(f"{self.url}/dagster/graphql", json=asked, timeout=60)
            if response.status_code != 503:
                return response.raise_for_status().json()["data"]
            assert time.monotonic() < deadline, response.text
            time.sleep(0.5)

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
    """`mlops up` on a new project whose landing is empty, so that nothing runs."""
    (project / "workspace" / "landing" / "samples" / "samples.csv").unlink()
    with running(project) as started:
        yield started


@contextmanager
def running(project: Path) -> Iterator[Up]:
    """Run `mlops up`, and wait until it has printed all that it prints at its start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with interpreter.Process(["mlops", "up", "--port", str(port)], project) as process:
        process.wait_for_output("Ctrl-C ends it")
        (child,) = psutil.Process(process.pid).children()
        started = Up(process, port, child.pid, project / "workspace" / "dagster")
        yield started
    for left in started.members():
        left.kill()


def listening_ports(processes: list[psutil.Process]) -> set[int]:
    """The ports that processes listen on."""
    return {
        connection.laddr.port
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_it_serves_the_project_and_ends_all_of_it_with_sigterm(up: Up, project: Path) -> None:
    assert up.graphql("{ version }")["version"]
    assert up.process.out == f"The hub is up: {up.url}\n"
    assert httpx.get(f"{up.url}/api/v1/openapi.json").json()["info"]["title"] == "mlops_assets"
    assert listening_ports(up.members()) == {up.port}
    landing = (project / "workspace" / "landing" / "samples").as_uri()
    assert f"landing     {landing} (" in up.process.err
    (on,) = (line for line in up.process.err.splitlines() if line.startswith("on   "))
    assert on.endswith("verify_changes, verify_everything")
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(120) == 0
    assert up.members() == []
    assert "Traceback" not in up.process.err
    assert "Dagster services shut down" in (project / "workspace/dagster/up.log").read_text()


@pytest.mark.browser
def test_its_pages_show_the_assets_and_the_sensors(up: Up) -> None:
    chromium = require_program("chromium", "chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        for path, text in (("asset-groups", "samples_forest"), ("automation", "samples_new_data")):
            assert f"{up.url}/dagster/{path}\n" in up.process.err
            page.goto(f"{up.url}/dagster/{path}")
            page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)
        browser.close()


def test_the_end_of_the_daemon_is_an_error_and_ends_the_hub(up: Up) -> None:
    (daemon,) = (each for each in up.members() if "dagster._daemon" in each.cmdline())
    daemon.kill()
    assert up.process.wait(120) == 1
    assert up.members() == []
    message = up.process.err.splitlines()[-1]
    assert "dagster-daemon process shut down unexpectedly with return code -9" in message
    assert "Traceback" not in up.process.err


@pytest.mark.parametrize("killed", ["mlops up", "the process below it"])
def test_nothing_outlives_a_kill(up: Up, killed: str) -> None:
    if killed == "mlops up":
        up.process.kill()
    else:
        os.kill(up.session, signal.SIGKILL)
        assert up.process.wait(120) == 1
    up.wait_until_all_have_ended()


def test_a_training_in_progress_is_canceled_and_can_be_resumed(
    committed: Path, mlops: Mlops
) -> None:
    (committed / "fieldwork" / "own.py").write_text(TRAINER)
    declared = committed / "fieldwork" / "defs" / "samples" / "defs.yaml"
    text = declared.read_text().replace(
        "mlops_assets.training.trainers.sklearn:train", "fieldwork.own:train"
    )
    declared.write_text("".join(line + "\n" for line in text.splitlines() if "params:" not in line))
    registry = open_registry(Settings.from_environment().registry)
    with running(committed) as up:
        selector = {
            "repositoryLocationName": "fieldwork.definitions",
            "repositoryName": "__repository__",
            "jobName": "samples_forest_lifecycle",
        }
        metadata = {"tags": [{"key": "dagster/partition", "value": "v1"}]}
        launched = up.graphql(LAUNCH, selector=selector, metadata=metadata)
        assert launched["launchRun"]["run"]["runId"], launched
        while not any(registry.checkpoints(run.run_id) for run in registry.runs()):
            assert up.process.poll() is None
            time.sleep(0.2)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(100) == 0
        assert up.members() == []
    assert "canceling samples_forest_lifecycle[v1]" in up.process.err
    assert "error" not in up.process.err
    assert {run.status for run in registry.runs()} == {"canceled"}
    assert mlops("status", "--json").json["failed"][0]["command"].startswith("mlops run resume ")
