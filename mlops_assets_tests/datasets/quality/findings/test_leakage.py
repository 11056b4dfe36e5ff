"""Samples of test and validation that training has seen.

They share groups, places in scenes or on the ground, or are copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality.content.places import places_of
from mlops_assets.datasets.quality.findings import leakage
from mlops_assets.datasets.quality.findings.leakage import (
    declared_groups,
    find_leakage,
    overlapping,
)
from mlops_assets.datasets.versions.sample_shape import (
    ImageShape,
    PatchShape,
    SampleShape,
    WindowShape,
)
from mlops_assets_tests.conftest import crops_table, scenes_specification
from mlops_assets_tests.datasets.quality.conftest import Assess, check, figure
from mlops_assets_tests.datasets.quality.test_assessment import folds, with_columns

pytestmark = pytest.mark.usefixtures("undrawn")
Land = Callable[..., Commit]
UTM31, UTM32, DEGREES = "EPSG:32631", "EPSG:32632", "EPSG:4326"


def samples_at(places: list[tuple[str, int, int]], splits: str) -> pd.DataFrame:
    """Samples at (path, row, column), with splits from letters; without a place on the Earth."""
    names = {"t": "train", "v": "validation", "e": "test"}
    return pd.DataFrame(places, columns=["path", "row", "column"]).assign(
        split=[names[letter] for letter in splits],
        group=None,
        label="1",
        longitude=np.nan,
        latitude=np.nan,
    )


def files(*rows: dict[str, Any]) -> pd.DataFrame:
    empty = {"scene": None, "height": 1000, "width": 1000, "crs": None, "transform": None}
    return pd.DataFrame([empty | row for row in rows])


def found_in(
    samples: pd.DataFrame, manifest: pd.DataFrame, shape: SampleShape, method: str = "random"
) -> list[int]:
    places = places_of(located(samples, manifest, shape), manifest, shape)
    splits = samples["split"].to_numpy(dtype=object)
    return find_leakage(  # type: ignore[no-any-return]
        splits, samples["group"], places, method
    ).seen.tolist()


def located(samples: pd.DataFrame, manifest: pd.DataFrame, shape: SampleShape) -> pd.DataFrame:
    """Longitude and latitude of each sample's centre, from its file."""
    from rasterio.warp import transform

    samples = samples.copy()
    facts = manifest.set_index("path")
    for i in range(len(samples)):
        place = samples.iloc[i]
        file = facts.loc[place["path"]]
        if file["crs"] is None:
            continue
        a, b, c, d, e, f = file["transform"]
        if shape.kind == "image":
            row, column = file["height"] / 2, file["width"] / 2
        else:
            half = shape.size / 2 if shape.kind == "window" else 0.5
            row, column = place["row"] + half, place["column"] + half
        lon, lat = transform(
            file["crs"], DEGREES, [a * column + b * row + c], [d * column + e * row + f]
        )
        samples.loc[i, ["longitude", "latitude"]] = [lon[0], lat[0]]
    return samples


# within a scene


@pytest.mark.parametrize(
    ("split", "passes"),
    [
        ({"method": "spatial_block", "block": 8, "buffer": 0}, False),
        ({"method": "spatial_block", "block": 8, "buffer": 1}, True),
        ({"method": "spatial_block", "block": 8, "buffer": 3}, True),
        ({"method": "random"}, False),
    ],
    ids=["no buffer", "buffer", "more buffer", "random"],
)
def test_patches_leak_unless_a_buffer_keeps_them_apart(
    land_scenes: Land, assessed: Assess, split: dict[str, Any], passes: bool
) -> None:
    land_scenes(scenes_specification(split=split))
    committed, quality = assessed("scenes")
    found = check(quality, "leakage")
    assert (found.passed, found.blocking) == (passes, True)
    trained = set(committed.split("train")[["row", "column"]].itertuples(index=False, name=None))
    held = committed.samples[committed.samples["split"].isin(["validation", "test"])]

    def near(reach: int) -> NDArray[np.bool_]:
        steps = range(-reach, reach + 1)
        return np.array(
            [
                any((r + dr, c + dc) in trained for dr in steps for dc in steps)
                for r, c in held[["row", "column"]].itertuples(index=False)
            ]
        )

    assert found.values["seen"] == pytest.approx(near(1).mean())
    assert found.values["sharing_ground"] == pytest.approx(near(2).mean())
    assert passes or "buffer: 1" in found.description


def test_single_pixels_do_not_leak_into_their_neighbours(
    land_scenes: Land, assessed: Assess
) -> None:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"size": 1}}
    land_scenes(
        scenes_specification(
            source=source, split={"method": "random"}, quality={"max_duplicates": 1}
        )
    )
    assert check(assessed("scenes")[1], "leakage").passed


