"""The spread of the values of each band in training, by the quality report.

It is the same for all chips of a version, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_assets.hub.views.samples.opened import OpenVersion

SHARED = 20.0  # features whose ranges differ by less are drawn on one axis, as those of a spectrum
_PERCENTILES = ("1", "5", "50", "95", "99")


class _Band(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    percentiles: Mapping[str, float | None] | None = None


class _Values(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    bands: list[_Band]


class _Measured(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    values: _Values


@dataclass(frozen=True)
class Spread:
    """Values of each feature in training; NaN where a band has no value.

    Attributes:
        low, median, high: 1st, 50th and 99th percentile, (features,).
        cut: 2nd and 98th percentile, interpolated, (features, 2).
    """

    low: NDArray[np.float64]
    median: NDArray[np.float64]
    high: NDArray[np.float64]
    cut: NDArray[np.float64]

    @property
    def axis(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of the axis of each feature: the same for all if their ranges are alike."""
        ranges = self.high - self.low
        known = ranges[np.isfinite(ranges) & (ranges > 0)]
        if len(known) and known.max() <= SHARED * known.min():
            ends = np.nanmin(self.low), np.nanmax(self.high)
            return np.full_like(self.low, ends[0]), np.full_like(self.high, ends[1])
        return self.low, self.high


def spread_of(version: OpenVersion) -> Spread | None:
    """Return the spread of a version's values, None if it has no report that states it.

    Args:
        version: the data version.
    """
    features = version.committed.document.features
    if version.report is None:
        return None
    try:
        bands = _Measured.model_validate(version.report.model_extra).values.bands
    except ValidationError:
        return None  # of another release
    if [band.name for band in bands] != list(features):
        return None
    rows = [
        [np.nan if (value := (band.percentiles or {}).get(name)) is None else value
         for name in _PERCENTILES]
        for band in bands
    ]  # fmt: skip
    first, fifth, median, ninety_fifth, last = np.array(rows, dtype=np.float64).T
    cut = np.column_stack([first + (fifth - first) / 4, last - (last - ninety_fifth) / 4])
    return Spread(first, median, last, cut)
