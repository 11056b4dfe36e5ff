"""Grids of pixels: which are parts of others, and the one of a data version."""

from __future__ import annotations

import pytest
from rasterio import Affine
from rasterio.crs import CRS

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.prediction.scenes.sources.grids import PixelGrid, resolution_of
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene

UTM = CRS.from_epsg(32632)
GRID = PixelGrid(UTM, Affine(10, 0, 500_000, 0, -10, 4_700_000), 100, 80)


@pytest.mark.parametrize(
    ("other", "offset"),
    [
        (GRID, (0, 0)),
        (GRID.window(30, 20, 70, 60), (30, 20)),
        (GRID.window(30, 20, 71, 60), None),
        (GRID.window(-1, 0, 10, 10), None),
        (PixelGrid(UTM, GRID.transform @ Affine.translation(0.5, 0), 10, 10), None),
        (PixelGrid(UTM, GRID.transform @ Affine.scale(2), 10, 10), None),
        (PixelGrid(UTM, GRID.transform @ Affine.scale(1, -1), 10, 10), None),
        (PixelGrid(CRS.from_epsg(32633), GRID.transform, 100, 80), None),
        (PixelGrid(None, GRID.transform, 100, 80), None),
    ],
)
def test_a_grid_is_part_of_another_if_its_pixels_are(
    other: PixelGrid, offset: tuple[int, int] | None
) -> None:
    assert GRID.offset(other) == offset


def test_without_a_place_grids_must_be_the_same() -> None:
    nowhere = PixelGrid(None, Affine.identity(), 100, 80)
    assert nowhere.offset(PixelGrid(None, Affine.identity(), 100, 80)) == (0, 0)
    assert nowhere.offset(PixelGrid(None, Affine.identity(), 50, 40)) is None


@pytest.mark.parametrize(("crs", "size"), [("EPSG:32632", 10.0), (None, None)])
def test_the_resolution_of_a_data_version(
    store: Store, crs: str | None, size: float | None
) -> None:
    write_scene(store.workspace.root / "landing/fields", crs=crs)
    commit(store.workspace, store.registry, scenes_specification("fields"))
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    assert resolution_of(committed.manifest) == size
