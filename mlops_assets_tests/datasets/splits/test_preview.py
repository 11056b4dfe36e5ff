"""Split tables of a landing before anything is published.

They are what a commit with that seed gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.quality.findings import label_noise
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.splits.preview import preview
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.committed_images import image, images, images_specification

HALVES = {"train": 0.5, "test": 0.5}


def land(store: Store, frame: pd.DataFrame) -> None:
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "samples.csv", index=False)


def table(declared: dict[str, Any], **roles: str) -> DatasetSpecification:
    source = {"url": "landing/fields", "layout": "table", "table": {"label": "crop", **roles}}
    return table_specification(source=source, split=declared)


def rows(declared: dict[str, Any], **roles: str) -> Callable[[Store], DatasetSpecification]:
    def landed(store: Store) -> DatasetSpecification:
        frame = crops_table(90)
        frame["fold"] = np.where(np.arange(90) % 3, "train", "test")
        frame["seen"] = pd.date_range("2024-03-01", periods=90, freq="D").strftime("%Y-%m-%d")
        land(store, frame)
        return table(declared, **roles)

    return landed


def scenes(read: str, size: int, split: dict[str, Any]) -> Callable[[Store], DatasetSpecification]:
    def landed(store: Store) -> DatasetSpecification:
        for name in ("a", "b"):
            write_scene(store.workspace.root / "landing/scenes", name, seed=ord(name))
        source = {
            "url": "landing/scenes",
            "layout": "scenes",
            "scenes": {"read": read, "size": size},
        }
        return scenes_specification(source=source, split=split)

    return landed


def folders(store: Store) -> DatasetSpecification:
    for path, content in {
        **images(),
        "train/maize/copy.npy": image(1),
        "test/wheat/copy.npy": image(1),
    }.items():
        file = store.workspace.root / "landing/tiles" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return images_specification(split={"method": "random", "fractions": HALVES})


LANDINGS = {
    "random rows": rows({"method": "random", "fractions": HALVES}),
    "groups": rows({"method": "group", "fractions": HALVES}, group="farm"),
    "column": rows({"method": "column"}, split="fold"),
    "dates": rows({"method": "temporal"}, time="seen"),
    "patches in blocks with a buffer": scenes(
        "patches", 3, {"method": "spatial_block", "block": 8, "buffer": 1, "fractions": HALVES}
    ),
    "windows in blocks": scenes(
        "windows", 8, {"method": "spatial_block", "block": 16, "fractions": HALVES}
    ),
    "images": folders,
}


@pytest.mark.parametrize("landing", LANDINGS)
def test_a_table_is_what_a_commit_with_that_seed_gives(
    store: Store, landing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_noise, "TREES", 2)
    specification = LANDINGS[landing](store)
    found = preview(store.workspace, store.registry, specification, range(3))
    assert not list(store.workspace.list("objects"))
    assert store.registry.data_versions() == []
    assert [entry.seed for entry in found.tables] == (
        [0] if landing in ("column", "dates") else [0, 1, 2]
    )
    for entry in found.tables:
        split = specification.split.model_copy(update={"seed": entry.seed})
        declared = specification.model_copy(update={"split": split})
        row = commit(store.workspace, store.registry, declared).version
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference(row.dataset, row.version)
        )
        pd.testing.assert_frame_equal(entry.counts, assess(store.registry, committed).counts)
        assert entry.left_out == row.samples - sum(row.counts.values())
        assert entry.refused is None


def test_classes_that_a_split_lacks_are_named_before_and_at_the_commit(store: Store) -> None:
    frame = crops_table(90)
    frame["farm"] = np.where(frame["crop"] == "wheat", "wheat farm", frame["farm"])
    land(store, frame)
    split = {"method": "group", "fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}}
    specification = table(split, group="farm")
    found = preview(store.workspace, store.registry, specification, range(20))
    assert not any(entry.is_complete for entry in found.tables)
    trained, refused = (
        [e for e in found.tables if (e.refused is None) == well] for well in (True, False)
    )
    assert trained and refused
    assert {entry.refused for entry in refused} >= {
        "a commit is refused: nothing of wheat in train"
    }
    seed = trained[0].seed
    assert trained[0].absent["test"] == ["wheat"] == trained[0].absent["validation"]
    declared = specification.model_copy(
        update={"split": specification.split.model_copy(update={"seed": seed})}
    )
    (note,) = commit(store.workspace, store.registry, declared).notes
    assert (
        "not in validation: wheat; not in test: wheat; 'mlops dataset preview fields' shows other"
        " seeds" in note
    )


def test_classes_that_the_windows_of_a_split_lack_are_named_at_the_commit(store: Store) -> None:
    specification = LANDINGS["windows in blocks"](store)
    for name in ("a", "b"):
        with open_raster(store.workspace.root / f"landing/scenes/labels/{name}.tif", "r+") as file:
            labels = np.minimum(file.read(1), 1)
            labels[0, 0] = 2 if name == "a" else 1
            file.write(labels, 1)
    committed = commit(store.workspace, store.registry, specification)
    path, version = "images/a.tif", Reference("scenes", "v1")
    samples = CommittedDataset.open(store.workspace, store.registry, version).samples
    first = samples[(samples["path"] == path) & (samples["row"] == 0) & (samples["column"] == 0)]
    other = {"train": "test", "test": "train"}[first["split"].iloc[0]]
    assert any(f"leaves classes out: not in {other}: land; " in note for note in committed.notes)


def test_an_empty_split_is_listed_and_not_an_error(store: Store) -> None:
    land(store, crops_table(90).assign(farm="one"))
    found = preview(store.workspace, store.registry, table({"method": "group"}, group="farm"), [0])
    assert found.tables[0].refused is not None
    assert "test" in found.tables[0].empty or "train" in found.tables[0].empty


def test_a_split_that_no_seed_can_fix_is_an_error(store: Store) -> None:
    land(store, crops_table(90).assign(fold="other"))
    with pytest.raises(SpecificationError, match="the split column has 'other'"):
        preview(store.workspace, store.registry, table({"method": "column"}, split="fold"), [0])


def test_number_labels_have_one_row(store: Store) -> None:
    land(store, crops_table(90).assign(crop=np.linspace(0, 1, 90)))
    (found,) = preview(store.workspace, store.registry, table({"method": "random"}), [4]).tables
    assert found.counts.index.tolist() == ["all"]
    assert found.counts.to_numpy().sum() == 90
