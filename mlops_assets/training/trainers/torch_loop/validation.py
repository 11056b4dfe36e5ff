"""Measurements on the validation split after each epoch.

Processes share the split, and all of them get the result.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mlops_assets.models.evaluation.metrics import many_class_metrics
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
        """Prepare the measurement.

        Args:
            feed: batches of the split.
            loss: of outputs and labels.
            classes: how many there are; 0 for numbers.
            precision: arithmetic and memory layout of the device.
            device: `cpu` or `cuda:N`.
            processes: how many train together.
        """
        self._feed = feed
        self._loss = loss
        self._precision = precision
        self._processes = processes
        self._spread = loss.spread if isinstance(loss, NumberLoss) else 1.0
        self._classes = classes
        self._device = device

    def measure(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """Return the validation metrics of a network after an epoch, by name.

        They are `validation_loss`, and `validation_accuracy` and `validation_macro_f1`, or
        `validation_rmse`.
        """
        network.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self._device)
        cells = self._classes**2
        # of true and predicted classes; the last cell is for labels that are unknown
        confusion = torch.zeros(cells + 1, dtype=torch.int64, device=self._device)
        with torch.no_grad():
            for share in self._feed.epoch(epoch):
                with self._precision.autocast():
                    outputs = network(self._precision.laid_out(share.samples))
                total = self._loss.total(outputs, share.labels)
                weight = self._loss.weight(share.labels)
                sums += torch.stack((total, weight)).double()
                if self._classes:
                    found = share.labels * self._classes + outputs.argmax(1)
                    found = found.where(share.labels != UNKNOWN, cells)
                    confusion += found.flatten().bincount(minlength=cells + 1)
            if self._processes > 1:
                torch.distributed.all_reduce(sums)
                torch.distributed.all_reduce(confusion)
        loss = float(sums[0] / sums[1].clamp(min=1e-30))
        if not self._classes:
            return {"validation_loss": loss, "validation_rmse": self._spread * loss**0.5}
        counts = confusion[:-1].view(1, self._classes, self._classes).cpu().numpy()
        metrics = many_class_metrics(counts)
        return {
            "validation_loss": loss,
            # nothing was measured where all labels are unknown
            **{
                f"validation_{name}": float(np.nan_to_num(metrics[name][0]))
                for name in ("accuracy", "macro_f1")
            },
        }
