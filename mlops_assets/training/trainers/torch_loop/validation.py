"""Measurements on the validation split after each epoch.

Processes share the split, and all of them get the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlops_assets.training.trainers.torch_loop.feed import Feed
from mlops_assets.training.trainers.torch_loop.losses import UNKNOWN, Loss, NumberLoss
from mlops_assets.training.trainers.torch_loop.precision import Precision


class Validation:
    """The measurement of a network on one split."""

    def __init__(
        self,
        feed: Feed,
        loss: Loss,
        classes: int,
        precision: Precision,
        device: str,
        processes: int,
    ) -> None:
        """Prepare the metrics.

        Args:
            feed: batches of the split.
            loss: of outputs and labels.
            classes: how many there are; 0 for numbers.
            precision: arithmetic and memory layout of the device.
            device: `cpu` or `cuda:N`.
            processes: how many train together.
        """
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        self._feed = feed
        self._loss = loss
        self._precision = precision
        self._processes = processes
        self._spread = loss.spread if isinstance(loss, NumberLoss) else 1.0
        self._classes = None
        if classes:
            # validate_args reads values, for which it would wait for the GPU
            accuracy = MulticlassAccuracy(
                classes, average="micro", ignore_index=UNKNOWN, validate_args=False
            )
            macro_f1 = MulticlassF1Score(
                classes, average="macro", ignore_index=UNKNOWN, validate_args=False
            )
            self._classes = MetricCollection(
                {"validation_accuracy": accuracy, "validation_macro_f1": macro_f1}
            ).to(device)
        self._device = device

    def measure(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """Return the validation metrics of a network after an epoch, by name.

        They are `validation_loss`, and `validation_accuracy` and `validation_macro_f1`, or
        `validation_rmse`.
        """
        network.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        with torch.no_grad():
            for share in self._feed.epoch(epoch):
                with self._precision.autocast():
                    outputs = network(self._precision.laid_out(share.samples))
                total = self._loss.total(outputs, share.labels)
                weight = self._loss.weight(share.labels)
                sums += torch.stack((total, weight)).double()
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
