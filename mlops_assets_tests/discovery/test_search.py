"""Search: what is found, in which order, page by page; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import shapely
import shapely.geometry
from sqlalchemy import text

from mlops_assets.discovery.requests import SearchParameters, chosen_fields, token_of
from mlops_assets.errors import NotFound, SpecificationError, TimeLimitExceeded
from mlops_assets.principals import Principal, local
from mlops_assets.registry import Registry
from mlops_assets.registry.records import search
from mlops_assets.registry.records.external import send_collection, send_items
from mlops_assets.registry.records.lookup import (
    Page,
    find_collection,
    find_item,
    list_collections,
)
from mlops_assets.registry.records.search import search_items
from mlops_assets_tests.discovery.external import external_collection, external_item

ANN = local("ann")
TILTED = {"type": "Polygon", "coordinates": [[[0, 0], [4, 4], [4, 5], [0, 1], [0, 0]]]}
TASKS = [["classification"], ["classification", "regression"], []]


def item(number: int) -> dict[str, Any]:
    """One of 40 Items; their places, times and properties all differ."""
    west = -170 + 8 * number
    properties: dict[str, Any] = {
        "datetime": f"2024-01-{1 + number % 28:02}T00:00:00Z",
        "title": f"Fields of wheat_{number}" if number % 2 else "Lakes",
        "mlm:framework": ["PyTorch", "TensorFlow"][number % 2],
        "mlm:tasks": TASKS[number % 3],
        "mlops:metrics": {"accuracy": number / 40},
        "created": f"2024-02-01T00:00:{number:02}+01:00",
    }
    if number % 4:
        properties["eo:cloud_cover"] = number % 7 if number % 5 else f"about {number}"
    elif number % 8:
        properties |= {"eo:cloud_cover": None, "mlops:metrics": {"accuracy": None}}
    geometry: dict[str, Any] | None = shapely.geometry.mapping(shapely.box(west, 0, west + 4, 4))
    changes: dict[str, Any] = {"properties": properties, "geometry": geometry}
    if number == 3:
        properties |= {
            "datetime": None,
            "start_datetime": "2020-01-01T00:00:00Z",
            "end_datetime": "2021-01-01T00:00:00Z",
        }
    if number == 5:
        changes["geometry"] = None
    if number == 7:
        properties["platform"] = "Ümlaut Élan Σ"
    if number == 21:
        changes["geometry"] = TILTED
    return external_item(f"item-{number:02}", **changes)


ITEMS = {each["id"]: each for each in map(item, range(40))}


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]
)
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry of each kind with those Items."""
    path: Path = tmp_path_factory.mktemp("search") / "registry.db"
    url = f"sqlite:///{path}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    send_collection(opened, external_collection(), replace=False)
    send_items(opened, "sent", list(ITEMS.values()), replace=False)
    yield opened
    opened.close()


def page(registry: Registry, **parameters: Any) -> Page:
    return search_items(registry, SearchParameters(**parameters).query(), ANN)


def numbers(registry: Registry, **parameters: Any) -> list[int]:
    """The numbers of the Items that are found, in order."""
    found = page(registry, **{"limit": 100, "order": ["id"], **parameters}).records
    return [int(str(each.document["id"])[-2:]) for each in found]


def kept(holds: Any) -> list[int]:
    """The numbers of the Items whose properties hold."""
    return [number for number in range(40) if holds(number, item(number)["properties"])]


