"""A data version as a trainer sees it.

Arrays of the declared shapes, with the right labels, selected and scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification

Land = Callable[..., Commit]
Open = Callable[..., CommittedDataset]
SPLITS = ("train", "validation", "test")


@pytest.fixture
def opened(store: Store) -> Open:
    return lambda reference="fields": CommittedDataset.open(
        store.workspace, store.registry, Reference.parse(reference)
    )


def windows() -> DatasetSpecification:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": "windows", "size": 8}}
    return scenes_specification(source=source, split={"method": "spatial_block", "block": 8})


def regression_table() -> pd.DataFrame:
    return crops_table(200).assign(crop=np.linspace(0.5, 9.5, 200).round(3))


# arrays


def test_rows_are_raw_features_and_class_indices(land_table: Land, opened: Open) -> None:
    frame = crops_table()
    land_table(frame)
    data = TrainingData(opened(), "classification")
    assert (data.view, data.sample_shape) == ("row", (7,))  # six months and the number of the farm
    assert data.class_names == ["fallow", "maize", "wheat"]
    total = 0
    for name in SPLITS:
        X, y = data.arrays(name)  # type: ignore[arg-type]
        landed = frame.iloc[opened().split(name)["row"]]  # type: ignore[arg-type]
        assert (str(X.dtype), str(y.dtype), X.shape) == ("float32", "int64", (len(landed), 7))
        assert X.flags.writeable and y.flags.writeable  # the caller's own
        np.testing.assert_array_equal(X, landed[data.features].to_numpy(np.float32))
        assert [data.class_names[i] for i in y] == landed["crop"].tolist()
        total += len(X)
    assert total == len(frame)


def test_rows_of_several_files_keep_their_labels(
    store: Store, land_table: Land, opened: Open
) -> None:
    folder = store.workspace.root / "landing" / "fields"
    folder.mkdir(parents=True)
    other = crops_table(80, seed=1)
    other[other.columns[::-1]].to_csv(folder / "other.csv", index=False, sep=";")
    land_table()
    X, y = (data := TrainingData(opened(), "classification")).arrays("train")
    landed = pd.concat([crops_table(), other])
    crops = {
        row.tobytes(): crop
        for row, crop in zip(landed[data.features].to_numpy("float32"), landed["crop"], strict=True)
    }
    assert [data.class_names[i] for i in y] == [crops[row.tobytes()] for row in X]
    assert set(opened().split("train")["path"]) == {"other.csv", "samples.csv"}


@pytest.mark.parametrize("view", ["patch", "pixel", None])
def test_patches_and_pixels_are_cut_from_the_scene(
    store: Store, land_scenes: Land, opened: Open, view: Any
) -> None:
    land_scenes()
    committed = opened("scenes")
    data = TrainingData(committed, "classification", view)
    with open_raster(store.workspace.root / "landing/scenes/images/a.tif") as raster:
        image = raster.read()
    with open_raster(store.workspace.root / "landing/scenes/labels/a.tif") as raster:
        labels = raster.read(1)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    places = committed.split("train")[["row", "column"]].to_numpy()
    X, y = data.arrays("train")
    assert (str(X.dtype), str(y.dtype)) == ("float32", "int64")
    if view == "pixel":
        assert X.shape == (len(places), 4) == (len(places), *data.sample_shape)
        np.testing.assert_array_equal(X, image[:, places[:, 0], places[:, 1]].T)
    else:
        assert X.shape == (len(places), 4, 3, 3) == (len(places), *data.sample_shape)
        np.testing.assert_array_equal(
            X, np.stack([padded[:, r : r + 3, c : c + 3] for r, c in places])
        )
    # classes 1, 2 have indices 0, 1
    np.testing.assert_array_equal(y, labels[places[:, 0], places[:, 1]] - 1)


def test_windows_have_a_class_index_a_pixel_in_the_order_declared_and_minus_one_where_it_is_unknown(
    store: Store, land_scenes: Land, opened: Open
) -> None:
    land_scenes(windows().model_copy(update={"classes": {2: "land", 1: "water"}}))
    with open_raster(store.workspace.root / "landing/scenes/labels/a.tif") as raster:
        labels = raster.read(1).astype(int)
    committed = opened("scenes")
    data = TrainingData(committed, "semantic-segmentation")
    X, y = data.arrays("test")
    places = committed.split("test")[["row", "column"]].to_numpy()
    assert (X.shape, str(X.dtype)) == ((len(places), 4, 8, 8), "float32")
    assert (y.shape, str(y.dtype)) == ((len(places), 8, 8), "int64")
    indices = np.array([-1, 1, 0])  # of no label, water and land
    np.testing.assert_array_equal(
        y, np.stack([indices[labels[r : r + 8, c : c + 8]] for r, c in places])
    )
    assert set(np.unique(y)) == {-1, 0, 1}


def test_regression_gives_the_numbers_themselves(land_table: Land, opened: Open) -> None:
    frame = regression_table()
    land_table(frame)
    data = TrainingData(opened(), "regression")
    _, y = data.arrays("train")
    assert (str(y.dtype), data.class_names) == ("float64", [])
    assert y.tolist() == frame["crop"].iloc[opened().split("train")["row"]].tolist()


@pytest.mark.parametrize(
    "classes", [{"wheat": "Winter wheat", "fallow": "Fallow", "maize": "Maize"}]
)
def test_class_indices_follow_the_declared_order(
    land_table: Land, opened: Open, classes: dict[str, str]
) -> None:
    land_table(specification=table_specification(classes=classes))
    data = TrainingData(opened(), "classification")
    assert data.class_names == ["Winter wheat", "Fallow", "Maize"]
    _, y = data.arrays("train")
    crops = crops_table()["crop"].iloc[opened().split("train")["row"]]
    assert [classes[crop] for crop in crops] == [data.class_names[i] for i in y]


def test_an_empty_split_gives_empty_arrays(land_table: Land, opened: Open) -> None:
    land_table(specification=table_specification(split={"fractions": {"train": 0.5, "test": 0.5}}))
    data = TrainingData(opened(), "classification")
    X, y = data.arrays("validation")
    assert (X.shape, y.shape) == ((0, 7), (0,))
    assert list(data.frame("validation").columns) == [*data.features, "label"]


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_a_limit_takes_samples_from_the_whole_split(
    land_table: Land, opened: Open, limit: int
) -> None:
    land_table()
    data = TrainingData(opened(), "classification")
    (X, y), (all_X, all_y) = data.arrays("train", limit), data.arrays("train")
    assert len(X) == len(y) == min(limit, len(all_X))
    chosen = np.linspace(0, len(all_X) - 1, len(X)).astype(int)
    np.testing.assert_array_equal(X, all_X[chosen])
    np.testing.assert_array_equal(y, all_y[chosen])


# frames


@pytest.mark.parametrize(
    ("task", "frame"), [("classification", crops_table()), ("regression", regression_table())]
)
def test_a_frame_is_the_split_as_it_landed(
    land_table: Land, opened: Open, task: str, frame: pd.DataFrame
) -> None:
    land_table(frame)
    data = TrainingData(opened(), task)
    landed = (
        frame.iloc[opened().split("test")["row"]]
        .rename(columns={"crop": "label"})
        .reset_index(drop=True)
    )
    expected = landed[[*data.features, "label"]].astype(dict.fromkeys(data.features, "float32"))
    pd.testing.assert_frame_equal(data.frame("test"), expected, check_dtype=False)


def test_a_frame_of_pixels_has_the_bands_as_columns(land_scenes: Land, opened: Open) -> None:
    land_scenes()
    frame = TrainingData(opened("scenes"), "classification", "pixel").frame("train")
    assert list(frame.columns) == ["B001", "B002", "B003", "B004", "label"]
    assert set(frame["label"]) == {"water", "land"}


def test_patches_have_no_frame(land_scenes: Land, opened: Open) -> None:
    land_scenes()
    with pytest.raises(SpecificationError, match="read as patch; a frame needs 'inputs: pixel'"):
        TrainingData(opened("scenes"), "classification").frame("train")


# what does not fit


@pytest.mark.parametrize(
    ("landed", "task", "view", "message"),
    [
        ("table", "classification", "patch", "is read as row, not as patch"),
        ("table", "classification", "pixel", "is read as row, not as pixel"),
        ("table", "semantic-segmentation", None, "does not go with samples read as row"),
        ("numbers", "classification", None, "is a number; use task 'regression'"),
        ("patches", "classification", "window", "is read as patch, not as window"),
        ("patches", "semantic-segmentation", None, "does not go with samples read as patch"),
        ("windows", "classification", None, "does not go with samples read as window"),
        ("windows", "classification", "pixel", "is read as window, not as pixel"),
        ("windows", "regression", None, "regression over windows is not supported"),
    ],
)
def test_a_view_or_task_that_does_not_fit_is_refused(
    land_table: Land,
    land_scenes: Land,
    opened: Open,
    landed: str,
    task: str,
    view: Any,
    message: str,
) -> None:
    land: dict[str, Callable[[], Commit]] = {
        "table": land_table,
        "numbers": lambda: land_table(regression_table()),
        "patches": land_scenes,
        "windows": lambda: land_scenes(windows()),
    }
    dataset = land[landed]().version.dataset
    with pytest.raises(SpecificationError, match=message):
        TrainingData(opened(dataset), task, view)