def test_windows_of_a_grid_only_touch_and_shifted_ones_overlap() -> None:
    samples = samples_at(
        [("a", 0, 0), ("a", 0, 8), ("a", 8, 8), ("a", 15, 15), ("b", 1, 1)], "teeve"
    )
    shape = WindowShape(size=8)
    assert found_in(samples, files({"path": "a"}, {"path": "b"}), shape) == []
    samples.loc[3, ["row", "column"]] = [7, 7]
    assert found_in(samples, files({"path": "a"}, {"path": "b"}), shape) == [3]


def test_scenes_without_georeference_are_never_compared() -> None:
    samples = samples_at([("a", 0, 0), ("b", 0, 0), ("b", 1, 0)], "tee")
    assert found_in(samples, files({"path": "a"}, {"path": "b"}), PatchShape(size=5)) == []


def test_memory_does_not_grow_with_the_area_of_a_scene() -> None:
    import tracemalloc

    samples = samples_at(
        [("a", 0, 0), ("a", 10_000_000, 90_000_000), ("a", 10_000_001, 90_000_000)], "tet"
    )
    manifest = files({"path": "a", "height": 20_000_000, "width": 100_000_000})
    tracemalloc.start()
    assert found_in(samples, manifest, PatchShape(size=3)) == [1]
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["patch", "window"])
def test_overlap_is_what_counting_pixels_gives(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "_TRAIN_AT_ONCE", 37)  # in several parts
    monkeypatch.setattr(leakage, "_HELD_AT_ONCE", 11)
    rng = np.random.default_rng(0)
    where = [
        ("ab"[i], r, c)
        for i, r, c in np.stack([rng.integers(0, 2, 300), *rng.integers(0, 90, (2, 300))]).T
    ]
    samples = samples_at(where, "".join(rng.choice(list("tve"), 300)))
    shape = PatchShape(size=5) if kind == "patch" else WindowShape(size=5)
    expected = []
    train = samples[samples["split"] == "train"]
    for i, held in samples[samples["split"] != "train"].iterrows():
        same = train[train["path"] == held["path"]]
        apart = np.maximum(
            (same["row"] - held["row"]).abs(), (same["column"] - held["column"]).abs()
        )
        if (apart <= (2 if kind == "patch" else 4)).any():
            expected.append(i)
    assert 10 < len(expected) < 190
    assert found_in(samples, files({"path": "a"}, {"path": "b"}), shape) == expected


# on the ground


def utm(
    path: str, x: float, y: float, crs: str = UTM31, pixel: float = 10, **more: Any
) -> dict[str, Any]:
    return {"path": path, "crs": crs, "transform": [pixel, 0, x, 0, -pixel, y], **more}


def test_two_dates_of_one_place_are_one_place() -> None:
    manifest = files(utm("one", 500_000, 4_700_000), utm("two", 500_000, 4_700_000))
    samples = samples_at([("one", 0, 0), ("two", 0, 0), ("two", 0, 64), ("one", 64, 0)], "teev")
    shape = WindowShape(size=64)
    assert found_in(samples, manifest, shape) == [1]
    # which is meant to test the same place later
    assert found_in(samples, manifest, shape, "temporal") == []


def test_overlapping_scenes_are_found_through_their_georeference() -> None:
    # 32 pixels further east
    manifest = files(utm("one", 500_000, 4_700_000), utm("east", 500_320, 4_700_000))
    shape = WindowShape(size=64)
    samples = samples_at([("one", 0, 0), ("east", 0, 0), ("east", 0, 64), ("east", 0, 32)], "teee")
    assert found_in(samples, manifest, shape) == [1]


def test_patches_of_overlapping_scenes_are_compared_with_training_pixels() -> None:
    manifest = files(utm("one", 500_000, 4_700_000), utm("east", 500_100, 4_700_000))
    samples = samples_at([("one", 5, 20), ("east", 5, 8), ("east", 5, 7), ("east", 5, 10)], "teee")
    # columns 18, 17 and 20 of the first scene
    assert found_in(samples, manifest, PatchShape(size=5)) == [1, 3]


def test_scenes_of_neighbouring_zones_are_compared() -> None:
    from rasterio.warp import transform

    x, y = (v[0] for v in transform(UTM31, UTM32, [800_320], [4_700_000 - 320]))
    shape = WindowShape(size=64)
    for shift, overlaps in ((0, True), (400, True), (620, True), (680, False), (5000, False)):
        manifest = files(
            utm("west", 800_000, 4_700_000), utm("east", x - 320 + shift, y + 320, UTM32)
        )
        samples = samples_at([("west", 0, 0), ("east", 0, 0)], "te")
        assert found_in(samples, manifest, shape) == ([1] if overlaps else []), shift


def test_images_of_other_resolution_overlap_by_their_ground() -> None:
    size: dict[str, Any] = {"height": 32, "width": 32}
    coarse = utm("coarse", 500_000, 4_700_000, pixel=60, **size)  # 1920 m
    manifest = files(
        coarse, utm("in", 501_000, 4_699_000, **size), utm("out", 501_930, 4_700_000, **size)
    )
    samples = samples_at([("coarse", 0, 0), ("in", 0, 0), ("out", 0, 0)], "tee")
    assert found_in(samples, manifest, ImageShape(height=32, width=32)) == [1]


