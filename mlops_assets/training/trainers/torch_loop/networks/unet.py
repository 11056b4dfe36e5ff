"""A U-Net with residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mlops_assets.training.trainers.torch_loop.networks.layers import (
    Residual,
    ScaledNetwork,
    group_norm,
)


class UNet(ScaledNetwork):
    """A network that scores every pixel of a window of any size.

    It is the U-Net of Ronneberger et al. (2015) with residual blocks.

    doi:10.1007/978-3-319-24574-4_28; a window that cannot be halved `depth` times is widened by its
    edge inside.
    """

    def __init__(
        self, bands: int, classes: int, width: int = 32, depth: int = 4, dropout: float = 0.1
    ) -> None:
        """Make the network.

        Args:
            bands: of a window.
            classes: scores given of each pixel.
            width: channels at full size; doubled with each halving.
            depth: how often height and width are halved.
            dropout: share of features left out in training, at the smallest size.
        """
        super().__init__(bands, classes)
        self.bands = bands
        self.classes = classes
        self.width = width
        self.depth = depth
        self.dropout = dropout
        widths = [width * 2**level for level in range(depth + 1)]
        self.stem = nn.Conv2d(bands, width, 3, padding=1)
        self.first = Residual(width, width)
        self.down = nn.ModuleList(
            Residual(wide // 2, wide, 2, dropout if wide == widths[-1] else 0.0)
            for wide in widths[1:]
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide, wide // 2, 2, 2) for wide in widths[:0:-1])
        self.join = nn.ModuleList(Residual(wide, wide // 2) for wide in widths[:0:-1])
        self.head = nn.Sequential(group_norm(width), nn.ReLU(), nn.Conv2d(width, self.outputs, 1))

    def body(self, scaled: Tensor) -> Tensor:
        """Return scores (n, classes, height, width)."""
        height = scaled.shape[2]
        width = scaled.shape[3]
        step = 2**self.depth
        features = self.stem(pad(scaled, (0, -width % step, 0, -height % step), mode="replicate"))
        levels = [self.first(features)]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up, join in zip(self.up, self.join, strict=True):
            features = join(torch.cat([up(features), levels.pop()], 1))
        scores: Tensor = self.head(features)
        return scores[:, :, :height, :width]
