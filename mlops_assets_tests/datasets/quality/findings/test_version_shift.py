"""A data version compared with the one before: classes, number labels, features and bands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality import Check
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification
from mlops_assets_tests.datasets.quality.conftest import Assess, check, figure

Land = Callable[..., Commit]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def shift(assessed: Assess) -> Callable[..., Check]:
    """Assess the newest version of a dataset: its check `shift`."""

    def newest(dataset: str = "fields") -> Check:
        return check(assessed(dataset)[1], "shift")

    return newest


def test_a_first_version_passes_with_a_note(land_table: Land, shift: Callable[..., Check]) -> None:
    land_table()
    found = shift()
    assert (found.passed, found.blocking) == (True, False)
    assert "this is the first version" in found.description


def test_more_of_the_same_is_no_shift(land_table: Land, shift: Callable[..., Check]) -> None:
    land_table()
    shift()
    land_table(pd.concat([crops_table(), crops_table(60, seed=1)]))
    found = shift()
    assert found.passed, found.description
    assert found.values["compared_with"] == "fields@v1"


@pytest.mark.parametrize("before_is_assessed", [True, False])
def test_other_values_and_other_class_shares_are_reported(
    store: Store, land_table: Land, assessed: Assess, before_is_assessed: bool
) -> None:
    land_table()
    if before_is_assessed:
        assessed()
    frame = crops_table()
    frame["ndvi_03"] *= 10_000  # as if in another unit
    frame.loc[frame["crop"] == "maize", "crop"] = np.where(
        np.arange((frame["crop"] == "maize").sum()) % 5, "wheat", "maize"
    )
    land_table(frame)
    committed, quality = assessed()
    found = check(quality, "shift")
    assert (found.passed, found.blocking) == (False, False)
    for text in (
        "in training ndvi_03 by ",
        "of train would need another class to have the class shares of fields@v1",
    ):
        assert text in found.description
    assert "ndvi_01 by" not in found.description
    lax = QualityThresholds(max_feature_shift=100, max_class_shift=1)
    assert next(
        c for c in assess(store.registry, committed, lax).checks if c.name == "shift"
    ).passed


def test_other_number_labels_are_reported(land_table: Land, shift: Callable[..., Check]) -> None:
    frame = crops_table().drop(columns="farm")
    land_table(frame.assign(crop=frame["ndvi_01"]))
    land_table(frame.assign(crop=frame["ndvi_01"] + 1))
    found = shift()
    assert not found.passed
    assert "labels of train differ from fields@v1 by" in found.description


@pytest.mark.parametrize("read", ["patches", "windows"])
def test_bands_of_scenes_are_compared(
    land_scenes: Land, shift: Callable[..., Check], read: str
) -> None:
    layout = {"read": read, "size": {"patches": 3, "windows": 8}[read]}
    specification = scenes_specification(
        source={"url": "landing/scenes", "layout": "scenes", "scenes": layout},
        split={"method": "spatial_block", "block": 8},
    )
    land_scenes(specification)
    shift("scenes")
    land_scenes(specification, seed=1)
    assert shift("scenes").passed
    land_scenes(specification, size=96, seed=2)
    assert figure(shift("scenes"), "largest_class_shift") > 0


def test_an_unreadable_previous_version_is_reported(
    store: Store, land_table: Land, shift: Callable[..., Check]
) -> None:
    land_table()
    CommittedDataset.open(store.workspace, store.registry, Reference("fields")).local_path(
        "samples.csv"
    ).unlink()
    land_table(crops_table(250))
    found = shift()
    assert not found.passed
    assert found.description.startswith("not compared: fields@v1 cannot be read")
    land_table()  # lands its file again
    assert shift().passed


def test_features_and_classes_of_one_version_only_and_constants_are_reported(
    land_table: Land, shift: Callable[..., Check]
) -> None:
    frame = crops_table().drop(columns="farm")
    land_table(frame.assign(flag=0.0))
    frame.loc[:40, "crop"] = "oats"
    land_table(frame.assign(flag=5.0).rename(columns={"ndvi_06": "evi"}))
    description = shift().description
    for text in (
        "feature(s) evi is new",
        "feature(s) ndvi_06 is gone",
        "class(es) oats is new",
        "constant values have changed: flag from 0 to 5",
    ):
        assert text in description


def test_class_shares_of_windows_are_compared_once_the_version_before_is_assessed(
    store: Store, land_scenes: Land, shift: Callable[..., Check]
) -> None:
    specification = scenes_specification(
        source={
            "url": "landing/scenes",
            "layout": "scenes",
            "scenes": {"read": "windows", "size": 8},
        },
        split={"method": "spatial_block", "block": 8},
    )
    land_scenes(specification)
    land_scenes(specification, seed=1)
    assert (
        "not compared: class shares, as scenes@v1 was not assessed" in shift("scenes").description
    )
    assess(
        store.registry,
        CommittedDataset.open(store.workspace, store.registry, Reference("scenes", "v1")),
    )
    assert shift("scenes").passed
