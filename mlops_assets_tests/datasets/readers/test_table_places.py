"""Identifiers and places of rows of tables: columns with degrees, geometry."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from mlops_assets.datasets.readers.table_places import require_known_crs
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import TableLayout
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems, MlopsError
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.datasets.readers.landing import write_tables

SMALL = pd.DataFrame(
    {"red": [0.1, 0.2, 0.3], "nir": [0.5, 0.6, 0.7], "crop": ["wheat", "maize", "wheat"]}
)
Read = Callable[..., Contents]


def declared(**options: Any) -> DatasetSpecification:
    return table_specification(
        source={"url": "landing", "layout": "table", "table": {"label": "crop", **options}}
    )


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Land the given files and read them: `read({"a.csv": …}, specification)`."""

    def read_landed(
        files: dict[str, Any], specification: DatasetSpecification | None = None
    ) -> Contents:
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


def test_distinct_ids_are_not_features(read: Read) -> None:
    found = read({"a.csv": SMALL.assign(plot=[1, 2, 3])}, declared(id="plot"))
    assert found.features == ["red", "nir"]


def test_places_come_from_the_declared_columns(read: Read) -> None:
    found = read(
        {"a.csv": SMALL.assign(x=[9.0, 9.1, 9.2], y=[47, 48, 49])},
        declared(longitude="x", latitude="y"),
    )
    assert found.features == ["red", "nir"]
    assert found.samples[["longitude", "latitude"]].to_numpy().tolist() == [
        [9.0, 47.0],
        [9.1, 48.0],
        [9.2, 49.0],
    ]
    assert found.files["bbox"][0] == [9.0, 47.0, 9.2, 49.0]


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize(
    "values", [[500_000.0, 1, 2], [-181, 0, 1], ["9°", "10°", "11°"], [np.inf, 1, 2]]
)
def test_places_that_are_not_degrees_are_refused(
    read: Read, column: str, values: list[Any]
) -> None:
    table = SMALL.assign(x=[9.0, 9.1, 9.2], y=[47, 48, 49]).assign(**{column: values})
    with pytest.raises(
        DataProblems, match=rf"a\.csv: column '{column}' has values that are not degrees .*WGS 84"
    ):
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
    shapes = [
        shapely.Point(9, 47),
        shapely.box(10, 40, 12, 44),
        shapely.LineString([(1, 1), (3, 1), (3, 5)]),
    ]
    found = read({"a.parquet": geoparquet("EPSG:4326", shapes)}).samples
    assert found[["longitude", "latitude"]].to_numpy().tolist() == [[9, 47], [11, 42], [2, 3]]


def test_a_row_without_geometry_is_a_problem(read: Read) -> None:
    with pytest.raises(
        DataProblems, match=r"a\.parquet: 2 row\(s\) have no geometry, first data row 2;"
    ):
        read({"a.parquet": geoparquet("EPSG:4326", [shapely.Point(9, 47), None, shapely.Point()])})


@pytest.mark.parametrize(
    ("crs", "shape", "longitude"),
    [
        (
            "EPSG:4326",
            shapely.union_all([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179.5, 1)]),
            179.75,
        ),
        ("EPSG:4326", shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]), -180),
        ("EPSG:4326", shapely.box(179, 0, 182, 1), -179.5),
        ("EPSG:4326", shapely.Point(190, 1), -170),
        ("EPSG:4326", shapely.union_all([shapely.box(359, 0, 360, 1), shapely.box(0, 0, 1, 1)]), 0),
        ("EPSG:4326", shapely.box(-180, -90, 180, 90), 0),
        ("EPSG:32660", shapely.box(800_000, 1000, 860_000, 2000), 179.964),
    ],
    ids=["in two parts", "in one", "beyond 180", "0…360", "prime meridian", "the globe", "UTM 60"],
)
def test_a_geometry_across_the_antimeridian_has_its_own_place(
    read: Read, crs: str, shape: shapely.Geometry, longitude: float
) -> None:
    found = read({"a.parquet": geoparquet(crs, [shape] * 3)}).samples["longitude"]
    assert abs(found[0] - longitude) % 360 == pytest.approx(0, abs=0.01)
    assert -180 <= found[0] <= 180


def test_a_geometry_beyond_the_globe_is_a_problem(read: Read) -> None:
    shapes = [shapely.Point(9, 47), shapely.Point(9, 91), shapely.Point(-181, 0)]
    with pytest.raises(
        DataProblems,
        match=r"a\.parquet: 2 row\(s\) have a place that is not on the globe .* row 2;",
    ):
        read({"a.parquet": geoparquet("EPSG:4326", shapes)})


def test_longitudes_of_0_to_360_are_turned(read: Read) -> None:
    table = SMALL.assign(x=[179.0, 180.0, 190.0], y=[1, 2, 3])
    found = read({"a.csv": table}, declared(longitude="x", latitude="y"))
    assert found.samples["longitude"].tolist() == [179, 180, -170]
    assert found.files["bbox"][0] == [179, 1, -170, 3]
    with pytest.raises(DataProblems, match=r"column 'x' has values .* first in data row 3"):
        read({"a.csv": table.assign(x=[-179, 180, 190])}, declared(longitude="x", latitude="y"))


def test_places_come_from_columns_in_a_projected_crs(read: Read) -> None:
    table = SMALL.assign(e=[500_000, 600_000, 600_010], n=[5_200_000, 5_300_000.5, 5_300_000])
    found = read({"a.csv": table}, declared(x="e", y="n", crs="EPSG:32632"))
    assert found.features == ["red", "nir"]
    assert found.samples["longitude"].tolist() == pytest.approx([9, 10.336, 10.336], abs=1e-3)
    assert found.samples["latitude"].tolist() == pytest.approx([46.953, 47.846, 47.846], abs=1e-3)


@pytest.mark.parametrize(
    ("values", "crs", "message"),
    [
        (
            [1e12, 1, 2],
            "EPSG:32632",
            "1 row.s. have a place that is not on the globe by their columns 'e' and 'n' in EPSG",
        ),
        ([np.nan, 1, 2], "EPSG:32632", "column 'e' has 1 missing value"),
        (["1 m", 1, 2], "EPSG:32632", "column 'e' is not numeric"),
        ([0, 1, 2], "EPSG:99999", "crs: 'EPSG:99999' is unknown"),
        ([0, 1, 2], 'LOCAL_CS["site",UNIT["metre",1]]', "has no known place on the globe"),
    ],
)
def test_columns_in_a_projected_crs_that_have_no_place_are_refused(
    read: Read, values: list[Any], crs: str, message: str
) -> None:
    with pytest.raises(MlopsError, match=message):
        read({"a.csv": SMALL.assign(e=values, n=5_000_000)}, declared(x="e", y="n", crs=crs))


def test_a_geometry_without_a_reference_system_is_refused(read: Read) -> None:
    with pytest.raises(
        DataProblems,
        match=r"a\.parquet: .*its geometry has no coordinate reference system; set one",
    ):
        read({"a.parquet": geoparquet(None, [shapely.Point(9, 47)] * 3)})


def test_a_table_without_a_crs_does_not_pay_for_rasterio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio.crs", None)  # importing it fails
    require_known_crs(TableLayout(label="crop"))
