"""Reports of data as people have it.

Landsat and polygons, two dates of Sentinel-2, a folder of images.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import geopandas
import pytest

from mlops_assets.components.graph.labels import declared
from mlops_assets.components.training_dataset import TrainingDatasetAttributes
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.quality.assessment import QualityAssessment, assess
from mlops_assets.datasets.quality.content import sample_values
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import require_shared_data
from mlops_assets_tests.datasets.committed_images import (
    image,
    images,
    images_specification,
    land_images,
)
from mlops_assets_tests.datasets.quality.conftest import check, figure

NC_CLASSES = {
    1: "developed",
    2: "agriculture",
    3: "herbaceous",
    4: "shrubland",
    5: "forest",
    6: "water",
    7: "sediment",
}


def report_of(
    store: Store, specification: DatasetSpecification
) -> tuple[QualityAssessment, dict[str, Any]]:
    version = commit(store.workspace, store.registry, specification).version.version
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(specification.name, version)
    )
    quality = assess(store.registry, committed)
    return quality, json.loads(
        store.workspace.get(f"datasets/{specification.name}/{version}/quality.json")
    )


@pytest.fixture
def landsat() -> dict[str, Any]:
    images = [f"*_{band}.tif" for band in (10, 20, 30, 40, 50, 70)]
    layout = {"images": images, "labels": "landsat96_polygons.shp", "label_column": "id", "size": 3}
    url = str(require_shared_data("nc_landsat7"))
    return {
        "name": "nc",
        "source": {"url": url, "layout": "scenes", "scenes": layout},
        "classes": NC_CLASSES,
    }


def test_landsat_pixels_around_polygons(store: Store, landsat: dict[str, Any]) -> None:
    split = {"method": "spatial_block", "block": 500, "buffer": 60}
    quality, report = report_of(
        store, DatasetSpecification.model_validate(landsat | {"split": split})
    )
    assert check(quality, "leakage").passed
    distance = report["distance_between_splits"]
    assert distance["unit"] == "m"
    assert 57 < distance["least"] < 120  # beyond the buffer, and not much
    assert distance["limit"] == pytest.approx(3 * 28.5, rel=0.02)
    assert [band["name"] for band in report["values"]["bands"]] == quality.statistics["features"]
    assert (
        0.05
        < report["values"]["bands"][5]["missing"] + report["values"]["bands"][5]["nodata"]
        < 0.15
    )
    assert 0.6 < report["label_noise"]["agreement"] < 1
    assert list(quality.figures) == [
        "class_counts",
        "band_histograms",
        "split_distances",
        "sample_map",
    ]


@pytest.mark.usefixtures("few_trees", "undrawn")
def test_landsat_pixels_at_random_leak(store: Store, landsat: dict[str, Any]) -> None:
    quality, report = report_of(
        store, DatasetSpecification.model_validate(landsat | {"split": {"method": "random"}})
    )
    found = check(quality, "leakage")
    assert not found.passed
    assert figure(found, "seen") > 0.9
    assert report["leakage"]["first"][0].keys() == {"path", "split", "row", "column"}
    assert not check(quality, "distance_between_splits").passed


@pytest.mark.usefixtures("few_trees", "undrawn")
@pytest.mark.parametrize(("method", "passes"), [("random", False), ("temporal", True)])
def test_two_dates_of_one_reservoir(store: Store, method: str, passes: bool) -> None:
    folder = require_shared_data("eotdl_sentinel2_boadella", "sentinel_2")
    landing = store.workspace.root / "landing/boadella"
    landing.mkdir(parents=True)
    for date in ("2020-01-13", "2020-01-28"):
        shutil.copy(folder / f"Boadella_{date}.tif", landing)
        water = geopandas.read_file(folder / "Boadella_2020-01-13_labels.geojson")
        water.assign(kind="water").to_file(landing / f"Boadella_{date}_labels.geojson")
    layout = {
        "images": "*.tif",
        "labels": "*_labels.geojson",
        "label_column": "kind",
        "read": "windows",
        "size": 32,
    }
    fractions = {"train": 0.5, "test": 0.5}
    specification = DatasetSpecification.model_validate(
        {
            "name": "boadella",
            "source": {
                "url": "landing/boadella",
                "layout": "scenes",
                "scenes": layout | {"date": "%Y-%m-%d"},
            },
            "classes": {1: "water"},
            "split": {"method": method, "fractions": fractions},
        }
    )
    quality, report = report_of(store, specification)
    found = check(quality, "leakage")
    assert found.passed == passes
    assert passes or figure(found, "seen") > 0.3
    assert report["distance_between_splits"]["least"] < 0.01
    assert quality.counts["train"]["water"] > 1000


@pytest.mark.usefixtures("few_trees", "undrawn")
def test_a_folder_of_images_with_copies_across_splits(store: Store) -> None:
    # the training images once more
    content = images() | {f"test/wheat/copy{n}.npy": image(n) for n in range(4)}
    committed = land_images(store, content, images_specification())
    quality = assess(store.registry, committed)
    report = json.loads(store.workspace.get(f"datasets/tiles/{committed.row.version}/quality.json"))
    found = check(quality, "leakage")
    assert not found.passed
    assert figure(found, "copies") == pytest.approx(1 / 3)
    groups = report["duplicates"]["exact"]["largest_groups"]
    assert [group["samples"] for group in groups] == [2, 2, 2, 2]
    assert {member["path"] for member in groups[0]["members"]} == {
        "train/maize/1.npy",
        "test/wheat/copy0.npy",
    }
    assert report["duplicates"]["exact"]["groups_with_different_labels"] == 2


@pytest.mark.usefixtures("few_trees", "undrawn")
def test_copies_among_images_too_many_to_read_are_found_by_checksum(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_values, "MAX_READ_BYTES", 10)
    monkeypatch.setattr(sample_values, "MIN_READ", 2)
    content = images() | {f"test/wheat/copy{n}.npy": image(n) for n in range(4)}
    committed = land_images(store, content, images_specification())
    quality = assess(store.registry, committed)
    report = json.loads(store.workspace.get(f"datasets/tiles/{committed.row.version}/quality.json"))
    assert report["read"] == {"train": 2, "validation": 2, "test": 2}
    assert report["duplicates"]["exact"]["compared"] == 16
    assert check(quality, "leakage").values["copies"] == pytest.approx(1 / 3)
    assert len(report["duplicates"]["exact"]["largest_groups"]) == 4


@pytest.mark.slow
def test_the_demonstration_may_be_trained_on(store: Store) -> None:
    pytest.importorskip("tensorly", reason="the example data comes with tensorly")
    import yaml

    from mlops_assets import defs
    from mlops_assets.cli.demo import load_indian_pines
    from mlops_assets.datasets.io.rasters import open_raster

    scene, labels = load_indian_pines()
    for kind, array in (("images", scene), ("labels", labels[None])):
        path = store.workspace.root / "landing/indian_pines" / kind / "indian_pines.tif"
        path.parent.mkdir(parents=True)
        profile = {
            "driver": "GTiff",
            "height": 145,
            "width": 145,
            "count": len(array),
            "dtype": array.dtype.name,
        }
        with open_raster(path, "w", **profile) as raster:
            raster.write(array)
    file = Path(defs.__path__[0]) / "indian_pines" / "defs.yaml"
    attributes = next(yaml.safe_load_all(file.read_text()))["attributes"]
    checked = TrainingDatasetAttributes.model_validate(attributes)
    quality, report = report_of(store, declared(checked, DatasetSpecification))
    assert [c.name for c in quality.checks if c.blocking and not c.passed] == []
    assert 0.005 < report["label_noise"]["share"] < 0.05
    assert report["duplicates"]["exact"]["share_within"]["train"] == 0
    assert all(len(png) < 100_000 for png in quality.figures.values())
