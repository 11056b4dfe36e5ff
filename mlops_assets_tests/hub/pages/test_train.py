"""The form of a training in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mlops_assets.store import Store
from mlops_assets_tests.hub.browsing import browsing, served_hub

pytestmark = pytest.mark.browser

PROJECT = """
from mlops_assets_tests.components.project import definitions
from mlops_assets_tests.hub.views.training.parameters import HERE

defs = definitions(name="everything", trainer=f"{HERE}:train", params={"size": 8}, gates=[])
"""


LATE = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) { setTimeout(() => send.call(this, data), 4000); };
"""


@pytest.fixture
def url(store: Store, tmp_path: Path) -> Iterator[str]:
    """A hub of a project whose model has a parameter of every kind."""
    (tmp_path / "everything_project.py").write_text(PROJECT)
    with served_hub(store.workspace.root.parent, "-m", "everything_project") as found:
        yield found


def test_a_form_is_filled_in_checked_kept_and_started_once(url: str) -> None:
    with browsing() as browser:
        page = browser.open(f"{url}/train")  # the only model is chosen
        size = page.get_by_label("size", exact=True)
        expect(size).to_have_value("8")
        expect(page.get_by_text("mlops train everything@v1", exact=True)).to_be_visible()

        size.fill("0")
        expect(page.get_by_text("Input should be greater than or equal to 1").first).to_be_visible()
        expect(page.get_by_role("button", name="Start training")).to_be_disabled()
        size.fill("12")
        page.get_by_label("label", exact=True).fill("<img src=x onerror=alert(1)>")
        page.get_by_label("augment", exact=True).press("Space")
        choose(page, "schedule", "constant")
        page.get_by_label("Note", exact=True).fill("first try")
        command = page.get_by_text("mlops train everything@v1 -p size=12 -p augment=false")
        expect(command).to_be_visible()
        expect(page.get_by_role("button", name="Reset label")).to_be_visible()

        page.wait_for_url("**note=first**")
        page.reload()  # what was entered is in the address
        expect(size).to_have_value("12")
        expect(command).to_be_visible()
        expect(page.get_by_label("Note", exact=True)).to_have_value("first try")
        page.get_by_role("button", name="Reset label").click()
        expect(page.get_by_label("label", exact=True)).to_have_value("a b")

        page.get_by_label("Sweep over parameters").click()
        expect(page.get_by_text("a sweep has no note").first).to_be_visible()
        page.get_by_label("Note", exact=True).fill("")
        page.get_by_label("Search size").click()
        space = page.get_by_label("Values of size to search")
        expect(space).to_have_value("{min: 2, max: 32}")
        space.fill("{min: 32, max: 2}")
        expect(page.get_by_text("exchange them").first).to_be_visible()
        space.fill("{min: 2, max: 4}")
        expect(page.get_by_text("mlops sweep everything@v1 --space space.yaml")).to_be_visible()


def test_what_is_entered_before_the_page_is_connected_arrives_in_its_order(url: str) -> None:
    with browsing() as browser:
        page = browser.open(f"{url}/train")
        page.add_init_script(LATE)
        page.reload()
        for value in range(10, 30):
            # to go to the next field sends the value of this one
            page.get_by_label("size", exact=True).fill(str(value))
            page.get_by_label("label", exact=True).fill(f"l{value}")
        command = page.get_by_text("mlops train everything@v1 -p size=29 -p label=l29", exact=True)
        expect(command).to_be_visible(timeout=30_000)
        page.wait_for_timeout(2000)
        expect(command).to_be_visible()


def choose(page: Page, field: str, option: str) -> None:
    """Choose an option by the keyboard alone."""
    box = page.get_by_role("combobox", name=field, exact=True)
    box.press("Space")
    page.get_by_role("option", name=option).wait_for()
    box.press("ArrowDown")
    box.press("Enter")