FILTERS: dict[str, Any] = {
    "mlm:framework = 'PyTorch' AND A_CONTAINS(mlm:tasks, ('regression'))": kept(
        lambda n, p: n % 2 == 0 and "regression" in p["mlm:tasks"]
    ),
    "A_CONTAINS(mlm:tasks, ('regression', 'regression'))": kept(
        lambda n, p: "regression" in p["mlm:tasks"]
    ),
    "A_OVERLAPS(mlm:tasks, ('regression', 'other'))": kept(
        lambda n, p: "regression" in p["mlm:tasks"]
    ),
    "A_CONTAINEDBY(mlm:tasks, ('classification'))": kept(
        lambda n, p: set(p["mlm:tasks"]) <= {"classification"}
    ),
    "A_EQUALS(mlm:tasks, ('classification', 'regression'))": kept(
        lambda n, p: p["mlm:tasks"] == TASKS[1]
    ),
    "mlops:metrics.accuracy > 0.9": kept(lambda n, p: (p["mlops:metrics"]["accuracy"] or 0) > 0.9),
    "eo:cloud_cover > 3": kept(lambda n, p: isinstance(p.get("eo:cloud_cover"), int) and n % 7 > 3),
    "eo:cloud_cover IS NULL": kept(lambda n, p: n % 4 == 0),
    "created < TIMESTAMP('2024-01-31T23:00:05Z')": [0, 1, 2, 3, 4],
    "T_INTERSECTS(datetime, INTERVAL('2020-06-01T00:00:00Z', '2020-07-01T00:00:00Z'))": [3],
    "T_BEFORE(datetime, DATE('2024-01-01'))": [3],
    "T_AFTER(datetime, TIMESTAMP('2024-01-27T12:00:00Z'))": [27],
    "title LIKE 'Fields%' AND id <= 'item-05'": [1, 3, 5],
    "CASEI(platform) = CASEI('ÜMLAUT éLAN σ')": [7],
    "CASEI(platform) LIKE CASEI('%LAUT Élan Σ')": [7],
    "CASEI(title) LIKE CASEI('LAKES') AND id < 'item-04'": [0, 2],
    "S_INTERSECTS(geometry, BBOX(1, 2.2, 1.1, 2.9)) AND id <> 'x'": [],
    "S_INTERSECTS(geometry, BBOX(1, 1, 1.1, 1.9)) AND id <> 'x'": [21],
    "NOT (id > 'item-02' OR collection = 'other')": [0, 1, 2],
}


@pytest.mark.parametrize("where", FILTERS)
def test_a_filter_finds_what_it_holds_for(where: str, registry: Registry) -> None:
    import cql2

    expected = FILTERS[where]
    assert numbers(registry, where=where) == expected
    assert numbers(registry, where=cql2.Expr(where).to_json(), language="cql2-json") == expected


@pytest.mark.parametrize("few", [0, 4_000])
@pytest.mark.parametrize(
    "place",
    [
        {"bbox": [-150, 1, -135, 2]},
        {"bbox": [140, 1, -160, 2]},  # across the antimeridian
        {"bbox": [3, 0.5, 4, 1.5]},  # beside the tilted one, within its bounding box
        {"bbox": [1, 1.1, 2, 2]},
        {"intersects": {"type": "LineString", "coordinates": [[-170, 2], [-150, 3]]}},
        {"intersects": {"type": "Point", "coordinates": [3.5, 4]}},
    ],
)
def test_places_are_exact(
    place: dict[str, Any], few: int, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FEW", few)
    if "bbox" in place:
        west, south, east, north = place["bbox"]
        halves = [(west, 180), (-180, east)] if west > east else [(west, east)]
        sought = shapely.union_all([shapely.box(w, south, e, north) for w, e in halves])
    else:
        sought = shapely.geometry.shape(place["intersects"])
    expected = [
        number
        for number, each in enumerate(ITEMS.values())
        if each["geometry"] and shapely.geometry.shape(each["geometry"]).intersects(sought)
    ]
    assert numbers(registry, **place) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("2020-12-31T00:00:00Z/2023-01-01T00:00:00Z", [3]),
        ("../2023-01-01T00:00:00Z", [3]),
        ("2024-01-28T00:00:00Z/..", [27]),
        ("2024-01-06T00:00:00Z", [5, 33]),  # one has no geometry
    ],
)
def test_times_are_intervals(interval: str, expected: list[int], registry: Registry) -> None:
    assert numbers(registry, datetime=interval) == expected


def test_ends_of_between_may_be_a_list(registry: Registry) -> None:
    where = {"op": "between", "args": [{"property": "eo:cloud_cover"}, [5, 6]]}
    expected = numbers(registry, where="eo:cloud_cover BETWEEN 5 AND 6")
    assert expected
    assert numbers(registry, where=where, language="cql2-json") == expected


def test_words_are_whole_and_in_any_case(registry: Registry) -> None:
    assert numbers(registry, words=["WHEAT 7", "lak"]) == [7]
    assert numbers(registry, words=["fields of wheat"]) == [n for n in range(40) if n % 2]