def test_images_in_degrees_overlap_too_and_distant_ones_are_not_projected() -> None:
    step = 0.0001
    manifest = files(
        utm("a", 2.8, 42.3, DEGREES, step, height=64, width=64),
        utm("b", 2.8032, 42.3, DEGREES, step, height=64, width=64),
        utm("c", 2.8064, 42.3, DEGREES, step, height=64, width=64),
        utm("antipode", -177.2, -42.3, UTM31.replace("32631", "32701"), 10, height=64, width=64)
        | {"transform": [10, 0, 500_000, 0, -10, 5_300_000]},
    )
    samples = samples_at([(name, 0, 0) for name in ("a", "b", "c", "antipode")], "teee")
    assert found_in(samples, manifest, ImageShape(height=64, width=64)) == [1]


def test_the_footprint_of_a_rotated_grid_is_rotated() -> None:
    s = 10 / 2**0.5  # 45 degrees
    turned = {"crs": UTM31, "transform": [s, s, 500_000, s, -s, 4_700_000]}
    manifest = files({"path": "a", **turned}, {"path": "b", **turned})
    samples = samples_at([("a", 0, 0), ("b", 0, 8), ("b", 0, 7), ("b", 8, 8)], "teee")
    assert found_in(samples, manifest, WindowShape(size=8)) == [2]


def test_who_overlaps_whom_does_not_depend_on_the_order() -> None:
    manifest = files(utm("one", 500_000, 4_700_000), utm("two", 500_050, 4_700_000))
    shape = WindowShape(size=8)
    samples = located(
        samples_at([("one", 0, 0), ("two", 0, 0), ("two", 0, 8)], "tee"), manifest, shape
    )
    places = places_of(samples, manifest, shape)
    a, b = np.array([0]), np.array([1, 2])
    assert overlapping(places, a, b, (8, 8)).tolist() == [True, False]
    assert overlapping(places, b, a, (8, 8)).tolist() == [True]


def test_the_remedy_of_georeferenced_patches_is_in_metres_and_works(
    land_scenes: Land, assessed: Assess
) -> None:
    split = {"method": "spatial_block", "block": 80, "fractions": {"train": 0.5, "test": 0.5}}
    land_scenes(scenes_specification(split=split), crs=UTM31)
    found = check(assessed("scenes")[1], "leakage")
    buffer = int(found.description.partition("buffer: ")[2].partition("}")[0])
    assert not found.passed
    assert buffer in (20, 21)
    land_scenes(scenes_specification(split=split | {"buffer": buffer}), crs=UTM31)
    assert check(assessed("scenes")[1], "leakage").passed


# groups


@pytest.mark.parametrize(("method", "passes"), [("random", False), ("group", True)])
def test_a_group_on_both_sides_is_leakage(
    land_table: Land, assessed: Assess, method: str, passes: bool
) -> None:
    land_table(specification=with_columns(method=method, group="farm"))
    found = check(assessed()[1], "leakage")
    assert found.passed == passes
    assert passes or ("use 'method: group'" in found.description and figure(found, "groups") > 0)


def test_the_name_of_a_scene_is_a_group_only_if_the_split_is_by_group() -> None:
    samples = samples_at([("a.tif", 0, 0), ("a.tif", 0, 9), ("b.tif", 0, 0)], "tet").assign(
        group=["a", "a", "river"]
    )
    manifest = files({"path": "a.tif", "scene": "a"}, {"path": "b.tif", "scene": "b"})
    assert declared_groups(samples, manifest, "group").tolist() == ["a", "a", "river"]
    assert declared_groups(samples, manifest, "spatial_block").isna().tolist() == [
        True,
        True,
        False,
    ]


# copies


@pytest.mark.parametrize(
    ("limit", "passes"), [(0.1, False), (0.24, False), (0.25, True), (1.0, True)]
)
def test_copies_of_training_rows_in_the_test_leak_beyond_the_allowed_share(
    land_table: Land, assessed: Assess, limit: float, passes: bool
) -> None:
    frame = crops_table(200)
    frame.iloc[100:125] = frame.iloc[:25].to_numpy()
    land_table(
        frame.assign(fold=folds(200)), with_columns(split="fold", quality={"max_duplicates": limit})
    )
    found = check(assessed()[1], "leakage")
    assert (found.passed, found.values["copies"]) == (passes, 0.25)
    assert passes or "25.0% of held-out rows" in found.description


def test_the_random_split_keeps_copies_together(land_table: Land, assessed: Assess) -> None:
    land_table(pd.concat([crops_table(100)] * 3))
    assert check(assessed()[1], "leakage").values["copies"] == 0
