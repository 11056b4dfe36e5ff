"""Folders of images.

What their paths say, how they are brought to one size, and which files are refused.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers.image_folder import fitted, image_facts
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.datasets.versions.sample_shape import ImageShape
from mlops_assets.errors import DataProblems, EmptyLanding
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

Read = Callable[..., Contents]
EXECUTED = "executed by unpickling"


def declared(
    classes: dict[Any, str] | None = None, split: str = "random", **options: Any
) -> DatasetSpecification:
    return DatasetSpecification.model_validate(
        {
            "name": "tiles",
            "source": {"url": "landing/tiles", "layout": "image_folder", "image_folder": options},
            "split": {"method": split, "fractions": {"train": 0.5, "test": 0.5}},
            "classes": classes,
            "bands": options.pop("bands", {}),
        }
    )


def image(seed: int = 0, bands: int = 3, size: int = 8, dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, (bands, size, size)).astype(dtype)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def read(folder: Path) -> Read:
    return lambda specification=None, **options: read_landing(
        folder, specification or declared(**options)
    )


@pytest.mark.parametrize("classes", [None, {1: "Gr\u00fcnland"}, {1: "Gru\u0308nland"}])
def test_accents_of_folders_are_one_class_however_they_are_written(
    folder: Path, read: Read, classes: dict[Any, str] | None
) -> None:
    for number, name in enumerate(("Gr\u00fcnland", "Gru\u0308nland")):
        write_raster(folder / name / f"{number}.png", image(number))
    assert set(read(declared(classes)).samples["label"]) == {"1" if classes else "Gr\u00fcnland"}


def problems(read: Read, **options: Any) -> list[str]:
    with pytest.raises(DataProblems) as raised:
        read(**options)
    return raised.value.problems


# what is left out, or noted


@pytest.mark.parametrize("hidden_by", ["nodata", "nan", "alpha", "mask"])
def test_an_image_without_data_is_left_out_and_noted_also_when_it_is_known(
    store: Store, hidden_by: str
) -> None:
    folder = store.workspace.root / "landing/tiles"
    for number in range(20):
        path, pixels = folder / "ab"[number % 2] / f"{number}.tif", image(number, 4) + 1
        if hidden_by == "nan":
            write_raster(
                path, np.where(number != 4, pixels, np.nan).astype(np.float32), nodata=np.nan
            )
        elif hidden_by == "nodata":
            write_raster(path, np.where(number != 4, pixels, 0).astype(np.uint8), nodata=0)
        else:
            pixels[3] = 0 if number == 4 else 255
            write_raster(
                path, pixels, photometric="RGB", alpha="YES" if hidden_by == "alpha" else "NO"
            )
            if hidden_by == "mask" and number == 4:
                with open_raster(path, "r+") as raster:
                    raster.write_mask(np.zeros((8, 8), dtype=bool))
    for version in (1, 2):
        commit(store.workspace, store.registry, declared())
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference("tiles", f"v{version}")
        )
        left = committed.samples[committed.samples["split"].isna()]
        assert left[["path", "reason"]].to_numpy().tolist() == [["a/4.tif", "no pixel has data"]]
        assert any(
            note.startswith("a/4.tif: no pixel has data") for note in committed.document.notes
        )
        write_raster(folder / "b/21.tif", image(21, 4).astype(committed.manifest["dtype"][0]) + 1)
        if hidden_by == "alpha":
            write_raster(folder / "b/21.tif", image(21, 4), photometric="RGB", alpha="YES")


def test_what_viewers_show_otherwise_is_noted(folder: Path, read: Read) -> None:
    pixels = np.moveaxis(image(), 0, -1)
    turned = Image.Exif()
    turned[274] = 6
    for name in ("1.png", "2.jpg", "3.tif", "4.png"):
        (folder / "a").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "a" / name, exif=turned if name != "4.png" else None)
    (note,) = read().notes
    assert note.startswith("a/1.png (3 file(s)): has an EXIF orientation")
    for path in sorted(folder.rglob("*.*")):
        path.unlink()
    for name in ("1.png", "2.tif"):
        Image.fromarray(pixels).quantize(8).save(folder / "a" / name)
    (note,) = read().notes
    assert note.startswith("a/1.png (2 file(s)): has a palette")


def test_many_bands_are_read_without_a_word_of_pillow(
    folder: Path, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        write_raster(folder / name / "1.tif", np.ones((7, 8, 8), dtype=np.uint8))
    read()
    assert caplog.records == []


# paths


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{label}/*", "water/a.png", {"label": "water"}),
        ("{split}/{label}/*", "Train/water/a.png", {"label": "water", "declared_split": "train"}),
        ("{label}/{group}_*", "water/site 1_2020.png", {"label": "water", "group": "site 1"}),
        ("{group}/*/{label}.png", "site/x/water.png", {"label": "water", "group": "site"}),
        ("images.v1/{label}-*", "images.v1/water-a.png", {"label": "water"}),
    ],
)
def test_class_split_and_group_come_from_the_path(
    folder: Path, read: Read, pattern: str, path: str, expected: dict[str, str]
) -> None:
    write_raster(folder / path, image())
    sample = read(pattern=pattern).samples.iloc[0]
    assert {name: sample[name] for name in expected} == expected
    assert sample[["path", "row", "column"]].tolist() == [path, 0, 0]


def test_files_outside_of_the_layout_or_of_other_kinds_are_ignored(
    folder: Path, read: Read
) -> None:
    for path in ("water/a.png", "b.png", "water/deep/c.png", "land/d.PNG", "land/notes.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_raster(folder / "x.png", image())
        (folder / "x.png").rename(folder / path)
    assert read().files["path"].tolist() == ["land/d.PNG", "water/a.png"]


def test_a_folder_may_be_called_like_an_image(folder: Path, read: Read) -> None:
    write_raster(folder / "water/a.tif/b.png", image())
    write_raster(folder / "water/c.png", image())
    assert read().files["path"].tolist() == ["water/c.png"]


def test_a_landing_without_any_image_there_is_empty(folder: Path, read: Read) -> None:
    write_raster(folder / "a.png", image())
    with pytest.raises(
        EmptyLanding,
        match=r"no image found among 1 landed file\(s\); .* under paths like \{label\}/\*",
    ):
        read()


@pytest.mark.parametrize(
    ("form", "name", "when"),
    [
        ("%Y-%m-%d", "S2_2020-03-04_x.png", datetime(2020, 3, 4, tzinfo=UTC)),
        ("%Y%m%dT%H%M%S", "S2A_20200304T101112.png", datetime(2020, 3, 4, 10, 11, 12, tzinfo=UTC)),
        ("%Y%j", "LC08_2020064.png", datetime(2020, 3, 4, tzinfo=UTC)),
        ("%Y%m%d", "99999999_20200304.png", datetime(2020, 3, 4, tzinfo=UTC)),
        ("%Y-%m-%d", "undated.png", None),
    ],
)
def test_the_date_comes_from_the_name_where_it_is_declared(
    folder: Path, read: Read, form: str, name: str, when: datetime | None
) -> None:
    write_raster(folder / "water" / name, image())
    (found,) = read(date=form).samples["time"]
    assert found == when or (when is None and found is None)


def test_the_date_in_the_file_wins_and_the_others_still_get_theirs(
    folder: Path, read: Read
) -> None:
    for path in ("water/a_2020-03-04.tif", "water/b_2020-03-05.tif"):
        write_raster(folder / path, image())
    with open_raster(folder / "water/a_2020-03-04.tif", "r+") as raster:
        raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2019-01-01T00:00:00Z")
    found = read(date="%Y-%m-%d").samples["time"].tolist()
    assert found == [datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 3, 5, tzinfo=UTC)]


# classes and bands


def test_declared_classes_may_be_folders_by_name_or_value(folder: Path, read: Read) -> None:
    for path in ("water/a.png", "2/b.png"):
        write_raster(folder / path, image())
    found = read(declared({1: "water", 2: "land"}))
    assert found.samples["label"].tolist() == ["2", "1"]
    assert found.classes == [{"value": 1, "name": "water"}, {"value": 2, "name": "land"}]


def test_folders_that_are_not_a_declared_class_are_all_named(folder: Path, read: Read) -> None:
    for path in ("water/a.png", "sea/b.png", "ice/c.png"):
        write_raster(folder / path, image())
    assert problems(read, classes={1: "water"}) == [
        "ice/: is not a declared class; add it to 'classes' or rename the folder",
        "sea/: is not a declared class; add it to 'classes' or rename the folder",
    ]


def test_band_names_come_from_the_file_or_the_declaration(folder: Path, read: Read) -> None:
    write_raster(folder / "water/a.tif", image(), names=["red", "green", "nir"])
    assert read().features == ["red", "green", "nir"]
    assert read(bands={"names": ["b1", "b2", "b3"]}).features == ["b1", "b2", "b3"]
    assert problems(read, bands={"names": ["b1"]}) == [
        "bands.names has 1 entries, water/a.tif has 3 bands"
    ]
    write_raster(folder / "water/a.tif", image(), names=["red", "nir", "nir"])
    assert problems(read)[0].startswith(
        "water/a.tif: names 2 bands nir; give each band a description of its own"
    )
    assert read(bands={"names": ["b1", "b2", "b3"]}).features == ["b1", "b2", "b3"]


def test_bands_are_joined_by_name_or_refused(folder: Path, read: Read) -> None:
    write_raster(folder / "water/a.tif", image(), names=["red", "green", "nir"])
    write_raster(folder / "water/b.tif", image(), names=["nir", "red", "green"])
    found = read()
    assert found.features == ["red", "green", "nir"]
    assert found.files["bands"].tolist() == [None, [2, 3, 1]]
    write_raster(folder / "water/c.tif", image(), names=["nir", "red", "blue"])
    write_raster(folder / "water/d.tif", image())
    first, second = problems(read)
    assert first.startswith(
        "water/c.tif: has bands nir, red, blue, water/a.tif has red, green, nir; "
    )
    assert second.startswith("water/d.tif: has no band names, water/a.tif has red, green, nir; ")


# sizes


@settings(deadline=None, derandomize=True, database=None, max_examples=80)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12))
def test_images_are_cut_or_mirrored_around_their_centre(
    h: int, w: int, height: int, width: int
) -> None:
    found = fitted(np.arange(2 * h * w).reshape(2, h, w), height, width)
    rows, columns = (
        [_mirrored(i + int((size - target) / 2), size) for i in range(target)]
        for size, target in ((h, height), (w, width))
    )
    expected = np.arange(2 * h * w).reshape(2, h, w)[:, rows][:, :, columns]
    np.testing.assert_array_equal(found, expected)


def _mirrored(index: int, size: int) -> int:
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


def test_images_of_different_sizes_need_a_declared_one(folder: Path, read: Read) -> None:
    for number, size in enumerate((8, 8, 8, 9, 7)):
        write_raster(folder / f"water/{number}.png", image(size=size))
    found = problems(read)
    assert sorted(text.split(":")[0] for text in found) == ["water/3.png", "water/4.png"]
    assert all(
        text.endswith("convert them, or declare 'image_folder: {size: PIXELS}'") for text in found
    )
    assert read(size=8).input == ImageShape(height=8, width=8)


def test_images_of_different_kinds_are_refused_with_the_first_of_each(
    folder: Path, read: Read
) -> None:
    for number, (bands, dtype) in enumerate([(3, "uint8")] * 3 + [(4, "uint8"), (3, "uint16")] * 2):
        write_raster(folder / f"water/{number}.tif", image(bands=bands, dtype=dtype))
    assert {text.split("; ")[1] for text in problems(read)} == {"convert them to one kind"}
    assert problems(read, size=8) == [
        (
            "water/4.tif: count 3, dtype uint16 (2 file(s)), but 3 have 3, uint8; convert them to"
            " one kind"
        ),
        (
            "water/3.tif: count 4, dtype uint8 (2 file(s)), but 3 have 3, uint8; convert them to"
            " one kind"
        ),
    ]


# arrays


def array_bytes(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        image(dtype=">f4"),
        image(dtype=">u2"),
        np.asfortranarray(image(dtype="float64")),
        image(bands=1)[0],
    ],
    ids=["big-endian numbers", "big-endian counts", "columns first", "one band without an axis"],
)
def test_arrays_of_any_order_are_read_in_the_order_of_this_machine(
    store: Store, folder: Path, array: NDArray[Any]
) -> None:
    from mlops_assets.datasets.commit.commit import commit
    from mlops_assets.datasets.readers import LAYOUTS

    landing = store.workspace.root / "landing" / "tiles"
    for number in range(24):
        path = landing / ("water", "land")[number % 2] / f"{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(array_bytes((array + number).astype(array.dtype, order="A")))
    commit(store.workspace, store.registry, declared())
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("tiles"))
    found = LAYOUTS["image_folder"].read(
        committed, "water/0.npy", np.zeros((1, 2), dtype=np.int64), "image"
    )
    expected = array if array.ndim == 3 else array[None]
    np.testing.assert_array_equal(found, expected[None])
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, (EXECUTED,)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            array_bytes(np.array([[Payload()]], dtype=object), allow_pickle=True),
            "cannot be read as an array: .*object",
        ),
        (array_bytes(np.zeros((2, 2), dtype=[("a", "u1")])), "images are numbers of shape"),
        (array_bytes(np.zeros((2, 3, 3), dtype=bool)), "is an array of bool of shape"),
        (array_bytes(np.zeros((2, 3, 3), dtype=complex)), "is an array of complex128 .* amplitude"),
        (array_bytes(np.zeros((2, 3, 3), dtype="<U4")), "images are numbers of shape"),
        (array_bytes(np.zeros(3)), r"of shape \(3,\); images are numbers of shape"),
        (array_bytes(np.zeros((1, 2, 3, 3))), "images are numbers of shape"),
        (array_bytes(np.zeros((0, 3, 3))), r"of shape \(0, 3, 3\)"),
        (array_bytes(np.zeros((2, 30, 30)))[:500], "cannot be read as an array"),
        (
            array_bytes(np.zeros((2, 3, 3))).replace(b"(2, 3, 3)", b"(2,9999,99999)"),
            "cannot be read as an array",
        ),
        (array_bytes(np.full((1, 3, 3), np.nan)), "has NaN values but declares no nodata value"),
        (array_bytes(np.full((1, 3, 3), np.inf)), "has infinite values; replace them"),
        (b"", "cannot be read as an array"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': open()", "cannot be read as an array"),
    ],
    ids=[
        "pickle",
        "records",
        "truth",
        "complex",
        "text",
        "one axis",
        "four axes",
        "no band",
        "truncated",
        "lying",
        "NaN",
        "infinite",
        "empty",
        "code in the header",
    ],
)
def test_an_array_that_is_not_an_image_is_refused_and_nothing_in_it_is_executed(
    folder: Path, read: Read, content: bytes, problem: str
) -> None:
    (folder / "water").mkdir()
    (folder / "water/a.npy").write_bytes(content)
    write_raster(folder / "water/b.npy", image())
    with pytest.raises(DataProblems, match=rf"water/a\.npy: .*{problem}"):
        read()
    assert not Path(EXECUTED).exists()


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.integers(0, 127), st.binary(min_size=1, max_size=12))
def test_a_damaged_header_of_an_array_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, damage: bytes
) -> None:
    whole = array_bytes(np.zeros((2, 3, 3)))
    path = tmp_path_factory.mktemp("array") / "a.npy"
    path.write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    try:
        facts = image_facts(path, "a.npy").facts
    except ValueError:
        return
    assert facts["height"] * facts["width"] * facts["count"] * np.dtype(
        facts["dtype"]
    ).itemsize <= len(whole)


# damaged and lying images


def png(width: int, height: int) -> bytes:
    """A PNG whose header says one size and whose data is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".npy"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.98])
