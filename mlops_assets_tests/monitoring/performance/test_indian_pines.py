"""Estimates for a real model on blocks of Indian Pines that it has never seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.cli.demo import load_indian_pines
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.monitoring.performance.dissimilarity import dissimilarity
from mlops_assets.monitoring.performance.estimate import estimate
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.performance.predicted import predicted
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

BLOCK = 10
MIN_PIXELS = 90  # of a class
SIZE = 5


class Pines:
    """The scene, a third of whose blocks no split of the dataset has."""

    def __init__(self) -> None:
        self.scene, labels = load_indian_pines()
        counts = np.bincount(labels.ravel(), minlength=17)
        self.classes = np.flatnonzero(counts[1:] >= MIN_PIXELS) + 1
        self.labels = np.where(np.isin(labels, self.classes), labels, 0).astype(np.uint8)
        places = np.arange(len(labels)) // BLOCK
        blocks = np.add.outer(places * 15, places)
        held_out = np.random.default_rng(5).choice(225, 75, replace=False)
        self.pool = np.isin(blocks, held_out)

    def commit(self, store: Store) -> None:
        folder = store.workspace.root / "landing/pines"
        trained = np.where(self.pool, 0, self.labels).astype(np.uint8)
        for kind, array in (("images", self.scene), ("labels", trained[None])):
            path = folder / kind / "a.tif"
            path.parent.mkdir(parents=True)
            profile = {"driver": "GTiff", "height": 145, "width": 145, "dtype": array.dtype.name}
            with open_raster(path, "w", count=len(array), **profile) as raster:
                raster.write(array)
        scenes = {"unlabelled": 0, "read": "patches", "size": SIZE}
        specification = {
            "name": "pines",
            "source": {"url": "landing/pines", "layout": "scenes", "scenes": scenes},
            "classes": {int(value): f"class {value}" for value in self.classes},
            "split": {
                "method": "spatial_block",
                "block": BLOCK,
                "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2},
            },
        }
        commit(store.workspace, store.registry, DatasetSpecification.model_validate(specification))

    def patches(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Patches of the pool, and their class indices."""
        half = SIZE // 2
        inner = np.zeros_like(self.pool)
        inner[half:-half, half:-half] = True
        rows, columns = np.nonzero(self.pool & inner & (self.labels > 0))
        found = [
            self.scene[:, row - half : row + half + 1, column - half : column + half + 1]
            for row, column in zip(rows, columns, strict=True)
        ]
        truth = np.searchsorted(self.classes, self.labels[rows, columns])
        return np.stack(found).astype(np.float32), truth


@pytest.mark.slow
def test_the_estimate_is_the_truth_where_it_is_estimable(store: Store) -> None:
    pines = Pines()
    pines.commit(store)
    row = lifecycle(
        store,
        model_specification(
            "pines_cnn", dataset="pines", trainer="mlops_assets.defs.indian_pines.cnn:train"
        ),
        epochs=12,
        components=40,
        width=32,
    )
    publish_applicability(store, row)
    X, truth = pines.patches()
    own, right, value = _measured(store, row, X, truth)
    assert own > 0.5 and right > 0.75
    assert value is not None and value == pytest.approx(right, abs=0.05)
    rng = np.random.default_rng(0)
    deviation = pines.scene.reshape(200, -1).std(axis=1)[None, :, None, None]
    noisy = X + 0.2 * deviation * rng.normal(size=X.shape)
    with_noise, right, value = _measured(store, row, noisy.astype(np.float32), truth)
    assert with_noise < own
    assert value is not None and value == pytest.approx(right, abs=0.05)
    # another gain makes the model fail, and nothing is claimed of it
    brighter, _, value = _measured(store, row, X * np.float32(1.1), truth)
    assert brighter < 0.01 and value is None


def _measured(
    store: Store, row: ModelVersion, X: NDArray[np.float32], truth: NDArray[np.int64]
) -> tuple[float, float, float | None]:
    """Return the share inside the applicability, the accuracy there, and the estimate of it."""
    samples = predicted(store, row, X)
    di, index = dissimilarity(store, row, samples), MapIndex.of(store, row)
    assert di is not None and index is not None and samples.labels is not None
    inside = index.applicability.inside(di)
    found = estimate(store, row, samples, di)
    assert found is not None and found.not_estimable == pytest.approx(
        1.0 if found.value is None else 1 - inside.mean()
    )
    right = (samples.labels == truth)[inside]
    return (
        float(inside.mean()),
        float(right.mean()) if len(right) else np.nan,
        None if found.value is None else found.value.value,
    )
