"""Losses as sums over the known labels, so that parts of a batch add up to the whole batch.

An unknown label is -1 among classes and NaN among numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from mlops_assets.errors import TrainerError
from mlops_assets.training.trainers.torch_loop.parameters import LoopParams

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import TrainingData

UNKNOWN = -1


class Loss(Protocol):
    """A loss, which is `total` / `weight` for a batch."""

    unknown: float

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of the losses of known labels, in float32."""
        ...

    def weight(self, labels: Tensor) -> Tensor:
        """Return what the known labels weigh, in float32."""
        ...


class ClassLoss:
    """Cross entropy of class scores (n, classes, …) and class indices (n, …)."""

    unknown: float = UNKNOWN

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        self.weights = weights
        self.smoothing = smoothing

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.total`."""
        return cross_entropy(
            outputs.float(),
            labels,
            self.weights,
            ignore_index=UNKNOWN,
            reduction="sum",
            label_smoothing=self.smoothing,
        )

    def weight(self, labels: Tensor) -> Tensor:
        """See `Loss.weight`."""
        known = labels != UNKNOWN
        return (known if self.weights is None else self.weights[labels.clamp(min=0)] * known).sum(
            dtype=torch.float32
        )


class NumberLoss:
    """Squared error of numbers (n, 1) and (n,), in units of the spread of training labels."""

    unknown: float = float("nan")

    def __init__(self, spread: float) -> None:
        self.spread = spread

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """See `Loss.total`."""
        # before it is squared: no gradient
        error = torch.where(labels.isnan(), 0.0, outputs.float().flatten() - labels)
        return (error / self.spread).square().sum()

    def weight(self, labels: Tensor) -> Tensor:
        """See `Loss.weight`."""
        return (~labels.isnan()).sum(dtype=torch.float32)


def class_loss(data: TrainingData, params: LoopParams, device: str) -> ClassLoss:
    """Return the loss for class labels.

    Raises:
        TrainerError: weights for classes that the data does not have.
    """
    declared = params.class_weights
    names = data.class_names
    weights = np.ones(len(names), dtype=np.float32)
    if declared == "none":
        return ClassLoss(None, params.label_smoothing)
    if isinstance(declared, dict):
        unknown = sorted(declared.keys() - set(names))
        if unknown:
            raise TrainerError(
                f"params.class_weights: {data.reference} has no class {', '.join(unknown)}; it has"
                f" {', '.join(names)}"
            )
        weights[:] = [declared.get(name, 1.0) for name in names]
    else:
        counts = _counts(data)
        # classes without training labels weigh 1
        present = counts > 0
        weights[present] = counts.sum() / (present.sum() * counts[present])
    return ClassLoss(torch.from_numpy(weights).to(device), params.label_smoothing)


def number_loss(data: TrainingData, params: LoopParams, spread: float) -> NumberLoss:
    """Return the loss for numbers.

    Raises:
        TrainerError: parameters that only classes have.
    """
    if params.class_weights != "none" or params.label_smoothing:
        raise TrainerError(
            f"params.class_weights and params.label_smoothing are for classes, and {data.reference}"
            " has numbers; leave them out"
        )
    return NumberLoss(spread)


def _counts(data: TrainingData) -> NDArray[np.int64]:
    """Return how many known training labels each class has."""
    counts = np.zeros(len(data.class_names), dtype=np.int64)
    for labels in data.label_batches("train"):
        counts += np.bincount(labels[labels >= 0], minlength=len(counts))
    return counts
