"""Training data in the browser: from the list to a tag, the files, and a previewed landing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.hub.browsing import browsing, served_hub

pytestmark = pytest.mark.browser

PROJECT = """
from mlops_assets_tests.components.project import definitions

defs = definitions()
"""
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture
def url(store: Store, tmp_path: Path, land_table: Callable[..., Commit]) -> Iterator[str]:
    """A hub of a dataset of two versions, the second with a class that is called like HTML."""
    frame = crops_table(60)
    frame.loc[::2, "crop"] = SCRIPT
    land_table(frame, table_specification(description=SCRIPT))
    (tmp_path / "data_project.py").write_text(PROJECT)
    with served_hub(store.workspace.root.parent, "-m", "data_project") as found:
        yield found


def test_a_version_is_found_tagged_compared_and_the_next_one_previewed(
    url: str, store: Store
) -> None:
    with browsing() as browser:
        page = browser.open(f"{url}/data")
        expect(page.get_by_role("link", name="committed")).to_be_visible()
        page.get_by_role("link", name="fields", exact=True).click()
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name="v2", exact=True))
        expect(row.get_by_text("1 changed")).to_be_visible()
        expect(row.get_by_text(f"+ {SCRIPT}")).to_be_visible()
        row.get_by_role("link", name="v2", exact=True).click()

        page.get_by_role("button", name="Add a tag").click()
        field = page.get_by_label("Tag, such as harvest-2024")
        field.fill("v7")
        page.get_by_role("button", name="Add the tag").click()
        expect(page.get_by_text("looks like a version").first).to_be_visible()
        expect(field).to_have_value("v7")  # nothing that was entered is lost
        field.fill("harvest-2024")
        page.get_by_role("button", name="Add the tag").click()
        expect(field).to_be_hidden()
        expect(page.get_by_text("harvest-2024", exact=True)).to_be_visible()
        assert store.registry.tags("fields") == {"harvest-2024": "v2"}

        page.goto(f"{url}/data/fields@harvest-2024?tab=files&split=test")
        expect(page.get_by_text("fields@harvest-2024 is now")).to_be_visible()
        expect(page.get_by_text("samples.csv")).to_be_visible()

        page.goto(f"{url}/data/fields@v1/diff/v2?list=samples+removed")
        expect(page.get_by_role("heading", name="Samples removed")).to_be_visible()

        page.goto(f"{url}/data/fields?tab=landing")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_text("Seed 0 (declared)", exact=False)).to_be_visible()
        expect(page.get_by_text("this content is already")).to_be_visible()
