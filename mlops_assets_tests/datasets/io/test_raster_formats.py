"""Documents under the names of images and labels.

GDAL reads no other file and asks no server for them.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.shutil import copy
from shapely import Point

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers.scenes.vector_labels import VectorLabels
from mlops_assets.datasets.readers.table_geoparquet import read_geoparquet
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets_tests.datasets.readers.landing import write_raster

CANARY = "root:x:0:0"
PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback, and what it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(256))
                    connection.sendall(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def url(listener: tuple[str, list[bytes]]) -> Iterator[str]:
    """The URL of a server that must not be asked anything."""
    address, heard = listener
    heard.clear()
    yield address
    assert heard == []


def vrt(
    source: str, attributes: str = "", band: str = "", relative: int = 0, more: str = ""
) -> str:
    return (
        f'<VRTDataset rasterXSize="16" rasterYSize="16">{more}<VRTRasterBand dataType="Byte"'
        f' band="1"{band}>'
        "<SimpleSource><SourceFilename"
        f' relativeToVRT="{relative}"{attributes}>{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


RAW = (
    '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"'
    ' subClass="VRTRawRasterBand">'
    '<SourceFilename relativetoVRT="0">/etc/passwd</SourceFilename><ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>8</LineOffset></VRTRasterBand></VRTDataset>"
)
TILES = (
    "<GDAL_WMS><Service"
    ' name="TMS"><ServerUrl>URL/wms/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY>"
    "<LowerRightX>20037508</LowerRightX>"
    "<LowerRightY>-20037508</LowerRightY><TileLevel>0</TileLevel><TileCountX>1</TileCountX>"
    "<TileCountY>1</TileCountY></DataWindow><Projection>EPSG:3857</Projection>"
    "<BlockSizeX>8</BlockSizeX>"
    "<BlockSizeY>8</BlockSizeY><BandsCount>1</BandsCount></GDAL_WMS>"
)
DOCUMENTS = {
    "a raw file": RAW,
    "a file of a server": vrt("/vsicurl/URL/x.tif"),
    "tiles": TILES,
    "WCS": "<WCS_GDAL><ServiceURL>URL/wcs?</ServiceURL><CoverageName>x</CoverageName></WCS_GDAL>",
    "WMTS": (
        "<GDAL_WMTS><GetCapabilitiesUrl>URL/wmts</GetCapabilitiesUrl><Layer>x</Layer></GDAL_WMTS>"
    ),
    "a URL": "URL/x.tif",
    "STAC": json.dumps(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "assets": {"x": {"href": "/vsicurl/URL/x.tif"}},
        }
    ),
}
IN_VRT = {
    "derived": vrt("/etc/passwd", band=' subClass="VRTDerivedRasterBand"'),
    "an archive": vrt("/vsizip/a.zip/a.tif"),
    "text": vrt("/etc/passwd"),
    "a path of GDAL": vrt("NETCDF:/etc/passwd:x"),
    "options": vrt("a.tif", relative=1).replace("<SourceBand>", "<OpenOptions/><SourceBand>"),
    "spelled otherwise": vrt("&#47;vsicurl/URL/x.tif", relative=1),
    "overviews": vrt(
        "ok.tif",
        relative=1,
        more='<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">URL</MDI></Metadata>',
    ),
    "a disguised source": vrt("tiles.tif", relative=1),
    "a disguised image": vrt("wide.jpg", relative=1),
    "disguised overviews of a source": vrt("with.tif", relative=1),
    "warped": (
        "<VRTDataset"
        ' subClass="VRTWarpedDataset"><GDALWarpOptions><SourceDataset>/etc/passwd</SourceDataset>'
        "</GDALWarpOptions></VRTDataset>"
    ),
    "comments": f"<!-- -->{vrt('ok.tif', relative=1)}",
    "entities": f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>{vrt("&e;")}',
}


def read_all(local: Path) -> None:
    """Read everything that the platform reads of a raster."""
    with open_raster(local) as raster:
        raster.read()
        raster.read_masks()
        raster.read(out_shape=(1, 4, 4))
        raster.overviews(1)
        assert raster.files


@pytest.mark.parametrize(
    "suffix", [".tif", ".png", ".jpg", ".jp2", ".img", ".nc", ".asc", ".dat", ".xml", ""]
)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_under_the_name_of_an_image_is_refused(
    document: str, suffix: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / f"x{suffix}").write_text(DOCUMENTS[document].replace("URL", url))
    with pytest.raises(ValueError, match="cannot be read or written as a raster"):
        read_all(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("document", DOCUMENTS | IN_VRT)
def test_a_vrt_reads_images_beside_it_only(document: str, url: str, tmp_path: Path) -> None:
    for name in ("ok.tif", "with.tif"):
        write_raster(tmp_path / name, PIXELS)
    (tmp_path / "with.tif.ovr").write_text(TILES.replace("URL", url))
    (tmp_path / "tiles.tif").write_text(TILES.replace("URL", url))
    (tmp_path / "wide.jpg").write_bytes(b"\xff\xd8\xff\xe1" + vrt("/etc/passwd").encode())
    (tmp_path / "x.vrt").write_text((DOCUMENTS | IN_VRT)[document].replace("URL", url))
    with pytest.raises(ValueError) as raised:
        read_all(tmp_path / "x.vrt")
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("ending", [".ovr", ".msk", ".MSK", ".msk.ovr", ".OvR"])
@pytest.mark.parametrize("document", [*DOCUMENTS, "text"])
def test_a_document_under_the_name_of_a_sidecar_is_refused(
    document: str, ending: str, url: str, tmp_path: Path
) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    (tmp_path / f"a.tif{ending}").write_text((DOCUMENTS | IN_VRT)[document].replace("URL", url))
    with pytest.raises(ValueError, match=f"has a a.tif{ending} beside it that is not a GeoTIFF"):
        read_all(image)


@pytest.mark.parametrize("key", ["OVERVIEW_FILE", "&#79;VERVIEW_FILE", "overview_file"])
@pytest.mark.parametrize(
    "name", ["a.tif.aux.xml", "a.aux.xml", "a.tif.msk.aux.xml", "a.tif.AUX.XML"]
)
def test_metadata_beside_an_image_names_no_file(
    key: str, name: str, url: str, tmp_path: Path
) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    (tmp_path / name).write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI'
        f' key="{key}">/vsicurl/{url}/o.tif</MDI></Metadata></PAMDataset>'
    )
    with pytest.raises(ValueError, match="names a file of overviews"):
        read_all(image)


def test_sidecars_that_an_image_needs_are_read(tmp_path: Path) -> None:
    image = tmp_path / "a.tif"
    write_raster(image, PIXELS)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False, TIFF_USE_OVR=True),
        open_raster(image, "r+") as raster,
    ):
        raster.write_mask(np.full((16, 16), 255, dtype=np.uint8))
        raster.build_overviews([2])
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand"
        ' band="1"><Description>red</Description></PAMRasterBand></PAMDataset>'
    )
    with open_raster(image) as raster:
        copy(raster, tmp_path / "b.vrt", driver="VRT")
        assert raster.descriptions == ("red",)
        assert {f"a.tif{own}" for own in ("", ".ovr", ".msk.ovr", ".aux.xml")} <= {
            Path(f).name for f in raster.files
        }
    with open_raster(tmp_path / "b.vrt") as raster:
        np.testing.assert_array_equal(raster.read(), PIXELS)


@pytest.mark.parametrize(
    ("name", "other"), [("a.tif", "a.tfw"), ("A.TIF", "a.tfw"), ("a.tif", "a.Tfw")]
)
def test_a_world_file_is_found_however_its_name_is_written(
    name: str, other: str, tmp_path: Path
) -> None:
    write_raster(tmp_path / name, PIXELS)
    write_raster(tmp_path / "z.tif", PIXELS)
    with open_raster(tmp_path / name) as raster:
        assert [Path(file).name for file in raster.files] == [name]
    (tmp_path / other).write_text("10\n0\n0\n-10\n500000\n5000000\n")
    with open_raster(tmp_path / name) as raster:
        assert {Path(file).name for file in raster.files} == {name, other}
        assert raster.transform.a == 10


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
SAMPLING = Sampling()
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
        VectorLabels(labels.name, {labels.name: labels}, SAMPLING, [])
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
        VectorLabels(labels.name, {labels.name: labels}, Sampling(), [])
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
            VectorLabels(
                path.name,
                {path.name: path},
                Sampling(),
                [{"value": 1, "name": "a"}, {"value": 2, "name": "b"}],
            )
    else:
        VectorLabels(
            path.name,
            {path.name: path},
            Sampling(),
            [{"value": 1, "name": "a"}, {"value": 2, "name": "b"}],
        )


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
            VectorLabels(labels.name, {labels.name: labels}, Sampling(), [])


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


PLACE = rasterio.Affine(1, 0, 10, 0, -1, 20)


def test_an_erdas_image_has_no_pixels_of_a_file_elsewhere(tmp_path: Path) -> None:
    outside, landing = tmp_path / "outside", tmp_path / "landing"
    outside.mkdir()
    landing.mkdir()
    elsewhere = "../outside/a.ige"
    # a name as long as the path that is to stand there
    written = outside / f"{'n' * (len(elsewhere) - 4)}.img"
    shape = {
        "driver": "HFA",
        "width": 8,
        "height": 8,
        "count": 1,
        "dtype": "uint8",
        "transform": PLACE,
    }
    with rasterio.open(written, "w", **shape, USE_SPILL="YES") as raster:
        raster.write(np.full((1, 8, 8), 83, dtype=np.uint8))
    written.with_suffix(".ige").rename(outside / "a.ige")
    image = written.read_bytes().replace(
        written.with_suffix(".ige").name.encode(), elsewhere.encode()
    )
    (landing / "a.img").write_bytes(image)
    with (
        pytest.raises(ValueError, match=r"of another folder, a\.ige; convert it"),
        open_raster(landing / "a.img"),
    ):
        pass
    with rasterio.open(landing / "b.img", "w", **shape, USE_SPILL="YES") as raster:
        raster.write(np.full((1, 8, 8), 7, dtype=np.uint8))
    with open_raster(landing / "b.img") as raster:
        assert (raster.read() == 7).all()
