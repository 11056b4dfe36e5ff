"""Independent units, slices and positions of samples, for each layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.evaluation.slices import (
    Grouping,
    independent_units,
    place_of,
    place_text,
    slices,
)
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.testing.reader_cases import MORE, landing
from mlops_assets.testing.readers import ReaderCase
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.readers.test_contract import ALL

Land = Callable[..., Commit]


def opened(store: Store, name: str = "fields") -> CommittedDataset:
    return CommittedDataset.open(store.workspace, store.registry, Reference(name))


def table_with(method: str = "random", **columns: Any) -> Any:
    table = {"label": "crop", **columns}
    source = {"url": "landing/fields", "layout": "table", "table": table}
    return table_specification(
        source=source, split={"method": method, "fractions": {"train": 0.5, "test": 0.5}}
    )


def scenes_with(method: str = "random", read: str = "patches", size: int = 3) -> Any:
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": {"read": read, "size": size}}
    split = {"method": method, "fractions": {"train": 0.5, "test": 0.5}}
    return scenes_specification(source=source, split=split)


def together(grouping: Grouping, keys: pd.Series) -> bool:
    """Return whether the parts are those of these keys."""
    return bool(np.array_equal(pd.factorize(grouping.codes)[0], pd.factorize(keys)[0]))


def test_rows_of_a_table_are_independent(store: Store, land_table: Land) -> None:
    land_table(crops_table().drop(columns="farm"))
    committed = opened(store)
    units = independent_units(committed, "test")
    assert (units.name, units.codes.tolist()) == (
        "samples",
        list(range(len(committed.split("test")))),
    )
    assert slices(committed, "test") == []


@pytest.mark.parametrize("method", ["random", "group"])
def test_rows_of_one_farm_are_not(store: Store, land_table: Land, method: str) -> None:
    land_table(crops_table(), table_with(method, group="farm"))
    committed = opened(store)
    units = independent_units(committed, "test")
    assert units.name == "groups (farm)"
    assert together(units, committed.split("test")["group"])


def test_neighbouring_fields_are_not(store: Store, land_table: Land) -> None:
    frame = crops_table()
    frame["lon"], frame["lat"] = 11 + np.arange(300) % 3 * 0.1, 48 + np.arange(300) % 2 * 0.1
    land_table(frame.drop(columns="farm"), table_with(longitude="lon", latitude="lat"))
    committed = opened(store)
    units = independent_units(committed, "test")
    assert units.name == "blocks of 1000 m"
    assert together(
        units, committed.split("test")[["longitude", "latitude"]].astype(str).agg(" ".join, axis=1)
    )


@pytest.mark.parametrize(("method", "side"), [("spatial_block", 8), ("random", 32)])
@pytest.mark.parametrize("read", ["patches", "windows"])
def test_neighbouring_pixels_of_a_scene_are_not(
    store: Store, land_scenes: Land, method: str, side: int, read: str
) -> None:
    specification = scenes_with(method, read, 3 if read == "patches" else 8)
    if method == "spatial_block":
        specification = specification.model_copy(
            update={"split": specification.split.model_copy(update={"block": 8.0})}
        )
    land_scenes(specification)
    committed = opened(store, "scenes")
    units = independent_units(committed, "test")
    assert units.name == f"blocks of {side} px"
    blocks = committed.split("test")[["row", "column"]] // side
    assert together(units, blocks.astype(str).agg(" ".join, axis=1))


def test_windows_are_not_divided(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_with(read="windows", size=12))
    assert independent_units(opened(store, "scenes"), "test").name == "blocks of 36 px"


def test_blocks_of_two_scenes_are_two(store: Store) -> None:
    for name in ("a", "b"):
        write_scene(store.workspace.root / "landing/scenes", name, size=20)
    commit(store.workspace, store.registry, scenes_with())
    committed = opened(store, "scenes")
    assert together(independent_units(committed, "test"), committed.split("test")["path"])
    (scenes,) = slices(committed, "test")
    assert (scenes.name, scenes.values) == ("scene", ["a", "b"])
    assert together(scenes, committed.split("test")["path"])


def test_groups_files_seasons_and_years_are_slices(store: Store, land_table: Land) -> None:
    frame = crops_table(600)
    frame["region"] = np.where(np.arange(600) < 300, "north", "south")
    frame.loc[590:, "region"] = "elsewhere"  # too few to measure
    days = pd.to_datetime("2023-01-15") + pd.to_timedelta(np.arange(600) % 24 * 30, "D")
    frame["date"] = days.strftime("%Y-%m-%d")
    land_table(frame.drop(columns="farm"), table_with(group="region", time="date"))
    committed = opened(store)
    found = {grouping.name: grouping for grouping in slices(committed, "test")}
    assert list(found) == ["region", "season", "year"]
    assert "elsewhere" in set(committed.split("test")["group"])
    assert found["region"].values == ["north", "south"]
    assert found["year"].values == ["2023", "2024"]
    samples = committed.split("test")
    assert {
        v: int((found["region"].codes == i).sum()) for i, v in enumerate(found["region"].values)
    } == {name: int((samples["group"] == name).sum()) for name in ("north", "south")}
    seasons = np.array(found["season"].values, dtype=object)[found["season"].codes]
    months = pd.to_datetime(samples["time"]).dt.month
    assert set(months[seasons == "December-February"]) == {12, 1, 2}
    assert set(months[seasons == "June-August"]) == {6, 7, 8}


def test_two_names_for_one_division_are_one_slice(store: Store, land_table: Land) -> None:
    frame = crops_table(200).drop(columns="farm")
    frame["date"] = np.where(np.arange(200) % 2, "2023-02-01", "2024-07-01")
    land_table(frame, table_with(time="date"))
    assert [grouping.name for grouping in slices(opened(store), "test")] == ["season"]


def test_too_many_values_are_no_slices(store: Store, land_table: Land) -> None:
    land_table(crops_table(1500).assign(farm=np.arange(1500) % 60), table_with(group="farm"))
    committed = opened(store)
    assert committed.split("test")["group"].value_counts().median() >= 10
    assert slices(committed, "test") == []


def test_a_place_is_described_as_the_layout_has_it(
    store: Store, land_table: Land, land_scenes: Land
) -> None:
    land_table()
    row = opened(store).split("test").iloc[4]
    place = place_of(opened(store), "test", 4)
    assert place == {"sample": 4, "path": "samples.csv", "row": row["row"]}
    assert place_text(place) == f"sample 4 (samples.csv, row {row['row']})"
    land_scenes()
    row = opened(store, "scenes").split("test").iloc[7]
    text = place_text(place_of(opened(store, "scenes"), "test", 7))
    assert text == f"sample 7 (images/a.tif, row {row['row']}, column {row['column']})"


@pytest.mark.parametrize("implementation", ALL, ids=str)
def test_every_layout_has_a_place_for_each_sample(store: Store, implementation: ReaderCase) -> None:
    implementation.land(landing(store), MORE)
    method = next(iter(implementation.splits))
    commit(store.workspace, store.registry, implementation.specification(method))
    committed = opened(store, "data")
    count = len(committed.split("test"))
    units = independent_units(committed, "test")
    assert len(units.codes) == count and units.codes.min() == 0
    if implementation.kind in ("patch", "window"):
        assert units.name != "samples"
    for grouping in slices(committed, "test"):
        assert len(grouping.codes) == count
        assert set(grouping.codes) - {-1} == set(range(len(grouping.values)))
    assert place_of(committed, "test", count - 1)["path"] in set(committed.manifest["path"])
