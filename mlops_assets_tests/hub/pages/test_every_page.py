"""Every kind of page, light and dark, wide and narrow: axe-core, scrolling, keys, console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.hub.browsing import Browsing, browsing, served_hub
from mlops_assets_tests.registry.rows import new_run
from mlops_assets_tests.services import require_axe
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOOKS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
]
FAILING = "f0f0f0f0-0000-4000-8000-000000000000"
HTML = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two data versions, a model in production, and a failed run with HTML in all its texts."""
    root = tmp_path_factory.mktemp("hub") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    (root / "landing/fields").mkdir(parents=True)
    for number in (1, 2):
        crops_table(200 + number).to_csv(root / "landing/fields/samples.csv", index=False)
        commit(store.workspace, store.registry, table_specification())
    row = lifecycle(store, model_specification(), recorded=True)
    store.registry.promote(row, [])
    store.registry.start_run(new_run(FAILING, data_version="v1", tags={"note": HTML}))
    store.registry.note_run(FAILING, HTML)
    store.registry.finish_run(FAILING, "failed", f"Traceback …\nValueError: {HTML}")
    return store


@pytest.fixture(scope="module")
def hub(workspace: Store) -> Iterator[str]:
    with served_hub(workspace.workspace.root.parent) as url:
        yield url


@pytest.fixture
def browser(hub: str) -> Iterator[Browsing]:
    with browsing() as found:
        yield found


def paths(store: Store) -> list[str]:
    """A path of each kind of page."""
    (model,) = store.registry.model_versions("crops")
    return [
        "/",
        "/data",
        "/data/fields",
        "/data/fields@v2",
        "/data/fields@v1/diff/v2",
        "/data/fields@v2/samples",
        "/runs",
        f"/runs/{FAILING}",
        f"/runs/compare?runs={FAILING},{model.run_id}",
        "/train?model=crops",
        "/models",
        "/models/crops",
        "/models/crops@production",
        "/search?q=crops",
    ]


def problems(page: Any) -> list[str]:
    """What axe-core finds, and whether the page scrolls sideways or lacks its heading."""
    # as the debugger does, which a content security policy does not forbid
    page.evaluate(require_axe().read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    listed = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        listed.append("the page scrolls sideways")
    if page.locator("h1").count() != 1:
        listed.append(f"{page.locator('h1').count()} headings of level 1")
    return listed


@pytest.mark.parametrize("look", LOOKS, ids=["wide-light", "narrow-dark"])
def test_nothing_keeps_people_from_any_page(
    workspace: Store, hub: str, browser: Browsing, look: dict[str, Any]
) -> None:
    found = {}
    for path in paths(workspace):
        page = browser.open(hub + path, **look)
        page.locator("h1").first.wait_for()
        page.wait_for_timeout(500)  # figures and tables fill themselves
        assert HTML not in page.content(), path  # text of users is never markup
        if listed := problems(page):
            found[path] = listed
        page.context.close()
    assert found == {}


def test_keys_reach_search_and_content_and_a_theme_stays(hub: str, browser: Browsing) -> None:
    page = browser.open(hub, **LOOKS[0])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("/")
    page.keyboard.type("crops@production")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/crops@production")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()
    page.locator("body.body--dark").wait_for()


def test_what_does_not_exist_is_a_page_with_its_status(hub: str) -> None:
    with browsing() as browser:
        for path in ("/nowhere", "/models/none@v1", "/data/a%20b", "/runs/ffffffff"):
            page = browser.browser.new_page()
            response = page.goto(hub + path)
            assert response is not None and response.status == 404, path
            page.get_by_role("alert").wait_for()
            assert page.get_by_role("link", name="Training data").count() == 1
    # a program gets no page
    for method, path, status in (("GET", "nothing", 404), ("POST", "home", 405)):
        refused = httpx.request(method, f"{hub}/api/v1/{path}", json={})
        assert (refused.status_code, refused.json()["status"]) == (status, status)


def test_a_change_by_another_is_seen_at_once(
    workspace: Store, hub: str, browser: Browsing, tmp_path: Path
) -> None:
    page = browser.open(hub, **LOOKS[0])
    page.get_by_role("heading", name="Home").wait_for()
    workspace.registry.start_run(new_run("abababab-1111", data_version="v2", created_by="ann"))
    page.get_by_role("heading", name="Running now").wait_for()
    workspace.registry.log("abababab-1111", [(0, "train_loss", 3, 0.25, 0.0)])
    page.get_by_text("train_loss 0.25").wait_for()
    workspace.registry.finish_run("abababab-1111", "failed", "no memory")
    page.get_by_text("no memory").wait_for()
    assert page.get_by_role("heading", name="Running now").count() == 0
