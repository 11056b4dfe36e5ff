"""Where the windows of a network lie along a scene, and what of each is kept.

Where the receptive field of the network is known and small enough, a margin of its radius is
discarded, so that the map equals the network's output on the whole scene. Else windows overlap by
half, and their scores are blended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.stac.mlm.receptive_field import Reach

# of the side of a window, the least that is kept of it; a network that looks farther is blended, as
# it would be run more than 16 times on each pixel
_MIN_CORE = 0.25


@dataclass(frozen=True)
class Placed:
    """A window along one axis of a scene.

    Attributes:
        start: its first pixel.
        first: the first pixel that is kept of it.
        last: one past the last pixel that is kept of it.
    """

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class Overlap:
    """The overlap of windows.

    Attributes:
        size: side of a window.
        margin: pixels on each side that are discarded, except at the edges of the scene.
        stride: windows start at multiples of it.
        blended: whether all of a window counts, by `weights`, instead.
    """

    size: int
    margin: int
    stride: int
    blended: bool

    @classmethod
    def of(cls, size: int, reach: Reach | None) -> Overlap:
        """Return the overlap for a network.

        Args:
            size: side of its windows.
            reach: of the network; None if unknown.
        """
        if reach is not None and size - 2 * reach.radius >= max(size * _MIN_CORE, reach.stride):
            return cls(size, reach.radius, reach.stride, blended=False)
        stride = 1 if reach is None or reach.stride > size // 2 else reach.stride
        return cls(size, size // 4, stride, blended=True)

    def __str__(self) -> str:
        if self.blended:
            return f"{self.size} x {self.size}, overlapping by half, blended"
        return f"{self.size} x {self.size}, a margin of {self.margin} discarded"

    def place(self, length: int) -> list[Placed]:
        """Return the windows along an axis of a scene, in order.

        The last one ends with the scene, or less than a stride beyond it. What is kept covers each
        pixel once.

        Args:
            length: of the axis, in pixels.
        """
        step = max((self.size - 2 * self.margin) // self.stride, 1) * self.stride
        end = -(-max(length - self.size, 0) // self.stride) * self.stride
        starts = [*range(0, end, step), end]
        edges = [0, *(start + self.margin for start in starts[1:]), length]
        return [
            Placed(start, first, last)
            for start, first, last in zip(starts, edges[:-1], edges[1:], strict=True)
        ]

    def weights(self, placed: Placed, length: int) -> NDArray[np.float32]:
        """Return the weight of each pixel of a blended window along an axis.

        It falls from the middle of a window, but not to the edges of the scene.

        Args:
            placed: the window.
            length: of the axis, in pixels.
        """
        half = self.size // 2
        ramp = (np.arange(self.size, dtype=np.float32) + 0.5) / max(half, 1)
        found = np.ones(self.size, dtype=np.float32)
        if placed.start > 0:
            found = np.minimum(found, ramp)
        if placed.start + self.size < length:
            found = np.minimum(found, ramp[::-1])
        return found
