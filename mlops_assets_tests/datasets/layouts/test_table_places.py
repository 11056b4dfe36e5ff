"""Rows of tables that say who and where they are: identifiers, columns with degrees, geometry."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from mlops_assets.datasets.contents import Contents
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import DataProblems
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.datasets.layouts.landing import read_landing, write_tables

SMALL = pd.DataFrame({"red": [0.1, 0.2, 0.3], "nir": [0.5, 0.6, 0.7], "crop": ["wheat", "maize", "wheat"]})
Read = Callable[..., Contents]


def declared(**options: Any) -> DatasetSpecification:
    return table_specification(source={"url": "landing", "layout": "table", "table": {"label": "crop", **options}})


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Land the given files and read them: `read({"a.csv": …}, specification)`."""

    def read_landed(files: dict[str, Any], specification: DatasetSpecification | None = None) -> Contents:
        write_tables(tmp_path / "landing", files)
        return read_landing(tmp_path / "landing", specification or declared())

    return read_landed


def test_a_sample_id_that_occurs_twice_is_named_with_its_files(read: Read) -> None:
    first, second = SMALL.assign(plot=["p1", "p2", "p2"]), SMALL.assign(plot=["p3", "p1", "p4"])
    with pytest.raises(DataProblems) as raised:
        read({"a.csv": first, "b.csv": second}, declared(id="plot"))
    assert raised.value.problems == [
        "a.csv, b.csv: sample id 'p1' occurs 2 times; keep one or correct the id",
        "a.csv: sample id 'p2' occurs 2 times; keep one or correct the id",
    ]


def test_ids_that_differ_are_no_features(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(plot=[1, 2, 3])}, declared(id="plot"))
    assert found.features == ["red", "nir"]


def test_places_come_from_the_declared_columns(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(x=[9.0, 9.1, 9.2], y=[47, 48, 49])}, declared(longitude="x", latitude="y"))
    assert found.features == ["red", "nir"]
    assert found.samples[["longitude", "latitude"]].to_numpy().tolist() == [[9.0, 47.0], [9.1, 48.0], [9.2, 49.0]]
    assert found.files["bbox"][0] == [9.0, 47.0, 9.2, 49.0]


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("values", [[500_000.0, 1, 2], [-181, 0, 1], ["9°", "10°", "11°"], [np.inf, 1, 2]])
def test_places_that_are_no_degrees_are_refused(read: Read, column: str, values: list[Any]) -> None:
    table = SMALL.assign(x=[9.0, 9.1, 9.2], y=[47, 48, 49]).assign(**{column: values})
    with pytest.raises(DataProblems, match=rf"a\.csv: column '{column}' has values that are no degrees .*WGS 84"):
        read({"a.csv": table}, declared(longitude="x", latitude="y"))


def test_a_place_that_is_missing_is_refused(read: Read) -> None:
    table = SMALL.assign(x=[9.0, np.nan, 9.2], y=[47, 48, 49])
    with pytest.raises(DataProblems, match=r"column 'x' has 1 missing value\(s\)"):
        read({"a.csv": table}, declared(longitude="x", latitude="y"))


def geoparquet(crs: str | None, geometry: list[Any]) -> bytes:
    buffer = io.BytesIO()
    geopandas.GeoDataFrame(SMALL, geometry=geometry, crs=crs).to_parquet(buffer)
    return buffer.getvalue()


def test_the_place_of_a_geometry_is_the_middle_of_its_box(read: Read) -> None:
    shapes = [shapely.Point(9, 47), shapely.box(10, 40, 12, 44), shapely.LineString([(1, 1), (3, 1), (3, 5)])]
    found = read({"a.parquet": geoparquet("EPSG:4326", shapes)}).samples
    assert found[["longitude", "latitude"]].to_numpy().tolist() == [[9, 47], [11, 42], [2, 3]]


def test_a_row_without_geometry_has_no_place(read: Read) -> None:
    found = read({"a.parquet": geoparquet("EPSG:4326", [shapely.Point(9, 47), None, shapely.Point()])})
    assert found.samples["longitude"].isna().tolist() == [False, True, True]
    assert found.files["bbox"].isna().all()


def test_a_geometry_without_a_reference_system_is_refused(read: Read) -> None:
    with pytest.raises(DataProblems, match=r"a\.parquet: .*its geometry has no coordinate reference system; set one"):
        read({"a.parquet": geoparquet(None, [shapely.Point(9, 47)] * 3)})
