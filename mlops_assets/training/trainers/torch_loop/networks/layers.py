"""Layers that the networks share.

Features are normalised in groups, sample by sample (Wu and He, 2018,
doi:10.1007/978-3-030-01261-8_1): a sample's output does not depend on what else is in its batch, so
any division of a batch gives the same result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUPS = 8


class ScaledNetwork(nn.Module):
    """A network that standardises its inputs, and returns numbers in their own units.

    A missing value becomes 0, the mean. Mean and deviation are buffers, so that they are exported
    with the network.
    """

    mean: Tensor
    deviation: Tensor
    offset: Tensor
    spread: Tensor

    def __init__(self, features: int, classes: int) -> None:
        """Start with buffers that do not change the samples.

        Args:
            features: features or bands of a sample.
            classes: scores of a sample or pixel; 0 for one number.
        """
        super().__init__()
        self.outputs = classes or 1
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))
        if not classes:
            self.register_buffer("offset", torch.zeros(1))
            self.register_buffer("spread", torch.ones(1))
        self._numbers = not classes

    def forward(self, samples: Tensor) -> Tensor:
        """Return scores (n, classes, …) or numbers (n, 1) of samples (n, features, …)."""
        shape = (1, -1, *(1 for _ in samples.shape[2:]))
        scaled = (samples - self.mean.view(shape)) / self.deviation.view(shape)
        found: Tensor = self.body(torch.nan_to_num(scaled, nan=0.0))
        return found.float() * self.spread + self.offset if self._numbers else found

    def body(self, scaled: Tensor) -> Tensor:
        """Return scores or numbers of standardised samples."""
        raise NotImplementedError


class Residual(nn.Module):
    """Two normalised 3 × 3 convolutions beside a short cut.

    See He et al., 2016, doi:10.1007/978-3-319-46493-0_38.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.inputs = inputs
        self.outputs = outputs
        self.stride = stride
        self.dropout = dropout
        self.layers = nn.Sequential(
            group_norm(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            group_norm(outputs),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, outputs, height / stride, width / stride)."""
        added: Tensor = self.shortcut(features) + self.layers(features)
        return added


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation of channels in at most eight groups of at least two."""
    groups = next((g for g in range(GROUPS, 1, -1) if channels % g == 0 and channels // g > 1), 1)
    return nn.GroupNorm(groups, channels)
