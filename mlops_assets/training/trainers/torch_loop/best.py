"""The weights of the lowest validation loss so far, and their epoch."""

from __future__ import annotations

from typing import Any

import torch


class Best:
    """The best weights so far.

    Attributes:
        weights: a state_dict of copies; None if nothing was offered.
        metrics: the metrics that were measured with them.
    """

    def __init__(self) -> None:
        self._loss = float("inf")
        self._epoch = -1
        self.weights: dict[str, torch.Tensor] | None = None
        self.metrics: dict[str, float] = {}

    def offer(self, metrics: dict[str, float], epoch: int, network: torch.nn.Module) -> None:
        """Copy the weights if their `validation_loss` is lower.

        Args:
            metrics: measured after the epoch, with `validation_loss`.
            epoch: from 0.
            network: has the weights.
        """
        loss = metrics["validation_loss"]
        if loss < self._loss:
            self._loss = loss
            self._epoch = epoch
            self.metrics = dict(metrics)
            self.weights = {
                name: value.detach().clone() for name, value in network.state_dict().items()
            }

    def waited(self, epoch: int, patience: int) -> bool:
        """Return whether `patience` epochs have passed without a lower loss.

        `epoch` is the next one.
        """
        return patience > 0 and self.weights is not None and epoch - self._epoch > patience

    def state(self) -> dict[str, object]:
        """Return the state for a checkpoint."""
        return {
            "loss": self._loss,
            "epoch": self._epoch,
            "weights": self.weights,
            "metrics": self.metrics,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self._loss = float(state["loss"])
        self._epoch = int(state["epoch"])
        self.weights = state["weights"]
        self.metrics = state["metrics"]
