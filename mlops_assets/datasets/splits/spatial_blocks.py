"""Spatial blocks: in metres on the ground where the data is georeferenced, else in pixels.

Ground blocks are on the equal-area grid EPSG:6933, the same for every scene: the same place at
another date, or in an overlapping scene, is in the same block. `assign` gives
blocks to splits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import Split
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import SpecificationError

DEFAULT_METRES = 1000.0
DEFAULT_PIXELS = 32.0
GROUND = "EPSG:6933"  # cylindrical equal-area, true scale at 30° (NSIDC EASE-Grid 2.0)
_ROUNDING = 1e-9  # of a block's side: what binary fractions lose, or 12/10 - 2/10 is less than 1
_TRUE_SCALE = np.cos(np.radians(30.0))


@dataclass(frozen=True)
class Blocks:
    """The block of each sample on the grid of blocks.

    Attributes:
        scope: for each sample, what its blocks are counted in: one name on the ground, else its
            file.
        low, high: float64 of shape (n, 2): first and last position a sample covers, in sides of a
            block.
        reach: float64 of shape (n, 2): the buffer, in sides of a block.
        last: float64 of shape (n, 2): last block of the image that each sample is in, as nothing
            beyond it is trained on; None on the ground, where more may land.
    """

    scope: NDArray[np.generic]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    reach: NDArray[np.float64]
    last: NDArray[np.float64] | None = None

    @property
    def index(self) -> NDArray[np.int64]:
        """The block of the middle of each sample, (n, 2)."""
        return np.asarray(np.floor((self.low + self.high) / 2), dtype=np.int64)

    def near(self, is_train: Callable[[str, int, int], bool]) -> NDArray[np.bool_]:
        """Return for each sample whether a training block is within its reach."""
        first = np.floor(self.low - self.reach + _ROUNDING)
        last = np.floor(self.high + self.reach + _ROUNDING)
        if self.last is not None:
            first, last = np.maximum(first, 0), np.minimum(last, self.last)
        near = np.zeros(len(self.low), dtype=bool)
        spans = np.column_stack([pd.factorize(self.scope)[0], first, last]).astype(np.int64)
        unique, inverse = np.unique(spans, axis=0, return_inverse=True)
        scopes = pd.unique(pd.Series(self.scope, dtype=object))
        answers = np.array(
            [
                any(
                    is_train(str(scopes[s]), r, c)
                    for r in range(r0, r1 + 1)
                    for c in range(c0, c1 + 1)
                )
                for s, r0, c0, r1, c1 in unique.tolist()
            ],
            dtype=bool,
        )
        near[:] = answers[inverse.reshape(-1)] if len(unique) else False
        return near


def on_the_ground(samples: pd.DataFrame) -> bool:
    """Return whether the places of all samples are known.

    Blocks and buffers are then in metres, not in pixels.
    """
    return "longitude" in samples and len(samples) > 0 and bool(samples["longitude"].notna().all())


def blocks_of(samples: pd.DataFrame, contents: Contents, split: Split) -> Blocks:
    """Lay samples on the grid.

    Raises:
        SpecificationError: samples have no place on the ground and none in a scene, or a block is
            no larger than a pixel.
    """
    if on_the_ground(samples):
        return ground_blocks(samples, split)
    if contents.input.kind not in ("patch", "window"):
        known = (
            samples["longitude"].notna()
            if "longitude" in samples
            else pd.Series(False, index=samples.index)
        )
        lacking = int((~known).sum())
        raise SpecificationError(
            f"split method 'spatial_block' needs to know where samples are, and {lacking} of"
            f" {len(samples)} have no longitude and latitude; georeference them, or choose another"
            " method"
        )
    side = split.block or DEFAULT_PIXELS
    if contents.input.kind == "window" and side % contents.input.size:
        raise SpecificationError(
            f"split block {side:g} must be a multiple of the window size {contents.input.size},"
            " in pixels"
        )
    low = samples[["row", "column"]].to_numpy(dtype=np.float64)
    extent = contents.input.size - 1 if contents.input.kind == "window" else 0
    reach = np.full_like(low, split.buffer / side)
    shapes = (
        contents.files.drop_duplicates("path")
        .set_index("path")
        .loc[samples["path"], ["height", "width"]]
    )
    last = np.floor((shapes.to_numpy(dtype=np.float64) - 1) / side)
    return Blocks(
        samples["path"].to_numpy(dtype=object), low / side, (low + extent) / side, reach, last
    )


def ground_blocks(samples: pd.DataFrame, split: Split) -> Blocks:
    """Lay samples whose places are all known on the grid of the ground."""
    from rasterio.warp import transform

    side = split.block or DEFAULT_METRES
    longitude = samples["longitude"].to_numpy(dtype=np.float64)
    latitude = samples["latitude"].to_numpy(dtype=np.float64)
    x, y = transform("EPSG:4326", GROUND, longitude, latitude)
    middle = np.column_stack([y, x]) / side
    # the grid keeps areas, not distances: a metre north is shorter on it, a metre east longer, by
    # the same factor
    stretch = _TRUE_SCALE / np.cos(np.radians(np.clip(latitude, -89.0, 89.0)))
    reach = np.column_stack([split.buffer / stretch, split.buffer * stretch]) / side
    scope = np.full(len(samples), "ground", dtype=object)
    return Blocks(scope, middle, middle, reach)
