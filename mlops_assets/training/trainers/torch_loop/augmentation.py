"""Flips and rotations of images, and of labels with them, so that both stay aligned."""

from __future__ import annotations

import torch
from torch import Tensor

from mlops_assets.training.trainers.torch_loop.parameters import Augmentation


class Turns:
    """The flips and rotations that keep the shape of a sample.

    Each is a table of the source of every pixel, so that one gather turns a whole batch.
    """

    def __init__(self, kind: Augmentation, height: int, width: int, device: str) -> None:
        """Prepare the tables: four of flips or of rectangles, eight of squares, one of none.

        Args:
            kind: none, flips, or flips and rotations.
            height: of a sample, in pixels.
            width: of a sample, in pixels.
            device: `cpu` or `cuda:N`.
        """
        places = torch.arange(height * width).view(height, width)
        ways = [places]
        if kind != "none":
            # both flips are a half turn
            ways += [
                places.flip(0),
                places.flip(1),
                places.flip(0, 1),
            ]
        if kind == "flips_and_rotations" and height == width:
            ways += [places.rot90(turns) for turns in (1, 3)] + [places.t(), places.rot90(2).t()]
        self._ways = torch.stack([way.flatten() for way in ways]).to(device)

    def draw(self, samples: int, seed: int) -> Tensor:
        """Return a table number for each sample, (samples,); equal seeds give equal numbers."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(len(self._ways), (samples,), generator=generator)

    def apply(self, images: Tensor, labels: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Turn images (n, bands, height, width), and labels of pixels (n, height, width).

        Args:
            images: of the batch.
            labels: of its pixels or, (n,), of its images; the latter stay.
            drawn: a number of `draw` for each image.
        """
        if len(self._ways) == 1:
            return images, labels
        source = self._ways[drawn.to(self._ways.device)]
        turned = (
            images.flatten(2)
            .gather(2, source[:, None].expand(-1, images.shape[1], -1))
            .view_as(images)
        )
        if labels.dim() == 3:
            labels = labels.flatten(1).gather(1, source).view_as(labels)
        return turned, labels
