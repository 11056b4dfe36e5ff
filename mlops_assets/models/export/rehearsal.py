"""A rehearsal of a model's stages on a few samples, before training.

It finds failures of later stages early, for trainers whose estimator is known in advance. The
samples are real, so that failures that depend on them are found too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import ExportError, TrainerError
from mlops_assets.models.export.parity import compare_outputs
from mlops_assets.models.frameworks import framework_of
from mlops_assets.models.native import require_shape
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.specification import Parity
from mlops_assets.storage.scratch import scratch_folder

SAMPLES = 500  # of the training split, with samples of every class
# A wrong converter is far off, on many samples. Rounding, as at thresholds of trees, makes small
# differences on few samples: these are for the comparison after training, with the declared
# `parity`.
FAR = Parity(tolerance=0.05)
MAX_DIFFERING = 0.05


def rehearse(
    fit: Callable[[NDArray[np.float32], NDArray[np.number]], object],
    data: TrainingData,
    X: NDArray[np.float32],
    y: NDArray[np.number],
    trainer: str,
) -> None:
    """Fit a model to a few samples, write it, read it back, export it to ONNX and compare outputs.

    A model that cannot be fitted is left to its training, which reports the reason.

    Args:
        fit: returns a fitted model; its arguments are like `X` and `y`.
        data: the data of the training.
        X: its training samples as rows, float32, (n, features).
        y: their labels, (n,).
        trainer: the trainer as 'package.module:function', for messages.

    Raises:
        ExportError: the model cannot be stored or exported, or its ONNX file would give other
            outputs.
        TrainerError: it would have no score for a class.
    """
    some = _some(y, data.task)
    X, y = X[some], y[some]
    # the same values, each feature in another order: samples that the model has not seen
    unseen = np.random.default_rng(0).permuted(X, axis=0)
    probes = np.concatenate([X, unseen]).reshape(-1, *data.sample_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the training repeats them
        try:
            model = fit(X, y)
        except ValueError:
            return
        try:
            _export(model, data, probes, trainer)
        except (ExportError, TrainerError) as error:
            raise type(error)(
                f"{error}; this was found before training, on {len(X)} samples"
            ) from error


def _some(y: NDArray[np.number], task: str) -> NDArray[np.int64]:
    """Return indices of samples: of each class as many as there are, up to an equal share."""
    order = np.random.default_rng(0).permutation(len(y))
    if task == "regression":
        return order[:SAMPLES]
    labels = pd.Series(y[order])
    return order[(labels.groupby(labels).cumcount() < -(-SAMPLES // labels.nunique())).to_numpy()]


def _export(model: object, data: TrainingData, probes: NDArray[np.float32], trainer: str) -> None:
    framework = framework_of(model, trainer)
    with scratch_folder("rehearsal") as scratch:
        folder = scratch / "native"
        path = scratch / "model.onnx"
        folder.mkdir()
        framework.save(model, folder)
        model = framework.load(folder)
        framework.export(model, data.sample_shape, data.task, path)
        name = framework.describe(model).architecture
        try:
            native = framework.predict(model, probes, data.task)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ExportError(
                f"{name} has no outputs for samples unlike those it was fitted to ({reason})"
            ) from error
        require_shape(native, len(probes), len(data.class_names))
        try:
            report = compare_outputs(native, OnnxModel(path), probes, data.task, FAR)
        except ExportError as error:
            raise ExportError(
                f"{name} cannot be exported to ONNX: its graph does not run ({error})"
            ) from error
        if report.differing > MAX_DIFFERING:
            worst = f" (worst is {report.worst.description})" if report.worst else ""
            raise ExportError(
                f"{name} with these parameters is not converted to ONNX correctly: it differs on"
                f" {report.differing:.0%} of samples{worst}; choose other parameters, or another"
                " estimator"
            )
