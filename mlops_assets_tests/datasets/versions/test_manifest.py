"""The manifest: what is written comes back, other tools open it, and nothing unknown is made up."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pystac.validation import validate_dict

from mlops_assets.datasets.io.media_types import media_type, media_types
from mlops_assets.datasets.versions.manifest import (
    COLUMNS,
    footprints,
    item_id,
    read_manifest,
    write_manifest,
)

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
WKT = 'PROJCRS["of nobody"]'
GEOREFERENCE = {
    "height": 10,
    "width": 20,
    "count": 3,
    "transform": [10.0, 0.0, 5e5, 0.0, -10.0, 4e6],
}
SCENE = {
    "path": "images/å b.tif",
    "sha256": "ab" + "c" * 62,
    "size": 10,
    "role": "image",
    "scene": "a",
    "part": 0,
    **GEOREFERENCE,
    "dtype": "complex64",
    "crs": "EPSG:32630",
    "bbox": [-5.0, 40.0, -4.0, 41.0],
    "datetime": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    "source": "https://example.org/a.json",
}
PACIFIC = {
    "path": "images/z.tif",
    "sha256": "1" * 64,
    "size": 2**40,
    "role": "labels",
    "scene": "z",
    "part": 1,
    **GEOREFERENCE,
    "dtype": "uint16",
    "nodata": -9999.0,
    "crs": WKT,
    "bbox": [175.0, -41.0, -175.0, -40.0],
}
BY_REFERENCE = {
    "path": "t.csv",
    "sha256": "2" * 64,
    "size": 0,
    "role": "table",
    "href": "https://example.org/t.csv",
}


def written(*rows: dict[str, Any], **options: Any) -> bytes:
    return content_of(pd.DataFrame(list(rows)), **options)


def content_of(frame: pd.DataFrame, **options: Any) -> bytes:
    sink = io.BytesIO()
    write_manifest(sink, frame, "fields", "v1", CREATED, **options)
    return sink.getvalue()


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows without what is unknown."""
    return [
        {str(n): v for n, v in row.items() if isinstance(v, list) or not pd.isna(v)}
        for row in frame.to_dict("records")
    ]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest with a scene, one across the antimeridian, and a table kept by reference."""
    path = tmp_path / "manifest.parquet"
    path.write_bytes(written(SCENE, PACIFIC, BY_REFERENCE))
    return path


def test_what_is_written_comes_back() -> None:
    frame = read_manifest(written(BY_REFERENCE, PACIFIC, SCENE))
    assert list(frame.columns) == COLUMNS
    assert plain(frame) == [PACIFIC, SCENE, BY_REFERENCE]
    assert [str(frame[name].dtype) for name in ("size", "part", "height", "datetime")] == [
        "int64",
        "Int64",
        "Int64",
        "datetime64[us, UTC]",
    ]
    assert frame["bbox"].tolist()[2] is None and frame["transform"].tolist()[2] is None


def test_a_file_in_a_pack_has_an_href_into_it_and_an_offset() -> None:
    pack = "ef" + "0" * 62
    packed = {**SCENE, "path": "packed.tif", "pack": pack, "offset": 1 << 40}
    content = written(BY_REFERENCE, packed, SCENE)
    frame = read_manifest(content).set_index("path")
    assert str(frame["offset"].dtype) == "Int64"
    assert frame[["pack", "offset"]].dropna().to_dict("index") == {
        "packed.tif": {"pack": pack, "offset": 1 << 40}
    }
    assert frame["href"].dropna().tolist() == [BY_REFERENCE["href"]]
    table = pq.read_table(io.BytesIO(content))
    hrefs = {
        row["data"]["file:local_path"]: row["data"]["href"] for row in table["assets"].to_pylist()
    }
    assert hrefs["packed.tif"] == f"../../../objects/packs/ef/{'0' * 62}.zip/{SCENE['sha256']}"


def test_a_manifest_of_a_release_without_packs_is_read() -> None:
    table = pq.read_table(io.BytesIO(written(SCENE, BY_REFERENCE)))
    older = io.BytesIO()
    pq.write_table(table.drop_columns("mlops:offset"), older)
    assert plain(read_manifest(older.getvalue())) == [SCENE, BY_REFERENCE]


texts = st.text(st.characters(codec="utf-8"), min_size=1)
longitudes, latitudes = (
    st.floats(-180, 180),
    st.tuples(st.floats(-90, 90), st.floats(-90, 90)).map(sorted),
)
boxes = st.tuples(longitudes, latitudes, longitudes).map(lambda b: [b[0], b[1][0], b[2], b[1][1]])
files = st.fixed_dictionaries(
    {
        "path": texts,
        "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
        "size": st.integers(0, 2**62),
    },
    optional={
        "href": texts.map("https://example.org/{}".format),
        "role": st.sampled_from(["image", "labels", "table", "sidecar"]),
        "scene": texts,
        "part": st.integers(0, 2**31),
        "count": st.integers(1, 2**31),
        "dtype": st.sampled_from(
            ["uint8", "int16", "float64", "complex64", "complex128", "complex_int16"]
        ),
        "nodata": st.floats(allow_nan=False),
        "crs": st.one_of(st.just("EPSG:4326"), st.just("IAU_2015:30100"), texts),
        "transform": st.lists(st.floats(allow_nan=False), min_size=6, max_size=6),
        "bbox": boxes,
        "datetime": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    },
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(files, min_size=1, max_size=6, unique_by=lambda row: row["path"]),
    st.randoms(use_true_random=False),
)
def test_any_rows_come_back_and_their_order_does_not_matter(
    rows: list[dict[str, Any]], random: Any
) -> None:
    content = written(*rows)
    assert plain(read_manifest(content)) == sorted(rows, key=lambda row: str(row["path"]).encode())
    random.shuffle(rows)
    assert written(*rows) == content


def test_rows_beyond_one_row_group_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {**SCENE, "path": f"{n:03d}.tif", "bbox": [float(n), 0.0, n + 1.0, 1.0]} for n in range(10)
    ]
    monkeypatch.setattr("mlops_assets.datasets.versions.manifest._ROWS_AT_ONCE", 3)
    content = written(*reversed(rows))
    assert pq.ParquetFile(pa.BufferReader(content)).num_row_groups == 4
    assert plain(read_manifest(content)) == rows
    geo = json.loads(pq.read_metadata(pa.BufferReader(content)).metadata[b"geo"])
    assert geo["columns"]["geometry"]["bbox"] == [0.0, 0.0, 10.0, 1.0]


def test_a_frame_of_arrays_and_wide_types_is_taken() -> None:
    frame = pd.DataFrame([SCENE, BY_REFERENCE])  # whole numbers beside a null are floats
    frame["bbox"] = pd.Series([np.array(SCENE["bbox"]), np.nan], dtype=object)
    frame["datetime"] = frame["datetime"].astype("datetime64[ns, UTC]")
    assert plain(read_manifest(content_of(frame))) == [
        SCENE,
        BY_REFERENCE,
    ]


def test_duckdb_opens_it_without_extensions(manifest: Path) -> None:
    connection = duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )
    found = connection.execute(
        """SELECT assets.data."file:local_path", assets.data.href, bbox.xmin, datetime
        FROM read_parquet(?)
        ORDER BY 1""",
        [str(manifest)],
    ).fetchall()
    assert [row[0] for row in found] == [PACIFIC["path"], SCENE["path"], "t.csv"]
    assert [row[1][:28] for row in found[:2]] == [
        "../../../objects/sha256/11/1",
        "../../../objects/sha256/ab/c",
    ]
    assert [row[2] for row in found] == [175.0, -5.0, None]
    assert [row[3] for row in found] == [CREATED, SCENE["datetime"], CREATED]
    where = (
        '"mlops:datetime_is" IS NULL AND '
        + "datetime BETWEEN '2024-01-01' AND '2025-01-01' AND bbox.xmin >= -10"
    )
    assert connection.execute(
        f"SELECT count(*) FROM read_parquet(?) WHERE {where}", [str(manifest)]
    ).fetchall() == [(1,)]


def test_geopandas_opens_it(manifest: Path) -> None:
    frame = geopandas.read_parquet(manifest)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.bounds.to_numpy()[1].tolist() == SCENE["bbox"]
    assert frame.geometry.isna().tolist() == [False, False, True]
    in_new_zealand = frame.cx[176:177, -40.5:-40.4]
    assert in_new_zealand["mlops:scene"].tolist() == ["z"]
    assert frame.cx[0:1, -40.5:-40.4].empty


# In a process of its own that ends at once: at the end of an interpreter rustac 0.9.18 now and then
# crashes it.
RUSTAC = """
import asyncio, json, os, sys, rustac

