"""The spectral-spatial network of the example.

It takes raw radiance, all preprocessing is inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpectralSpatialNet(nn.Module):
    """Principal components of the spectrum, then convolutions over the patch.

    The projection onto components is fitted on training spectra and stored as buffers, so that the
    exported model takes raw values.
    """

    mean: Tensor
    projection: Tensor

    def __init__(
        self, bands: int, classes: int, size: int, components: int = 40, width: int = 64
    ) -> None:
        super().__init__()
        self.bands = bands
        self.classes = classes
        self.size = size
        self.components = components
        self.width = width
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("projection", torch.zeros(components, bands))
        self.body = nn.Sequential(
            nn.Conv2d(components, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout2d(0.3),
            nn.Conv2d(width, 2 * width, size - 2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(2 * width, classes),
        )

    def project(self, patches: Tensor) -> Tensor:
        """Return (n, components, size, size) from raw patches (n, bands, size, size)."""
        centred = patches - self.mean[None, :, None, None]
        return nn.functional.conv2d(centred, self.projection[:, :, None, None])

    def forward(self, patches: Tensor) -> Tensor:
        """Return class scores (n, classes) from raw patches (n, bands, size, size)."""
        scores: Tensor = self.body(self.project(patches))
        return scores
