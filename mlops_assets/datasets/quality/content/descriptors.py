"""A short vector for each sample; vectors of similar samples are near each other.

Callers decide which distance counts as near.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 8  # an image is averaged to at most 8 x 8 cells a band
MAX_VALUES = 1024  # of all bands and cells together
COMPONENTS = 32


class Descriptor:
    """Standardised values, of images averaged to cells, in their first principal components.

    Standardised with mean and standard deviation of the samples it is fitted to, so that bands
    count alike; missing and nodata values count as the mean.
    """

    def __init__(self, found: NDArray[np.float64]) -> None:
        """Fit to the `cells` of at least one sample, shape (n, values), NaN where unknown."""
        from sklearn.decomposition import PCA

        known = ~np.isnan(found)
        count = np.maximum(known.sum(axis=0), 1)
        self._mean = np.where(known, found, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, found - self._mean, 0) ** 2).sum(axis=0) / count)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._components: Any = None
        if found.shape[1] > COMPONENTS and len(found) > 1:
            model = PCA(min(COMPONENTS, len(found)), random_state=0)
            self._components = model.fit(self._standardised(found)).components_.T

    def __call__(self, found: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the vectors of samples from their `cells`.

        They are float32 of shape (n, at most COMPONENTS).
        """
        standardised = self._standardised(found)
        if self._components is not None:
            standardised = standardised @ self._components
        return standardised.astype(np.float32)

    def _standardised(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.nan_to_num((found - self._mean) / self._spread, nan=0.0))


def cells(block: NDArray[np.generic], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the means of usable values in each cell.

    Their shape is (n, bands x cells), with NaN where a cell has no usable value.

    Args:
        block: samples of shape (n, bands, ...).
        bad: which of their values are unusable.
    """
    if block.ndim == 2:
        return np.where(bad, np.nan, block.astype(np.float64))
    side = max(1, min(MAX_CELLS, int((MAX_VALUES / block.shape[1]) ** 0.5), *block.shape[2:]))
    if block.shape[2:] == (side, side):
        return np.where(bad, np.nan, block.astype(np.float64)).reshape(len(block), -1)
    total, count = _summed(np.where(bad, 0, block), side), _summed(~bad, side)
    with np.errstate(invalid="ignore"):
        return (total / count).reshape(len(block), -1)


def _summed(block: NDArray[np.generic], side: int) -> NDArray[np.float64]:
    """Sums over side x side cells of the last two axes, as equal as whole pixels allow."""
    rows, columns = (
        np.linspace(0, length, side, endpoint=False).astype(int) for length in block.shape[2:]
    )
    return np.add.reduceat(np.add.reduceat(block, rows, axis=2, dtype=np.float64), columns, axis=3)
