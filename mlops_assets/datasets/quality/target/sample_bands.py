"""The values of a data version's samples as a map's pixels have them: one for each band."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.sample_values import Block, SampleValues
from mlops_assets.datasets.quality.content.subsample import SEED, draw
from mlops_assets.datasets.quality.content.values import unusable
from mlops_assets.datasets.quality.target.distances import MAX_POINTS, Values


def bands_of(source: SampleValues, split: str) -> Values:
    """Return the values of samples of a split: rows, centres of patches, pixels of windows.

    Args:
        source: samples that are not whole images.
        split: whose samples; `MAX_POINTS` values are drawn, of windows several of each.
    """
    chosen = draw(source.chosen[split], MAX_POINTS)
    each = MAX_POINTS // max(len(chosen), 1) if source.kind == "window" else 1
    chance = np.random.default_rng(SEED).random((len(chosen), each))
    values = [np.zeros((0, source.bands))]
    samples = [np.zeros(0, dtype=np.int64)]
    for block in source.blocks(split, chosen):
        luck = chance[np.searchsorted(chosen, block.positions)]
        found = _drawn(source.kind, block, source.nodata(block.positions), luck)
        own = np.repeat(block.positions, each)
        known = ~np.isnan(found).any(axis=1)
        values.append(found[known])
        samples.append(own[known])
    every = np.concatenate(samples)
    order = np.argsort(every, kind="stable")
    return Values(np.concatenate(values)[order], every[order])


def _drawn(
    kind: str, block: Block, nodata: NDArray[np.float64], luck: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return values of a block, NaN where unusable: one or, of windows, several of each sample."""
    bad = unusable(block.X, nodata, block.shown)
    found = np.where(bad, np.nan, block.X.astype(np.float64))
    if kind == "patch":
        return found[:, :, found.shape[2] // 2, found.shape[3] // 2]
    if kind != "window":
        return found
    flat = found.reshape(*found.shape[:2], -1)
    pixel = (luck * flat.shape[2]).astype(np.int64)
    return flat[np.arange(len(flat))[:, None], :, pixel].reshape(-1, flat.shape[1])
