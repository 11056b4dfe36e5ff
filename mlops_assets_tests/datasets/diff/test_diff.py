"""The difference of two data versions.

Files, samples, classes, features and their distributions.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.diff.diff import (
    ClassChanges,
    FeatureChanges,
    RenamedClass,
    VersionDiff,
    difference,
    file_changes,
)
from mlops_assets.datasets.diff.distribution_shift import (
    DeclarationChange,
    standardised_mean_difference,
)
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.scan import scan
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.committed_images import (
    image,
    images,
    images_specification,
    land_images,
)

Land = Callable[..., Commit]
MAIZE, WHEAT = "train/maize/1.npy", "train/wheat/1.npy"


def paths(rows: pd.DataFrame) -> list[str]:
    return list(rows["path"])


def between(store: Store, before: Commit, after: Commit) -> VersionDiff:
    first, second = (
        CommittedDataset.open(
            store.workspace, store.registry, Reference(f.version.dataset, f.version.version)
        )
        for f in (before, after)
    )
    return difference(store.registry, first, second)


# files


def manifest(files: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": list(files),
            "sha256": list(files.values()),
            "size": [len(s) for s in files.values()],
        }
    )


def test_files_are_matched_by_path_and_checksum() -> None:
    before = manifest({"a": "1", "b": "22", "c": "333", "old/d": "4444"})
    after = manifest({"a": "1", "b": "XX!", "e": "55555", "new/d": "4444"})
    found = file_changes(before, after)
    assert paths(found.added) == ["e"]
    assert paths(found.removed) == ["c"]
    assert found.changed.to_dict("records") == [
        {"path": "b", "sha256_before": "22", "sha256": "XX!", "size_before": 2, "size": 3}
    ]
    assert found.renamed.to_dict("records") == [
        {"before": "old/d", "path": "new/d", "sha256": "4444", "size": 4}
    ]
    assert found.unchanged == 1


def test_copies_of_one_file_are_paired_once_each() -> None:
    found = file_changes(
        manifest(dict.fromkeys(["a", "b", "c"], "1")), manifest(dict.fromkeys(["c", "x"], "1"))
    )
    assert found.renamed[["before", "path"]].to_numpy().tolist() == [["a", "x"]]
    assert paths(found.removed) == ["b"]
    assert (len(found.added), found.unchanged) == (0, 1)


def test_swapped_files_are_changed_and_not_renamed() -> None:
    found = file_changes(manifest({"a": "1", "b": "2"}), manifest({"a": "2", "b": "1"}))
    assert (paths(found.changed), len(found.renamed)) == (["a", "b"], 0)


# samples


def test_the_same_version_does_not_differ(store: Store) -> None:
    committed = land_images(store)
    found = difference(store.registry, committed, committed)
    assert found.same
    assert (found.files.unchanged, found.samples.unchanged) == (12, 12)
    assert found.declaration == []
    assert found.samples.moves.to_dict("records") == []
    assert all(balance.total_variation == 0 for balance in found.balance)
    assert all(
        (shift.standardised_mean_difference, shift.std_ratio) == (0, 1) for shift in found.shifts
    )


def test_samples_added_removed_and_of_rewritten_files(store: Store) -> None:
    before = land_images(store)
    files = {**images(), "test/wheat/3.npy": image(50), MAIZE: image(51)}
    del files[WHEAT]
    found = difference(store.registry, before, land_images(store, files)).samples
    assert found.added.to_dict("records") == [
        {"path": "test/wheat/3.npy", "row": 0, "column": 0, "label": "wheat", "split": "test"}
    ]
    assert paths(found.removed) == [WHEAT]
    assert (found.rewritten, found.unchanged) == (1, 11)
    assert len(found.moved) == len(found.relabelled) == 0


def test_samples_of_a_renamed_file_are_followed(store: Store) -> None:
    before = land_images(store)
    files = images()
    files["test/wheat/9.npy"] = files.pop(WHEAT)  # moved
    files["train/wheat/8.npy"] = files.pop(MAIZE)  # relabelled
    files["train/maize/7.npy"] = files.pop("train/maize/2.npy")  # neither
    found = difference(store.registry, before, land_images(store, files))
    assert len(found.files.renamed) == 3
    assert len(found.samples.added) == len(found.samples.removed) == 0
    assert found.samples.moved.to_dict("records") == [
        {
            "path": "test/wheat/9.npy",
            "row": 0,
            "column": 0,
            "label": "wheat",
            "before": "train",
            "after": "test",
        }
    ]
    assert found.samples.relabelled.to_dict("records") == [
        {
            "path": "train/wheat/8.npy",
            "row": 0,
            "column": 0,
            "before": "maize",
            "after": "wheat",
            "split": "train",
        }
    ]
    assert found.samples.moves.to_dict("records") == [
        {"before": "train", "after": "test", "samples": 1}
    ]
    assert found.samples.unchanged == 10


def test_pixels_that_are_relabelled_or_left_out_are_reported(
    store: Store, land_scenes: Land
) -> None:
    before = land_scenes()
    after = land_scenes(
        scenes_specification(
            split={
                "method": "spatial_block",
                "block": 8,
                "buffer": 2,
                "fractions": {"train": 0.6, "test": 0.4},
            }
        )
    )
    found = between(store, before, after)
    assert (
        len(found.samples.added) == len(found.samples.removed) == len(found.samples.relabelled) == 0
    )
    document: dict[str, Any] = found.document()
    assert document["samples"]["moves"] == [
        {"before": "test", "after": None, "samples": len(found.samples.moved)}
    ]
    assert len(found.samples.moved) > 0
    assert DeclarationChange("split.buffer", before=1.0, after=2.0) in found.declaration

    labels = store.workspace.root / "landing" / "scenes" / "labels" / "a.tif"
    relabel(labels)
    third = commit(store.workspace, store.registry, scenes_specification())
    changed = between(store, before, third).samples
    assert len(changed.relabelled) == 1
    assert changed.relabelled[["row", "column", "before", "after"]].to_numpy().tolist() == [
        [20, 20, "1", "2"]
    ]


def relabel(labels: Path) -> None:
    """Make pixel 20, 20 of a label raster the other class."""
    with open_raster(labels, "r+") as raster:
        band = raster.read(1)
        assert band[20, 20] == 1
        band[20, 20] = 2
        raster.write(band, 1)


# rows of tables


def rows(
    store: Store, land_table: Land, first: pd.DataFrame, second: pd.DataFrame, **changes: Any
) -> VersionDiff:
    fixed: dict[str, Any] = {"split": {"fractions": {"train": 0.6, "test": 0.4}}} | changes
    return between(
        store,
        land_table(first, table_specification()),
        land_table(second, table_specification(**fixed)),
    )


def test_rows_taken_out_in_the_middle_are_the_only_ones_removed(
    store: Store, land_table: Land
) -> None:
    table = crops_table(300)
    found = rows(
        store, land_table, table, table.drop(index=[7, 150, 151]), split=table_specification().split
    )
    assert (len(found.samples.removed), len(found.samples.added), found.samples.unchanged) == (
        3,
        0,
        297,
    )
    assert found.samples.removed["row"].tolist() == [7, 150, 151]


def test_a_row_with_another_value_is_another_sample_and_one_with_another_label_is_not(
    store: Store, land_table: Land
) -> None:
    table = crops_table(300)
    changed = table.copy()
    changed.loc[5, "ndvi_01"] = changed["ndvi_01"][5] + 0.5
    changed.loc[9, "crop"] = {"wheat": "maize", "maize": "fallow", "fallow": "wheat"}[
        table["crop"][9]
    ]
    found = rows(store, land_table, table, changed, split=table_specification().split).samples
    assert (found.added["row"].tolist(), found.removed["row"].tolist()) == ([5], [5])
    assert found.relabelled[["row", "before", "after"]].to_numpy().tolist() == [
        [9, table["crop"][9], changed["crop"][9]]
    ]


def test_rows_are_followed_into_other_files_and_other_orders(
    store: Store, land_table: Land
) -> None:
    table = crops_table(300)
    before = land_table(table)
    folder = store.workspace.root / "landing" / "fields"
    (folder / "samples.csv").unlink()
    shuffled = table.sample(frac=1, random_state=0)
    shuffled.iloc[:100].to_csv(folder / "a.csv", index=False)
    shuffled.iloc[100:].to_csv(folder / "b.csv", index=False)
    found = between(store, before, commit(store.workspace, store.registry, table_specification()))
    assert (paths(found.files.added), paths(found.files.removed)) == (
        ["a.csv", "b.csv"],
        ["samples.csv"],
    )
    assert found.samples.unchanged == 300


def test_equal_rows_with_different_labels_are_paired_by_label_first(
    store: Store, land_table: Land
) -> None:
    table = crops_table(120)
    other = "maize" if table["crop"][3] == "wheat" else "wheat"
    twins = pd.concat(
        [table, table.iloc[[3]].assign(crop=other), table.iloc[[3]]], ignore_index=True
    )
    reordered = pd.concat([twins.iloc[[120, 121]], twins.iloc[:120]], ignore_index=True)
    found = between(store, land_table(twins), land_table(reordered)).samples
    assert (len(found.relabelled), found.unchanged) == (0, 122)


def test_a_table_with_a_column_more_keeps_its_rows(store: Store, land_table: Land) -> None:
    table = crops_table(300)
    found = rows(
        store, land_table, table, table.assign(height=1.5)[::-1], split=table_specification().split
    )
    assert (
        len(found.samples.added) == len(found.samples.removed) == len(found.samples.relabelled) == 0
    )
    assert found.features == FeatureChanges(added=["height"], removed=[], reordered=False)
    (height,) = [shift for shift in found.shifts if shift.feature == "height"]
    assert (height.mean_before, height.mean_after, height.standardised_mean_difference) == (
        None,
        1.5,
        None,
    )


def test_rows_moved_between_splits_by_another_seed_are_reported(
    store: Store, land_table: Land
) -> None:
    table = crops_table(300)
    found = rows(
        store, land_table, table, table, split={"seed": 7, "fractions": {"train": 0.6, "test": 0.4}}
    )
    moves = found.samples.moves
    assert moves["samples"].sum() == len(found.samples.moved) == 300 - found.samples.unchanged
    assert set(zip(moves["before"], moves["after"], strict=True)) >= {
        ("train", "test"),
        ("test", "train"),
    }
    assert DeclarationChange("split.seed", before=0, after=7) in found.declaration


# classes and features


def test_classes_and_balance(store: Store) -> None:
    before = land_images(store)
    files = {path.replace("maize", "rye"): content for path, content in images().items()}
    files |= {f"train/wheat/{n}.npy": image(100 + n) for n in range(3, 7)}
    after = land_images(
        store, files, images_specification(classes={"wheat": "Winter wheat", "rye": "Rye"})
    )
    found = difference(store.registry, before, after)
    assert found.classes == ClassChanges(
        added=[{"value": "rye", "name": "Rye"}],
        removed=[{"value": "maize", "name": "maize"}],
        renamed=[RenamedClass("wheat", before="wheat", after="Winter wheat")],
    )
    train = found.balance[0]
    assert (train.split, train.before) == ("train", {"maize": 2, "Winter wheat": 2, "Rye": 0})
    assert train.after == {"maize": 0, "Winter wheat": 6, "Rye": 2}
    assert train.total_variation == pytest.approx(
        (abs(2 / 4 - 0) + abs(2 / 4 - 6 / 8) + abs(0 - 2 / 8)) / 2
    )


def test_a_split_that_is_empty_has_no_distance(store: Store) -> None:
    before = land_images(store)
    after = land_images(
        store, {path: c for path, c in images().items() if not path.startswith("validation")}
    )
    assert [
        balance.total_variation for balance in difference(store.registry, before, after).balance
    ] == [0, None, 0]


def test_the_class_balance_of_windows_is_of_the_pixels_in_their_quality_reports(
    store: Store, land_scenes: Land
) -> None:
    specification = scenes_specification(
        source={
            "url": "landing/scenes",
            "layout": "scenes",
            "scenes": {"read": "windows", "size": 16},
        },
        split={"method": "random", "fractions": {"train": 0.5, "test": 0.5}},
    )
    before = land_scenes(specification)
    write_scene(store.workspace.root / specification.source.url, "b", seed=3)
    after = land_scenes(specification)
    found = between(store, before, after)
    assert (found.balance, found.numbers) == ([], [])
    assert len(found.samples.added) == 9
    for committed, water in ((before, 10), (after, 30)):
        counts = {
            "water": {"train": water, "validation": 0, "test": 5},
            "land": {"train": 10, "validation": 0, "test": 5},
        }
        name = f"scenes@{committed.version.version}"
        key = f"datasets/scenes/{committed.version.version}/quality.json"
        document = json.dumps({"class_counts": {"classes": counts}}).encode()
        store.registry.add_files(Owner(f"data:{name}"), [store.workspace.put(key, document)])
    train, validation, test = between(store, before, after).balance
    assert (train.of, train.before, train.after) == (
        "pixels",
        {"water": 10, "land": 10},
        {"water": 30, "land": 10},
    )
    assert (train.total_variation, validation.total_variation, test.total_variation) == (
        0.25,
        None,
        0.0,
    )


def test_numbers_are_compared_by_mean_and_deviation(store: Store, land_table: Land) -> None:
    source = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "ndvi_01", "features": ["ndvi_02", "ndvi_03"]},
    }
    table = crops_table(300)
    higher = table.assign(ndvi_01=table["ndvi_01"] + 1)
    specification = table_specification(source=source)
    found = between(store, land_table(table, specification), land_table(higher, specification))
    assert found.balance == []
    train = found.numbers[0]
    assert train.mean_before is not None
    assert train.mean_after == pytest.approx(train.mean_before + 1, abs=0.2)
    assert train.standardised_mean_difference is not None
    assert train.standardised_mean_difference > 1
    assert len(found.samples.relabelled) == 300


def test_shifts_of_bands_are_measured(store: Store) -> None:
    rng = np.random.default_rng(0)

    def landed(mean: float, std: float) -> dict[str, bytes]:
        files = {}
        for path in images():
            buffer = io.BytesIO()
            np.save(buffer, rng.normal(mean, std, (1, 32, 32)).astype(np.float32))
            files[path] = buffer.getvalue()
        return files

    before, after = land_images(store, landed(10, 2)), land_images(store, landed(13, 4))
    (shift,) = difference(store.registry, before, after).shifts
    assert shift.mean_before == pytest.approx(10, abs=0.3)
    assert shift.mean_after == pytest.approx(13, abs=0.3)
    assert shift.std_ratio == pytest.approx(2, abs=0.15)
    assert shift.standardised_mean_difference == pytest.approx(3 / np.sqrt((4 + 16) / 2), abs=0.1)


@pytest.mark.parametrize(
    ("means", "stds", "expected"),
    [
        ((1.0, 1.0), (0.0, 0.0), 0.0),
        ((1.0, 2.0), (0.0, 0.0), None),
        ((None, 2.0), (None, 1.0), None),
        ((2.0, 1.0), (1.0, 1.0), -1.0),
    ],
)
def test_a_standardised_difference_is_null_where_nothing_varies(
    means: Any, stds: Any, expected: float | None
) -> None:
    assert standardised_mean_difference(*means, *stds) == expected


def test_published_statistics_are_used_and_must_be_as_published(store: Store) -> None:
    committed = land_images(store)
    published = {"features": ["band_1", "band_2"], "mean": [1.0, None], "std": [2.0, None]}
    key = "datasets/tiles/v1/statistics.json"
    store.registry.add_files(
        Owner("data:tiles@v1"), [store.workspace.put(key, json.dumps(published).encode())]
    )
    first, second = difference(store.registry, committed, committed).shifts
    assert (first.mean_before, first.std_before, first.standardised_mean_difference) == (
        1.0,
        2.0,
        0.0,
    )
    assert (second.mean_before, second.standardised_mean_difference, second.std_ratio) == (
        None,
        None,
        None,
    )
    store.workspace.put(key, b"{}")
    with pytest.raises(IntegrityError, match=r"statistics\.json is not as it was published"):
        difference(store.registry, committed, committed)


def test_statistics_are_computed_as_the_quality_report_publishes_them(
    store: Store, land_scenes: Land
) -> None:
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(land_scenes().version.dataset)
    )
    report = scan(SampleValues(committed)).statistics.document()
    shifts = difference(store.registry, committed, committed).shifts
    assert [shift.mean_before for shift in shifts] == report["mean"]
    assert [shift.std_after for shift in shifts] == report["std"]


def test_all_differences_are_in_the_json_document(store: Store, land_scenes: Land) -> None:
    before = land_scenes()
    write_scene(store.workspace.root / scenes_specification().source.url, "b", seed=3)
    document: dict[str, Any] = between(store, before, land_scenes()).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert len(document["samples"]["added"]) > 1000
    assert document["files"]["added"][0]["path"] == "images/b.tif"


def test_two_datasets_can_be_compared(store: Store) -> None:
    first = land_images(store)
    files = {**images(), WHEAT: image(77)}
    second = land_images(store, files, images_specification("others"))
    found = difference(store.registry, first, second)
    assert found.after["reference"] == "others@v1"
    assert paths(found.files.changed) == [WHEAT]
    assert DeclarationChange("name", before="tiles", after="others") in found.declaration


def test_a_declaration_is_compared_by_dotted_names(store: Store) -> None:
    before = land_images(store)
    declared = images_specification(title="Tiles", classes={"maize": "maize", "wheat": "wheat"})
    assert isinstance(declared, DatasetSpecification)
    after = land_images(store, {**images(), MAIZE: image(51)}, declared)
    assert {row.what for row in difference(store.registry, before, after).declaration} == {
        "title",
        "classes.maize",
        "classes.wheat",
    }
