"""The sample browser and footprints in Chromium, on georeferenced windows with labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.hub.browsing import browsing, served_hub

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"


def test_samples_are_filtered_paged_and_opened_by_keyboard(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes(scenes_specification(classes={1: HOSTILE, 2: "Wald, 森林"}), crs="EPSG:32632")
    with served_hub(store.workspace.root.parent) as url, browsing() as browser:
        page = browser.open(f"{url}/data/scenes@v1/samples", viewport={"width": 390, "height": 844})
        page.locator("select[name=class]").select_option("Wald, 森林")
        page.get_by_label("Labels over chips").check()
        page.get_by_label("Split").select_option("test")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Show", exact=True).press("Enter")
        page.wait_for_url("**class=Wald*")
        chips = page.locator(".hub-chip")
        assert chips.count() == 24
        assert set(chips.locator(".hub-chip-label").all_inner_texts()) == {"Wald, 森林"}
        loaded = "images => images.every(one => one.complete && one.naturalWidth === 132)"
        page.locator(".hub-chips").scroll_into_view_if_needed()
        chips.last.scroll_into_view_if_needed()
        page.wait_for_function(
            f"({loaded})([...document.querySelectorAll('.hub-chip img')])", timeout=60_000
        )
        # nothing is wider than the phone
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_role("link", name="Next").press("Enter")
        page.wait_for_url("**first=24*")
        chips.first.get_by_role("link").press("Enter")
        page.get_by_role("heading", name="Spectrum").wait_for()
        assert page.locator("dd").filter(has_text="Wald, 森林").count()
        page.get_by_role("link", name="All samples").press("Enter")
        page.wait_for_url("**first=24*")
        assert page.locator("select[name=class]").input_value() == "Wald, 森林"
        # names that are markup are text
        page.goto(f"{url}/data/scenes@v1/samples?labels=true")
        assert page.locator(".hub-class-legend").get_by_text(HOSTILE).count() == 1
        assert page.locator("img[src=x]").count() == 0
