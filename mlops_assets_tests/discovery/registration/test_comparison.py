from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.discovery.registration.comparison import differences
from mlops_assets_tests.discovery.external import external_item

API = "https://other.example/stac"
DERIVED = {"rel": "derived_from", "href": f"{API}/collections/fields-v1", "title": "fields"}
SENT = external_item(
    bbox=[10.0, 47.0, 11.0, 48.0],
    stac_extensions=["https://example.org/a.json", "https://example.org/b.json"],
    properties={"gsd": 10, "title": None, "deprecated": False, "mlm:tasks": ["regression"]},
    links=[DERIVED, {"rel": "about", "href": "https://example.org"}],
)


def found(**changes: Any) -> dict[str, Any]:
    properties = {**SENT["properties"], **changes.pop("properties", {})}
    return {**SENT, "properties": properties, **changes}


def square(ring: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring]}


SAME = {
    "nulls are left out": found(properties={"title": None, "other": None}),
    "an empty list is added": found(summaries=[], assets={**SENT["assets"], "more": {}}),
    "numbers have another form": found(properties={"gsd": 10.0}, bbox=[10, 47, 11, 48]),
    "times have another form": found(properties={"datetime": "2024-05-06T12:20:30.000+02:00"}),
    "the version of STAC is the server's": found(stac_version="1.0.0"),
    "the server states when": found(properties={"created": "2026-01-01T00:00:00Z"}),
    "extensions have another order": found(stac_extensions=SENT["stac_extensions"][::-1]),
    "links are added, and have another order": found(
        links=[
            {"rel": "self", "href": f"{API}/collections/sent/items/one"},
            {"rel": "about", "href": "https://example.org/"},
            DERIVED,
            {"rel": "license", "href": f"{API}/license"},
        ]
    ),
    "the ring turns and begins elsewhere": found(
        geometry=square([[11, 48], [11, 47], [10, 47], [10, 48 + 1e-10], [11, 48]])
    ),
}

OTHER = {
    'properties.mlm:tasks[0]: sent "regression", found "classification"': found(
        properties={"mlm:tasks": ["classification"]}
    ),
    "properties.gsd: sent 10, found 10.000000001": found(properties={"gsd": 10.000000001}),
    "properties.gsd: sent 10, found true": found(properties={"gsd": True}),
    "properties.deprecated: sent false, found nothing": found(properties={"deprecated": None}),
    'properties.left: sent nothing, found "over"': found(properties={"left": "over"}),
    'properties.datetime: sent "2024-05-06T10:20:30Z", found "2024-05-06T10:20:30.001Z"': found(
        properties={"datetime": "2024-05-06T10:20:30.001Z"}
    ),
    "bbox[0]: sent 10.0, found 10.00001": found(bbox=[10.00001, 47, 11, 48]),
    "geometry.coordinates[0][0][0]: sent 10, found 10.5": found(
        geometry=square([[10.5, 47], [11, 47], [11, 48], [10, 48], [10.5, 47]])
    ),
    'links[derived_from].title: sent "fields", found "wheat"': found(
        links=[*SENT["links"], {**DERIVED, "title": "wheat"}]
    ),
    f"links: the link derived_from to {DERIVED['href']} is missing": found(links=SENT["links"][1:]),
    f"links: the link derived_from to {API}/collections/old was not sent": found(
        links=[*SENT["links"], {"rel": "derived_from", "href": f"{API}/collections/old"}]
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_record_in_another_form_is_equal(name: str) -> None:
    assert differences(SENT, SAME[name]) == []


@pytest.mark.parametrize("difference", OTHER)
def test_another_record_is_named_by_the_place_where_it_differs(difference: str) -> None:
    assert difference in differences(SENT, OTHER[difference])


def test_a_long_value_is_cut() -> None:
    (difference,) = differences(SENT, found(properties={"mlm:tasks": "x" * 10_000}))
    assert len(difference) < 200
