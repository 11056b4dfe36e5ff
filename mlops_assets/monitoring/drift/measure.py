"""Drift and quality of the logged samples of a model version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.reference.samples import dominant_class
from mlops_assets.models.reference.training import Compared, TrainingReference
from mlops_assets.monitoring.document import Drift, Quality
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.samples import LoggedSamples


def drift(reference: TrainingReference, samples: LoggedSamples, signature: Signature) -> Drift:
    """Measure the drift of logged samples against the training samples of their model version.

    Args:
        reference: of the model version.
        samples: of a day.
        signature: of the model.

    Returns:
        The measures of the samples whose inputs, or statistics of them, were logged, and of all
        predictions; beside them those of the test split.
    """
    compared = Compared(_known_features(samples, signature), _predictions(samples))
    return Drift.of(reference.drift(compared), reference.referred)


def quality(
    reference: TrainingReference | None, samples: LoggedSamples, signature: Signature
) -> Quality:
    """Measure the quality of logged samples.

    Args:
        reference: of the model version; without one, every missing value counts, and nothing is
            known to be beyond training values or constant.
        samples: of a day.
        signature: of the model.
    """
    values = _known_features(samples, signature)
    names, _ = samples.features(signature)
    finite = np.isfinite(values)
    found = Quality(
        samples=len(samples), kept=int(samples.kept.sum()), invalid=0.0, beyond=0.0, constant=[]
    )
    if not len(values):
        return found
    invalid = np.isinf(values)
    if samples.statistics is not None:
        shares = values[:, 2::3]
        lowest = _lowest_shares(reference, shares.shape[1])
        invalid[:, 2::3] |= ~(shares >= lowest)
    else:
        invalid |= np.isnan(values) & ~_may_lack(reference, values.shape[1])
    beyond = np.zeros(len(values), dtype=bool)
    constant: list[str] = []
    if reference is not None:
        for place, feature in enumerate(reference.referred.features):
            if feature.minimum is None or feature.maximum is None:
                continue
            own = values[finite[:, place], place]
            with np.errstate(invalid="ignore"):
                beyond |= finite[:, place] & (
                    (values[:, place] < feature.minimum) | (values[:, place] > feature.maximum)
                )
            varies = feature.minimum < feature.maximum
            if varies and len(own) > 1 and own.min() == own.max():
                constant.append(names[place])
    return found.model_copy(
        update={
            "invalid": float(invalid.any(axis=1).mean()),
            "beyond": float(beyond.mean()),
            "constant": constant,
        }
    )


def _known_features(samples: LoggedSamples, signature: Signature) -> NDArray[np.float32]:
    """Return the features of those samples whose inputs, or statistics, were logged."""
    _, values = samples.features(signature)
    if samples.statistics is None:
        return values[samples.kept]
    # the share of finite values is known of every sample whose statistics are
    return values[~np.isnan(values[:, 2::3]).all(axis=1)]


def _may_lack(reference: TrainingReference | None, count: int) -> NDArray[np.bool_]:
    """Return which features lacked values in training, as then a missing value is valid."""
    if reference is None:
        return np.zeros(count, dtype=bool)
    return np.array([feature.missing > 0 for feature in reference.referred.features])


def _lowest_shares(reference: TrainingReference | None, bands: int) -> NDArray[np.float32]:
    """Return the lowest share of finite values that each band had in training."""
    if reference is None:
        return np.ones(bands, dtype=np.float32)
    shares = [feature.minimum for feature in reference.referred.features[2::3]]
    return np.array([1 if share is None else share for share in shares], dtype=np.float32)


def _predictions(samples: LoggedSamples) -> NDArray[np.number] | None:
    """Return a class index or number a sample, as references count them; None if there are none."""
    if samples.numbers is not None:
        return samples.numbers
    if samples.labels is not None and (samples.labels >= 0).any():
        return samples.labels
    if samples.scores is not None:
        return dominant_class(samples.scores)
    return samples.labels
