"""GeoTIFFs that are known by the header of a similar one have the facts that GDAL finds in them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine

from mlops_assets.datasets.io.geotiff_headers import SimilarGeotiffs, geotiff_header
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers.image_folder import image_facts


def from_origin(west: float, north: float, width: float, height: float) -> Affine:
    return Affine(width, 0.0, west, 0.0, -height, north)


UTM = from_origin(600_000, 5_300_000, 10, 10)
FAR = from_origin(312_345.25, 812_345.5, 10, 10)
POINTS = [GroundControlPoint(0, 0, 9.0, 47.0), GroundControlPoint(5, 0, 9.0, 46.9)]
POINTS.append(GroundControlPoint(0, 6, 9.1, 47.0))


def write(
    path: Path, values: NDArray[Any], tags: dict[str, str] | None = None, **profile: Any
) -> None:
    options = {"crs": "EPSG:32632", "transform": UTM, "dtype": values.dtype.name, **profile}
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with open_raster(path, "w", driver="GTiff", **shape, **options) as raster:
        raster.write(values)
        raster.update_tags(**tags or {})


def numbers(dtype: str, seed: int = 0, shape: Sequence[int] = (3, 5, 6)) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(1, 100, tuple(shape)).astype(dtype)


# what the second of two files has otherwise than the first, and whether GDAL is spared
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "pixels": ({}, {}, True),
    "place": ({}, {"transform": FAR}, True),
    "antimeridian": (
        {"crs": "EPSG:4326", "transform": from_origin(9, 47, 0.1, 0.1)},
        {"crs": "EPSG:4326", "transform": from_origin(179.8, 47, 0.1, 0.1)},
        True,
    ),
    "size of a pixel": ({}, {"transform": from_origin(600_000, 5_300_000, 20, 20)}, False),
    "CRS": ({}, {"crs": "EPSG:32633"}, False),
    "no place": ({"crs": None, "transform": None}, {"crs": None, "transform": None}, True),
    "big endian": ({"ENDIANNESS": "BIG"}, {"ENDIANNESS": "BIG", "transform": FAR}, True),
    "byte order": ({}, {"ENDIANNESS": "BIG"}, False),
    "bands by planes": ({"interleave": "band"}, {"interleave": "band", "transform": FAR}, True),
    "layout": ({"interleave": "pixel"}, {"interleave": "band"}, False),
    "tiles": (
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "transform": FAR},
        True,
    ),
    "compressed": ({"compress": "deflate"}, {"compress": "deflate"}, False),
    "nodata": ({"nodata": 7}, {"nodata": 7, "transform": FAR}, True),
    "other nodata": ({"nodata": 7}, {"nodata": 8}, False),
    "metadata": ({"tags": {"a": "b"}}, {"tags": {"a": "c"}}, False),
    "a pixel is a point": (
        {"tags": {"AREA_OR_POINT": "Point"}},
        {"tags": {"AREA_OR_POINT": "Point"}, "transform": FAR},
        False,
    ),
    "rotated": (
        {"transform": UTM @ Affine.rotation(30)},
        {"transform": FAR @ Affine.rotation(30)},
        False,
    ),
    "south up": ({"transform": UTM @ Affine.scale(1, -1)}, {}, False),
    "control points": (
        {"crs": "EPSG:4326", "transform": None, "gcps": POINTS},
        {"crs": "EPSG:4326", "transform": None, "gcps": POINTS},
        False,
    ),
    "alpha": (
        {"photometric": "RGB", "alpha": "yes"},
        {"photometric": "RGB", "alpha": "yes"},
        False,
    ),
    "packed": ({"NBITS": 7}, {"NBITS": 7}, True),
    "packed with nodata": ({"NBITS": 7, "nodata": 1}, {"NBITS": 7, "nodata": 1}, False),
    "GeoTIFF 1.1": ({"GEOTIFF_VERSION": "1.1"}, {"GEOTIFF_VERSION": "1.1", "transform": FAR}, True),
    "BigTIFF": ({"BIGTIFF": "YES"}, {"BIGTIFF": "YES"}, False),
}


CASES = [
    (pair, dtype)
    for pair, (first, _, _) in PAIRS.items()
    for dtype in ("uint8", "int16", "float32")
    if dtype == "uint8" or "NBITS" not in first
]


@pytest.mark.parametrize(("pair", "dtype"), CASES)
def test_facts_by_a_similar_file_are_those_of_gdal(tmp_path: Path, pair: str, dtype: str) -> None:
    first, second, spared = PAIRS[pair]
    count = 4 if "alpha" in first else 3
    similar = SimilarGeotiffs()
    for number, options in enumerate((first, second)):
        write(tmp_path / f"{number}.tif", numbers(dtype, number, (count, 5, 6)), **options)
    remember(similar, tmp_path / "0.tif")
    header = geotiff_header(tmp_path / "1.tif")
    found = similar.facts(header) if header else None
    # what fills a tile up need not be finite
    assert (found is not None) == (spared and (pair, dtype) != ("tiles", "float32"))
    if found is not None:
        expected = image_facts(tmp_path / "1.tif", "1.tif").facts
        assert {**found, "path": "1.tif"} == expected


def remember(similar: SimilarGeotiffs, path: Path) -> None:
    image = image_facts(path, path.name)
    header = geotiff_header(path)
    if header is not None:
        similar.remember(header, image.facts, image.crs)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def move_a_strip(path: Path, to: int) -> None:
    """Let the first strip begin elsewhere: at 0 as in a sparse file, or beyond the end."""
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == 273:
            struct.pack_into("<I", content, entry + 8, to)
    path.write_bytes(content)


def rewrite(change: Callable[[NDArray[Any]], Any], **profile: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        values = numbers("float32", 1)
        change(values)
        write(path, values, **profile)

    return apply


FAULTS: dict[str, tuple[dict[str, Any], Callable[[Path], object]]] = {
    "truncated": ({}, truncate),
    "a strip is nowhere": ({}, lambda path: move_a_strip(path, 0)),
    "a strip ends beyond the end": (
        {},
        lambda path: move_a_strip(path, path.stat().st_size - 8),
    ),
    "NaN": ({}, rewrite(lambda values: values.__setitem__((0, 2, 2), np.nan))),
    "infinite": ({}, rewrite(lambda values: values.__setitem__((2, 4, 5), np.inf))),
    "NaN beside nodata": (
        {"nodata": 7},
        rewrite(lambda values: values.__setitem__((0, 2, 2), np.nan), nodata=7),
    ),
    "nothing but nodata": ({"nodata": 7}, rewrite(lambda values: values.fill(7), nodata=7)),
    "metadata beside it": ({}, lambda path: path.with_name("1_MTL.txt").touch()),
    "a sidecar": ({}, lambda path: path.with_name("1.tif.aux.xml").touch()),
    "a mask": ({}, lambda path: path.with_name("1.tif.msk").touch()),
    "another file of its name": ({}, lambda path: path.with_name("1.tiff").touch()),
    "empty": ({}, lambda path: path.write_bytes(b"")),
    "a loop": ({}, lambda path: path.write_bytes(b"II*\0\x04\0\0\0")),
    "gone": ({}, Path.unlink),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_only_gdal_can_tell_is_left_to_it(tmp_path: Path, fault: str) -> None:
    profile, spoil = FAULTS[fault]
    similar = SimilarGeotiffs()
    for number in range(2):
        write(tmp_path / f"{number}.tif", numbers("float32", number), **profile)
    remember(similar, tmp_path / "0.tif")
    whole = geotiff_header(tmp_path / "1.tif")
    assert whole is not None and similar.facts(whole) is not None
    spoil(tmp_path / "1.tif")
    header = geotiff_header(tmp_path / "1.tif")
    assert header is None or similar.facts(header) is None


def test_an_empty_first_file_does_not_make_others_empty(tmp_path: Path) -> None:
    write(tmp_path / "0.tif", np.full((1, 4, 4), 7, dtype=np.uint8), nodata=7)
    write(tmp_path / "1.tif", numbers("uint8", 1, (1, 4, 4)), nodata=7)
    similar = SimilarGeotiffs()
    remember(similar, tmp_path / "0.tif")
    header = geotiff_header(tmp_path / "1.tif")
    assert header is not None
    assert similar.facts(header) == {
        **image_facts(tmp_path / "1.tif", "1.tif").facts,
        "path": "0.tif",
    }


def test_a_place_without_a_way_to_degrees_is_left_to_gdal(tmp_path: Path) -> None:
    moon = CRS.from_wkt(
        'GEOGCS["Moon",DATUM["Moon",SPHEROID["Moon",1737400,0]],PRIMEM["R",0],UNIT["degree",0.0174532925199433]]'
    )
    for number in range(2):
        write(tmp_path / f"{number}.tif", numbers("uint8", number), crs=moon)
    similar = SimilarGeotiffs()
    remember(similar, tmp_path / "0.tif")
    header = geotiff_header(tmp_path / "1.tif")
    found = similar.facts(header) if header else None
    assert (
        found is None
        or {**found, "path": "1.tif"} == image_facts(tmp_path / "1.tif", "1.tif").facts
    )
