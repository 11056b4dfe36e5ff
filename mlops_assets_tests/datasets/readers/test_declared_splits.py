"""Splits that the data itself declares, by its dates or by name, for every layout that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SpecificationError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.testing.readers import ReaderCase
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.datasets.readers.ground import CLASSES
from mlops_assets_tests.datasets.readers.landed_catalogues import CATALOGUES, item, write_catalog
from mlops_assets_tests.datasets.readers.landed_images import IMAGES, image
from mlops_assets_tests.datasets.readers.landed_scenes import SCENES
from mlops_assets_tests.datasets.readers.landed_tables import TABLES
from mlops_assets_tests.datasets.readers.landing import write_raster

ALL = [*TABLES, *IMAGES, *SCENES, *CATALOGUES]
UNTIMED_TABLES = ("parquet", "geoparquet")  # whose declaration names no column with a time
PLACES = {
    "train": ["train", "Training", "TRAIN "],
    "validation": ["val", "validation"],
    "test": ["test", "testing"],
}


def samples_of(store: Store, specification: DatasetSpecification) -> pd.DataFrame:
    commit(store.workspace, store.registry, specification)
    name = specification.name
    return CommittedDataset.open(store.workspace, store.registry, Reference(name)).samples


def landing(store: Store) -> Path:
    folder = store.workspace.root / "landing" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def temporal(implementation: ReaderCase) -> DatasetSpecification:
    declared = implementation.specification().model_dump() | {
        "split": {"method": "temporal", "fractions": {"train": 0.5, "validation": 0.2, "test": 0.3}}
    }
    return DatasetSpecification.model_validate(declared)


@pytest.mark.parametrize("implementation", [i for i in ALL if i.timed], ids=str)
def test_later_samples_are_held_out(store: Store, implementation: ReaderCase) -> None:
    implementation.land(landing(store), 4)
    samples = samples_of(store, temporal(implementation))
    spans = samples.groupby("split")["time"].agg(["min", "max"])
    assert samples["split"].notna().all()
    assert spans["max"]["train"] < spans["min"]["test"]
    if "validation" in spans.index:
        assert spans["max"]["train"] < spans["min"]["validation"]
        assert spans["max"]["validation"] < spans["min"]["test"]


@pytest.mark.parametrize(
    "implementation", [i for i in ALL if not i.timed and str(i) not in UNTIMED_TABLES], ids=str
)
def test_without_any_time_nothing_is_divided_by_it(
    store: Store, implementation: ReaderCase
) -> None:
    implementation.land(landing(store), 3)
    with pytest.raises(SpecificationError, match="needs every sample's time; it is unknown for"):
        samples_of(store, temporal(implementation))
    assert store.registry.data_versions() == []


def declared(source: dict[str, Any], classes: Any = None) -> DatasetSpecification:
    return DatasetSpecification.model_validate(
        {
            "name": "data",
            "source": {"url": "landing/data", **source},
            "classes": classes,
            "split": {"method": "column"},
        }
    )


def named() -> list[tuple[str, str]]:
    """Return the spellings of a split with their meaning."""
    return [(written, meant) for meant, texts in PLACES.items() for written in texts]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_of_a_table_names_the_split(store: Store, suffix: str) -> None:
    table = crops_table(70).assign(fold=[written for written, _ in named()] * 10)
    path = landing(store) / f"a.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    samples = samples_of(
        store, declared({"layout": "table", "table": {"label": "crop", "split": "fold"}})
    )
    assert samples["split"].tolist() == [meant for _, meant in named()] * 10


def test_a_folder_of_images_names_the_split(store: Store) -> None:
    expected = {}
    for number, (written, meant) in enumerate(named()):
        for label in ("water", "land"):
            path = f"{written.strip()}/{label}/{number}.png"
            write_raster(landing(store) / path, image(number, 3, "uint8"))
            expected[path] = meant
    samples = samples_of(
        store,
        declared({"layout": "image_folder", "image_folder": {"pattern": "{split}/{label}/*"}}),
    )
    assert dict(zip(samples["path"], samples["split"], strict=True)) == expected


@pytest.mark.parametrize("read", ["patches", "windows", "property"])
def test_a_property_of_an_item_names_the_split(store: Store, read: str) -> None:
    items, expected = [], {}
    labels = np.indices((12, 12)).sum(axis=0).astype(np.uint8) % 2 + 1
    for number, (written, meant) in enumerate(named()):
        for label in CLASSES.values():
            name = f"{label}-{number}"
            write_raster(landing(store) / name / "image.tif", image(number, 3, "uint8"))
            write_raster(landing(store) / name / "labels.tif", labels)
            hrefs = {"image": "image.tif", "labels": "labels.tif"}
            properties = {"ml-aoi:split": written, "crop": label}
            items.append((f"{name}/item.json", item(name, hrefs, 0, **properties)))
            expected[f"{name}/image.tif"] = meant
    write_catalog(landing(store), items)
    options = {"labels": None, "label": "crop"} if read == "property" else {"read": read, "size": 3}
    stac = {"layout": "stac", "stac": {"split": "ml-aoi:split", **options}}
    samples = samples_of(store, declared(stac, CLASSES))
    assert samples.groupby("path")["split"].agg(set).to_dict() == {
        path: {meant} for path, meant in expected.items()
    }


def test_an_unknown_split_is_refused(store: Store) -> None:
    crops_table(60).assign(fold=["train", "test", "holdout"] * 20).to_csv(
        landing(store) / "a.csv", index=False
    )
    with pytest.raises(
        SpecificationError, match="the split column has 'holdout'; allowed are train"
    ):
        samples_of(
            store, declared({"layout": "table", "table": {"label": "crop", "split": "fold"}})
        )
