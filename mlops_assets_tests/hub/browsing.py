"""The hub as a process, and a browser that notes what no page may do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_program
from mlops_assets_tests.test_browser import CHROMIUM

# seconds; it loads Dagster and the project, on cores that other tests use too
STARTS_WITHIN = 240.0


@contextmanager
def served_hub(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve the workspace of a folder by `mlops hub`; yield its URL, without a slash at the end."""

    def command(port: int) -> list[str]:
        mlops = str(Path(sys.executable).with_name("mlops"))
        return [mlops, "hub", "--port", str(port), *options]

    settings = {
        "MLOPS_WORKSPACE": str(folder / "workspace"),
        "PYTHONPATH": str(Path(__file__).parents[2]),  # has projects of the tests
        **(environment or {}),
    }
    environment = {**os.environ, **settings}
    with serving(command, folder / "hub.log", environment, STARTS_WITHIN) as port:
        yield f"http://{HOST}:{port}"


@dataclass
class Browsing:
    """A browser.

    Attributes:
        browser: of Playwright.
        wrong: errors of the console, and requests that leave the machine.
    """

    browser: Browser
    wrong: list[str] = field(default_factory=list)

    def open(self, url: str, **context: Any) -> Page:
        """Open a page in a context of its own, such as `viewport`, `color_scheme` or `locale`."""
        page = self.browser.new_context(**context).new_page()
        page.on("console", lambda line: self._note_console(line.type, line.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self._note_request(request.url))
        page.goto(url)
        return page

    def _note_console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")

    def _note_request(self, url: str) -> None:
        if not url.startswith((f"http://{HOST}:", f"ws://{HOST}:", "data:", "blob:")):
            self.wrong.append(f"a request left the machine: {url}")


@contextmanager
def browsing() -> Iterator[Browsing]:
    """Start Chromium; what is wrong at the end fails the test."""
    chromium = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        found = Browsing(browser)
        yield found
        browser.close()
    assert found.wrong == []
