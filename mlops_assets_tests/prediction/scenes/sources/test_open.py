"""Scenes brought here: values and masks against independent computations, and errors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.enums import ColorInterp
from rasterio.warp import transform
from scipy.ndimage import map_coordinates, maximum_filter

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import IntegrityError, SpecificationError, StorageError
from mlops_assets.prediction.scenes.bands import Band, Wanted
from mlops_assets.prediction.scenes.found import FoundScene, LocalScene, SourceFile
from mlops_assets.prediction.scenes.reading import Grid, Mask, Reading
from mlops_assets.prediction.scenes.sources.find import find_scenes
from mlops_assets.prediction.scenes.sources.open import open_scene
from mlops_assets.store import Store
from mlops_assets_tests.conftest import require_shared_data
from mlops_assets_tests.prediction.scenes.sources.items import (
    GEOTIFF,
    ORIGIN,
    noise,
    wanted,
    write_item,
    write_raster,
)
from mlops_assets_tests.servers.web import WebFolder

SENTINEL = {"B02": 10, "B11": 20, "B01": 60}
NONE = Reading()


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    """An Item of bands of 10, 20 and 60 m and a scene classification of 20 m."""
    folder = tmp_path / "tile"
    for name, size in SENTINEL.items():
        write_raster(folder / f"{name}.tif", noise(480 // size, 480 // size), size)
    classes = np.full((1, 24, 24), 4, np.uint8)
    classes[0, 4:7, 3:6] = 9
    classes[0, 20, 20] = 0
    write_raster(folder / "scl.tif", classes, 20, nodata=0)
    return write_item(folder, {name: {} for name in (*SENTINEL, "scl")})


def opened(
    store: Store, source: Path, bands: Wanted, reading: Reading, folder: Path
) -> tuple[LocalScene, NDArray[Any], NDArray[np.bool_]]:
    """Return the scene of a source, its values, and which pixels its dataset mask shows."""
    folder.mkdir()
    (found,) = find_scenes(store, [str(source)])
    scene = open_scene(store, found, bands, reading, folder)
    with open_raster(scene.raster) as raster:
        return scene, raster.read(), raster.dataset_mask() > 0


def bilinear(values: NDArray[Any], valid: NDArray[np.bool_], factor: int) -> NDArray[np.float64]:
    """Return values on a grid that is finer by a factor, from valid neighbours only."""
    steps = (np.arange(len(values) * factor) + 0.5) / factor - 0.5
    places = np.meshgrid(steps, steps, indexing="ij")
    weights = map_coordinates(valid.astype(float), places, order=1, mode="nearest")
    sums = map_coordinates(np.where(valid, values, 0.0), places, order=1, mode="nearest")
    return np.asarray(sums / np.maximum(weights, 1e-9))


def test_bands_of_a_tile_are_aligned_on_the_finest_grid(
    store: Store, tile: Path, tmp_path: Path
) -> None:
    scene, values, shown = opened(store, tile, wanted("B01", "B02", "B11"), NONE, tmp_path / "a")

    assert values.shape == (3, 48, 48)
    assert shown.all()
    for found, name in zip(values, ("B01", "B02", "B11"), strict=True):
        with open_raster(tile.parent / f"{name}.tif") as raster:
            own = raster.read(1)
        expected = bilinear(own, own > 0, SENTINEL[name] // 10)
        assert np.abs(found - expected).max() <= 0.5 + 1e-6, name
    with open_raster(scene.raster) as raster:
        assert raster.transform == Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
        assert raster.descriptions == ("B01", "B02", "B11")
    assert [(file.asset, file.sha256) for file in scene.files] == [
        (name, hashlib.sha256((tile.parent / f"{name}.tif").read_bytes()).hexdigest())
        for name in ("B01", "B02", "B11")
    ]


@pytest.mark.parametrize(("trained", "size"), [(9.6, 10), (22.0, 20), (90.0, 60)])
def test_the_grid_is_the_one_that_the_model_has_learned_on(
    store: Store, tile: Path, tmp_path: Path, trained: float, size: int
) -> None:
    bands = replace(wanted("B01", "B02", "B11"), resolution=lambda: trained)

    _, values, shown = opened(store, tile, bands, NONE, tmp_path / "a")

    assert values.shape == (3, 480 // size, 480 // size)
    assert shown.all()
    if size == 20:
        with open_raster(tile.parent / "B02.tif") as raster:
            fine = raster.read(1).astype(float)
        # a pixel that is twice as large: the mean of those that it covers, and their neighbours
        weights = np.array([1, 3, 3, 1]) / 8
        rows = np.apply_along_axis(np.convolve, 0, np.pad(fine, 1, mode="edge"), weights, "valid")
        both = np.apply_along_axis(np.convolve, 1, rows, weights, "valid")[::2, ::2]
        assert np.abs(values[1] - both)[1:-1, 1:-1].max() <= 0.5 + 1e-6


@pytest.mark.parametrize("kind", ["nodata", "Item", "NaN beside nodata", "mask", "alpha"])
def test_pixels_without_data_do_not_bleed_into_their_neighbours(
    store: Store, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "tile"
    write_raster(folder / "fine.tif", noise(48, 48), 10)
    own = noise(24, 24, dtype="float32")[0]
    valid = np.ones(own.shape, bool)
    valid[5:9, 7] = valid[15, 15] = valid[0, 0] = False
    stored, nodata = own.copy(), None
    names: tuple[str, ...] = ("coarse",)
    stored[~valid] = 30_000
    if "nodata" in kind:
        stored[~valid], nodata = -9999, -9999
    if "NaN" in kind:
        stored[15, 15] = np.nan
    bands = stored[None]
    if kind == "alpha":
        bands, names = np.stack([stored, valid * np.float32(255)]), ("coarse", "alpha")
    path = write_raster(folder / "coarse.tif", bands, 20, names, nodata=nodata)
    with open_raster(path, "r+") as raster:
        if kind == "mask":
            raster.write_mask(valid)
        if kind == "alpha":
            raster.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    fields = {"bands": [{"name": "coarse", "nodata": 30_000}]} if kind == "Item" else {}
    item = write_item(folder, {"fine": {}, "coarse": fields})

    _, values, shown = opened(store, item, wanted("fine", "coarse"), NONE, tmp_path / "a")
    _, _, alone = opened(store, item, wanted("coarse"), NONE, tmp_path / "b")

    assert (alone[~np.isnan(stored)] == valid[~np.isnan(stored)]).all()
    assert (shown == np.kron(valid, np.ones((2, 2), bool))).all()
    assert np.abs(values[1] - bilinear(own, valid, 2))[shown].max() < 0.01


def test_a_declared_grid_in_the_next_zone(store: Store, tmp_path: Path) -> None:
    # a plane: values are positions, so that an error of half a pixel is one of half a value
    rows, columns = np.mgrid[:60, :80]
    plane = np.stack([rows, columns]).astype(np.float32)
    path = write_raster(tmp_path / "scene.tif", plane, 20, ("row", "column"))
    grid = Grid("EPSG:32633", 30)

    scene, values, shown = opened(
        store, path, wanted("column", "row"), Reading(grid=grid), tmp_path / "a"
    )

    with open_raster(scene.raster) as raster:
        assert raster.crs is not None
        assert raster.crs.to_string() == "EPSG:32633"
        place = raster.transform
    assert (place.a, place.e, place.c % 30, place.f % 30) == (30, -30, 0, 0)
    y, x = np.mgrid[: shown.shape[0], : shown.shape[1]] + 0.5
    eastings, northings = place @ (x.ravel(), y.ravel())
    own = transform("EPSG:32633", "EPSG:32632", eastings, northings)
    expected = (np.array(own) - np.array(ORIGIN)[:, None]) / [[20], [-20]] - 0.5
    expected = expected.reshape(2, *shown.shape)
    limits = np.array([79, 59])[:, None, None]
    inner = ((expected > 1) & (expected < limits - 1)).all(axis=0)
    beyond = ((expected < -1) | (expected > limits + 1)).any(axis=0)
    assert inner.sum() > 1500
    assert shown[inner].all()
    assert not shown[beyond].any()
    assert np.abs(values - expected)[:, inner].max() < 0.13


def test_a_sentinel_2_scene_on_a_grid_in_metres(store: Store, tmp_path: Path) -> None:
    path = require_shared_data("eotdl_sentinel2_boadella", "sentinel_2") / "Boadella_2020-01-13.tif"
    grid = Grid("EPSG:32631", 10, (483_000, 4_686_400, 486_500, 4_690_000))
    names = tuple(f"B{number:03d}" for number in range(1, 13))

    _, values, shown = opened(store, path, wanted(*names), Reading(grid=grid), tmp_path / "a")

    with open_raster(path) as raster:
        place, own = ~raster.transform, raster.read().astype(float)
    y, x = np.mgrid[:360, :350] * 10 + 5.0
    degrees = transform("EPSG:32631", "EPSG:4326", (483_000 + x).ravel(), (4_690_000 - y).ravel())
    columns, rows = np.reshape(place @ np.array(degrees), (2, 360, 350)) - 0.5
    inside = (columns > 1) & (rows > 1) & (columns < 378) & (rows < 375)
    assert inside.sum() > 50_000
    assert shown[inside].all()
    for found, band in zip(values, own, strict=True):
        expected = map_coordinates(band, [rows, columns], order=1, mode="nearest")
        steep = np.abs(np.gradient(band)).max(axis=0)
        # GDAL's places are exact to an eighth of a pixel
        near = map_coordinates(maximum_filter(steep, 3), [rows, columns], order=0, mode="nearest")
        assert (np.abs(found - expected) <= 0.5 + 0.25 * near)[inside].all()
        assert np.median(np.abs(found - expected)[inside]) <= 1


def test_a_declared_grid_whose_pixels_are_the_scenes_changes_no_value(
    store: Store, tmp_path: Path
) -> None:
    own = noise(40, 40, 2)
    path = write_raster(tmp_path / "scene.tif", own, 10, ("a", "b"), nodata=7)
    west, north = ORIGIN
    grid = Grid("EPSG:32632", 10, (west + 100, north - 300, west + 350, north - 50))

    scene, values, _ = opened(store, path, wanted("b", "a"), Reading(grid=grid), tmp_path / "a")

    assert (values == own[::-1, 5:30, 10:35]).all()
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["scene.vrt"]
    with open_raster(scene.raster) as raster:
        assert raster.nodatavals == (7, 7)


def test_a_mask_hides_pixels_by_their_nearest_code(
    store: Store, tile: Path, tmp_path: Path
) -> None:
    reading = Reading(mask=Mask("scl", (3, 8, 9, 10)))

    scene, _, shown = opened(store, tile, wanted("B02"), reading, tmp_path / "a")

    expected = np.ones((48, 48), bool)
    expected[8:14, 6:12] = False
    # the class that the file declares as nodata
    expected[40:42, 40:42] = False
    assert (shown == expected).all()
    assert [file.asset for file in scene.files] == ["B02", "scl"]
    both, values, _ = opened(store, tile, wanted("B02", "scl"), reading, tmp_path / "b")
    assert both.files == scene.files
    assert set(np.unique(values[1][shown])) == {4}


def test_an_area_crops_the_grid_and_hides_what_is_outside(
    store: Store, tile: Path, tmp_path: Path
) -> None:
    corners = np.array([[105, 95], [325, 95], [105, 305]])  # metres right of and below the origin
    x, y = ORIGIN[0] + corners[:, 0], ORIGIN[1] - corners[:, 1]
    ring = list(zip(*transform("EPSG:32632", "EPSG:4326", x, y), strict=True))
    area: dict[str, object] = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

    scene, values, shown = opened(
        store, tile, wanted("B11", "B02"), Reading(area=area), tmp_path / "a"
    )

    with open_raster(scene.raster) as raster:
        assert raster.transform == Affine(10, 0, ORIGIN[0] + 100, 0, -10, ORIGIN[1] - 90)
    rows, columns = np.mgrid[:22, :23]
    right, down = 10 * columns + 105, 10 * rows + 95
    assert shown.shape == rows.shape
    clearly = (right - 105) / 220 + (down - 95) / 210
    assert shown[(clearly < 0.97) & (right > 105) & (down > 95)].all()
    assert not shown[clearly > 1.03].any()
    with open_raster(tile.parent / "B11.tif") as raster:
        own = raster.read(1)
    assert np.abs(values[0] - bilinear(own, own > 0, 2)[9:31, 10:33]).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("how", ["palette", "classes", "embeddings"])
def test_codes_and_embeddings_are_not_interpolated(store: Store, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "tile"
    write_raster(folder / "B02.tif", noise(24, 24), 10)
    codes = np.random.default_rng(3).choice([10, 200], (1, 12, 12)).astype(np.uint8)
    path = write_raster(folder / "cover.tif", codes, 20)
    if how == "palette":
        with open_raster(path, "r+") as raster:
            raster.write_colormap(1, {10: (0, 0, 0, 255), 200: (9, 9, 9, 255)})
    fields: dict[str, dict[str, Any]] = {
        "palette": {},
        "classes": {"raster:bands": [{"classification:classes": [{"value": 10}]}]},
        "embeddings": {"roles": ["data", "embedding"]},
    }
    item = write_item(folder, {"B02": {}, "cover": fields[how]})

    _, values, _ = opened(store, item, wanted("B02", "cover"), NONE, tmp_path / "a")

    assert (values[1] == np.kron(codes[0], np.ones((2, 2), np.uint8))).all()


def test_south_up_files_keep_their_grid(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "tile"
    up = Affine(10, 0, ORIGIN[0], 0, 10, ORIGIN[1] - 240)
    own = noise(24, 24)
    write_raster(folder / "B02.tif", own[:, ::-1], 10, transform=up)
    coarse = noise(12, 12)
    write_raster(folder / "B11.tif", coarse, 20)
    item = write_item(folder, {"B02": {}, "B11": {}})

    scene, values, _ = opened(store, item, wanted("B02", "B11"), NONE, tmp_path / "a")

    with open_raster(scene.raster) as raster:
        assert raster.transform == up
    assert (values[0, ::-1] == own[0]).all()
    expected = bilinear(coarse[0], coarse[0] > 0, 2)
    assert np.abs(values[1, ::-1] - expected).max() <= 0.5 + 1e-6


def test_a_file_that_no_vrt_may_name_is_copied(store: Store, tmp_path: Path) -> None:
    # ENVI has no magic bytes, and GDAL takes what follows a colon for another driver's
    folder = tmp_path / "a:b"
    own = noise(24, 24, 3)
    path = write_raster(folder / "scene.img", own, 10, ("a", "b", "c"), driver="ENVI")
    grid = Grid("EPSG:32632", 10, (ORIGIN[0], ORIGIN[1] - 240, ORIGIN[0] + 240, ORIGIN[1]))

    scene, values, _ = opened(store, path, wanted("c", "a"), Reading(grid=grid), tmp_path / "a")

    assert (values == own[[2, 0]]).all()
    assert {Path(file.href).name for file in scene.files} >= {"scene.img", "scene.hdr"}


def test_bands_by_common_name_or_wavelength_of_the_item(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "tile"
    values: dict[str, NDArray[Any]] = {}
    for key in ("visual", "red", "red-jp2", "nir", "nir08"):
        values[key] = noise(8, 8, 3 if key == "visual" else 1) + len(values)
        write_raster(folder / f"{key}.tif", values[key], 10)
    red = {"name": "B04", "common_name": "red", "center_wavelength": 0.665}
    assets: dict[str, dict[str, Any]] = {
        # a picture of the data, which has the red band, too
        "visual": {"eo:bands": [red, {"name": "B03"}, {"name": "B02"}], "roles": ["visual"]},
        "red-jp2": {"eo:bands": [red], "type": "image/jp2", "href": "red-jp2.tif"},
        "red": {"eo:bands": [red]},
        "nir08": {"eo:bands": [{"name": "B8A", "center_wavelength": 0.865}]},
        "nir": {"eo:bands": [{"name": "B08", "center_wavelength": 0.842}]},
    }
    item = write_item(folder, assets)
    described = (Band("n", None, 0.8646), Band("r", "red", 0.6646))

    _, by_wavelength, _ = opened(
        store, item, wanted("n", "r", described=described), NONE, tmp_path / "a"
    )
    _, by_name, _ = opened(store, item, wanted("B04", "B08"), NONE, tmp_path / "b")
    common = (Band("r", "red"),)
    _, by_common, _ = opened(store, item, wanted("r", described=common), NONE, tmp_path / "c")

    assert (by_wavelength == np.concatenate([values["nir08"], values["red"]])).all()
    assert (by_common == values["red"]).all()
    assert (by_name == np.concatenate([values["red"], values["nir"]])).all()


def test_bands_of_one_file_by_its_item(store: Store, tmp_path: Path) -> None:
    own = noise(8, 8, 3)
    write_raster(tmp_path / "tile/image.tif", own, 10)
    bands = [{"name": name} for name in ("swir", "red", "blue")]
    item = write_item(tmp_path / "tile", {"image": {"bands": bands}})

    _, values, _ = opened(store, item, wanted("blue", "swir"), NONE, tmp_path / "a")

    assert (values == own[[2, 0]]).all()


def test_bands_of_one_file_by_its_own_names_beside_a_file_of_codes(
    store: Store, tmp_path: Path
) -> None:
    own = noise(8, 8, 3)
    write_raster(tmp_path / "tile/image.tif", own, 10, ("swir", "red", "blue"))
    write_raster(tmp_path / "tile/udm.tif", noise(8, 8), 10)
    item = write_item(tmp_path / "tile", {"udm": {}, "image": {"raster:bands": [{}, {}, {}]}})

    _, values, _ = opened(store, item, wanted("blue", "swir"), NONE, tmp_path / "a")

    assert (values == own[[2, 0]]).all()


def test_names_in_a_file_count_more_than_the_order_in_its_item(
    store: Store, tmp_path: Path
) -> None:
    own = noise(8, 8, 2)
    write_raster(tmp_path / "tile/pair.tif", own, 10, ("red", "nir"))
    other = write_raster(tmp_path / "tile/blue.tif", noise(8, 8) + 1, 10)
    item = write_item(
        tmp_path / "tile", {"pair": {"bands": [{"name": "nir"}, {"name": "red"}]}, "blue": {}}
    )

    _, values, _ = opened(store, item, wanted("nir", "blue", "red"), NONE, tmp_path / "a")

    assert (values[[2, 0]] == own).all()
    write_raster(other, noise(8, 8, 2), 10)
    with pytest.raises(SpecificationError, match="blue has 2 bands, and its Item describes 1"):
        opened(store, item, wanted("nir", "blue", "red"), NONE, tmp_path / "b")


@pytest.mark.parametrize("kind", ["mask", "alpha"])
def test_masks_of_a_file_on_the_grid_hide_pixels(store: Store, tmp_path: Path, kind: str) -> None:
    valid = np.arange(64).reshape(8, 8) % 3 > 0
    bands = np.concatenate([noise(8, 8), valid[None] * np.uint16(255)])
    path = write_raster(tmp_path / "scene.tif", bands, 10, ("a", "alpha"))
    with open_raster(path, "r+") as raster:
        if kind == "mask":
            raster.write_mask(valid)
            raster.set_band_description(2, "b")
        else:
            raster.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    grid = Grid("EPSG:32632", 10, (ORIGIN[0] + 10, ORIGIN[1] - 80, ORIGIN[0] + 80, ORIGIN[1]))

    _, values, shown = opened(store, path, wanted("a"), Reading(grid=grid), tmp_path / "a")

    assert (shown == valid[:, 1:]).all()
    assert (values == bands[:1, :, 1:]).all()


def test_bands_of_a_file_in_its_order_only_on_request(store: Store, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", noise(8, 8, 2), 10, ("x", "y"))
    grid = Grid("EPSG:32632", 10)
    with pytest.raises(SpecificationError, match="names its bands x, y"):
        opened(store, path, wanted("a", "b"), Reading(grid=grid), tmp_path / "a")

    scene, values, _ = opened(
        store, path, wanted("a", "b"), Reading(by_position=True, grid=grid), tmp_path / "b"
    )

    assert (values == noise(8, 8, 2)).all()
    assert "were read in file order" in scene.notes[0]


def test_a_file_alone_is_read_where_it_is(store: Store, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", noise(8, 8), 10)

    scene, _, _ = opened(store, path, wanted("a"), NONE, tmp_path / "a")

    assert scene.raster == path
    content = path.read_bytes()
    assert scene.files == (
        SourceFile("", path.as_uri(), hashlib.sha256(content).hexdigest(), len(content)),
    )


FAR: dict[str, object] = {
    "type": "Polygon",
    "coordinates": [[[20, 10], [21, 10], [21, 11], [20, 10]]],
}
SEA: dict[str, object] = {
    "type": "Polygon",
    "coordinates": [[[9, 42.4], [9.0001, 42.4], [9.0001, 42.4001], [9, 42.4]]],
}


@pytest.mark.parametrize(
    ("bands", "reading", "message"),
    [
        (("B02", "B05", "B8A"), NONE, "has no bands B05, B8A.*rasters are B02, B11, B01, scl"),
        (("B02",), Reading(mask=Mask("qa", (1,))), "no asset 'qa' for the mask.*B01, B02"),
        (("B02",), Reading(mask=Mask("scl", (4, 9))), "no pixel with data"),
        (("B02",), Reading(area=FAR), "no pixel in the area"),
        (("B02",), Reading(grid=Grid("EPSG:32632", 10, (0, 0, 10, 10))), "outside of the grid's"),
        (("B02",), Reading(grid=Grid("EPSG:32632", 0.0001)), "resolution in units of the CRS"),
        (("B02",), Reading(grid=Grid("EPSG:0", 10)), "cannot be read in 'EPSG:0'"),
        (("B02",), Reading(grid=Grid("EPSG:32632", -10)), "above 0"),
    ],
)
def test_what_a_scene_lacks_is_reported(
    store: Store, tile: Path, tmp_path: Path, bands: tuple[str, ...], reading: Reading, message: str
) -> None:
    with pytest.raises(SpecificationError, match=message):
        opened(store, tile, wanted(*bands), reading, tmp_path / "a")


def test_files_that_are_not_as_their_item_states_are_refused(
    store: Store, tile: Path, tmp_path: Path
) -> None:
    document = json.loads(tile.read_text())

    def attempt(folder: str, **fields: Any) -> LocalScene:
        changed = {**document["assets"]["B02"], **fields}
        tile.write_text(json.dumps({**document, "assets": {"B02": changed}}))
        return opened(store, tile, wanted("B02"), NONE, tmp_path / folder)[0]

    path = tile.parent / "B02.tif"
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert attempt("a", **{"file:checksum": f"d50110{md5}"}).files
    with pytest.raises(IntegrityError, match=r"has the sha256 .*, and its Item states 0000"):
        attempt("b", **{"file:checksum": "1220" + "0" * 64})
    with pytest.raises(IntegrityError, match="its Item states 5"):
        attempt("c", **{"file:size": 5})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cannot be read .* B02\.tif"):
        attempt("d")
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"asset B02 of S2A_T32TNN: .*format is not supported"):
        attempt("e")
    path.unlink()
    with pytest.raises(StorageError, match=r"B02\.tif is not there"):
        attempt("f")


def test_a_file_without_an_item_has_no_mask(store: Store, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", noise(8, 8), 10)
    with pytest.raises(SpecificationError, match="without a STAC Item"):
        opened(store, path, wanted("a"), Reading(mask=Mask("scl", (0,))), tmp_path / "a")


def test_names_of_assets_do_not_become_paths(store: Store, s3_item: str, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (found,) = find_scenes(store, [s3_item])

    scene = open_scene(store, found, wanted("red"), NONE, folder)

    assert {file.parent for file in tmp_path.rglob("*.tif")} == {folder}
    with open_raster(scene.raster) as raster:
        assert (raster.read() == noise(8, 8)).all()
    short = replace(found, item=None, href=found.href.replace("item.json", "missing.tif"))
    with pytest.raises(StorageError, match=r"missing\.tif could not be read: it is not there"):
        open_scene(store, short, wanted("red"), NONE, folder)


def test_items_lead_to_no_host_of_this_network(
    store: Store, https_folder: WebFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    write_raster(https_folder.folder / "B02.tif", noise(8, 8), 10)
    (tmp_path / "a").mkdir()

    def attempt(href: str) -> LocalScene:
        write_item(https_folder.folder, {"B02": {"href": href}})
        (found,) = find_scenes(store, [f"{https_folder.url}/item.json"])
        return open_scene(store, found, wanted("B02"), NONE, tmp_path / "a")

    # the server that the user named is not limited
    assert attempt("B02.tif").files[0].href == f"{https_folder.url}/B02.tif"
    with pytest.raises(StorageError, match="which is not public"):
        attempt("http://127.0.0.1:9/B02.tif")


def test_a_server_redirects_to_no_host_of_this_network(
    store: Store, https_folder: WebFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_TRUSTED_SOURCES")
    write_raster(https_folder.folder / "B02.tif", noise(8, 8), 10)

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{https_folder.url}/B02.tif")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815  the server's own name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as server:
        Thread(target=server.serve_forever).start()
        try:
            href = f"http://127.0.0.1:{server.server_port}/B02.tif"
            with pytest.raises(StorageError, match="which is not public"):
                open_scene(store, FoundScene("B02", href), wanted("B02"), NONE, tmp_path)
        finally:
            server.shutdown()


@pytest.mark.parametrize("remote", [False, True])
def test_a_vrt_of_an_item_is_refused_as_it_may_name_any_file(
    store: Store, https_folder: WebFolder, tmp_path: Path, remote: bool
) -> None:
    private = write_raster(tmp_path / "private/scene.tif", noise(8, 8), 10, ("B02",))
    folder = https_folder.folder if remote else tmp_path / "scenes"
    item = write_item(folder, {"B02": {"href": "B02.vrt"}})
    (folder / "B02.vrt").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="UInt16" band="1">'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{private}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    source = f"{https_folder.url}/item.json" if remote else str(item)
    (found,) = find_scenes(store, [source])
    (tmp_path / "a").mkdir()

    with pytest.raises(SpecificationError, match="is a VRT, which may name any file"):
        open_scene(store, found, wanted("B02"), NONE, tmp_path / "a")
    local = find_scenes(store, [str(folder / "B02.vrt")])[0]
    # what a user names is not limited
    (tmp_path / "b").mkdir()
    own = open_scene(store, replace(local, item=None), wanted("B02"), NONE, tmp_path / "b")
    assert own.files[1].href == private.as_uri()


@pytest.fixture
def s3_item(s3: Any, tmp_path: Path) -> str:
    """URL of an Item in a bucket, with an asset whose key leads out of a folder."""
    local = tmp_path / "local"
    write_raster(local / "B04.tif", noise(8, 8), 10)
    fields = {"href": "./data/B04.tif", "type": GEOTIFF, "bands": [{"name": "red"}]}
    write_item(local, {"../../../red": fields})
    s3.put("scenes/data/B04.tif", (local / "B04.tif").read_bytes())
    s3.put("scenes/item.json", (local / "item.json").read_bytes())
    for path in local.iterdir():
        path.unlink()
    return f"{s3.url}/scenes/item.json"
