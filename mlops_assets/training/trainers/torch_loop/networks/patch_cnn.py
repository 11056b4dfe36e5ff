"""A residual network for patches and small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlops_assets.training.trainers.torch_loop.networks.layers import (
    Residual,
    ScaledNetwork,
    group_norm,
)


class PatchCNN(ScaledNetwork):
    """A network that mixes the bands of each pixel, convolves, and averages over the image.

    It decides by this mean, and by the image's centre too if asked.
    """

    def __init__(
        self,
        bands: int,
        classes: int,
        width: int = 64,
        blocks: int = 2,
        halvings: int = 0,
        centre: bool = True,
        dropout: float = 0.2,
    ) -> None:
        """Make the network.

        Args:
            bands: of an image (bands, height, width) of any size.
            classes: scores given; 0 for one number.
            width: channels; doubled with each halving, up to four times.
            blocks: residual blocks at each size.
            halvings: how often height and width are halved.
            centre: the label is that of the central pixel.
            dropout: share of features left out in training.
        """
        super().__init__(bands, classes)
        self.bands = bands
        self.classes = classes
        self.width = width
        self.blocks = blocks
        self.halvings = halvings
        self.centre = centre
        self.dropout = dropout
        layers: list[nn.Module] = [nn.Conv2d(bands, width, 1)]
        channels = width
        for stage in range(halvings + 1):
            wide = width * min(2**stage, 4)
            for block in range(blocks):
                layers.append(Residual(channels, wide, 2 if stage and not block else 1, dropout))
                channels = wide
        self.layers = nn.Sequential(*layers, group_norm(channels), nn.ReLU())
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(channels * (2 if centre else 1), self.outputs)
        )

    def body(self, scaled: Tensor) -> Tensor:
        """Return scores (n, classes) or numbers (n, 1)."""
        features = self.layers(scaled)
        found = features.mean((2, 3))
        if self.centre:
            found = torch.cat(
                [found, features[:, :, features.shape[2] // 2, features.shape[3] // 2]], 1
            )
        scores: Tensor = self.head(found)
        return scores
