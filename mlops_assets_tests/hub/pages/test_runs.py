"""Journeys through the pages of runs, in a browser on a hub of many runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.hub_runs import filled
from mlops_assets.store import Store
from mlops_assets_tests.hub.browsing import browsing, served_hub
from mlops_assets_tests.registry.rows import new_run

pytestmark = pytest.mark.browser

RUNS = 3_000
HTML = "<img src=x onerror=alert(1)>"
RUN_ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def folder(store: Store) -> Path:
    """A project with many runs, and one under way that has HTML in every text."""
    filled(store.registry.url, RUNS).close()
    run = new_run(
        RUN_ID,
        model="crops",
        parameters={HTML: HTML, "huge": "x" * 100_000},
        metrics={"nan": float("nan")},
        tags={HTML: HTML},
        created_by=HTML,
    )
    store.registry.start_run(run)
    store.registry.log(RUN_ID, [(0, HTML, 0, 1.0, 1e9), (1, "loss", 0, 1.0, 1e9)])
    return store.workspace.root.parent


def test_runs_are_filtered_followed_and_compared(folder: Path, store: Store) -> None:
    with served_hub(folder) as url, browsing() as browser:
        page = browser.open(f"{url}/runs")
        total = page.locator(".run-bar p")
        expect(total).to_have_text("3,001 runs")
        _filter(page, url)
        _choose(page)
        _follow(page, url, store)


def _filter(page: Page, url: str) -> None:
    """Filter: what is wrong is at the box, which keeps its text; the address has all of it."""
    box, total = page.get_by_role("textbox", name="Filter"), page.locator(".run-bar p")
    box.fill("macro_f2 > 0.5")
    box.press("Enter")
    page.get_by_text("did you mean macro_f1").wait_for()
    expect(box).to_have_value("macro_f2 > 0.5")
    box.fill("macro_f1 > 0.5 and status = 'failed'")
    box.press("Enter")
    page.get_by_role("columnheader", name="macro_f1").click()
    page.get_by_role("columnheader", name="macro_f1").click()
    page.wait_for_url(re.compile("sort=-macro_f1"))
    first = page.locator(".ag-center-cols-container [row-index='0'] [col-id='macro_f1']")
    expect(first).to_have_text(re.compile(r"^0\.99"))
    expect(total).to_have_text(re.compile(r"^\d{2,3} runs$"))
    counted, address = total.inner_text(), page.url
    page.goto(address)
    expect(total).to_have_text(counted)
    expect(page.get_by_role("textbox", name="Filter")).to_have_value(
        "macro_f1 > 0.5 and status = 'failed'"
    )
    expect(first).to_have_text(re.compile(r"^0\.99"))
    page.goto(f"{url}/runs?columns=status,tags.{HTML},params.huge")
    expect(page.locator(".ag-center-cols-container [row-index='0']")).to_contain_text(HTML)


def _choose(page: Page) -> None:
    """Choose a column, then two runs to compare."""
    page.get_by_role("button", name="Columns").click()
    box = page.get_by_role("combobox", name="Columns")
    box.fill("metric_7")
    page.get_by_role("option", name="metric_7").click()
    box.press("Escape")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("columnheader", name="metric_7").wait_for()
    assert "metric_7" in page.url
    boxes = page.locator(".ag-selection-checkbox input")
    boxes.nth(1).check()
    boxes.nth(2).check()
    page.get_by_role("button", name="Compare 2").click()
    page.get_by_role("heading", name="Compare runs").wait_for()
    expect(page.get_by_role("region", name="Metrics").last).to_contain_text("macro_f1")


def _follow(page: Page, url: str, store: Store) -> None:
    """Follow a run until it ends, while a note is being written."""
    page.goto(f"{url}/runs/{RUN_ID}")
    page.get_by_text("Updated while the run is under way.").first.wait_for()
    assert page.get_by_text(HTML).count() >= 4 and page.locator("img[src=x]").count() == 0
    note = page.get_by_role("textbox", name="Note")
    note.fill("half a note")
    store.registry.log(RUN_ID, [(2, "loss", 1, 0.25, 1e9)])
    page.get_by_text("0.25 at step 1").wait_for()
    store.registry.finish_run(RUN_ID, "failed", f"Traceback\n  {HTML}\nValueError: {HTML}")
    page.get_by_role("alert").get_by_text(f"ValueError: {HTML}").first.wait_for()
    expect(note).to_have_value("half a note")
    page.get_by_role("button", name="Add note").click()
    page.locator(".run-note-text", has_text="half a note").wait_for()
    expect(note).to_have_value("")
    page.get_by_role("textbox", name="Name").fill("paper")
    page.get_by_role("textbox", name="Value").fill("yes")
    page.get_by_role("button", name="Set tag").click()
    page.get_by_role("button", name="Remove tag paper").click()
    page.get_by_role("button", name="Remove tag paper").wait_for(state="detached")
    # somebody else
    store.registry.note_run(RUN_ID, "seen by another")
    page.get_by_text("seen by another").wait_for()
    assert store.registry.notes(RUN_ID)[0].text == "half a note"
