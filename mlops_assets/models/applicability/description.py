"""The space that samples of a model version are described in, and what matters there to the model.

Models on rows and pixels are described by their predictors; networks on patches, windows and images
by the features that their last layer takes, of `features.onnx`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.errors import ExportError
from mlops_assets.models.applicability.document import Weighting
from mlops_assets.models.applicability.importance import (
    Predict,
    permutation_importance,
    samples_for,
)
from mlops_assets.models.applicability.index import Space
from mlops_assets.models.applicability.samples import read_samples
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.features import FEATURES_FILE, features_graph, head_graph
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel, Outputs
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

_SAMPLES = 16  # on which the features of a version of an earlier release are checked


@dataclass(frozen=True)
class Importance:
    """The importance of each predictor or feature, (d,), and how it was measured."""

    values: NDArray[np.float64]
    weighting: Weighting


@dataclass(frozen=True)
class Description:
    """The space of a model version.

    Attributes:
        space: what samples are described by.
        model: gives errors, and the output `features` if these describe samples.
        path: of `model.onnx`.
        scores: kind of its scores; None if unknown.
        features: local path of `features.onnx`; None if predictors describe samples.
        made: the same path if it was not published before.
        note: why a network is described by its predictors; None otherwise.
    """

    space: Space
    model: OnnxModel
    path: Path
    scores: Scores | None
    features: Path | None = None
    made: Path | None = None
    note: str | None = None

    def importance(self, data: TrainingData) -> Importance | None:
        """Measure what matters to the model; None where it cannot be measured.

        It is measured on the validation split, else on the training split, and never on the test
        split, by which versions are judged.

        Args:
            data: of the model version, raw.
        """
        splits: tuple[SplitName, ...] = ("validation", "train")
        split = next((name for name in splits if len(data.committed.split(name))), None)
        if split is None:
            return None
        if self.space == "predictors":
            X, y = data.arrays(split, limit=samples_for(data.sample_shape))
            values, error = permutation_importance(self.model.predict, X, y, self.scores)
            return Importance(values, Weighting(split=split, samples=len(X), error=error))
        with scratch_folder("applicability") as scratch:
            head = _head(self.path, scratch / "head.onnx")
            if head is None:
                return None
            first = read_samples(data, split, "features", self.model, 1)
            most = samples_for(first.values.shape[1:])
            samples = read_samples(data, split, "features", self.model, most)
            if not len(samples.values):
                return None
            values, error = permutation_importance(head, samples.values, samples.truth, self.scores)
        weighting = Weighting(split=split, samples=len(samples.values), error=error)
        return Importance(values, weighting)


@contextmanager
def described(store: Store, row: ModelVersion, data: TrainingData) -> Iterator[Description]:
    """Yield how samples of a model version are described.

    Args:
        store: workspace and registry.
        row: the exported model version.
        data: of the model version, raw.

    Raises:
        IntegrityError: a file of the model is not as it was published.
        StorageError: the model version has no ONNX file yet.
    """
    import onnx

    folder = model_folder(row.model, row.version)
    path = published_path(store.workspace, store.registry, f"{folder}/model.onnx")
    scores = kind_of_scores(onnx.load(path), row.framework)
    if data.view in ("row", "pixel"):
        yield Description("predictors", OnnxModel(path), path, scores)
        return
    key = f"{folder}/{FEATURES_FILE}"
    if store.registry.files_at(key):
        features = published_path(store.workspace, store.registry, key)
        yield Description("features", OnnxModel(features), path, scores, features)
        return
    with scratch_folder("applicability") as scratch:
        made = scratch / FEATURES_FILE
        X, _ = data.arrays("train", limit=_SAMPLES)
        try:
            if not len(X):
                raise ExportError("there is no training sample")
            features_graph(path, made, X)
        except ExportError as error:
            note = f"described by its predictors, as it has no features: {error}"
            yield Description("predictors", OnnxModel(path), path, scores, note=note)
            return
        yield Description("features", OnnxModel(made), path, scores, made, made)


def _head(model: Path, target: Path) -> Predict | None:
    """Return the last layer of a model as a function of features, (n, d); None if it is not one."""
    try:
        convolves = head_graph(model, target)
        head = OnnxModel(target)
    except ExportError:
        return None

    def predict(features: NDArray[np.float32]) -> Outputs:
        outputs = head.predict(features[:, :, None, None] if convolves else features)
        return {
            name: values.reshape(len(values), -1) if name == "scores" else values.reshape(-1)
            for name, values in outputs.items()
        }

    return predict
