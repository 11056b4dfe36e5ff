"""A data version compared with the area that is to be mapped: document, figure and check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from rasterio import Affine

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.quality import Check
from mlops_assets.datasets.quality.assessment import QualityAssessment
from mlops_assets.datasets.quality.findings.balance import no_counts
from mlops_assets.datasets.quality.target import compare
from mlops_assets.datasets.quality.target.compare import compare_with_target
from mlops_assets.datasets.quality.target.document import TargetReport, published_target
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import data_owner
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, table_specification
from mlops_assets_tests.servers.buckets import Bucket

LandTable = Callable[..., Commit]
PLACED = {"label": "crop", "longitude": "lon", "latitude": "lat"}
BLOCKS = {"method": "spatial_block", "block": 10_000}
AREA = [9.0, 46.0, 10.0, 47.0]


def survey(clusters: int, seed: int = 0) -> pd.DataFrame:
    """300 samples of a degree square: in clusters of some 100 m, or (0) at random."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(AREA[:2], AREA[2:], (max(clusters, 1), 2))
    at = middles[rng.integers(len(middles), size=300)] + rng.normal(0, 0.001, (300, 2))
    if not clusters:
        at = rng.uniform(AREA[:2], AREA[2:], (300, 2))
    values = rng.normal(0, 1, (300, 2)).round(4)
    crop = rng.choice(["wheat", "maize"], 300)
    return pd.DataFrame(
        {"lon": at[:, 0], "lat": at[:, 1], "red": values[:, 0], "nir": values[:, 1], "crop": crop}
    )


@pytest.fixture
def compared(store: Store) -> Callable[..., tuple[Check, TargetReport | None]]:
    """Compare the newest version with a target area: `compared(dataset, bbox=…)`."""

    def run(dataset: str = "fields", /, **declared: object) -> tuple[Check, TargetReport | None]:
        committed = CommittedDataset.open(store.workspace, store.registry, Reference(dataset))
        nothing = QualityAssessment({}, no_counts(), [], [])
        found = compare_with_target(
            store.registry, committed, TargetArea.model_validate(declared), nothing
        )
        (check,) = found.checks
        assert check.name == "resembles_target"
        assert not check.blocking
        return check, published_target(store.workspace, store.registry, committed.row)

    return run


Compared = Callable[..., tuple[Check, TargetReport | None]]


def test_blocks_resemble_a_map_of_clustered_samples_more_than_a_random_split_does(
    store: Store, land_table: LandTable, compared: Compared
) -> None:
    found = {}
    for split in ({"method": "random"}, BLOCKS):
        specification = table_specification(
            source={"url": "landing/fields", "layout": "table", "table": PLACED}, split=split
        )
        land_table(survey(12), specification)
        found[str(split["method"])] = compared(bbox=AREA)
    (random, report), (_, in_blocks) = found["random"], found["spatial_block"]
    assert report is not None
    assert in_blocks is not None
    assert report.geographic is not None
    assert in_blocks.geographic is not None
    assert in_blocks.geographic.wasserstein < 0.8 * report.geographic.wasserstein
    assert not random.passed
    assert "promise more" in random.description
    # what it proposes is what a commit with it gives
    best = min(report.blocks, key=lambda tried: tried.wasserstein)
    assert f"{{method: spatial_block, block: {best.block:g}}}" in random.description
    split = {"method": "spatial_block", "block": best.block}
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}, split=split
    )
    land_table(survey(12), specification)
    _, proposed = compared(bbox=AREA)
    assert proposed is not None
    assert proposed.geographic is not None
    assert proposed.geographic.wasserstein == pytest.approx(best.wasserstein, rel=1e-6)
    assert random.values["geographic_wasserstein"] == report.geographic.wasserstein


def test_a_random_split_resembles_a_map_of_samples_at_random(
    land_table: LandTable, compared: Compared
) -> None:
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}
    )
    land_table(survey(0), specification)
    check, report = compared(bbox=AREA)
    assert check.passed, check.description
    assert report is not None
    assert report.geographic is not None
    # samples from one another as test samples from training, as all are drawn alike
    medians = [
        report.geographic.sample.median,
        report.geographic.test.median,
        report.geographic.target.median,
    ]
    np.testing.assert_allclose(medians, np.mean(medians), rtol=0.2)


