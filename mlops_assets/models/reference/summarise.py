"""The reference of drift that training samples give, from arrays alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.reference.document import PredictionCounts, ReferenceFeature, Referred
from mlops_assets.models.reference.statistics import Bins
from mlops_assets.models.reference.training import (
    Compared,
    TrainingReference,
    counts_of,
    sorted_finite,
)


def summarise(
    names: Sequence[str], training: Compared, test: Compared, class_names: Sequence[str]
) -> TrainingReference:
    """Return the reference of training samples, with the drift of test samples against them.

    Args:
        names: of the features, or of statistics of bands.
        training: training samples.
        test: test samples; there may be none.
        class_names: of the model; empty for regression.

    Returns:
        The reference; its document names no files yet.
    """
    referred = Referred(
        onnx="",
        values="",
        samples=len(training.values),
        total=len(training.values),
        features=[feature_of(name, training.values[:, place]) for place, name in enumerate(names)],
        predictions=_predictions(training, test, class_names),
        test=None,
    )
    found = TrainingReference(referred, training.values)
    if not len(test.values):
        return found
    measured = referred.model_copy(update={"test": found.drift(test)})
    return TrainingReference(measured, training.values)


def feature_of(name: str, values: NDArray[np.float32]) -> ReferenceFeature:
    """Return how a feature of training samples is distributed.

    Args:
        name: of the feature.
        values: (n,).
    """
    finite = sorted_finite(values)
    bins = Bins.of(finite)
    exact = finite.astype(np.float64)
    return ReferenceFeature(
        name=name,
        minimum=float(finite[0]) if len(finite) else None,
        maximum=float(finite[-1]) if len(finite) else None,
        deviation=float(exact.std()) if len(finite) and finite[0] != finite[-1] else 0.0,
        missing=1 - len(finite) / len(values) if len(values) else 0.0,
        edges=bins.edges.tolist(),
        counts=bins.counts(finite).tolist(),
    )


def _predictions(
    training: Compared, test: Compared, class_names: Sequence[str]
) -> PredictionCounts | None:
    """Return how predictions are distributed; None if the model gives none a sample."""
    if training.predictions is None:
        return None
    if class_names:
        empty = PredictionCounts(kind="classes", train=[0] * len(class_names), test=[])
    else:
        bins = Bins.of(sorted_finite(training.predictions.astype(np.float64)))
        empty = PredictionCounts(kind="numbers", edges=bins.edges.tolist(), train=[], test=[])
    counted = {"train": counts_of(training.predictions, empty).tolist()}
    if test.predictions is not None:
        counted["test"] = counts_of(test.predictions, empty).tolist()
    return empty.model_copy(update=counted)
