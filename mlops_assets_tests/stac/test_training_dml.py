"""OGC TrainingDML-AI: what the standard wants of data versions of every layout and of changes.

And pytdml loads it.

The rules are those of the standard's JSON schemas, version 1.0
(github.com/opengeospatial/TrainingDML-AI_SWG).
"""

from __future__ import annotations

import json
import posixpath
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from mlops_assets.datasets.diff.diff import difference
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.stac import training_dml
from mlops_assets.stac.training_dml import TRAINING_DML, changeset, training_dataset
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster
from mlops_assets_tests.services import require_pytdml
from mlops_assets_tests.stac.recorded import (
    COVER,
    collection,
    document,
    land_images,
    land_scene,
    record,
    record_all,
)

DATASETS = ("fields", "bare", "photos", "stacked", "pacific", "drawn", "found")
FORMATS = {"image/tiff; application=geotiff", "image/png", "application/json"}
READER = Path(__file__).with_name("read_training_dml.py")


def new_store(root: Path) -> Store:
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One data version of every layout, recorded."""
    store = new_store(tmp_path_factory.mktemp("training_dml") / "workspace")
    record_all(store)
    return store


def key_of(name: str, version: str = "v1") -> str:
    return f"catalog/datasets/{name}/{version}/{TRAINING_DML}"


def require_entry(entry: dict[str, Any]) -> None:
    """An AI_EOTrainingData as ai_eoTrainingData.json and ai_trainingData.json want it."""
    assert entry["type"] == "AI_EOTrainingData"
    assert (
        isinstance(entry["id"], str)
        and entry["dataURL"]
        and all(isinstance(url, str) for url in entry["dataURL"])
    )
    assert entry["trainingType"] in ("training", "validation", "test")
    assert len(entry.get("extent", [0] * 4)) == 4 and None not in entry.values()
    assert len(entry["labels"]) == entry["numberOfLabels"] > 0
    for label in entry["labels"]:
        if label["type"] == "AI_PixelLabel":
            assert label["imageURL"] and set(label["imageFormat"]) <= FORMATS
        else:
            assert label["type"] == "AI_SceneLabel" and isinstance(label["class"], str)


@pytest.mark.parametrize("name", DATASETS)
def test_a_data_version_is_described_as_the_standard_wants(name: str, store: Store) -> None:
    found = document(store, key_of(name))
    assert found["type"] == "AI_EOTrainingDataset"
    assert all(found[field] for field in ("id", "name", "description", "license", "tasks", "data"))
    assert None not in found.values()
    for task in found["tasks"]:
        assert task["type"] == "AI_EOTask" and task["id"] and task["taskType"]
    for entry in found["data"]:
        require_entry(entry)
    identities = [entry["id"] for entry in found["data"]]
    assert len(set(identities)) == len(identities)
    row = store.registry.data_version(Reference(name))
    assert found["amountOfTrainingData"] == sum(row.counts.values())
    types = {entry["trainingType"] for entry in found["data"]}
    assert types == {
        training_dml.TRAINING_TYPES[split] for split, count in row.counts.items() if count
    }


@pytest.mark.parametrize("name", DATASETS)
def test_every_url_leads_to_the_committed_bytes(name: str, store: Store) -> None:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference(name, "v1"))
    checksums = set()
    for entry in document(store, key_of(name))["data"]:
        for url in [
            *entry["dataURL"],
            *(url for label in entry["labels"] for url in label.get("imageURL", [])),
        ]:
            assert not urlsplit(url).scheme
            target = posixpath.normpath(posixpath.join(posixpath.dirname(key_of(name)), url))
            checksums.add(store.workspace.stat(target).sha256)
    data = committed.manifest["role"] != "catalog"  # STAC's own documents are none
    assert checksums == set(committed.manifest.loc[data, "sha256"])


def test_an_image_is_an_entry_with_its_class(store: Store) -> None:
    found = document(store, key_of("photos"))
    assert found["tasks"][0]["taskType"] == "Scene Classification" and found["imageSize"] == "8x8"
    classes = {
        entry["id"]: [label["class"] for label in entry["labels"]] for entry in found["data"]
    }
    assert len(classes) == 12 and all(
        found == [path.split("/")[0]] for path, found in classes.items()
    )
    assert "extent" not in found and not any("dataTime" in entry for entry in found["data"])


def test_a_scene_is_an_entry_a_split_with_its_label_raster(store: Store) -> None:
    found = document(store, key_of("stacked"))
    assert found["bands"] == ["blue", "green", "red", "nir"]
    assert found["classes"] == [{"key": name, "value": value} for value, name in COVER.items()]
    assert {entry["id"] for entry in found["data"]} == {
        f"a/{scene}.tif#{split}" for scene in ("north 1", "south") for split in ("train", "test")
    }
    for entry in found["data"]:
        assert len(entry["dataURL"]) == 3 and [label["type"] for label in entry["labels"]] == [
            "AI_PixelLabel"
        ]


def test_the_document_is_an_asset_of_the_collection_with_its_checksum(store: Store) -> None:
    for name in DATASETS:
        asset = collection(store, name)["assets"]["training-dml"]
        (file,) = (
            f for f in store.registry.files(Owner(f"record:{name}@v1")) if f.path == key_of(name)
        )
        assert store.workspace.stat(key_of(name)) == file
        assert (asset["href"], asset["file:checksum"]) == (
            f"./{TRAINING_DML}",
            f"1220{file.sha256}",
        )


def test_beyond_so_many_entries_the_samples_are_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("photos", "v1"))
    named: dict[str, Any] = training_dataset(committed)
    assert len(named["data"]) == 12
    monkeypatch.setattr(training_dml, "MAX_ENTRIES", 11)
    linked: dict[str, Any] = training_dataset(committed)
    folder = posixpath.dirname(key_of("photos"))
    target = posixpath.normpath(posixpath.join(folder, linked["data"]))
    assert target == "datasets/photos/v1/samples.parquet" and store.workspace.exists(target)


def versions(
    store: Store, name: str, source: dict[str, Any], change: Any, **declared: Any
) -> dict[str, Any]:
    """Commit, change the landing, commit again; return the changeset."""
    before = record(store, name, source, **declared)
    change(store.workspace.root / "landing" / name)
    after = record(store, name, source, **declared)
    return changeset(before, after, difference(store.registry, before, after))


def change_images(folder: Path) -> None:
    """One image goes, one comes, one is another, one gets another name; the rest stays."""
    (folder / "forest/0.png").unlink()
    shutil.copy(folder / "lake/0.png", folder / "forest/9.png")
    write_raster(folder / "lake/9.png", np.full((3, 8, 8), 7, dtype=np.uint8))
    shutil.copy(folder / "lake/1.png", folder / "lake/2.png")
    (folder / "forest/1.png").rename(folder / "forest/8.png")


IMAGES = {"layout": "image_folder"}


def test_a_changeset_of_images_names_each_image(tmp_path: Path) -> None:
    store = new_store(tmp_path / "workspace")
    land_images(store.workspace.root / "landing/photos")
    found = versions(store, "photos", IMAGES, change_images)
    changes = {
        name: sorted(entry["id"] for entry in found[name]) for name in ("add", "modify", "delete")
    }
    assert changes == {
        "add": ["forest/8.png", "forest/9.png", "lake/9.png"],
        "modify": ["lake/2.png"],
        "delete": ["forest/0.png", "forest/1.png"],
    }
    assert (found["type"], found["changeCount"], found["version"]) == ("AI_TDChangeset", 6, "v2")
    assert found["id"] == "photos@v1..photos@v2"
    for entry in (*found["add"], *found["modify"], *found["delete"]):
        require_entry(entry)


def test_an_image_that_changes_its_split_is_modified(tmp_path: Path) -> None:
    store = new_store(tmp_path / "workspace")
    land_images(store.workspace.root / "landing/photos")
    before = record(store, "photos", IMAGES)
    after = record(store, "photos", IMAGES, split={"seed": 1})
    found: dict[str, Any] = changeset(before, after, difference(store.registry, before, after))
    splits = [
        dict(zip(committed.samples["path"], committed.samples["split"], strict=True))
        for committed in (before, after)
    ]
    moved = sorted(path for path in splits[0] if splits[0][path] != splits[1][path])
    assert moved and sorted(entry["id"] for entry in found["modify"]) == moved
    assert found["add"] == found["delete"] == []
    assert {entry["trainingType"] for entry in found["modify"]} <= {"training", "test"}


def test_a_changed_label_raster_modifies_its_scene_only(tmp_path: Path) -> None:
    store = new_store(tmp_path / "workspace")
    for name in ("a", "b"):
        land_scene(store.workspace.root / "landing/scenes", name, **UTM)
    source = {
        "layout": "scenes",
        "scenes": {"images": "image/*.tif", "labels": "labels/*.tif", "read": "windows", "size": 8},
    }

    def relabel(folder: Path) -> None:
        write_raster(folder / "labels/b.tif", np.ones((24, 24), dtype=np.uint8), **UTM)

    found = versions(store, "scenes", source, relabel, classes=COVER)
    assert {entry["id"].split("#")[0] for entry in found["modify"]} == {"image/b.tif"}
    assert found["add"] == found["delete"] == []


def test_a_table_is_modified_where_its_rows_are(tmp_path: Path) -> None:
    store = new_store(tmp_path / "workspace")
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True)
    for number in (1, 2):
        crops_table(60, seed=number).to_csv(folder / f"{number}.csv", index=False)

    def grow(folder: Path) -> None:
        crops_table(70, seed=2).to_csv(folder / "2.csv", index=False)
        crops_table(30, seed=3).to_csv(folder / "3.csv", index=False)

    found = versions(store, "fields", {"layout": "table", "table": {"label": "crop"}}, grow)
    assert {entry["id"] for entry in found["add"]} == {"3.csv#train", "3.csv#test"}
    assert {entry["id"] for entry in found["modify"]} == {"2.csv#train", "2.csv#test"}
    assert found["delete"] == []


def test_versions_that_are_the_same_have_an_empty_changeset(store: Store) -> None:
    for name in DATASETS:
        committed = CommittedDataset.open(store.workspace, store.registry, Reference(name, "v1"))
        found = changeset(committed, committed, difference(store.registry, committed, committed))
        assert (found["changeCount"], found["add"], found["modify"], found["delete"]) == (
            0,
            [],
            [],
            [],
        )


@pytest.mark.frameworks
def test_pytdml_loads_it(store: Store, tmp_path: Path) -> None:
    python = require_pytdml()
    paths = [store.workspace.local_path(key_of(name)) for name in DATASETS]
    other = new_store(tmp_path / "workspace")
    land_images(other.workspace.root / "landing/photos")
    paths.append(tmp_path / "changeset.json")
    paths[-1].write_text(json.dumps(versions(other, "photos", IMAGES, change_images)))
    done = subprocess.run(
        [python, "-W", "ignore", READER, *paths], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    entries = {name: len(document(store, key_of(name))["data"]) for name in DATASETS}
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        *([f"{name}-v1", str(count)] for name, count in entries.items()),
        ["photos@v1..photos@v2", "6"],
    ]