def test_an_area_elsewhere_fails_and_no_division_is_proposed_as_if_it_were_enough(
    land_table: LandTable, compared: Compared, store: Store
) -> None:
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}
    )
    land_table(survey(0), specification)
    before = store.registry.data_version(Reference("fields"))
    check, report = compared(bbox=[-60.0, -10.0, -59.0, -9.0])
    assert not check.passed
    assert report is not None
    assert report.geographic is not None
    assert report.geographic.target.median > 5e6
    assert "take samples in the area" in check.description
    # neither the data version nor its documents change, and all files are recorded
    row = store.registry.data_version(Reference("fields"))
    assert row.digest == before.digest
    folder = "datasets/fields/v1"
    recorded = {file.path for file in store.registry.files(data_owner("fields", "v1"))}
    assert {f"{folder}/target_area.json", f"{folder}/figures/target_distances.png"} <= recorded
    document = json.loads(store.workspace.get(f"{folder}/version.json"))
    assert "target_area" not in document["specification"]


def test_samples_without_a_place_are_counted(land_table: LandTable, compared: Compared) -> None:
    land_table()
    check, report = compared(bbox=AREA)
    assert check.passed
    assert report is not None
    assert report.geographic is report.bands is None
    assert "cannot tell on the ground: 27" in check.description
    assert "have no longitude and latitude" in check.description


def test_it_is_measured_again_only_if_the_area_has_changed(
    store: Store, land_table: LandTable, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}
    )
    land_table(survey(12), specification)
    west, south, east, north = AREA
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    path = store.workspace.root / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    strict, first = compared(area="area.geojson", max_difference=0)
    measured = []

    def measure(committed: CommittedDataset, area: compare._Area) -> Any:
        measured.append(1)
        return original(committed, area)

    original = compare._measured
    monkeypatch.setattr(compare, "_measured", measure)
    lax, second = compared(area="area.geojson", max_difference=1)
    assert (strict.passed, lax.passed, measured) == (False, True, [])
    assert first is not None
    assert second is not None
    assert first.geographic == second.geographic
    assert second.target_area["area"] == "area.geojson"
    ring[1] = [east + 1, south]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    compared(area="area.geojson")
    assert measured == [1]


def test_an_area_that_cannot_be_read_fails_the_check_and_publishes_nothing(
    land_table: LandTable, compared: Compared
) -> None:
    land_table()
    check, report = compared(area="nowhere/area.geojson")
    assert (check.passed, report) == (False, None)
    assert "nowhere/area.geojson" in check.description
    check, report = compared(scenes=["nowhere"])
    assert (check.passed, report) == (False, None)
    assert "there is no GeoTIFF at nowhere" in check.description


def write_target(path: Path, values: NDArray[np.generic], names: list[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, object] = {
        "driver": "GTiff",
        "height": values.shape[1],
        "width": values.shape[2],
        "count": len(values),
        "dtype": values.dtype.name,
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, 500_000, 0, -10, 5_200_000),
        "nodata": -1,
    }
    with open_raster(path, "w", **profile) as raster:
        raster.write(values)
        for band, name in enumerate(names or [], start=1):
            raster.set_band_description(band, name)


