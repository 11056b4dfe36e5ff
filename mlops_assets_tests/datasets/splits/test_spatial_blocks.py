"""Blocks on the ground.

One place is in one split whatever image shows it, and buffers are metres everywhere.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Geod, Transformer

from mlops_assets.datasets.specification.dataset import Split
from mlops_assets.datasets.splits.assign import _block_key, _place, assign_splits
from mlops_assets.datasets.splits.spatial_blocks import DEFAULT_METRES, GROUND, blocks_of
from mlops_assets.datasets.versions.contents import Contents, file_rows
from mlops_assets.datasets.versions.sample_shape import (
    ImageShape,
    PatchShape,
    RowShape,
    SampleShape,
    WindowShape,
)
from mlops_assets.errors import SpecificationError

WGS84 = Geod(ellps="WGS84")
TO_GROUND = Transformer.from_crs("EPSG:4326", GROUND, always_xy=True)
TO_DEGREES = Transformer.from_crs(GROUND, "EPSG:4326", always_xy=True)
PATCH = PatchShape(size=1)
FRACTIONS = {"train": 0.5, "test": 0.5}


def split(**changes: Any) -> Split:
    return Split.model_validate({"method": "spatial_block", "fractions": FRACTIONS} | changes)


def located(
    longitude: Any,
    latitude: Any,
    shape: SampleShape = PATCH,
    path: str = "a.tif",
    **columns: Any,
) -> Contents:
    count = len(longitude)
    samples = pd.DataFrame(
        {
            "path": path,
            "row": range(count),
            "column": 0,
            "label": "x",
            "group": None,
            "longitude": longitude,
            "latitude": latitude,
            **columns,
        }
    )
    return Contents(
        samples,
        file_rows([{"path": path, "height": count, "width": 1}]),
        None,
        ["B001"],
        shape,
    )


def around(
    longitude: float, latitude: float, reach: float, step: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return longitudes and latitudes of a grid, `step` metres apart, up to `reach` metres away."""
    east, north = (
        axis.ravel() for axis in np.meshgrid(*[np.arange(-reach, reach + step / 2, step)] * 2)
    )
    azimuth, distance = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
    start = np.full(len(east), longitude), np.full(len(east), latitude)
    lon, lat, _ = WGS84.fwd(*start, azimuth, distance)
    return np.asarray(lon), np.asarray(lat)


# one place, one block


@pytest.mark.parametrize("latitude", [0.0, 45.0, -60.0])
def test_another_date_or_an_overlapping_image_of_a_place_is_in_the_same_split(
    latitude: float,
) -> None:
    lon, lat = around(9.0, latitude, 3000, 100)
    first, again = located(lon, lat, path="2020.tif"), located(lon, lat, path="2021.tif")
    overlapping = located(lon[500:], lat[500:], path="other.tif", reason=None)
    parts = [part.samples for part in (first, again, overlapping)]
    together = Contents(pd.concat(parts, ignore_index=True), first.files, None, [], first.input)
    found = assign_splits(together, split(block=500, buffer=60))
    found = found.assign(split=found["split"].fillna("left out"))
    assert (found.groupby(["longitude", "latitude"])["split"].nunique() == 1).all()
    alone = assign_splits(first, split(block=500, buffer=60))["split"].fillna("left out")
    assert found["split"][: len(lon)].tolist() == alone.tolist()


@pytest.mark.parametrize(
    ("crs", "latitude"), [("EPSG:32632", 45.0), ("EPSG:32633", 45.0), ("EPSG:3857", 45.0)]
)
def test_the_same_place_in_another_projection_is_in_the_same_split(
    crs: str, latitude: float
) -> None:
    lon, lat = around(12.0, latitude, 2000, 100)  # where two zones of UTM meet
    there = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    other = back.transform(*there.transform(lon, lat))
    first, second = (
        assign_splits(located(*place), split(block=300)) for place in ((lon, lat), other)
    )
    assert (first["split"] != second["split"]).sum() <= 2  # what lies within a nanometre of an edge


@settings(deadline=None, derandomize=True, database=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(-80, 80), st.sampled_from([0.0, 40.0, 250.0]))
def test_growth_moves_no_place_in_or_out_of_its_split(
    seed: int, latitude: float, buffer: float
) -> None:
    rng = np.random.default_rng(seed)
    lon, lat = 20 + rng.random(300) * 0.05, latitude + rng.random(300) * 0.05
    how = split(block=400, buffer=buffer)
    try:
        few, many = (
            assign_splits(located(lon[:n], lat[:n]), how)[["split", "reason"]].fillna("")
            for n in (120, 300)
        )
    except SpecificationError:
        return  # nothing kept in test
    pd.testing.assert_frame_equal(few, many[:120])


# metres


