"""Chips: which values become which colours, and what is not there."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import TrainingDataUnreadable
from mlops_assets.hub.views.samples import opened, pixels
from mlops_assets.hub.views.samples.chips import Chip, ChipRequest, chip
from mlops_assets.hub.views.samples.listing import SampleFilter, list_samples
from mlops_assets.hub.views.samples.pixels import read_region, region_of
from mlops_assets.hub.views.samples.sample import find_sample, sample_detail
from mlops_assets.hub.views.samples.spread import spread_of
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import require_shared_data, scenes_specification
from mlops_assets_tests.hub.views.samples.test_listing import assessed

SCENES = Reference("scenes", "v1")
LANDSAT_CLASSES = (
    "developed",
    "agriculture",
    "herbaceous",
    "shrubland",
    "forest",
    "water",
    "sediment",
)


def picture(found: Chip) -> NDArray[np.uint8]:
    """The pixels of a chip, (height, width, 4)."""
    assert found.content is not None
    return np.asarray(Image.open(io.BytesIO(found.content)).convert("RGBA"))


def index_at(store: Store, row: int, column: int, reference: Reference = SCENES) -> int:
    """The sample at a place."""
    samples = opened.open_version(store, reference).committed.samples
    return int(samples.index[(samples["row"] == row) & (samples["column"] == column)][0])


def write(path: Path, array: NDArray[np.generic], **options: object) -> None:
    """Write a GeoTIFF of (bands, height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    size = {"count": count, "height": height, "width": width, "dtype": array.dtype.name}
    with open_raster(path, "w", driver="GTiff", **size, **options) as raster:
        raster.write(array)


def images(store: Store, arrays: Mapping[str, NDArray[np.generic]], **options: object) -> Reference:
    """Commit whole images, by path."""
    folder = store.workspace.root / "landing/whole"
    for path, array in arrays.items():
        if path.endswith(".npy"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(folder / path, array)
        else:
            write(folder / path, array, **options)
    source = {"url": "landing/whole", "layout": "image_folder"}
    split = {"fractions": {"train": 0.5, "test": 0.5}}
    declared = {"name": "whole", "source": source, "split": split}
    commit(store.workspace, store.registry, DatasetSpecification.model_validate(declared))
    return Reference("whole", "v1")


def test_a_patch_is_shown_with_its_surroundings_and_nothing_beyond_the_edge(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    rows = opened.open_version(store, SCENES).committed.samples
    corner = rows.index[(rows["row"] < 4) & (rows["column"] < 4)][0]
    row, column = rows.loc[corner, ["row", "column"]].astype(int)
    sample = find_sample(opened.open_version(store, SCENES), int(corner))
    values = read_region(sample, region_of(sample), [3, 0])
    assert values.shape == (2, 33, 33)
    assert np.isnan(values[:, : 16 - row]).all() and np.isnan(values[:, :, : 16 - column]).all()
    with open_raster(store.workspace.root / "landing/scenes/images/a.tif") as raster:
        truth = np.asarray(raster.read([4, 1]))
    found = values[:, 16 - row :, 16 - column :]
    assert (found == truth[:, : found.shape[1], : found.shape[2]]).all()
    shown = picture(chip(store, SCENES, int(corner), ChipRequest(size=33)))
    assert not shown[0, 0, 3] and shown[-1, -1, 3]


def test_labels_are_drawn_over_the_pixels_that_have_one(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    index = index_at(store, *_labelled(store))
    plain, over = (
        picture(chip(store, SCENES, index, ChipRequest(size=33, labels=labels)))
        for labels in (False, True)
    )
    with open_raster(store.workspace.root / "landing/scenes/labels/a.tif") as raster:
        labels = np.asarray(raster.read(1))
    row, column = _labelled(store)
    around = labels[row - 16 : row + 17, column - 16 : column + 17]
    changed = (plain != over).any(axis=2)
    outline = slice(13, 20)  # of the patch
    changed[outline, outline] = around[outline, outline] = 0
    assert (changed == (around > 0)).all()


def _labelled(store: Store) -> tuple[int, int]:
    samples = opened.open_version(store, SCENES).committed.samples
    inner = samples[samples["row"].between(16, 31) & samples["column"].between(16, 31)]
    return int(inner["row"].iloc[0]), int(inner["column"].iloc[0])


def test_bands_of_stacked_files_are_read_from_their_own_file(store: Store) -> None:
    folder = store.workspace.root / "landing/stacked"
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 1000, (3, 40, 40)).astype(np.uint16)
    for band, name in zip(stack, ("B02", "B03", "B04"), strict=True):
        write(folder / name / "a.tif", band[None])
    write(folder / "labels/a.tif", rng.integers(1, 3, (1, 40, 40)).astype(np.uint8))
    layout = {"images": [f"{name}/*.tif" for name in ("B02", "B03", "B04")], "size": 3}
    source = {"url": "landing/stacked", "layout": "scenes", "scenes": layout}
    specification = scenes_specification("stacked", source=source)
    commit(store.workspace, store.registry, specification)
    reference = Reference("stacked", "v1")
    index = index_at(store, 20, 21, reference)
    version = opened.open_version(store, reference)
    (true,) = version.composites
    assert (true.name, true.bands) == ("true", ["B04", "B03", "B02"])
    sample = find_sample(version, index)
    values = read_region(sample, region_of(sample), true.indices)
    assert values[:, 16, 16].tolist() == stack[::-1, 20, 21].tolist()
    spectrum = [band.value for band in sample_detail(store, reference, index).values]
    assert spectrum == stack[:, 20, 21].tolist()


def test_nodata_and_nan_are_transparent(store: Store) -> None:
    floats = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    floats[1, :2] = np.nan
    floats[:, :, 0] = -9999
    reference = images(
        store,
        {f"{name}/{i}.tif": floats + i for i in range(4) for name in ("x", "y")}
        | {"x/0.tif": floats, "y/0.tif": floats},
        nodata=-9999.0,
    )
    shown = picture(chip(store, reference, 0, ChipRequest(size=32)))[::4, ::4, 3]
    assert not shown[:2].any() and not shown[:, 0].any() and shown[2:, 1:].all()


@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_of_a_large_image_every_nth_pixel_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint16), (1, 64, 1))
    paths = [f"{name}/{i}.{suffix}" for i in range(3) for name in ("x", "y")]
    reference = images(store, {path: ramp + k for k, path in enumerate(paths)})
    monkeypatch.setattr(pixels, "MAX_SIDE", 16)
    sample = find_sample(opened.open_version(store, reference), 0)
    values = read_region(sample, region_of(sample), [0])
    assert values.shape == (1, 16, 16) and (np.diff(values[0, 0]) == 4).all()


def test_all_chips_of_an_assessed_version_have_one_stretch(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    percentiles: dict[str, JsonValue] = {
        "1": 0.0,
        "5": 4.0,
        "25": 5.0,
        "50": 50.0,
        "75": 60.0,
        "95": 96.0,
        "99": 100.0,
    }
    bands: list[JsonValue] = [{"name": f"B00{i}", "percentiles": percentiles} for i in (1, 2, 3, 4)]
    spread = spread_of(assessed(store, "scenes", {"values": {"bands": bands}}))
    assert spread is not None and spread.cut.tolist() == [[1.0, 99.0]] * 4
    low, high = spread.axis
    assert set(low) == {0.0} and set(high) == {100.0}
    others: list[dict[str, JsonValue]] = [{"values": {"bands": bands[:3]}}, {"values": 5}]
    for other in others:
        assert spread_of(assessed(store, "scenes", other)) is None


def test_a_known_picture_is_not_drawn_again(
    store: Store, land_scenes: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_scenes()
    first = chip(store, SCENES, 0, ChipRequest())
    other = chip(store, SCENES, 0, ChipRequest(labels=True))
    assert first.etag != other.etag != chip(store, SCENES, 1, ChipRequest(labels=True)).etag
    monkeypatch.setattr(pixels, "open_raster", None)
    assert chip(store, SCENES, 0, ChipRequest(), f'W/"x", {first.etag}') == Chip(None, first.etag)


def test_a_damaged_file_leaves_a_placeholder_and_its_reason(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    for file in (store.workspace.root / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(b"damaged")
    opened._open.clear()
    with pytest.raises(TrainingDataUnreadable, match=r"images/a\.tif of scenes@v1"):
        chip(store, SCENES, 0, ChipRequest())
    found = chip(store, SCENES, 0, ChipRequest(placeholder=True, size=64))
    assert picture(found).shape == (64, 64, 4) and not found.lasting
    detail = sample_detail(store, SCENES, 0)
    assert detail.problem is not None and "not as it was published" in detail.problem
    assert list_samples(store, SCENES, SampleFilter()).rows


def test_a_row_of_a_table_is_drawn_as_a_line(store: Store) -> None:
    shown = picture(chip(store, Reference("fields", "v1"), 3, ChipRequest(size=64)))
    drawn = shown[..., 3] > 0
    # from the left to the right edge, and most of it empty
    assert drawn[:, 4].any() and drawn[:, 59].any() and drawn.mean() < 0.3


def test_real_landsat_bands_are_shown(store: Store) -> None:
    """North Carolina's Landsat 7 scene with labelled polygons, six bands in six files."""
    data = require_shared_data("nc_landsat7")
    folder = store.workspace.root / "landing/nc"
    folder.mkdir(parents=True)
    for name in ("lsat7_2000_10.tif", "lsat7_2000_20.tif", "lsat7_2000_30.tif"):
        shutil.copyfile(data / name, folder / name)
    for polygons in data.glob("landsat96_polygons.*"):
        shutil.copyfile(polygons, folder / polygons.name)
    layout = {
        "images": [f"*_2000_{band}.tif" for band in ("10", "20", "30")],
        "labels": "landsat96_polygons.shp",
        "size": 5,
    }
    declared = {
        "name": "nc",
        "source": {"url": "landing/nc", "layout": "scenes", "scenes": layout},
        "classes": dict(enumerate(LANDSAT_CLASSES, 1)),
        "bands": {"common_names": ["blue", "green", "red"]},
        "split": {"method": "random"},
    }
    commit(store.workspace, store.registry, DatasetSpecification.model_validate(declared))
    reference = Reference("nc", "v1")
    shown = picture(chip(store, reference, 10, ChipRequest(bands="true")))
    assert shown[..., :3].std() > 10
    assert sample_detail(store, reference, 10).sample.longitude == pytest.approx(-78.7, abs=0.3)
