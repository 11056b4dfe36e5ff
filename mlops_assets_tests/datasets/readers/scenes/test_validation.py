"""Scenes that cannot be used.

Every file is named with the reason and the remedy, all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents, bands_read
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

Read = Callable[..., Contents]


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
    return lambda specification=None: read_landing(landing, specification or declared())


def problems(read: Read, specification: DatasetSpecification | None = None) -> list[str]:
    with pytest.raises(DataProblems) as raised:
        read(specification)
    return raised.value.problems


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def relabel(
    value: int, dtype: str = "uint8", shape: tuple[int, int, int] = (1, 12, 12)
) -> Callable[[Path], None]:
    return lambda path: write_raster(path, np.full(shape, value, dtype=dtype))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (
            "labels/b.tif",
            Path.unlink,
            r"images/b.tif: has no labels labels/b.tif; add them or remove the image",
        ),
        (
            "images/b.tif",
            Path.unlink,
            r"labels/b.tif: has no image images/b.tif; add it or remove the labels",
        ),
        (
            "images/b.tif",
            truncate,
            "images/b.tif: cannot be read between rows 0 and 12; the file is damaged; replace",
        ),
        (
            "labels/b.tif",
            truncate,
            "labels/b.tif: cannot be read between rows 0 and 12; the file is damaged; replace",
        ),
        (
            "images/b.tif",
            lambda path: path.write_bytes(b"no raster"),
            "images/b.tif: cannot be read",
        ),
        ("labels/b.tif", lambda path: path.write_bytes(b""), "labels/b.tif: cannot be read"),
        (
            "labels/b.tif",
            relabel(1, shape=(1, 12, 13)),
            "labels/b.tif: is 12 x 13 pixels, its image .* is 12 x 12",
        ),
        (
            "labels/b.tif",
            relabel(7),
            r"labels/b.tif: has label value\(s\) 7 that are not declared classes",
        ),
        ("labels/b.tif", relabel(1, dtype="float32"), r"labels/b.tif: has 1 band\(s\) of float32"),
        ("labels/b.tif", relabel(1, shape=(3, 12, 12)), r"labels/b.tif: has 3 band\(s\) of uint8"),
        (
            "images/b.tif",
            relabel(1, "uint16", (3, 12, 12)),
            "images/b.tif: has count 3, images/a.tif has 4; their numbers of bands",
        ),
        (
            "images/b.tif",
            relabel(1, "float32", (4, 12, 12)),
            "images/b.tif: has dtype float32, images/a.tif has uint16; convert them",
        ),
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
        "images/c.tif",
        "images/a.tif",
        "labels/b.tif",
    ]


def regeoreference(path: Path, **profile: Any) -> None:
    with open_raster(path) as raster:
        labels = raster.read()
    write_raster(path, labels, **profile)


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
    with pytest.raises(
        DataProblems, match=r"labels/b\.tif: has another georeference than its image"
    ) as raised:
        read()
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize(
    "same",
    [UTM, UTM | {"transform": Affine(10.00001, 0, 500_000.001, 0, -10, 4_700_000)}, {}],
    ids=["equal", "rounded", "none"],
)
def test_labels_on_the_grid_of_their_image_or_without_a_georeference_are_accepted(
    landing: Path, read: Read, same: dict[str, Any]
) -> None:
    labels = write_scene(landing, size=12, crs="EPSG:32630")
    regeoreference(landing / "labels/a.tif", **same)
    assert len(read().samples) == np.count_nonzero(labels)


@pytest.mark.parametrize("bands", [{"names": ["red"]}, {"center_wavelengths": [0.6, 0.7]}])
def test_band_facts_must_fit_the_number_of_bands(
    landing: Path, read: Read, bands: dict[str, Any]
) -> None:
    write_scene(landing, size=12)
    with pytest.raises(DataProblems, match=r"entries, the scenes have 4 bands"):
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


# whole scenes


def ones(bands: int = 2, dtype: str = "uint8", size: int = 12) -> np.ndarray[Any, Any]:
    return np.ones((bands, size, size), dtype=dtype)


def test_a_header_that_promises_more_than_the_file_can_hold_is_not_believed(
    landing: Path, read: Read
) -> None:
    write_scene(landing, size=12)
    profile = {
        "driver": "GTiff",
        "height": 200_000,
        "width": 200_000,
        "count": 3,
        "dtype": "float32",
        "tiled": True,
    }
    with open_raster(landing / "images/a.tif", "w", sparse_ok=True, bigtiff="YES", **profile):
        pass
    (found,) = problems(read)
    assert found.startswith(
        "images/a.tif: declares 200000 x 200000 pixels of 3 band(s), 480,000,000,000 bytes, but "
    )
    assert found.endswith("; the header is wrong or the file is truncated; replace the file")


@pytest.mark.parametrize(
    ("value", "nodata", "problem"),
    [
        (
            np.inf,
            None,
            "has infinite values; replace them, with the nodata value where they are unknown",
        ),
        (-np.inf, -1.0, "has infinite values"),
        (np.nan, None, "has NaN values but declares no nodata value; set nodata, or replace them"),
        (np.nan, -1.0, None),
        (np.nan, np.nan, None),
    ],
)
def test_values_that_are_not_measurements_are_refused_without_a_declared_meaning(
    landing: Path, read: Read, value: float, nodata: float | None, problem: str | None
) -> None:
    write_scene(landing, size=12)
    image = ones(4, "float32")
    image[2, 5, 5] = value
    write_raster(landing / "images/a.tif", image, nodata=nodata)
    if problem:
        (found,) = problems(read)
        assert found.startswith("images/a.tif: ") and problem in found
    else:
        assert len(read().samples) > 0


def test_a_pixel_without_data_in_any_band_is_left_out_with_the_reason(
    landing: Path, read: Read
) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    image = ones(3, "int16", 12)
    image[:, 4:6, 4:6] = -99
    image[1:, 8, 8] = -99  # the first band knows
    write_raster(landing / "images/a.tif", image, nodata=-99)
    samples = read().samples
    left_out = samples[samples["reason"].notna()]
    assert left_out[["row", "column"]].to_numpy().tolist() == [[4, 4], [4, 5], [5, 4], [5, 5]]
    assert set(left_out["reason"]) == {"no data at the centre"}


HOLE = (slice(4, 6), slice(4, 6))


def by_nodata(path: Path) -> None:
    image = ones(3, "uint8", 12)
    image[:, *HOLE] = 255
    write_raster(path, image, nodata=255)


def by_nan_beside_nodata(path: Path) -> None:
    image = ones(3, "float32", 12)
    image[0, *HOLE], image[1:, *HOLE] = np.nan, -1
    write_raster(path, image, nodata=-1)


def by_alpha(path: Path) -> None:
    image = ones(4, "uint8", 12)
    image[3] = 255
    image[3, *HOLE] = 0
    write_raster(path, image, photometric="RGB", alpha="YES")


def by_alpha_beside_nodata(path: Path) -> None:
    image = ones(4, "uint8", 12)
    image[3] = 255
    image[3, 4, 4:6] = 0
    image[:3, 5, 4:6] = 7
    write_raster(path, image, photometric="RGB", alpha="YES", nodata=7)


def write_mask(path: Path, mask: Any, internal: bool = True) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), open_raster(path, "r+") as raster:
        raster.write_mask(mask)


def by_mask(internal: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_raster(path, ones(3, "uint8", 12))
        mask = np.ones((12, 12), dtype=bool)
        mask[HOLE] = False
        write_mask(path, mask, internal)
        assert path.with_suffix(".tif.msk").exists() != internal

    return write


@pytest.mark.parametrize(
    "write",
    [
        by_nodata,
        by_nan_beside_nodata,
        by_alpha,
        by_alpha_beside_nodata,
        by_mask(True),
        by_mask(False),
    ],
    ids=["nodata", "NaN", "alpha", "alpha and nodata", "internal mask", "sidecar mask"],
)
def test_no_sample_is_in_a_hole_however_the_file_marks_it(
    landing: Path, read: Read, write: Callable[[Path], None]
) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    write(landing / "images/a.tif")
    found = read()
    left_out = found.samples[found.samples["reason"].notna()]
    assert left_out[["row", "column"]].to_numpy().tolist() == [[4, 4], [4, 5], [5, 4], [5, 5]]
    assert found.features == ["B001", "B002", "B003"]  # alpha is none of them


@pytest.mark.parametrize(
    ("names", "features", "hidden"),
    [
        # GDAL takes the last of four 8-bit bands for alpha
        (
            ["red", "green", "blue", "nir"],
            4,
            0,
        ),
        (["red", "green", "blue", "alpha"], 4, 4),
        (["red", "green", "blue"], 3, 4),
        (None, 3, 4),
    ],
)
def test_alpha_is_a_band_where_it_is_named_so(
    landing: Path, read: Read, names: list[str] | None, features: int, hidden: int
) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    by_alpha(landing / "images/a.tif")
    found = read(declared(bands={"names": names}))
    assert (len(found.features), found.samples["reason"].notna().sum()) == (features, hidden)
    assert any("band 4 is alpha" in note for note in found.notes) == (features == 3)


def test_a_mask_hides_labels_too(landing: Path, read: Read) -> None:
    write_raster(landing / "images/a.tif", ones(2))
    write_raster(landing / "labels/a.tif", ones(1))
    write_mask(landing / "labels/a.tif", np.arange(144).reshape(12, 12) != 5)
    for unlabelled in (0, None):
        assert len(read(declared(unlabelled=unlabelled)).samples) == 143


def test_complex_numbers_are_refused_with_a_remedy(landing: Path, read: Read) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    write_raster(landing / "images/a.tif", ones(1, "complex64", 12))
    (found,) = problems(read)
    assert (
        found.startswith("images/a.tif: has complex numbers (complex64)") and "AMPLITUDE" in found
    )


def test_scales_that_differ_are_noted(landing: Path, read: Read) -> None:
    for name, offset in (("a", 0), ("b", -0.1)):
        write_raster(landing / f"labels/{name}.tif", ones(1))
        write_raster(landing / f"images/{name}.tif", ones(2, "uint16", 12))
        with open_raster(landing / f"images/{name}.tif", "r+") as raster:
            raster.scales, raster.offsets = (1e-4,) * 2, (offset,) * 2
    (note,) = read().notes
    assert note.startswith(
        "images/b.tif: has scale 0.0001 and offset -0.1, images/a.tif has scale 0.0001 and offset 0"
    )


def test_labels_in_windows_that_the_edge_cuts_off_are_noted(landing: Path, read: Read) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    write_raster(landing / "images/a.tif", ones(2))
    found = read(declared(read="windows", size=5))
    assert len(found.samples) == 4
    assert found.notes[0].startswith(
        "labels/a.tif: 44 labelled pixel(s) of a lie in windows that its right or lower"
    )
    assert not read(declared(read="windows", size=4)).notes


# bands


@pytest.mark.parametrize(
    ("second", "names", "problem"),
    [
        (["B08", "B04", "B02"], None, None),
        (["B08", "B04", "B02"], ["nir", "red", "blue"], "calls band"),
        (["B08", "B04", "B02"], ["B08", "B02", "B04"], None),
        (
            ["B08", "B04", "B03"],
            None,
            "images/b.tif: has bands B08, B04, B03, images/a.tif has B02, B04, B08",
        ),
        ([None, None, None], None, "images/b.tif: has no band names"),
        ([None, None, None], ["B02", "B04", "B08"], None),
        (["B08", None, "B02"], None, "images/b.tif: has bands B08, B002, B02"),
    ],
)
def test_bands_are_joined_by_name_or_refused(
    landing: Path,
    read: Read,
    second: list[str | None],
    names: list[str] | None,
    problem: str | None,
) -> None:
    described: dict[str, list[str | None]] = {"a": ["B02", "B04", "B08"], "b": second}
    for name, bands in described.items():
        write_raster(landing / f"labels/{name}.tif", ones(1))
        write_raster(landing / f"images/{name}.tif", ones(3, "uint16", 12), names=bands)
    specification = declared(bands={"names": names})
    if problem is None:
        found = read(specification)
        wanted = names or ["B02", "B04", "B08"]
        assert found.features == wanted
        for row, own in zip(found.files.to_dict("records"), described.values(), strict=False):
            order = bands_read(row)
            assert all(
                own[band - 1] in (None, name) for band, name in zip(order, wanted, strict=True)
            )
    elif problem != "calls band":
        assert problem in problems(read, specification)[0]
    else:  # new names for the bands of the first file, by which the others are ordered
        assert read(specification).files["bands"].tolist()[:2] == [None, [3, 2, 1]]


def test_a_name_for_two_bands_orders_nothing(landing: Path, read: Read) -> None:
    for name, bands in {"a": ["B02", "B04", "B04"], "b": ["B04", "B02", "B04"]}.items():
        write_raster(landing / f"labels/{name}.tif", ones(1))
        write_raster(landing / f"images/{name}.tif", ones(3, "uint16", 12), names=bands)
    (found,) = problems(read, declared())
    assert found.startswith(
        "images/a.tif: names 2 bands B04; give each band a description of its own, or declare"
    )
    assert read(declared(bands={"names": ["x", "y", "z"]})).features == ["x", "y", "z"]


def test_a_name_of_another_band_is_not_a_new_name(landing: Path, read: Read) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    write_raster(landing / "images/a.tif", ones(3, "uint16", 12), names=["B02", "B04", "B08"])
    (found,) = problems(read, declared(bands={"names": ["B08", "red", "nir"]}))
    assert found.startswith("bands.names calls band 1 B08, but the files call band 3 so")


def test_a_window_without_any_data_is_left_out(landing: Path, read: Read) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    image = ones(3, "float32", 12)
    image[:, :4, :4] = np.nan
    image[:, 4:8, 4:7] = np.nan
    write_raster(landing / "images/a.tif", image, nodata=np.nan)
    samples = read(declared(read="windows", size=4)).samples
    assert samples.loc[samples["reason"].notna(), ["row", "column"]].to_numpy().tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("source", "lands"), [("landing/src/a.tif", True), ("a.tif", False), ("landing/.a.tif", False)]
)
def test_what_gdal_reads_besides_is_of_the_version_or_the_file_is_refused(
    landing: Path, read: Read, source: str, lands: bool
) -> None:
    write_raster(landing / "labels/a.tif", ones(1))
    write_raster(landing.parent / source, ones(2))
    (landing / "images").mkdir()
    with open_raster(landing.parent / source) as raster:
        copy(raster, landing / "images/a.vrt", driver="VRT")
    if lands:
        files = read(declared(images="images/*.vrt")).files
        assert dict(zip(files["path"], files["role"], strict=True))["src/a.tif"] == "sidecar"
    else:
        (found,) = problems(read, declared(images="images/*.vrt"))
        assert found.startswith("images/a.vrt: needs ") and "not among the landed files" in found


# scenes of one dataset


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (UTM, {}, "images/b.tif: has no georeference, others have; add it or leave it out"),
        ({}, UTM, "images/a.tif: has no georeference, others have; add it or leave it out"),
        (
            UTM,
            UTM | {"transform": Affine(20, 0, 500_000, 0, -20, 4_700_000)},
            "images/b.tif: has pixels of 20 units of",
        ),
        (
            UTM,
            {"crs": "EPSG:4326", "transform": Affine(0.0001, 0, -3, 0, -0.0001, 42)},
            "images/b.tif: has pixels of",
        ),
        (UTM, UTM | {"crs": "EPSG:32631"}, None),
    ],
    ids=["none", "none first", "resolution", "degrees", "another zone"],
)
def test_scenes_of_one_dataset_have_one_kind_of_grid(
    landing: Path, read: Read, first: dict[str, Any], second: dict[str, Any], problem: str | None
) -> None:
    for name, profile in (("a", first), ("b", second)):
        write_raster(landing / f"images/{name}.tif", ones(), **profile)
        write_raster(landing / f"labels/{name}.tif", ones(1), **profile)
    if problem is None:
        assert len(read().samples) == 288
    else:
        (found,) = problems(read)
        assert found.startswith(problem)


def test_every_scene_that_differs_is_named(landing: Path, read: Read) -> None:
    for name, image in (
        ("a", ones()),
        ("b", ones(3)),
        ("c", ones(2, "int16")),
        ("d", ones(3, "int16")),
    ):
        write_raster(landing / f"images/{name}.tif", image)
        write_raster(landing / f"labels/{name}.tif", ones(1))
    assert [text.split(";")[0] for text in problems(read)] == [
        "images/b.tif: has count 3, images/a.tif has 2",
        "images/c.tif: has dtype int16, images/a.tif has uint8",
        "images/d.tif: has dtype int16, images/a.tif has uint8",
        "images/d.tif: has count 3, images/a.tif has 2",
    ]


# stacked files

STACK = {"images": ["red/*.tif", "nir/*.tif"]}


@pytest.mark.parametrize(
    ("second", "profile", "problem"),
    [
        (
            ones(1, size=13),
            UTM,
            "nir/a.tif: is 13 x 13 pixels, red/a.tif is 12 x 12; bring the bands of a scene onto",
        ),
        (
            ones(1),
            UTM | {"crs": "EPSG:32631"},
            "nir/a.tif: has another georeference than red/a.tif; bring them onto",
        ),
        (
            ones(1),
            UTM | {"transform": UTM["transform"] @ Affine.translation(0.5, 0)},
            "nir/a.tif: has another georef",
        ),
        (ones(1), {}, "nir/a.tif: has another georeference than red/a.tif"),
        (ones(1), UTM | {"transform": UTM["transform"] @ Affine.translation(0.01, 0)}, None),
        (ones(2, "float32"), UTM, None),
    ],
    ids=[
        "size",
        "zone",
        "half a pixel",
        "none",
        "a hundredth of a pixel",
        "another type and number of bands",
    ],
)
def test_files_of_one_scene_lie_on_one_grid(
    landing: Path,
    read: Read,
    second: np.ndarray[Any, Any],
    profile: dict[str, Any],
    problem: str | None,
) -> None:
    write_raster(landing / "red/a.tif", ones(1), **UTM)
    write_raster(landing / "nir/a.tif", second, **profile)
    write_raster(landing / "labels/a.tif", ones(1), **UTM)
    if problem is None:
        assert len(read(declared(**STACK)).features) == 1 + len(second)
    else:
        (found,) = problems(read, declared(**STACK))
        assert found.startswith(problem)


def test_a_scene_that_lacks_a_file_of_its_stack_is_named(landing: Path, read: Read) -> None:
    for path in (
        "red/a.tif",
        "nir/a.tif",
        "red/b.tif",
        "nir/c.tif",
        *(f"labels/{name}.tif" for name in "abc"),
    ):
        write_raster(landing / path, ones(1))
    assert problems(read, declared(**STACK)) == [
        "red/b.tif: lacks nir/b.tif; add it or remove the scene",
        "nir/c.tif: lacks red/c.tif; add it or remove the scene",
    ]


def test_missing_labels_of_all_scenes_are_reported_once(landing: Path, read: Read) -> None:
    for name in "ab":
        write_raster(landing / f"images/{name}.tif", ones(), **UTM)
    assert problems(read, declared(labels="all.gpkg")) == [
        "all.gpkg: the labels of all scenes are missing; add the file"
    ]


def test_a_label_raster_of_numbers_may_not_be_infinite(landing: Path, read: Read) -> None:
    write_raster(landing / "images/a.tif", ones())
    labels = ones(1, "float32")
    labels[0, 3, 3] = np.inf
    write_raster(landing / "labels/a.tif", labels)
    assert problems(read, declared(label_is="number")) == [
        "labels/a.tif: has infinite labels; replace them"
    ]


def test_labels_may_lie_beside_their_images(landing: Path, read: Read) -> None:
    for name in "ab":
        write_raster(landing / f"{name}.tif", ones())
        write_raster(landing / f"{name}_mask.tif", ones(1))
    found = read(declared(images="*.tif", labels="*_mask.tif"))
    assert found.samples["path"].unique().tolist() == ["a.tif", "b.tif"]
    assert sorted(found.files["path"]) == ["a.tif", "a_mask.tif", "b.tif", "b_mask.tif"]
