"""Documents under the names of vector labels: GDAL reads no other file and sends no request."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import pytest
from shapely import Point

from mlops_assets.datasets.readers.scenes.vector_files import read_vector

CANARY = "root:x:0:0"


def geojson(**members: object) -> str:
    point = {
        "type": "Feature",
        "properties": {"label": 1},
        "geometry": {"type": "Point", "coordinates": [1, 2]},
    }
    return json.dumps({"type": "FeatureCollection", "features": [point], **members})


OGR = (
    '<OGRVRTDataSource><OGRVRTLayer name="passwd"><SrcDataSource'
    ' relativeToVRT="0">CSV:/etc/passwd</SrcDataSource>'
    "<GeometryType>wkbPoint</GeometryType></OGRVRTLayer></OGRVRTDataSource>"
)
LAYERS = {
    "another source": OGR,
    "another source within JSON": geojson(x=OGR).replace('\\"', '"'),
    "WFS": "<OGRWFSDataSource><URL>URL/wfs</URL></OGRWFSDataSource>",
    "a pipeline": json.dumps(
        {
            "type": "gdal_streamed_alg",
            "command_line": "gdal vector pipeline ! read URL/x.gpkg ! write -f stream x",
        }
    ),
    "a link for a CRS": geojson(
        crs={"type": "link", "properties": {"href": "URL/crs", "type": "ogcwkt"}}
    ),
    "a URL for a CRS": geojson(CRS={"type": "URL", "properties": {"url": "URL/crs"}}),
    "two of them": (
        geojson(crs={"type": "name", "properties": {"name": "EPSG:4326"}}).replace(
            '"crs"', '"crs": {"type": "link", "properties": {"href": "URL/crs"}}, "\\u0063rs"'
        )
    ),
    "depth": "[" * 100_000,
    "SQLite": "SQLite format 3",
}


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".gpkg", ".shp", ".fgb", ".parquet"])
@pytest.mark.parametrize("document", LAYERS)
def test_a_document_under_the_name_of_labels_is_refused(
    document: str, suffix: str, url: str, tmp_path: Path
) -> None:
    labels = tmp_path / f"x{suffix}"
    labels.write_text(LAYERS[document].replace("URL", url))
    with pytest.raises(ValueError, match="cannot be read as vector labels") as raised:
        read_vector(labels.name, {labels.name: labels})
    assert CANARY not in str(raised.value)


def test_a_geopackage_has_no_table_that_is_another_file(tmp_path: Path) -> None:
    labels = tmp_path / "x.gpkg"
    geopandas.GeoDataFrame({"label": [1]}, geometry=[Point(1, 2)], crs=4326).to_file(labels)
    with closing(sqlite3.connect(labels)) as database, database:
        database.execute("PRAGMA writable_schema = 1")
        for kind, name, sql in (
            (
                "table",
                "other",
                "CREATE VIRTUAL TABLE other USING VirtualText('/etc/passwd', utf8, 0)",
            ),
            (
                "view",
                "v",
                "CREATE VIEW v AS SELECT x.fid, x.geom, o.COL001 AS label FROM x, other AS o",
            ),
        ):
            database.execute(
                "INSERT INTO sqlite_master VALUES (?, ?, ?, 0, ?)", (kind, name, name, sql)
            )
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            database.execute(f"UPDATE {table} SET table_name = 'v'")
    with pytest.raises(ValueError, match="'other' in it is not a plain table") as raised:
        read_vector(labels.name, {labels.name: labels})
    assert CANARY not in str(raised.value)


ENDLESS = (
    "WITH n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT n.x AS fid, geom, label FROM n, x"
)


@pytest.mark.parametrize(
    ("statement", "layer", "refused"),
    [
        (f"CREATE VIEW v AS {ENDLESS}", "v", True),
        (f"CREATE VIEW V AS {ENDLESS}", "v", True),
        ("CREATE VIEW v AS SELECT fid, geom, label FROM x", "v", True),
        (
            (
                "CREATE TABLE v (fid INTEGER PRIMARY KEY, geom BLOB, label TEXT AS"
                " (hex(zeroblob(900000000))))"
            ),
            "v",
            True,
        ),
        (
            (
                "DROP TABLE gpkg_extensions; CREATE VIEW gpkg_extensions AS WITH n(x) AS (SELECT 1"
                " UNION ALL SELECT x + 1 FROM n) SELECT x AS table_name, x AS column_name, x AS"
                " extension_name FROM n"
            ),
            "x",
            True,
        ),
        (f"CREATE VIEW st_geometry_columns AS {ENDLESS}", "x", False),
    ],
)
def test_a_geopackage_has_no_rows_without_end(
    statement: str, layer: str, refused: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.gpkg"
    features = geopandas.GeoDataFrame(
        {"label": [1, 2]}, geometry=[Point(1, 2), Point(2, 3)], crs=4326
    )
    features.to_file(path, layer="x", driver="GPKG")
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)
        database.execute("UPDATE gpkg_contents SET table_name = ?", (layer,))
        database.execute("UPDATE gpkg_geometry_columns SET table_name = ?", (layer,))
        database.commit()
    if refused:
        with pytest.raises(ValueError, match=r"is a view, or has a column that is computed"):
            read_vector(path.name, {path.name: path})
    else:
        assert len(read_vector(path.name, {path.name: path})["label"]) == 2
