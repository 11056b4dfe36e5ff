"""Home of an empty project, in the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets_tests.hub.browsing import browsing, served_hub

pytestmark = pytest.mark.browser


def test_an_empty_project_names_the_first_three_steps(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder: Path = tmp_path_factory.mktemp("empty")
    with served_hub(folder) as url, browsing() as browser:
        page = browser.open(url)
        page.get_by_role("heading", name="The first three steps").wait_for()
        for command in ("mlops init my_project", "mlops dataset commit DATASET", "mlops train"):
            assert page.get_by_text(command).count() == 1
