"""Small data versions of every view, for the tests of reading for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.scaling import DeclaredScaling
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)

VIEWS = ("row", "numbers", "pixel", "patch", "window", "image")


def windows(name: str = "scenes", size: int = 8) -> DatasetSpecification:
    """Scenes read as windows."""
    source = {
        "url": f"landing/{name}",
        "layout": "scenes",
        "scenes": {"read": "windows", "size": size},
    }
    return scenes_specification(name, source=source, split={"method": "spatial_block", "block": 8})


def images(name: str = "photos", **changes: object) -> DatasetSpecification:
    """A folder of images for each of two classes."""
    attributes: dict[str, object] = {
        "name": name,
        "source": {"url": f"landing/{name}", "layout": "image_folder"},
        "split": {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}},
    }
    return DatasetSpecification.model_validate(attributes | changes)


def land(
    store: Store, specification: DatasetSpecification, write: Callable[[Any], object]
) -> CommittedDataset:
    """Let `write` fill the landing, commit it, and open what came of it."""
    folder = store.workspace.root / specification.source.url
    folder.mkdir(parents=True, exist_ok=True)
    write(folder)
    commit(store.workspace, store.registry, specification)
    return CommittedDataset.open(store.workspace, store.registry, Reference(specification.name))


def write_images(folder: Any, count: int = 40, side: int = 6) -> None:
    """Images of three bands, two classes, a file each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        name = ("water", "land")[number % 2]
        image = (rng.integers(0, 200, (3, side, side)) + 300 * (number % 2)).astype(np.uint16)
        path = folder / name / f"{number:03d}.tif"
        path.parent.mkdir(exist_ok=True)
        with open_raster(
            path, "w", driver="GTiff", height=side, width=side, count=3, dtype="uint16"
        ) as raster:
            raster.write(image)


def write_two_tables(folder: Any) -> None:
    """Two files whose rows alternate between the splits."""
    for number in (0, 1):
        crops_table(150, seed=number).to_csv(folder / f"{number}.csv", index=False)


def write_two_scenes(folder: Any) -> None:
    """Two scenes of four bands."""
    for number, name in enumerate("ab"):
        write_scene(folder, name, seed=number)


def committed(store: Store, view: str) -> CommittedDataset:
    """A data version whose samples can be read so."""
    if view == "row":
        return land(store, table_specification(), write_two_tables)
    if view == "numbers":
        numbers = crops_table(200).assign(crop=np.linspace(0.5, 9.5, 200).round(3))
        return land(
            store,
            table_specification("numbers"),
            lambda f: numbers.to_csv(f / "a.csv", index=False),
        )
    if view == "window":
        return land(store, windows("windows"), write_two_scenes)
    if view == "image":
        return land(store, images(), write_images)
    return land(store, scenes_specification(), write_two_scenes)


def training_data(
    store: Store, view: str, bands: list[str] | None = None, scaling: DeclaredScaling = "none"
) -> TrainingData:
    """A data version of this view as a trainer sees it."""
    return opened(committed(store, view), view, bands, scaling)


def opened(
    dataset: CommittedDataset,
    view: str,
    bands: list[str] | None = None,
    scaling: DeclaredScaling = "none",
) -> TrainingData:
    """The same, of a version that is open already."""
    task = {"window": "semantic-segmentation", "numbers": "regression"}.get(view, "classification")
    chosen: Any = "row" if view == "numbers" else view
    return TrainingData(dataset, task, chosen, bands, scaling)
