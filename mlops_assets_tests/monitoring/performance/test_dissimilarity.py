"""The dissimilarity index of logged samples against that of maps and of applicability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.applicability.document import read_applicability, read_document
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import raw_data
from mlops_assets.monitoring.performance.dissimilarity import dissimilarity, outside_of
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.prediction.windows.scene_model import SceneModel
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification
from mlops_assets_tests.monitoring.performance.predicted import (
    FIELDS,
    logged,
    overlapping_crops,
    predicted,
)
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

Land = Callable[..., Commit]


def test_rows_with_and_without_their_inputs(store: Store, land_table: Land) -> None:
    land_table(overlapping_crops(), FIELDS)
    row = lifecycle(store, model_specification(), depth=3)
    X, _ = raw_data(store.workspace, store.registry, row).arrays("test")
    samples = predicted(store, row, X)
    assert dissimilarity(store, row, samples) is None
    unknown = outside_of(store, row, samples)
    assert unknown.share is None and "materialise crops/applicability" in str(unknown.unknown)
    publish_applicability(store, row)
    index, document = read_applicability(store, row), read_document(store, row)
    assert index is not None and document is not None and document.measured is not None
    di = dissimilarity(store, row, samples)
    assert di is not None and document.measured.test is not None
    np.testing.assert_array_equal(di, index.di(X))
    whole = outside_of(store, row, samples)
    # that of the same samples as it was measured when the model was made
    assert whole.share == pytest.approx(document.measured.test.outside)
    assert (whole.samples, whole.test) == (len(X), document.measured.test.outside)
    assert whole == outside_of(store, row, samples, di)
    half = X.copy()
    half[::2] = np.nan
    part = replace(samples, values=half, kept=np.arange(len(X)) % 2 == 1)
    found = dissimilarity(store, row, part)
    assert found is not None and np.isnan(found[::2]).all()
    np.testing.assert_array_equal(found[1::2], di[1::2])
    assert outside_of(store, row, part).samples == len(X) // 2
    none = outside_of(store, row, logged(5, row))
    assert none.share is None and "no sample has its inputs" in str(none.unknown)
    assert none.test == document.measured.test.outside


@pytest.mark.parametrize("view", ["patch", "window"])
def test_networks_have_the_index_of_maps(store: Store, land_scenes: Land, view: str) -> None:
    if view == "patch":
        land_scenes(scenes_specification(), size=96)
        specification = model_specification(dataset="scenes", trainer=f"{HERE}:network")
    else:
        land_scenes(scenes_specification(**windows_source()), size=96)
        specification = model_specification(
            dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
        )
    row = lifecycle(store, specification)
    publish_applicability(store, row)
    index = MapIndex.of(store, row)
    assert index is not None and index.features_file is not None
    X, _ = raw_data(store.workspace, store.registry, row).arrays("test", limit=30)
    X[0] *= 40
    # a missing value would be spread over all of the sample
    X[1, 0, 0, 0] = np.nan
    samples = logged(len(X), row, values=X, kept=np.ones(len(X), dtype=bool))
    found = dissimilarity(store, row, samples)
    model = SceneModel(
        OnnxModel(index.features_file),
        X.shape[1:],
        2,
        np.zeros(4, np.float32),
        index.applicability.di,
    )
    of_maps = model.predict(X[2:])["di"]
    if view == "window":
        of_maps = np.median(of_maps.reshape(len(of_maps), -1), axis=1)
    assert found is not None and np.isnan(found[1])
    assert not index.applicability.inside(found[:1]).any()
    np.testing.assert_allclose(found[2:], of_maps, rtol=1e-5)


def test_a_patch_of_a_tree_is_described_by_its_middle(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes"))
    publish_applicability(store, row)
    X, _ = raw_data(store.workspace, store.registry, row).arrays("test", limit=30)
    index = read_applicability(store, row)
    found = dissimilarity(store, row, logged(len(X), row, values=X, kept=np.ones(len(X), bool)))
    assert index is not None and found is not None and index.space == "predictors"
    np.testing.assert_array_equal(found, index.di(X[:, :, 1, 1]))