@pytest.mark.parametrize(
    "order",
    [
        [],
        ["-properties.eo:cloud_cover"],
        ["+eo:cloud_cover", "-id"],
        ["-mlops:metrics.accuracy"],
        ["mlops:metrics.accuracy"],
        ["collection", "-properties.created"],
        ["nothing"],
    ],
)
def test_pages_have_each_item_once_in_order(order: list[str], registry: Registry) -> None:
    whole = numbers(registry, order=order)
    assert sorted(whole) == list(range(40))
    read: list[int] = []
    token = None
    while True:
        parameters = SearchParameters(order=order, limit=7, token=token)
        found = search_items(registry, parameters.query(), ANN)
        assert found.matched == (40 if token is None else None)
        read += [int(str(each.document["id"])[-2:]) for each in found.records]
        if found.after is None:
            break
        token = token_of(parameters.query(), found.after)
    assert read == whole


def test_items_without_the_property_come_last(registry: Registry) -> None:
    def cover(number: int) -> Any:
        return item(number)["properties"].get("eo:cloud_cover")

    for sign, step in (("+", 1), ("-", -1)):
        found = [cover(number) for number in numbers(registry, order=[f"{sign}eo:cloud_cover"])]
        known = [value for value in found if value is not None]
        assert found[len(known) :] == [None] * 10
        values = [value for value in known if isinstance(value, int)]
        assert all(step * (right - left) >= 0 for left, right in pairwise(values))


def test_a_token_of_another_search_is_refused(registry: Registry) -> None:
    first = SearchParameters(limit=5)
    found = search_items(registry, first.query(), ANN)
    assert found.after is not None
    token = token_of(first.query(), found.after)
    for other in (
        SearchParameters(token=token, order=["id"]),
        SearchParameters(token=token, ids=["a"]),
        SearchParameters(token="Zm9v"),
        SearchParameters(token="%"),
    ):
        with pytest.raises(SpecificationError, match="not one of this search"):
            other.query()


def test_anyone_sees_only_what_is_published(registry: Registry) -> None:
    query = SearchParameters().query()
    assert search_items(registry, query, Principal("anonymous", frozenset())).records == []


def test_a_statement_that_takes_too_long_is_interrupted(registry: Registry) -> None:
    endless = text(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT max(x) FROM n"
    )
    limited = registry.limited(0.1)
    with pytest.raises(TimeLimitExceeded, match=r"longer than 0.1 s"), limited.reading() as session:
        session.execute(endless)
    assert numbers(limited, ids=["item-01"]) == [1]


def test_fields_are_chosen_by_paths() -> None:
    document = external_item(properties={"a.b": {"c": 1, "d": 2}, "e": 3})
    assert set(chosen_fields(document, {"bbox"}, set())) == {
        "type",
        "id",
        "collection",
        "links",
        "bbox",
    }
    found = chosen_fields(document, {"properties.a.b.c"}, {"properties"})
    assert found["properties"] == {"a.b": {"c": 1}}
    without = chosen_fields(document, set(), {"properties.a.b.c", "assets", "nothing"})
    assert without["properties"] == {"datetime": "2024-05-06T10:20:30Z", "a.b": {"d": 2}, "e": 3}
    assert "assets" not in without
    assert chosen_fields(document, set(), {"id", "links", "type", "collection"}) == document
    assert document == external_item(properties={"a.b": {"c": 1, "d": 2}, "e": 3})


def test_names_with_a_nul_character_are_those_of_no_record(registry: Registry) -> None:
    for name in ("\x00", "sent\x00"):
        with pytest.raises(NotFound):
            find_collection(registry, name, ANN)
        with pytest.raises(NotFound):
            find_item(registry, "sent", name, ANN)
        assert list_collections(registry, ANN, 1, name).matched is not None


@pytest.mark.parametrize("name", ["mlm:tasks", "mlops:metrics", "eo:cloud_cover"])
def test_pages_in_the_order_of_lists_and_objects_have_every_item(
    registry: Registry, name: str
) -> None:
    found: list[str] = []
    token = None
    while token is not None or not found:
        parameters = SearchParameters(order=[name], limit=7, token=token)
        query = parameters.query()
        some = search_items(registry, query, ANN)
        found += [str(each.document["id"]) for each in some.records]
        token = None if some.after is None else token_of(query, some.after)
    assert len(found) == 40 and set(found) == ITEMS.keys()
