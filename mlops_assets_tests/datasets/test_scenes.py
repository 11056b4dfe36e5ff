"""Scenes are paired, checked pixel by pixel and read as patches that a plain numpy reference agrees with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_assets.datasets import scenes
from mlops_assets.datasets.contents import Contents
from mlops_assets.datasets.landing import list_landing
from mlops_assets.datasets.rasters import open_raster
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets_tests.conftest import scenes_specification, write_scene

Read = Callable[..., Contents]


def write_raster(path: Path, array: NDArray[Any], **profile: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = array.shape
    shape = {"height": height, "width": width, "count": bands, "dtype": array.dtype.name}
    with open_raster(path, "w", driver="GTiff", **shape, **profile) as raster:
        raster.write(array)


def declared(**changes: Any) -> DatasetSpecification:
    """Scenes with the given options of the layout; other attributes by name."""
    attributes = {key: changes.pop(key) for key in ("bands", "classes") if key in changes}
    source = {"url": "landing", "layout": "scenes", "scenes": {"size": 3} | changes}
    return scenes_specification(source=source, **attributes)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def read(landing: Path) -> Read:
    return lambda specification=None: scenes.read_contents(list_landing(landing), specification or declared())


def mirrored(image: NDArray[Any], centres: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    half = size // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="symmetric")
    return np.stack([padded[:, r : r + size, c : c + size] for r, c in centres]).astype(np.float32)


# what is found


def test_every_labelled_pixel_of_a_pair_is_a_sample(landing: Path, read: Read) -> None:
    labels = write_scene(landing, size=12)
    found = read()
    assert found.paths == ["images/a.tif", "labels/a.tif"]
    assert (found.features, found.input) == (["B001", "B002", "B003", "B004"], {"kind": "patch", "size": 3})
    rows, columns = np.nonzero(labels)
    assert found.samples[["row", "column"]].to_numpy().tolist() == np.stack([rows, columns], axis=1).tolist()
    assert found.samples["label"].tolist() == [str(value) for value in labels[rows, columns]]
    assert set(found.samples["path"]) == {"images/a.tif"}


@pytest.mark.parametrize(("unlabelled", "count"), [(0, "labelled"), (None, "all")])
def test_pixels_that_nobody_knows_are_left_out_unless_every_value_is_a_class(
    landing: Path, read: Read, unlabelled: int | None, count: str
) -> None:
    labels = write_scene(landing, size=12)
    classes = {1: "water", 2: "land"} | ({0: "other"} if unlabelled is None else {})
    found = read(declared(unlabelled=unlabelled, classes=classes))
    assert len(found.samples) == {"labelled": np.count_nonzero(labels), "all": labels.size}[count]


def test_windows_are_whole_and_hold_a_labelled_pixel(landing: Path, read: Read) -> None:
    labels = np.zeros((10, 11), dtype=np.uint8)
    labels[5, 3] = labels[9, 9] = 1
    write_raster(landing / "images/a.tif", np.ones((2, 10, 11), dtype=np.uint8))
    write_raster(landing / "labels/a.tif", labels[None])
    found = read(declared(read="windows", size=4))
    assert found.samples[["row", "column"]].to_numpy().tolist() == [[4, 0]]
    assert found.samples["label"].isna().all()
    assert found.input == {"kind": "window", "size": 4}


def test_declared_patterns_and_band_names_are_used(landing: Path, read: Read) -> None:
    write_scene(landing, size=12, bands=2)
    (landing / "images" / "a.tif").rename(landing / "S2_a_B.tif")
    (landing / "labels" / "a.tif").rename(landing / "gt-a.tif")
    found = read(declared(images="S2_*_B.tif", labels="gt-*.tif", bands={"names": ["red", "nir"]}))
    assert (found.paths, found.features) == (["S2_a_B.tif", "gt-a.tif"], ["red", "nir"])


def test_band_names_come_from_the_file_if_it_has_any(landing: Path, read: Read) -> None:
    write_scene(landing, size=12, bands=2)
    with open_raster(landing / "images" / "a.tif", "r+") as raster:
        raster.descriptions = ("red", None)
    assert read().features == ["red", "B002"]


def test_the_georeference_is_carried(landing: Path, read: Read) -> None:
    georeference = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000)}
    for folder in ("images", "labels"):
        write_raster(landing / folder / "a.tif", np.ones((1, 48, 48), dtype=np.uint8), **georeference)
    (fact,) = read().scenes
    assert fact.crs == "EPSG:32630"
    assert fact.transform == [10, 0, 500_000, 0, -10, 4_700_000]
    assert fact.bbox is not None
    west, south, east, north = fact.bbox
    assert west == pytest.approx(-3, abs=1e-6)  # easting 500 km is the central meridian of zone 30
    assert east - west == pytest.approx(480 / (111_320 * np.cos(np.radians(42.45))), rel=0.01)
    assert north - south == pytest.approx(480 / 111_100, rel=0.01)
    assert 42.4 < south < north < 42.5


def test_no_georeference_is_made_up(landing: Path, read: Read) -> None:
    write_scene(landing, size=12)
    (fact,) = read().scenes
    assert (fact.crs, fact.transform, fact.bbox) == (None, None, None)
    assert (fact.height, fact.width, fact.count, fact.dtype) == (12, 12, 4, "uint16")


# problems


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def relabel(value: int, dtype: str = "uint8", shape: tuple[int, int, int] = (1, 12, 12)) -> Callable[[Path], None]:
    return lambda path: write_raster(path, np.full(shape, value, dtype=dtype))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("labels/b.tif", Path.unlink, r"images/b.tif: has no label raster labels/b.tif"),
        ("images/b.tif", Path.unlink, r"labels/b.tif: has no image images/b.tif"),
        ("images/b.tif", truncate, "images/b.tif: cannot be read or written as a raster"),
        ("labels/b.tif", truncate, "labels/b.tif: cannot be read or written as a raster"),
        ("images/b.tif", lambda path: path.write_bytes(b"no raster"), "images/b.tif: cannot be read"),
        ("labels/b.tif", lambda path: path.write_bytes(b""), "labels/b.tif: cannot be read"),
        ("labels/b.tif", relabel(1, shape=(1, 12, 13)), "labels/b.tif: is 12 x 13 pixels, its image .* is 12 x 12"),
        ("labels/b.tif", relabel(7), r"labels/b.tif: has label value\(s\) 7 that are no declared class"),
        ("labels/b.tif", relabel(1, dtype="float32"), r"labels/b.tif: has 1 band\(s\) of float32"),
        ("labels/b.tif", relabel(1, shape=(3, 12, 12)), r"labels/b.tif: has 3 band\(s\) of uint8"),
        ("images/b.tif", relabel(1, "uint16", (3, 12, 12)), "images/b.tif: has 3 bands, images/a.tif has 4"),
        ("images/b.tif", relabel(1, "float32", (4, 12, 12)), "images/b.tif: is float32, images/a.tif is uint16"),
    ],
)
def test_a_bad_scene_is_refused_with_its_file_and_the_reason(
    landing: Path, read: Read, file: str, damage: Callable[[Path], Any], message: str
) -> None:
    for name in "ab":
        write_scene(landing, name, size=12)
    damage(landing / file)
    with pytest.raises(DataProblems, match=message) as raised:
        read()
    assert len(raised.value.problems) == 1
    assert str(landing) not in str(raised.value)


def test_all_problems_of_all_scenes_are_in_one_error(landing: Path, read: Read) -> None:
    for name in "abcd":
        write_scene(landing, name, size=12)
    truncate(landing / "images/a.tif")
    relabel(7)(landing / "labels/b.tif")
    (landing / "labels/c.tif").unlink()
    with pytest.raises(DataProblems) as raised:
        read()
    assert [problem.split(":")[0] for problem in raised.value.problems] == [
        "images/c.tif", "images/a.tif", "labels/b.tif",
    ]  # fmt: skip


def regeoreference(path: Path, **profile: Any) -> None:
    with open_raster(path) as raster:
        labels = raster.read()
    write_raster(path, labels, **profile)


UTM = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000)}


@pytest.mark.parametrize(
    "other",
    [
        {"crs": "EPSG:32631"},
        {"transform": Affine(20, 0, 500_000, 0, -20, 4_700_000)},
        {"transform": Affine(10, 0, 500_010, 0, -10, 4_700_000)},
        {"transform": Affine(10, 0, 500_000, 0, -10, 4_699_995)},
        {"transform": Affine(10, 0, 500_000, 0, 10, 4_700_000)},
    ],
    ids=["zone", "pixel size", "a pixel east", "half a pixel south", "upside down"],
)
def test_labels_with_another_georeference_than_their_image_are_refused(
    landing: Path, read: Read, other: dict[str, Any]
) -> None:
    for name in "ab":
        write_scene(landing, name, size=12, crs="EPSG:32630")
    regeoreference(landing / "labels/b.tif", **UTM | other)
    with pytest.raises(DataProblems, match=r"labels/b\.tif: has another georeference than its image") as raised:
        read()
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize(
    "same", [UTM, UTM | {"transform": Affine(10.00001, 0, 500_000.001, 0, -10, 4_700_000)}, {}],
    ids=["equal", "rounded", "none"],
)  # fmt: skip
def test_labels_on_the_grid_of_their_image_or_without_a_georeference_are_accepted(
    landing: Path, read: Read, same: dict[str, Any]
) -> None:
    labels = write_scene(landing, size=12, crs="EPSG:32630")
    regeoreference(landing / "labels/a.tif", **same)
    assert len(read().samples) == np.count_nonzero(labels)


@pytest.mark.parametrize("bands", [{"names": ["red"]}, {"center_wavelengths": [0.6, 0.7]}])
def test_band_facts_must_fit_the_number_of_bands(landing: Path, read: Read, bands: dict[str, Any]) -> None:
    write_scene(landing, size=12)
    with pytest.raises(DataProblems, match=r"entries, images/a\.tif has 4 bands"):
        read(declared(bands=bands))


def test_scenes_without_any_label_are_refused(landing: Path, read: Read) -> None:
    write_scene(landing, size=12)
    relabel(0)(landing / "labels/a.tif")
    with pytest.raises(DataProblems, match="no pixel is labelled"):
        read()


def test_files_that_match_no_pattern_are_an_empty_landing(landing: Path, read: Read) -> None:
    write_raster(landing / "elsewhere" / "a.tif", np.ones((1, 3, 3), dtype=np.uint8))
    with pytest.raises(EmptyLanding, match=r"no scene found among 1 .*images/\*\.tif"):
        read()


# patches and windows


@pytest.mark.parametrize("strip", [1, 2, 5, 7, 256])
@pytest.mark.parametrize("size", [1, 3, 9])
def test_patches_are_those_of_a_mirrored_scene_at_edges_and_across_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int, size: int
) -> None:
    monkeypatch.setattr(scenes, "STRIP_ROWS", strip)
    image = np.random.default_rng(0).integers(0, 60_000, (3, 17, 11)).astype(np.uint16)
    write_raster(tmp_path / "a.tif", image)
    centres = np.random.default_rng(1).permutation(np.argwhere(np.ones((17, 11))))  # every pixel, in no order
    found = scenes.read_patches(tmp_path / "a.tif", centres, size)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, mirrored(image, centres, size))


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    height=st.integers(1, 12), width=st.integers(1, 12), half=st.integers(0, 8), strip=st.integers(1, 13),
)  # fmt: skip
def test_patches_larger_than_the_scene_are_mirrored_again(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, half: int, strip: int
) -> None:
    path = tmp_path_factory.mktemp("scene") / "a.tif"
    image = np.arange(height * width, dtype=np.int32).reshape(1, height, width)
    write_raster(path, image)
    centres = np.argwhere(np.ones((height, width)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "STRIP_ROWS", strip)
        found = scenes.read_patches(path, centres, 2 * half + 1)
    np.testing.assert_array_equal(found, mirrored(image, centres, 2 * half + 1))


def test_windows_are_cut_out_as_they_are(tmp_path: Path) -> None:
    image = np.arange(2 * 8 * 10, dtype=np.float32).reshape(2, 8, 10)
    write_raster(tmp_path / "a.tif", image)
    found = scenes.read_windows(tmp_path / "a.tif", np.array([[4, 5], [0, 0]]), 4)
    np.testing.assert_array_equal(found, np.stack([image[:, 4:8, 5:9], image[:, :4, :4]]))
    assert found.dtype == np.float32


def test_a_label_raster_keeps_negative_and_large_values(tmp_path: Path) -> None:
    labels = np.array([[[-1, 0], [70_000, 2]]], dtype=np.int32)
    write_raster(tmp_path / "a.tif", labels)
    np.testing.assert_array_equal(scenes.read_label_raster(tmp_path / "a.tif"), labels[0])