def test_bands_of_scenes_are_compared_by_name_where_they_have_data(
    store: Store, land_table: LandTable, compared: Compared
) -> None:
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}
    )
    land_table(survey(0), specification)
    rng = np.random.default_rng(1)
    like = rng.normal(0, 1, (3, 40, 40)).astype(np.float32)
    like[:, :20] = -1  # declared nodata, where half of the pixels would be alike
    like[2] = 1e6  # a further band
    folder = store.workspace.root / "tomap"
    write_target(folder / "a.tif", like, ["nir", "red", "other"])
    _, report = compared(scenes=["tomap"], max_difference=1)
    assert report is not None
    assert report.bands is not None
    assert report.bands.unit == "sd"
    assert report.bands.target.count == report.points == 800
    assert report.bands.difference < 0.3
    # another surface, of the same place
    write_target(folder / "a.tif", like + np.float32(30), ["nir", "red", "other"])
    check, report = compared(scenes=["tomap/a.tif"])
    assert report is not None
    assert report.bands is not None
    assert report.bands.difference > 0.9
    assert "unlike training" in check.description
    write_target(folder / "a.tif", like, ["nir", "green", "other"])
    _, report = compared(scenes=["tomap"])
    assert report is not None
    assert report.bands is None
    assert "no band red" in report.unknown["bands"]
    # a part of the scene only
    _, report = compared(scenes=["tomap"], bbox=[9.0, 46.9, 9.0026, 47.0])
    assert report is not None
    assert 0 < report.points < 800


@pytest.mark.parametrize(
    ("source", "unlike"),
    [
        # the fifth that has no label looks like no pixel that is trained on
        ({"size": 3}, True),
        ({"size": 8, "read": "windows"}, False),
    ],
)
def test_patches_are_compared_by_their_centres_and_windows_by_their_pixels(
    land_scenes: Callable[..., Commit], compared: Compared, source: object, unlike: bool
) -> None:
    specification = scenes_specification(
        source={"url": "landing/scenes", "layout": "scenes", "scenes": source},
        split={"method": "random", "fractions": {"train": 0.6, "test": 0.4}},
    )
    land_scenes(specification)
    check, report = compared("scenes", scenes=["landing/scenes/images"])
    assert "cannot tell on the ground" in check.description
    assert report is not None
    assert report.bands is not None
    assert report.bands.target.count == 48 * 48
    assert report.bands.target.percentiles["75"] < 0.5
    assert (report.bands.target.percentiles["95"] > 2) == unlike


@pytest.mark.services
def test_an_area_and_scenes_may_lie_in_a_bucket(
    s3: Bucket, store: Store, land_table: LandTable, compared: Compared, tmp_path: Path
) -> None:
    specification = table_specification(
        source={"url": "landing/fields", "layout": "table", "table": PLACED}
    )
    land_table(survey(0), specification)
    values = np.zeros((2, 8, 8), dtype=np.float32)
    write_target(tmp_path / "tiles/a.tif", values, ["red", "nir"])
    write_target(tmp_path / "tiles/b.tif", values, ["red", "nir"])
    ring = [[8, 46], [10, 46], [10, 47], [8, 47], [8, 46]]
    s3.land(tmp_path / "tiles", "tiles")
    s3.put("area.geojson", json.dumps({"type": "Polygon", "coordinates": [ring]}).encode())
    _, report = compared(scenes=[f"{s3.url}/tiles/"], area=f"{s3.url}/area.geojson")
    assert report is not None
    assert report.points == 128
    assert report.scenes == [f"{s3.url}/tiles/a.tif", f"{s3.url}/tiles/b.tif"]
    _, report = compared(scenes=[f"{s3.url}/tiles/a.tif"])
    assert report is not None
    assert report.points == 64
    check, _ = compared(area=f"{s3.url}/other.geojson")
    assert not check.passed
    assert "other.geojson could not be read: it is not there; check the path" in check.description


def test_a_scene_that_cannot_be_read_is_named(
    store: Store, land_table: LandTable, compared: Compared
) -> None:
    land_table()
    path = store.workspace.root / "tomap/a.tif"
    write_target(path, np.ones((6, 8, 8), dtype=np.complex64))
    check, report = compared(scenes=["tomap"])
    assert (check.passed, report) == (False, None)
    assert "tomap/a.tif has complex numbers" in check.description
    write_target(path, np.random.default_rng(0).normal(size=(6, 300, 300)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-200_000])
    check, report = compared(scenes=["tomap"])
    assert (check.passed, report) == (False, None)
    assert "tomap/a.tif" in check.description
    assert str(store.workspace.cache) not in check.description
