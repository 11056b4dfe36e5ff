"""Checks that block training on bad data, and statistics that have seen training samples only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.freezing import Freeze
from mlops_assets.datasets.quality import Check, Quality, assess, check_labels, class_counts
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.datasets.versions import FrozenDataset, TrainingData
from mlops_assets.names import Reference
from mlops_assets.training.lifecycle import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification

Land = Callable[..., Freeze]
Assess = Callable[..., tuple[FrozenDataset, Quality]]


@pytest.fixture
def assessed(store: Store) -> Assess:
    def open_and_assess(dataset: str = "fields") -> tuple[FrozenDataset, Quality]:
        frozen = FrozenDataset.open(store.workspace, store.registry, Reference(dataset))
        return frozen, assess(store.registry, frozen)

    return open_and_assess


def check(quality: Quality, name: str) -> Check:
    return next(check for check in quality.checks if check.name == name)


def with_columns(method: str = "column", max_duplicates: float = 0.1, **table: Any) -> DatasetSpecification:
    return table_specification(
        source={"url": "landing/fields", "layout": "table", "table": {"label": "crop", **table}},
        split={"method": method},
        quality={"max_duplicates": max_duplicates},
    )


def folds(rows: int) -> list[str]:
    return ["train"] * (rows // 2) + ["test"] * (rows - rows // 2)


def test_good_data_passes_every_check_and_is_written_down(store: Store, land_table: Land, assessed: Assess) -> None:
    land_table()
    frozen, quality = assessed()
    assert [(check.name, check.passed, check.blocking) for check in quality.checks] == [
        ("readable", True, True),
        ("labels", True, True),
        ("leakage", True, True),
        ("classes_in_each_split", True, False),
    ]
    folder = "datasets/fields/v1"
    assert [file.path for file in quality.files] == [f"{folder}/statistics.json", f"{folder}/quality.json"]
    registered = store.registry.files("data:fields@v1")
    assert set(quality.files) <= set(registered)
    assert sorted(store.workspace.list(folder)) == [file.path for file in registered]
    assert json.loads(store.workspace.get(f"{folder}/statistics.json")) == quality.statistics
    report = json.loads(store.workspace.get(f"{folder}/quality.json"))
    assert (report["data_version"], report["digest"]) == ("fields@v1", frozen.row.digest)
    assert sum(report["samples"].values()) == 300


def test_assessing_again_gives_the_same_files(land_table: Land, assessed: Assess) -> None:
    land_table()
    assert assessed()[1].files == assessed()[1].files


# statistics and counts


def test_statistics_of_a_table_are_those_of_its_training_rows(land_table: Land, assessed: Assess) -> None:
    frame = crops_table(400)
    fold = np.where(np.arange(400) % 2, "train", "test")
    frame.loc[fold == "test", "ndvi_01"] += 100  # would show
    land_table(frame.assign(fold=fold), with_columns(split="fold"))
    _, quality = assessed()
    trained = frame.loc[fold == "train", quality.statistics["features"]].to_numpy(np.float32).astype(np.float64)
    assert (quality.statistics["split"], quality.statistics["samples"]) == ("train", 200)
    for name in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(quality.statistics[name], getattr(trained, name)(axis=0), rtol=1e-12)


@pytest.mark.parametrize("read", ["patches", "windows"])
def test_statistics_of_scenes_are_those_of_training_pixels(land_scenes: Land, assessed: Assess, read: str) -> None:
    layout = {"read": read, "size": {"patches": 3, "windows": 8}[read]}
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": layout}
    land_scenes(scenes_specification(source=source, split={"method": "spatial_block", "block": 8}))
    frozen, quality = assessed("scenes")
    task, view = ("classification", "pixel") if read == "patches" else ("semantic-segmentation", "window")
    X, _ = TrainingData(frozen, task, view).arrays("train")  # type: ignore[arg-type]
    pixels = np.moveaxis(X, 1, -1).reshape(-1, 4) if X.ndim > 2 else X
    np.testing.assert_allclose(quality.statistics["mean"], pixels.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(quality.statistics["std"], pixels.astype(np.float64).std(axis=0))
    assert quality.statistics["features"] == ["B001", "B002", "B003", "B004"]


def test_counts_are_by_class_in_declared_order_and_by_split(land_table: Land, assessed: Assess) -> None:
    classes = {"wheat": "Winter wheat", "fallow": "Fallow", "maize": "Maize"}
    frame = crops_table(100)
    land_table(frame.assign(fold=folds(100)), with_columns(split="fold").model_copy(update={"classes": classes}))
    _, quality = assessed()
    assert quality.counts.index.tolist() == list(classes.values())
    expected = pd.crosstab(frame["crop"].map(classes), pd.Series(folds(100)))
    for (name, split), count in expected.stack().items():
        assert quality.counts.loc[name, split] == count
    assert quality.counts["validation"].sum() == 0


def test_numbers_to_learn_have_no_class_counts(land_table: Land, assessed: Assess) -> None:
    land_table(crops_table(100).assign(crop=np.linspace(0.1, 0.9, 100)))
    _, quality = assessed()
    assert quality.counts.empty
    assert all(check.passed for check in quality.checks)


# leakage


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
    frozen, quality = assessed("scenes")
    found = check(quality, "leakage")
    assert (found.passed, found.blocking) == (passes, True)
    trained = set(frozen.split("train")[["row", "column"]].itertuples(index=False, name=None))
    held = frozen.samples[frozen.samples["split"].isin(["validation", "test"])]
    leaking = [
        any((r + dr, c + dc) in trained for dr in (-1, 0, 1) for dc in (-1, 0, 1))
        for r, c in held[["row", "column"]].itertuples(index=False)
    ]
    assert found.values["share"] == pytest.approx(np.mean(leaking))
    assert passes or "buffer: 1" in found.description


def test_single_pixels_do_not_leak_into_their_neighbours(land_scenes: Land, assessed: Assess) -> None:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"size": 1}}
    land_scenes(scenes_specification(source=source, split={"method": "random"}))
    assert check(assessed("scenes")[1], "leakage").passed


@pytest.mark.parametrize(("method", "passes"), [("random", False), ("group", True)])
def test_a_group_on_both_sides_is_leakage(land_table: Land, assessed: Assess, method: str, passes: bool) -> None:
    land_table(specification=with_columns(method=method, group="farm"))
    found = check(assessed()[1], "leakage")
    assert found.passed == passes
    assert passes or ("use 'method: group'" in found.description and found.values["groups"] > 0)


@pytest.mark.parametrize(("limit", "passes"), [(0.1, False), (0.24, False), (0.25, True), (1.0, True)])
def test_copies_of_training_rows_in_the_test_leak_beyond_the_allowed_share(
    land_table: Land, assessed: Assess, limit: float, passes: bool
) -> None:
    frame = crops_table(200)
    frame.iloc[100:125] = frame.iloc[:25].to_numpy()
    land_table(frame.assign(fold=folds(200)), with_columns(split="fold", max_duplicates=limit))
    found = check(assessed()[1], "leakage")
    assert (found.passed, found.values["share"]) == (passes, 0.25)
    assert "25.0% of held-out rows" in found.description


def test_the_random_split_keeps_copies_together(land_table: Land, assessed: Assess) -> None:
    land_table(pd.concat([crops_table(100)] * 3))
    assert check(assessed()[1], "leakage").values["share"] == 0


# files, labels, coverage


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_object_blocks_and_nothing_is_computed_from_it(
    store: Store, land_table: Land, assessed: Assess, damage: str
) -> None:
    land_table()
    frozen = FrozenDataset.open(store.workspace, store.registry, Reference("fields"))
    path = frozen.local_path("samples.csv")
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[200] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    _, quality = assessed()
    assert [(check.name, check.passed, check.blocking) for check in quality.checks] == [("readable", False, True)]
    assert "samples.csv" in quality.checks[0].description
    assert (quality.statistics, quality.files) == ({}, [])
    assert not store.workspace.exists("datasets/fields/v1/quality.json")


def test_landing_a_file_again_mends_its_damaged_object(store: Store, land_table: Land, assessed: Assess) -> None:
    land_table()
    path = FrozenDataset.open(store.workspace, store.registry, Reference("fields")).local_path("samples.csv")
    path.write_bytes(b"damaged")
    assert "land them again" in assessed()[1].checks[0].description
    land_table()
    assert check(assessed()[1], "readable").passed


def test_a_class_that_does_not_reach_every_split_is_a_warning_only(land_table: Land, assessed: Assess) -> None:
    frame = crops_table(100)
    frame.loc[50:, "crop"] = frame.loc[50:, "crop"].replace("wheat", "maize")
    land_table(frame.assign(fold=folds(100)), with_columns(split="fold"))
    _, quality = assessed()
    found = check(quality, "classes_in_each_split")
    assert (found.passed, found.blocking, found.description) == (False, False, "not in test: wheat")
    assert all(check.passed for check in quality.checks if check.blocking)
    assert quality.files


def test_a_label_that_is_no_number_blocks(land_table: Land, assessed: Assess) -> None:
    land_table(crops_table(100).assign(crop=np.linspace(0.1, 0.9, 100)))
    frozen, _ = assessed()
    frozen.samples.loc[3, "label"] = np.inf
    assert not check_labels(frozen, class_counts(frozen)).passed
