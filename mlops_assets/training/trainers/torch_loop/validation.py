"""Measurements on the validation split after each epoch.

Processes share the split, and all of them get the result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mlops_assets.training.trainers.torch_loop.feed import Feed
from mlops_assets.training.trainers.torch_loop.losses import UNKNOWN, Loss, NumberLoss
from mlops_assets.training.trainers.torch_loop.precision import Precision


class Validation:
    """Measures a network on one split."""

    def __init__(
        self,
        feed: Feed,
        loss: Loss,
        classes: int,
        precision: Precision,
        device: str,
        processes: int,
    ) -> None:
        """Prepare the metrics; `classes` is 0 for numbers."""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        self._feed, self._loss, self._precision, self._processes = feed, loss, precision, processes
        self._spread = loss.spread if isinstance(loss, NumberLoss) else 1.0
        self._classes = None
        if classes:  # validate_args looks at values, for which it would wait for the GPU
            given: dict[str, Any] = {
                "num_classes": classes,
                "ignore_index": UNKNOWN,
                "validate_args": False,
            }
            self._classes = MetricCollection(
                {
                    "validation_accuracy": MulticlassAccuracy(average="micro", **given),
                    "validation_macro_f1": MulticlassF1Score(average="macro", **given),
                }
            ).to(device)
        self._device = device

    def measure(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """Return the validation metrics by name.

        These are `validation_loss`, and `validation_accuracy` and `validation_macro_f1`, or
        `validation_rmse`.
        """
        network.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        with torch.no_grad():
            for share in self._feed.epoch(epoch):
                with self._precision.autocast():
                    outputs = network(self._precision.laid_out(share.samples))
                found = self._loss.total(outputs, share.labels), self._loss.weight(share.labels)
                sums += torch.stack(found).double()
                if self._classes is not None:
                    self._classes.update(outputs.argmax(1), share.labels)
            if self._processes > 1:
                torch.distributed.all_reduce(sums)
        loss = float(sums[0] / sums[1].clamp(min=1e-30))
        if self._classes is None:
            return {"validation_loss": loss, "validation_rmse": self._spread * loss**0.5}
        metrics: dict[str, Tensor] = self._classes.compute()
        self._classes.reset()
        return {"validation_loss": loss, **{name: float(value) for name, value in metrics.items()}}