async def read():
    return await rustac.read(sys.argv[1])

print(json.dumps(asyncio.run(read())["features"]), flush=True)
os._exit(0)
"""


def opened_by_rustac(path: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", RUSTAC, path], capture_output=True, text=True, timeout=60, check=True
    )
    items: list[dict[str, Any]] = json.loads(done.stdout)
    return items


def test_rustac_opens_it_as_valid_items(manifest: Path) -> None:
    pacific, scene, table = opened_by_rustac(manifest)
    for item in (pacific, scene, table):
        if "bbox" not in item:
            # rustac has no null geometry, and makes it an empty polygon
            item = {
                **item,
                "geometry": None,
            }
        assert len(validate_dict(item, extensions=[])) == 1
    assert scene["properties"]["datetime"] == "2024-01-02T03:04:05Z"
    assert "start_datetime" not in scene["properties"]
    assert (scene["properties"]["proj:code"], scene["properties"]["data_type"]) == (
        "EPSG:32630",
        "cfloat32",
    )
    assert scene["assets"]["data"]["file:checksum"] == f"1220{SCENE['sha256']}"
    assert scene["assets"]["data"]["type"] == "image/tiff; application=geotiff"
    assert (pacific["properties"]["proj:wkt2"], pacific["assets"]["data"]["roles"]) == (
        WKT,
        ["labels"],
    )
    assert table["assets"]["data"]["href"] == BY_REFERENCE["href"]
    assert (scene["id"], table["id"]) == (
        "fields-v1-images___b.tif-4ac1f7f623a0",
        "fields-v1-t.csv",
    )
    assert (scene["collection"], table["properties"]["mlops:datetime_is"]) == (
        "fields-v1",
        "unknown",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [SCENE],
        [BY_REFERENCE],
        [PACIFIC],
        [SCENE, BY_REFERENCE],
        [PACIFIC, BY_REFERENCE],
        [SCENE, PACIFIC],
    ],
)
def test_rustac_opens_every_mixture_of_footprints(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "manifest.parquet"
    path.write_bytes(written(*rows))
    boxes = [item.get("bbox") for item in opened_by_rustac(path)]
    assert boxes == [row.get("bbox") for row in sorted(rows, key=lambda r: r["path"])]


def test_a_box_across_the_antimeridian_stays_there() -> None:
    (crossing,) = footprints(np.array([[175.0, -41.0, -175.0, -40.0]]))
    assert crossing.geom_type == "MultiPolygon"
    assert crossing.area == pytest.approx(10.0)
    assert sorted(part.bounds for part in crossing.geoms) == [
        (-180, -41, -175, -40),
        (175, -41, 180, -40),
    ]


def test_an_unknown_box_has_no_footprint() -> None:
    assert footprints(np.array([[math.nan] * 4, [0, 0, math.inf, 1]])).tolist() == [None, None]


def times(content: bytes) -> list[tuple[datetime | str | None, ...]]:
    columns = ["datetime", "start_datetime", "end_datetime", "mlops:datetime_is"]
    table = pq.read_table(pa.BufferReader(content), columns=columns)
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_file_without_a_time_has_that_of_its_publication_and_states_so() -> None:
    assert times(written(SCENE)) == [(SCENE["datetime"], None, None, None)]
    assert times(written(BY_REFERENCE)) == [(CREATED, None, None, "unknown")]
    assert read_manifest(written(BY_REFERENCE))["datetime"].isna().all()


def test_the_times_of_a_manifest_of_an_older_release_are_read() -> None:
    table = pq.read_table(pa.BufferReader(written(BY_REFERENCE, SCENE))).drop_columns(
        "mlops:datetime_is"
    )
    moments = pa.array([SCENE["datetime"], None], table.schema.field("datetime").type)
    since = pa.array([None, datetime(1, 1, 1, tzinfo=UTC)], moments.type)
    for name, column in {"datetime": moments, "start_datetime": since}.items():
        table = table.set_column(table.column_names.index(name), name, column)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    assert read_manifest(sink.getvalue().to_pybytes())["datetime"].isna().tolist() == [False, True]


def test_a_declared_interval_narrows_what_is_unknown() -> None:
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    assert times(written(BY_REFERENCE, SCENE, interval=(since, until))) == [
        (SCENE["datetime"], None, None, None),
        (since, since, until, None),
    ]
    assert times(written(BY_REFERENCE, interval=(since, None))) == [(since, since, CREATED, None)]
    assert times(written(BY_REFERENCE, interval=(None, until))) == [(until, None, None, "latest")]
    assert read_manifest(written(BY_REFERENCE, interval=(since, until)))["datetime"].isna().all()


def test_the_metadata_is_that_of_geoparquet_and_stac_geoparquet() -> None:
    metadata = pq.read_metadata(pa.BufferReader(written(SCENE, BY_REFERENCE))).metadata
    geo = json.loads(metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert (geo["version"], column["encoding"], column["geometry_types"]) == (
        "1.1.0",
        "WKB",
        ["Polygon"],
    )
    assert column["bbox"] == SCENE["bbox"]
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
    assert json.loads(metadata[b"stac-geoparquet"]) == {"version": "1.1.0"}


def test_ids_are_unique_and_safe_in_urls() -> None:
    paths = [
        "a/b.tif",
        "a_b.tif",
        "a b.tif",
        "å.tif",
        "ä.tif",
        "x" * 300,
        "x" * 301,
        "plain-1.0_x.tif",
    ]
    ids = [item_id(path) for path in paths]
    assert len(set(ids)) == len(paths) and ids[-1] == paths[-1]
    assert max(map(len, ids)) < 120
    assert all(set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-") for found in ids)


def test_media_types_go_by_the_ending() -> None:
    paths = ["a.TIF", "b/c.d/e", "x.csv", "y.npy", ".png"]
    expected = [
        "image/tiff; application=geotiff",
        "application/octet-stream",
        "text/csv",
        "application/octet-stream",
    ]
    assert [media_type(path) for path in paths[:4]] == expected
    assert media_types(pd.Series(paths)).tolist()[:4] == expected
