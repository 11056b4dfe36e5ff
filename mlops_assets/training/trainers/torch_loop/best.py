"""The weights of the lowest validation loss so far, and how long ago that was."""

from __future__ import annotations

from typing import Any

import torch


class Best:
    """The best weights so far.

    Attributes:
        weights: a state_dict of copies; None if nothing was offered.
        metrics: what was measured with them.
    """

    def __init__(self) -> None:
        self._loss, self._epoch = float("inf"), -1
        self.weights: dict[str, torch.Tensor] | None = None
        self.metrics: dict[str, float] = {}

    def offer(self, metrics: dict[str, float], epoch: int, network: torch.nn.Module) -> None:
        """Copy the weights if their `validation_loss` is lower."""
        loss = metrics["validation_loss"]
        if loss < self._loss:
            self._loss, self._epoch, self.metrics = loss, epoch, dict(metrics)
            self.weights = {
                name: value.detach().clone() for name, value in network.state_dict().items()
            }

    def waited(self, epoch: int, patience: int) -> bool:
        """Return whether `patience` epochs have passed without a lower loss.

        `epoch` is the next one.
        """
        return patience > 0 and self.weights is not None and epoch - self._epoch > patience

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "loss": self._loss,
            "epoch": self._epoch,
            "weights": self.weights,
            "metrics": self.metrics,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._loss, self._epoch, self.weights = (
            float(state["loss"]),
            int(state["epoch"]),
            state["weights"],
        )
        self.metrics = state["metrics"]