@pytest.mark.parametrize("latitude", [0.0, 45.0, 60.0, -45.0])
@pytest.mark.parametrize(("block", "buffer"), [(1000.0, 200.0), (400.0, 90.0), (300.0, 700.0)])
def test_a_buffer_is_as_many_metres_wide_as_declared(
    latitude: float, block: float, buffer: float
) -> None:
    lon, lat = around(30.0, latitude, 2000, 50)
    how = split(block=block, buffer=buffer, fractions={"train": 0.08, "test": 0.92})
    contents = located(lon, lat)
    found = assign_splits(contents, how)
    kept = found["split"] == "test"
    left_out = found["reason"] == "within the buffer of a training block"
    assert kept.any() and left_out.any()
    nearest, beside = distances_to_training_blocks(found, how, block, buffer)
    assert nearest[kept].min() >= buffer * 0.99
    # the corner of a square is farther than its side
    assert nearest[left_out].max() <= buffer * np.sqrt(2) * 1.01
    assert nearest[left_out & beside].max() >= buffer - 60  # the places are 50 m apart


def distances_to_training_blocks(
    found: pd.DataFrame, how: Split, block: float, buffer: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return metres from each sample to the nearest training block, and whether they adjoin.

    A sample adjoins a block that it lies beside, not across a corner.
    """
    x, y = TO_GROUND.transform(found["longitude"].to_numpy(), found["latitude"].to_numpy())
    nearest, beside = np.full(len(found), np.inf), np.zeros(len(found), dtype=bool)
    columns, rows = (
        range(int((axis.min() - 3 * buffer) // block), int((axis.max() + 3 * buffer) // block) + 1)
        for axis in (x, y)
    )
    for row, column in itertools.product(rows, columns):
        if _place(how, _block_key("ground", row, column)) != "train":
            continue
        to_x = np.clip(x, column * block, (column + 1) * block)
        to_y = np.clip(y, row * block, (row + 1) * block)
        lon, lat = TO_DEGREES.transform(to_x, to_y)
        metres = WGS84.inv(found["longitude"], found["latitude"], lon, lat)[2]
        nearer = metres < nearest
        nearest[nearer] = metres[nearer]
        beside[nearer] = ((to_x == x) | (to_y == y))[nearer]
    return nearest, beside


@pytest.mark.parametrize("latitude", [0.0, 45.0, 60.0])
def test_a_block_covers_the_declared_area_anywhere(latitude: float) -> None:
    lon, lat = around(30.0, latitude, 2500, 50)
    index = blocks_of(located(lon, lat).samples, located(lon, lat), split(block=1000)).index
    inner = pd.Series(map(tuple, index)).value_counts()
    whole = inner[inner > inner.max() / 2].median() * 50 * 50  # square metres, by counting places
    assert whole == pytest.approx(1000 * 1000, rel=0.12)


def test_a_block_without_a_size_has_a_kilometre() -> None:
    lon, lat = around(30.0, 30.0, 3000, 100)
    given_size, default = (
        blocks_of(located(lon, lat).samples, located(lon, lat), split(**c)).index
        for c in ({"block": DEFAULT_METRES}, {})
    )
    np.testing.assert_array_equal(given_size, default)
    assert DEFAULT_METRES == 1000


@pytest.mark.parametrize(
    ("longitude", "latitude"), [(179.99, 10.0), (-179.99, -10.0), (0.0, 85.0), (12.0, -85.0)]
)
def test_places_at_the_edges_of_the_world_have_blocks(longitude: float, latitude: float) -> None:
    lon, lat = around(longitude, latitude, 3000, 100)
    found = assign_splits(located(lon, lat), split(block=500, buffer=50))
    assert set(found["split"].dropna()) == {"train", "test"}


@pytest.mark.parametrize(
    "shape", [RowShape(), ImageShape(height=1, width=1), PATCH, WindowShape(size=1)]
)
def test_whatever_knows_its_place_has_blocks_on_the_ground(shape: SampleShape) -> None:
    lon, lat = around(9.0, 47.0, 3000, 100)
    kinds = [
        assign_splits(located(lon, lat, shape=each), split(block=500))["split"].tolist()
        for each in (shape, PATCH)
    ]
    assert kinds[0] == kinds[1]


def test_one_sample_without_a_place_among_patches_means_pixels_for_all() -> None:
    lon, lat = around(9.0, 47.0, 3000, 100)
    lon[0] = np.nan
    found = assign_splits(located(lon, lat), split(block=500))
    assert (found.groupby(found["row"] // 500)["split"].nunique() == 1).all()


def test_many_samples_are_divided() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(5, 6, 100_000), rng.uniform(47, 48, 100_000)
    found = assign_splits(located(lon, lat), split(block=2000, buffer=100))
    assert found["split"].value_counts(normalize=True)["train"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("side", [3, 7, 10, 16, 19, 24])
def test_a_buffer_in_pixels_is_exact(side: int) -> None:
    rows = np.arange(6 * side)
    samples = pd.DataFrame({"path": "a.tif", "row": rows, "column": 0})
    files = file_rows([{"path": "a.tif", "height": 6 * side, "width": 1}])
    contents = Contents(samples, files, [], [], PATCH)
    # to the third block, which is trained on
    distance = np.maximum(2 * side - rows, rows - (3 * side - 1)).clip(0)
    for buffer in range(side + 4):
        blocks = blocks_of(
            samples, contents, Split(method="spatial_block", block=side, buffer=buffer)
        )
        near = blocks.near(lambda _scope, row, _column: row == 2)
        assert np.array_equal(near, distance <= buffer), buffer
