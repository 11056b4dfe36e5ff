"""The STAC API in STAC Browser, a page of another site, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.principals import Visibility
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import hub
from mlops_assets_tests.services import require_program, require_stac_browser
from mlops_assets_tests.test_browser import CHROMIUM

pytestmark = pytest.mark.browser


class Files(SimpleHTTPRequestHandler):
    """Files of a folder, for pages of any site."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def page_of(failures: list[str]) -> Iterator[Any]:
    """Open a browser; what it cannot load of this machine is a failure."""
    from playwright.sync_api import sync_playwright

    chromium = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1300, "height": 1500}, locale="en-GB")
        # schemas and the map's background are of other hosts
        page.route(lambda url: "127.0.0.1" not in url, lambda route: route.abort())
        page.on(
            "response",
            lambda response: failures.append(response.url) if response.status >= 400 else None,
        )
        page.on(
            "requestfailed",
            lambda request: failures.append(request.url) if "127.0.0.1" in request.url else None,
        )
        yield page
        browser.close()


def test_stac_browser_shows_models_with_thumbnails_and_searches(recorded: Store) -> None:
    dist = require_stac_browser()
    (model,) = recorded.registry.model_versions("cover")
    set_visibility(recorded, model, Visibility.PUBLISHED)
    failures: list[str] = []
    with (
        served(dist) as site,
        served(recorded.workspace.root) as files,
        hub(recorded, files_url=files) as url,
        page_of(failures) as page,
    ):
        stac = f"{url}/stac"
        (collection,) = httpx.get(f"{stac}/collections").json()["collections"]
        (item,) = httpx.get(f"{stac}/search").json()["features"]
        title = item["properties"]["title"]
        start = f"{site}/#/external/{stac.replace('//', '/')}"
        page.goto(start)
        page.get_by_role("link", name=collection["title"], exact=True).wait_for()

        page.goto(f"{start}/collections/cover/items/{item['id']}")
        page.get_by_role("heading", name=title).first.wait_for()
        page.get_by_role("tab", name="Thumbnails").click()
        image = page.locator("img.thumbnail")
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

        page.get_by_text("Search", exact=True).first.click()
        for framework, found in (("Keras", 0), ("PyTorch", 1)):
            page.get_by_role("button", name="Add filter").first.click()
            page.get_by_role("menuitem", name="Framework mlm:framework", exact=True).click()
            page.locator("input.value").fill(framework)
            page.get_by_role("button", name="Submit").click()
            message = "No items found" if found == 0 else title
            page.get_by_text(message).first.wait_for()
            page.get_by_role("button", name="Reset").click()
    assert [each for each in failures if not each.endswith("/favicon.ico")] == []