def test_a_truncated_image_of_any_format_is_refused(
    folder: Path, read: Read, suffix: str, keep: float
) -> None:
    for number in range(3):
        write_raster(folder / f"water/{number}{suffix}", image(number, size=64))
    path = folder / f"water/1{suffix}"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    (found,) = problems(read)
    assert found.startswith(f"water/1{suffix}: ")
    assert found.rpartition("; ")[2].startswith(("replace the file", "save a whole numeric array"))


def test_warnings_of_gdal_are_logged_and_not_printed(
    folder: Path, read: Read, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    write_raster(folder / "water/a.png", image())
    content = (folder / "water/a.png").read_bytes()
    profile = b"iCCPx\0\0" + zlib.compress(b"too short")
    chunk = struct.pack(">I", len(profile) - 4) + profile + struct.pack(">I", zlib.crc32(profile))
    (folder / "water/a.png").write_bytes(content[:33] + chunk + content[33:])
    read()
    assert "iCCP: too short" in caplog.text
    assert not any(capfd.readouterr())


def test_an_image_that_promises_more_than_its_file_can_hold_is_not_read(
    folder: Path, read: Read
) -> None:
    (folder / "water").mkdir()
    (folder / "water/a.png").write_bytes(png(60_000, 60_000))
    profile = {
        "driver": "GTiff",
        "height": 300_000,
        "width": 300_000,
        "count": 4,
        "dtype": "float64",
        "tiled": True,
    }
    with open_raster(folder / "water/b.tif", "w", sparse_ok=True, bigtiff="YES", **profile):
        pass
    found = problems(read)
    assert [text.split(":")[0] for text in found] == ["water/a.png", "water/b.tif"]
    assert all("the header is wrong or the file is truncated" in text for text in found)


@pytest.mark.parametrize(
    ("value", "nodata", "refused"),
    [(np.nan, None, True), (np.inf, -1.0, True), (np.nan, -1.0, False)],
)
def test_values_that_are_not_measurements_are_refused_without_a_declared_meaning(
    folder: Path, read: Read, value: float, nodata: float | None, refused: bool
) -> None:
    pixels = image(dtype="float32")
    pixels[1, 2, 3] = value
    write_raster(folder / "water/a.tif", pixels, nodata=nodata)
    if refused:
        (found,) = problems(read)
        assert found.startswith("water/a.tif: has ")
    else:
        assert len(read().samples) == 1


def test_every_image_that_cannot_be_used_is_named_at_once(folder: Path, read: Read) -> None:
    for number in range(600):  # more than one thread takes at once
        write_raster(folder / f"water/{number:03d}.npy", image(size=2))
    bad = [f"water/{number:03d}.npy" for number in (0, 1, 255, 256, 599)]
    for path in bad:
        (folder / path).write_bytes(b"no array")
    write_raster(folder / "sea/a.npy", image(size=3))
    found = problems(read, classes={1: "water"})
    assert [text.split(":")[0] for text in found if text.startswith("water")] == bad
    assert [text.split(":")[0] for text in found if text.startswith("sea")] == ["sea/", "sea/a.npy"]


def test_georeferenced_images_know_where_they_are(folder: Path, read: Read) -> None:
    write_raster(folder / "water/a.tif", image(size=10), **UTM)
    write_raster(folder / "water/b.tif", image(size=10))
    found = read().samples
    assert found["longitude"][0] == pytest.approx(-3 + 50 / 82_200, abs=1e-5)
    assert found["latitude"][0] == pytest.approx(42.4519, abs=1e-3)
    assert found.loc[1, ["longitude", "latitude"]].isna().all()
