"""GeoParquet with nested and with large geometries."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import Point

from mlops_assets.datasets.readers.table_geoparquet import read_geoparquet


@pytest.mark.parametrize(
    "header",
    [b"\x01\x07\0\0\0\x01\0\0\0", b"\0\0\0\x03\xef\0\0\0\x01", b"\x01\x06\0\0\x20....\x01\0\0\0"],
)
def test_geometries_within_geometries_do_not_end_the_process(header: bytes, tmp_path: Path) -> None:
    point = shapely.to_wkb(Point(1, 2), byte_order=1)
    labels = tmp_path / "x.parquet"
    geopandas.GeoDataFrame({"label": [1]}, geometry=[Point(1, 2)], crs=4326).to_parquet(labels)
    table = pq.read_table(labels)
    for wkb in (
        header * 100_000 + point,
        b"\x01\x07\0\0\0\x02\0\0\0" + point + header * 100_000 + point,
    ):
        pq.write_table(table.set_column(1, "geometry", pa.array([wkb], pa.binary())), labels)
        with pytest.raises(ValueError, match="more than 32 geometries deep"):
            read_geoparquet(labels)


def test_large_geometries_are_read(tmp_path: Path) -> None:
    parts = [Point(1 + i % 40, i // 40).buffer(0.3) for i in range(1600)]
    large = [
        shapely.MultiPolygon(parts),
        shapely.GeometryCollection([shapely.MultiPolygon(parts), Point(1, 2, 3)]),
    ]
    geopandas.GeoDataFrame({"label": [1, 1]}, geometry=large, crs=4326).to_parquet(
        tmp_path / "x.parquet"
    )
    assert len(read_geoparquet(tmp_path / "x.parquet")) == 2
