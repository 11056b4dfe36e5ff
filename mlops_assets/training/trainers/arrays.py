"""The splits of a data version as whole arrays, for trainers that fit to those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import TrainerError

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData


@dataclass(frozen=True)
class SplitArrays:
    """The training and validation splits.

    Attributes:
        samples: of the training split, (n, *sample_shape).
        labels: their labels, (n,): int64 class indices or float64 numbers.
        weights: their weights, (n,); None if all count the same.
        validation_samples: as `samples`; empty if there is no validation split.
        validation_labels: as `labels`.
    """

    samples: NDArray[np.float32]
    labels: NDArray[np.int64 | np.float64]
    weights: NDArray[np.float64] | None
    validation_samples: NDArray[np.float32]
    validation_labels: NDArray[np.int64 | np.float64]


def split_arrays(data: TrainingData, balanced: bool) -> SplitArrays:
    """Read the training and validation splits.

    Args:
        data: the data version.
        balanced: weigh samples so that all classes count the same.

    Raises:
        TrainerError: there are no training samples, or numbers are to be balanced by class.
    """
    samples, labels = data.arrays("train")
    if not len(samples):
        raise TrainerError(
            f"{data.reference} has no training samples; change 'split' of the dataset"
        )
    weights = _balanced_weights(data, labels) if balanced else None
    return SplitArrays(samples, labels, weights, *data.arrays("validation"))


def _balanced_weights(
    data: TrainingData, labels: NDArray[np.int64 | np.float64]
) -> NDArray[np.float64]:
    from sklearn.utils.class_weight import compute_sample_weight

    if data.task == "regression":
        raise TrainerError(
            f"params.class_weights is for classes, and {data.reference} has numbers; leave it out"
        )
    weights: NDArray[np.float64] = compute_sample_weight("balanced", labels)
    return weights
