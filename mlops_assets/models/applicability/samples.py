"""Samples of a split as the applicability index describes them, and the model's errors on them.

A patch is described by the pixel in its middle, which its label is of; of windows, labelled pixels
are samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.values import unusable
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.models.applicability.index import Space
from mlops_assets.models.evaluation.slices import independent_units
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.progress import step
from mlops_assets.registry.model_documents import samples_at_once

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.framework_loaders import Labels

MAX_SAMPLES = 10_000  # distances between all pairs of them are computed
_MAX_WINDOWS = 1000  # whose pixels are taken

T = TypeVar("T", bound=np.generic)
# of pixels of windows: number of the window, row, column
_Places: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Samples:
    """Samples of a split in the space of the index.

    Attributes:
        values: predictors or features, (n, d), finite.
        codes: number of the block or group of each sample, (n,).
        units: name of these blocks or groups, for people.
        truth: class index or number of each sample, (n,).
        errors: of the model's output, (n,): 1 for a wrong class, or the absolute error of a number;
            None if the model was not run.
        left_out: number of samples with missing values.
        read: number of the split's samples that were read.
        total: number of the split's samples.
    """

    values: NDArray[np.float32]
    codes: NDArray[np.int64]
    units: str
    truth: Labels
    errors: NDArray[np.float64] | None
    left_out: int
    read: int
    total: int


def read_samples(
    data: TrainingData,
    split: SplitName,
    space: Space,
    model: OnnxModel | None,
    most: int = MAX_SAMPLES,
) -> Samples:
    """Return samples of a split, evenly spread over it if there are too many.

    Args:
        data: a data version, raw, with the bands of the model.
        split: `train`, `validation` or `test`.
        space: what samples are described by.
        model: gives the errors, and the output `features` where those describe samples; None if
            neither is needed.
        most: number of samples, about.

    Raises:
        IntegrityError: a file of the data version is not as it was committed.
        StorageError: a file is missing, or the decoded cache cannot be written.
    """
    grouping = independent_units(data.committed, split)
    positions = data.positions(split, min(most, _MAX_WINDOWS) if data.view == "window" else most)
    pixels = -(-most // max(1, len(positions)))
    described = [np.empty((0, len(data.features)), dtype=np.float32)]
    codes = [np.empty(0, dtype=np.int64)]
    truths = [np.empty(0, dtype=data.label_type)]
    errors = [np.empty(0)]
    left_out = 0
    with step(f"describing the {split} split", len(positions), "samples") as done:
        for batch in _batches(data, split, positions):
            outputs = {} if model is None else model.predict(batch.X)
            places = _labelled(batch.y, pixels) if data.view == "window" else None
            values = _at(outputs["features"] if space == "features" else batch.X, places, batch.y)
            complete = np.isfinite(values).all(axis=1)
            if space == "predictors":
                complete &= _at(batch.usable, places, batch.y).all(axis=1)
            described.append(values[complete])
            own = grouping.codes[batch.positions]
            codes.append((own if places is None else own[places[0]])[complete])
            left_out += int((~complete).sum())
            truth = batch.y if places is None else batch.y[places]
            truths.append(truth[complete])
            if model is not None:
                errors.append(_errors(decide(outputs), truth, places)[complete])
            done.advance(len(batch.X))
    return Samples(
        np.concatenate(described if len(described) == 1 else described[1:]),
        np.concatenate(codes),
        grouping.name,
        np.concatenate(truths),
        None if model is None else np.concatenate(errors),
        left_out,
        len(positions),
        len(data.committed.split(split)),
    )


@dataclass(frozen=True)
class _Batch:
    """Some samples: their positions in the split, values, which of these count, and labels."""

    positions: NDArray[np.int64]
    X: NDArray[np.float32]
    usable: NDArray[np.bool_]
    y: Labels


def _batches(
    data: TrainingData, split: SplitName, positions: NDArray[np.int64]
) -> Iterator[_Batch]:
    """Yield samples of a split in batches."""
    found = data.source(split)
    X, shown = found.samples(), found.shown()
    labels = found.labels() if data.view == "window" else data.labels(split)
    nodata = SampleValues(data.committed).nodata
    rows = np.flatnonzero(data.committed.samples["split"] == split)
    bands = [data.source_features.index(name) for name in data.features]
    size = samples_at_once(data.sample_shape)
    for start in range(0, len(positions), size):
        own = positions[start : start + size]
        stored = X[own][:, bands]
        seen = None if shown is None else shown[own][:, bands]
        usable = ~unusable(stored, nodata(rows[own])[:, bands], seen)
        y: Labels = np.asarray(labels[own], dtype=data.label_type)
        yield _Batch(own, stored.astype(np.float32), usable, y)


def _labelled(y: Labels, most: int) -> _Places:
    """Return labelled pixels of windows, evenly spread over each.

    Args:
        y: class indices, (n, height, width), -1 where unknown.
        most: pixels of a window.
    """
    found: list[NDArray[np.int64]] = []
    for window, labels in enumerate(y):
        pixels = np.flatnonzero(labels >= 0)
        if len(pixels) > most:
            pixels = pixels[np.linspace(0, len(pixels) - 1, most).astype(np.int64)]
        found.append(pixels + window * labels.size)
    samples, rows, columns = np.unravel_index(np.concatenate(found), y.shape)
    return samples, rows, columns


def _at(values: NDArray[T], places: _Places | None, labels: Labels) -> NDArray[T]:
    """Return what describes samples, (n, d).

    Args:
        values: (n, d), or of pixels or cells of them (n, d, rows, columns).
        places: of pixels of windows; None takes the middle.
        labels: of windows, (n, height, width).
    """
    if values.ndim == 2:
        return values
    rows, columns = values.shape[2:]
    if places is None:
        return values[:, :, rows // 2, columns // 2]
    sample, row, column = places
    height, width = labels.shape[1:]
    return values[sample, :, row * rows // height, column * columns // width]


def _errors(
    decided: NDArray[np.number],
    truth: Labels,
    places: _Places | None,
) -> NDArray[np.float64]:
    """Return the error of each sample; NaN where its class is unknown."""
    predicted = decided if places is None else decided[places]
    if truth.dtype.kind == "f":
        difference: NDArray[np.float64] = np.abs(predicted - truth).astype(np.float64)
        return difference
    wrong: NDArray[np.float64] = (predicted != truth).astype(np.float64)
    wrong[truth < 0] = np.nan
    return wrong
