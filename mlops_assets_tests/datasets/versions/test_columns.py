from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.versions.columns import Column, columns
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, table_specification


def columns_of(store: Store, dataset: str) -> list[Column]:
    return columns(CommittedDataset.open(store.workspace, store.registry, Reference(dataset)))


def test_columns_of_a_table_are_its_features_label_and_roles(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    table = {"label": "crop", "group": "farm", "id": "row", "longitude": "x", "latitude": "y"}
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": table},
        units={"ndvi": "1"},
    )
    rows = range(60)
    frame = pd.DataFrame(
        {
            "row": rows,
            "farm": [row // 2 for row in rows],
            "ndvi": [row / 60 for row in rows],
            "rain": [row % 7 for row in rows],
            "x": [10 + row / 100 for row in rows],
            "y": [47.0] * 60,
            "crop": ["wheat" if row % 2 else "maize" for row in rows],
        }
    )
    land_table(frame, specification)
    found = columns_of(store, "fields")
    assert [(column.name, column.type, column.role) for column in found] == [
        ("ndvi", "float32", "feature"),
        ("rain", "float32", "feature"),
        ("crop", "class", "label"),
        ("farm", "string", "group"),
        ("row", "string", "id"),
        ("x", "float64", "place"),
        ("y", "float64", "place"),
    ]
    assert [column.unit for column in found] == ["1", *[None] * 6]
    assert [column.name for column in found if column.unique] == ["row"]
    assert found[2].rules == ("one of maize, wheat",)


def test_columns_of_scenes_are_their_bands_and_the_label(
    store: Store, land_scenes: Callable[..., Commit]
) -> None:
    names = ["red", "green", "blue", "nir"]
    wavelengths = [0.665, 0.56, 0.49, 0.842]
    land_scenes(scenes_specification(bands={"names": names, "center_wavelengths": wavelengths}))
    *bands, label = columns_of(store, "scenes")
    assert [(band.name, band.type) for band in bands] == [(name, "uint16") for name in names]
    assert bands[3].description == "Band 4 of 4, centre wavelength 0.842 µm."
    assert (label.name, label.rules) == ("label", ("one of 1 (water), 2 (land)",))


def test_many_classes_are_counted(store: Store, land_table: Callable[..., Commit]) -> None:
    rows = range(250)
    crops = [f"crop{row % 25:02}" for row in rows]
    land_table(pd.DataFrame({"crop": crops, "ndvi": [row / 250 for row in rows]}))
    label = next(column for column in columns_of(store, "fields") if column.role == "label")
    (rule,) = label.rules
    assert rule.startswith("one of crop00, crop01, ")
    assert rule.endswith(", crop19 and 5 more")
