"""Home in the browser."""

from __future__ import annotations

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.hub.browsing import browsing, served_hub

pytestmark = pytest.mark.browser


def test_an_empty_project_shows_no_error(store: Store) -> None:
    with served_hub(store.workspace.root.parent) as url, browsing() as browser:
        page = browser.open(url)
        page.get_by_text("1 datasets, 0 models").wait_for()
