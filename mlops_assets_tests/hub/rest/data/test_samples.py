"""Samples and footprints over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.hub.views.samples.chips import ChipRequest, chip
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import caller, hub


def test_chips_are_cached_by_content_and_asked_for_again_by_tag(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    store.registry.tag("scenes", "v1", "first")
    with hub(store) as url, caller(url) as client:
        path = "datasets/scenes/v1/samples/5.png"
        found = client.get(path, params={"bands": "B002"})
        assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
        assert found.headers["cache-control"] == "private, max-age=86400"
        known = {"If-None-Match": found.headers["etag"]}
        again = client.get(path, params={"bands": "B002"}, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers=known).status_code == 200
        tagged = client.get("datasets/scenes/first/samples/5.png")
        assert tagged.headers["cache-control"] == "private, no-cache"


def test_what_is_not_there_or_not_valid_is_a_problem(store: Store) -> None:
    with hub(store) as url, caller(url) as client:
        for path, status in (
            ("datasets/fields/v1/samples/300.png", 404),
            ("datasets/fields/v1/samples/300", 404),
            ("datasets/fields/v9/samples", 404),
            ("datasets/fields/v1/samples?class=rye", 422),
            ("datasets/fields/v1/samples/1.png?size=100000", 422),
            ("datasets/fields/v1/footprints.geojson?bbox=1,2,3", 422),
            ("datasets/fields/v1/footprints.geojson?bbox=nan,0,1,1", 422),
            ("datasets/a%2Fb/v1/samples", 404),
            ("datasets/fields/%3Cb%3E/samples", 422),
        ):
            assert client.get(path).status_code == status, path


def test_a_list_has_no_value_that_json_lacks(store: Store) -> None:
    with hub(store) as url, caller(url) as client:
        rows = client.get("datasets/fields/v1/samples", params={"limit": 3}).json()["rows"]
        assert [row["longitude"] for row in rows] == [None] * 3
        detail = client.get("datasets/fields/v1/samples/7").json()
        assert len(detail["values"]) == 7 and detail["values"][0]["median"] is None
        found = client.get("datasets/fields/v1/footprints.geojson")
        assert found.headers["content-type"] == "application/geo+json"
        assert found.json()["features"] == []


def test_who_may_not_see_a_version_gets_no_chip_of_it_from_the_cache(store: Store) -> None:
    seen = chip(store, Reference("fields", "v1"), 0, ChipRequest())
    row = store.registry.data_version(Reference("fields", "v1"))
    store.registry.set_visibility(row, Visibility.PRIVATE)
    outsider = Principal("outsider", frozenset({Role.VIEWER}))
    with hub(store, local=outsider) as url, caller(url) as client:
        client.auth = None  # type: ignore[assignment]
        for path in ("samples", "samples/0", "samples/0.png", "footprints", "footprints.geojson"):
            known = {"If-None-Match": seen.etag}
            answer = client.get(f"datasets/fields/v1/{path}", headers=known)
            assert answer.status_code == 404, path
