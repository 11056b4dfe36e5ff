"""Platform and bands in STAC Items of any version, and values that cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.datasets.sources.stac.bands import described
from mlops_assets.datasets.sources.stac.crawler import ItemDocument

BLUE = {"eo:common_name": "blue", "eo:center_wavelength": 0.49}


def item(properties: Any = None, **asset: Any) -> ItemDocument:
    image: Any = {"href": "x.tif", **asset}
    return {"id": "x", "properties": properties, "assets": {"image": image}}


@pytest.mark.parametrize(
    ("asset", "expected"),
    [
        (
            {"bands": [{"name": "B02", **BLUE, "nodata": "nan"}]},
            {"bands": [{**BLUE, "nodata": "nan"}]},
        ),
        ({"eo:bands": [{"common_name": "blue", "center_wavelength": 0.49}]}, {"bands": [BLUE]}),
        (
            {
                "eo:bands": [{"common_name": "blue"}],
                "raster:bands": [{"nodata": -9999.0}, {"nodata": 0}],
            },
            {"bands": [{"eo:common_name": "blue", "nodata": -9999.0}, {"nodata": 0}]},
        ),
        (
            {"gsd": 20, "nodata": 0, "eo:common_name": "nir"},
            {"gsd": 20, "nodata": 0, "eo:common_name": "nir"},
        ),
    ],
)
def test_assets_of_any_version_are_described_the_same(
    asset: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert described(item(**asset), ["image"]) == {"assets": [expected]}


@pytest.mark.parametrize(
    "asset",
    [
        {"bands": "B02"},
        {"bands": [None, 7, "x"]},
        {"eo:bands": [[1]]},
        {"gsd": "10 m"},
        {"gsd": -1},
        {"gsd": True},
        {"nodata": "none"},
        {"nodata": [0]},
        {"eo:common_name": "<script>"},
        {"eo:center_wavelength": float("inf")},
    ],
)
def test_what_cannot_be_meant_is_left_out(asset: dict[str, Any]) -> None:
    invalid: list[Any] = [
        None,
        7,
        [],
        {"platform": ["x"], "instruments": "msi", "gsd": None, "mission": ""},
    ]
    for properties in invalid:
        assert described(item(properties, **asset), ["image"]) == {}
