"""The asset graph in Dagster's UI, in a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from mlops_assets.components.project.home import prepare_home
from mlops_assets_tests.services import require_program

pytestmark = pytest.mark.browser
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[str]:
    """Dagster's web server with the shipped example; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = prepare_home(tmp_path / "workspace" / "dagster")
    command = [
        str(Path(sys.executable).with_name("dagster-webserver")),
        "-m",
        "mlops_assets.definitions",
    ]
    with (tmp_path / "webserver.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env={**os.environ, "DAGSTER_HOME": str(home)},
        )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/server_info", timeout=5).close()
                    break
                except URLError:
                    assert server.poll() is None, (tmp_path / "webserver.log").read_text()
                    time.sleep(0.5)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def test_the_graph_of_a_model_shows_in_the_browser(ui: str) -> None:
    chromium = require_program("chromium", "chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.goto(f"{ui}/locations/mlops_assets.definitions/asset-groups/indian_pines_cnn/lineage")
        for step in (
            "trained_model",
            "onnx_model",
            "applicability",
            "evaluation",
            "record",
            "production",
        ):
            page.get_by_text(step, exact=True).first.wait_for(timeout=60_000)
        assert page.get_by_text("Join the Dagster community").count() == 0
        browser.close()
