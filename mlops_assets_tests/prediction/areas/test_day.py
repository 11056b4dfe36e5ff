"""The scenes of the days of an area, as they are listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mlops_assets.prediction.areas import day
from mlops_assets.prediction.areas.day import list_scenes
from mlops_assets.prediction.scenes.by_day import ScenesByDay
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.sources.search import SceneSearch
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.prediction.areas.test_specification import SQUARE, area

FIRST, LAST = date(2026, 6, 1), date(2026, 6, 2)
LATE = FoundScene("late", "late.tif", datetime(2026, 6, 2, 23, 59, tzinfo=UTC), size=1)
NEXT = FoundScene("next", "next.tif", datetime(2026, 6, 3, tzinfo=UTC))
UNDATED = FoundScene("undated", "undated.tif")
API = {"url": "stac+https://api.example/v1", "collections": ["s2"], "query": "a < 1"}


@pytest.mark.parametrize("is_api", [True, False])
def test_only_an_api_is_searched_by_time_as_undated_files_would_prevent_it(
    is_api: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[str], SceneSearch]] = []

    def find(_: Store, sources: list[str], search: SceneSearch) -> list[FoundScene]:
        asked.append((sources, search))
        return [LATE, NEXT, UNDATED]

    monkeypatch.setattr(day, "find_scenes", find)
    store = Store(Workspace(tmp_path.as_uri()), Registry(f"sqlite:///{tmp_path}/registry.db"))
    found = list_scenes(store, area(API if is_api else None, area=SQUARE), FIRST, LAST)
    assert (found.days, found.undated) == ({LAST: [LATE]}, [UNDATED])
    ((sources, search),) = asked
    if is_api:
        assert (sources, search.collections) == ([API["url"]], ("s2",))
        assert (search.datetime, search.query) == ("2026-06-01/2026-06-02", "a < 1")
    else:
        assert sources == [str(tmp_path / "landing/scenes")]
        assert search.datetime is None
    assert search.area is not None


def test_a_day_is_listed_otherwise_once_a_scene_is_new_or_changed() -> None:
    listed = ScenesByDay.of([LATE]).digest(LAST)
    assert ScenesByDay.of([LATE, NEXT]).digest(LAST) == listed
    for changed in (replace(LATE, size=2), replace(LATE, href="other.tif")):
        assert ScenesByDay.of([changed]).digest(LAST) != listed
    assert ScenesByDay.of([LATE, replace(LATE, name="b")]).digest(LAST) != listed
