"""A committed version has what was committed, and detects tampering before anything is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import SAMPLE_COLUMNS
from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)

Land = Callable[..., Commit]
Open = Callable[..., CommittedDataset]
SPLITS = ("train", "validation", "test")
_ENVI = {"driver": "ENVI", "height": 48, "width": 48, "count": 4, "dtype": "uint16"}


@pytest.fixture
def opened(store: Store) -> Open:
    return lambda reference="fields": CommittedDataset.open(
        store.workspace, store.registry, Reference.parse(reference)
    )


def test_a_tampered_file_is_noticed_before_its_values_are_used(
    store: Store, land_table: Land, opened: Open
) -> None:
    land_table()
    data = TrainingData(opened(), "classification")
    (key,) = store.workspace.list("objects")
    path = store.workspace.local_path(key)
    path.write_bytes(path.read_bytes().replace(b"wheat", b"maize", 1))
    with pytest.raises(
        IntegrityError, match=r"samples\.csv of fields@v1\) is not as it was published"
    ):
        data.arrays("train")


def test_a_file_of_the_cache_that_took_the_place_of_a_link_is_not_read(
    store: Store, opened: Open
) -> None:
    folder = store.workspace.root / "landing/scenes"
    write_scene(folder)
    with (
        open_raster(folder / "images/a.tif") as raster,
        open_raster(folder / "images/a.bsq", "w", **_ENVI) as envi,
    ):
        envi.write(raster.read())
    (folder / "images/a.tif").unlink()
    source = {
        "layout": "scenes",
        "url": "landing/scenes",
        "scenes": {"images": "images/*.bsq", "size": 3},
    }
    commit(store.workspace, store.registry, scenes_specification(source=source))
    committed = opened("scenes")
    path = committed.raster_path("images/a.bsq")
    before = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes(len(before)))
    assert opened("scenes").raster_path("images/a.bsq").read_bytes() == before


@pytest.mark.parametrize("name", ["samples.parquet", "manifest.parquet", "version.json"])
def test_a_tampered_document_is_noticed(
    store: Store, land_table: Land, opened: Open, name: str
) -> None:
    land_table()
    path = store.workspace.local_path(f"datasets/fields/v1/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        IntegrityError, match=f"datasets/fields/v1/{name} is not as it was published"
    ):
        opened()


@pytest.mark.parametrize("name", ["samples.parquet", "manifest.parquet", "version.json"])
def test_a_missing_document_is_named(
    store: Store, land_table: Land, opened: Open, name: str
) -> None:
    land_table()
    store.workspace.local_path(f"datasets/fields/v1/{name}").unlink()
    with pytest.raises(StorageError, match=f"datasets/fields/v1/{name} is missing"):
        opened()


def test_a_missing_object_is_named_when_it_is_read(
    store: Store, land_table: Land, opened: Open
) -> None:
    land_table()
    opened().local_path("samples.csv").unlink()
    with pytest.raises(StorageError, match=r"objects/sha256/.* is missing"):
        TrainingData(opened(), "classification").arrays("train")


def test_an_unknown_version_is_not_found(land_table: Land, opened: Open) -> None:
    land_table()
    with pytest.raises(NotFound, match="fields@v9 is not known"):
        opened("fields@v9")


def test_a_version_keeps_the_declaration_it_was_committed_with(
    land_table: Land, opened: Open
) -> None:
    specification = table_specification(title="First")
    land_table(specification=specification)
    land_table(crops_table(200), table_specification(title="Second"))
    assert opened("fields@v1").specification.committed() == specification.committed()
    assert (opened("fields@v1").reference, opened("fields").specification.title) == (
        "fields@v1",
        "Second",
    )


def test_samples_that_are_left_out_keep_their_reason(land_scenes: Land, opened: Open) -> None:
    land_scenes()
    samples = opened("scenes").samples
    assert list(samples.columns) == SAMPLE_COLUMNS
    left_out = samples["split"].isna()
    assert left_out.any()
    assert (samples.loc[left_out, "reason"] == "within the buffer of a training block").all()
    assert samples.loc[~left_out, "reason"].isna().all()
