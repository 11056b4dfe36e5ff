"""Statistics of the values of each band or feature.

They are means, percentiles, histograms, and counts of unusable values, of blocks of samples
that `scan` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.readers.table_columns import LOST_TO_TEXTS
from mlops_assets.datasets.specification.dataset import QualityThresholds

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
BINS = 32
BODY = (0.5, 99.5)  # percentiles that a histogram spans, so that one outlier does not flatten it
# a band with fewer values is a flag or a code, and cannot saturate
MIN_DISTINCT = 32
MIN_AT_END = 10
PILE = 2  # so many times as many values at the upper end as at the next lower value are a pile-up
SATURATED = (
    "values at the top of the data's integer type, as Sentinel-2 (SPECIAL_VALUE 65535) and Landsat"
    " products mark saturation, or at the band's own maximum if they pile up there: at least"
    f" {MIN_AT_END} and {PILE} times as many as at the next lower value, in a band of at least"
    f" {MIN_DISTINCT} values"
)


def unusable(
    block: NDArray[np.generic], nodata: NDArray[np.float64], shown: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which values of a block of samples are NaN, infinite, nodata or hidden.

    Args:
        block: shape (n, bands, ...).
        nodata: the nodata value of each sample and band, shape (n, bands), NaN where not declared.
        shown: mask of the values that alpha and masks leave visible, of the shape of the block;
            None without alpha and masks.
    """
    bad: NDArray[np.bool_] = (
        ~np.isfinite(block) if block.dtype.kind == "f" else np.zeros(block.shape, dtype=bool)
    )
    if not np.isnan(nodata).all():
        bad |= block == nodata.reshape(*nodata.shape, *[1] * (block.ndim - 2))
    if shown is not None:
        bad |= ~shown
    return bad


class RunningStatistics:
    """Mean, standard deviation, minimum and maximum of the usable values of each band.

    Statistics of blocks of samples are merged as in Chan, Golub, LeVeque (1979), Updating Formulae
    and a Pairwise Algorithm for Computing Sample Variances.
    """

    def __init__(self, bands: int) -> None:
        self.samples = 0
        self._values = 0  # of each band
        self._count, self._missing, self._mean, self._squares = (np.zeros(bands) for _ in range(4))
        self._min, self._max = np.full(bands, np.inf), np.full(bands, -np.inf)

    def add(self, block: NDArray[np.generic], bad: NDArray[np.bool_]) -> None:
        """Take in samples of shape (n, bands, ...), and which of their values are unusable."""
        axes = (0, *range(2, block.ndim))
        values = block.size // block.shape[1]
        good: Any = ~bad if bad.any() else True  # a mask costs more than the sum itself
        count = values - bad.sum(axis=axes)
        wide = block.astype(np.float64)
        mean = wide.sum(axis=axes, where=good) / np.maximum(count, 1)
        self._min = np.minimum(self._min, wide.min(axis=axes, where=good, initial=np.inf))
        self._max = np.maximum(self._max, wide.max(axis=axes, where=good, initial=-np.inf))
        with np.errstate(invalid="ignore"):  # infinite values are masked, but touched
            wide -= mean.reshape(1, -1, *[1] * (block.ndim - 2))
            np.square(wide, out=wide)
        apart, both = mean - self._mean, np.maximum(self._count + count, 1)
        self._squares += wide.sum(axis=axes, where=good) + apart**2 * self._count * count / both
        self._mean += apart * count / both
        self._count += count
        self._values += values
        self.samples += len(block)
        if block.dtype.kind == "f":
            self._missing += (~np.isfinite(block)).sum(axis=axes)

    @property
    def missing(self) -> NDArray[np.float64]:
        """Share of values that are NaN or infinite, of each band."""
        return np.asarray(self._missing / max(self._values, 1))

    @property
    def nodata(self) -> NDArray[np.float64]:
        """Share of values that are the nodata value of their file, of each band."""
        return np.asarray((self._values - self._count - self._missing) / max(self._values, 1))

    def document(self) -> dict[str, list[float | None]]:
        """Return `mean`, `std` (of the population), `min` and `max`.

        They are null for a band without a usable value.
        """
        known = self._count > 0
        std = np.sqrt(self._squares / np.maximum(self._count, 1))
        measures = {"mean": self._mean, "std": std, "min": self._min, "max": self._max}
        return {
            name: [float(v) if k else None for v, k in zip(measure, known, strict=True)]
            for name, measure in measures.items()
        }


@dataclass(frozen=True)
class BandValues:
    """The spread of the values of each band, on training samples only.

    Attributes:
        features: names of the bands or features.
        drawn: number of values of each band that percentiles, histograms and saturation are from.
        missing: share of NaN and infinite values, of each band.
        nodata: share of nodata values, of each band.
        saturated: share of usable values at the upper end, of each band; see `SATURATED`.
        percentiles: of usable values, shape (bands, len(PERCENTILES)); NaN for a band without any.
        edges: lowest and highest edge of each band's histogram, shape (bands, 2).
        histograms: counts, shape (bands, BINS); values outside the edges are not counted.
    """

    features: list[str]
    drawn: int
    missing: NDArray[np.float64]
    nodata: NDArray[np.float64]
    saturated: NDArray[np.float64]
    percentiles: NDArray[np.float64]
    edges: NDArray[np.float64]
    histograms: NDArray[np.int64]


def band_values(
    statistics: RunningStatistics,
    drawn: NDArray[np.float64],
    ceiling: float | None,
    features: list[str],
) -> BandValues:
    """Describe the values of each band.

    Args:
        statistics: of all training samples that were read.
        drawn: values drawn from them, shape (n, bands), NaN where unusable.
        ceiling: highest value of the data's integer type, or None for floating point.
        features: names of the bands.
    """
    bands = len(features)
    percentiles = np.full((bands, len(PERCENTILES)), np.nan)
    edges = np.full((bands, 2), np.nan)
    histograms = np.zeros((bands, BINS), dtype=np.int64)
    saturated = np.zeros(bands)
    for band in range(bands):
        values = drawn[:, band]
        values = np.sort(values[~np.isnan(values)])
        if not len(values):
            continue
        percentiles[band] = np.percentile(values, PERCENTILES)
        edges[band] = np.percentile(values, BODY)
        histograms[band] = np.histogram(values, BINS, _apart(*edges[band].tolist()))[0]
        saturated[band] = _saturated(values, ceiling)
    return BandValues(
        features,
        len(drawn),
        statistics.missing,
        statistics.nodata,
        saturated,
        percentiles,
        edges,
        histograms,
    )


def values_check(
    found: BandValues, thresholds: QualityThresholds, notes: Sequence[str] = ()
) -> Check:
    """Warn of bands with too many unusable values, and of columns lost to a few texts.

    Unusable values are missing, nodata or saturated.

    Args:
        found: values of each band.
        thresholds: what to judge by.
        notes: of the data version, among which those columns are.
    """
    lacking = found.missing + found.nodata
    problems = [
        f"{share[worst]:.1%} of {found.features[worst]} is {what} (in {int((share > limit).sum())}"
        f" band(s) more than the allowed {limit:.1%})"
        for what, share, limit in (
            ("missing or nodata", lacking, thresholds.max_missing),
            ("saturated", found.saturated, thresholds.max_saturated),
        )
        if share[worst := int(np.argmax(share))] > limit
    ]
    if problems:
        problems.append("look at the band histograms and leave such bands or samples out")
    problems += [note for note in notes if LOST_TO_TEXTS in note]
    return outcome(
        "valid_values",
        not problems,
        (
            "; ".join(problems)
            if problems
            else (
                f"{lacking.max():.1%} of the values of the worst band are missing or nodata,"
                f" {found.saturated.max():.1%} are saturated"
            )
        ),
        missing_or_nodata=float(lacking.max()),
        saturated=float(found.saturated.max()),
    )


def values_document(found: BandValues) -> dict[str, object]:
    """Return the values of each band as they are in the report."""
    return {
        "split": "train",
        "drawn": found.drawn,
        "saturated_means": SATURATED,
        "bands": [
            {
                "name": name,
                "missing": float(found.missing[i]),
                "nodata": float(found.nodata[i]),
                "saturated": float(found.saturated[i]),
                "percentiles": dict(
                    zip(map(str, PERCENTILES), _numbers(found.percentiles[i]), strict=True)
                ),
                "histogram": {
                    "edges": _numbers(found.edges[i]),
                    "counts": found.histograms[i].tolist(),
                },
            }
            for i, name in enumerate(found.features)
        ],
    }


def _saturated(values: NDArray[np.float64], ceiling: float | None) -> float:
    """Share of sorted values that are saturated."""
    top = len(values) - int(np.searchsorted(values, values[-1]))
    if values[-1] != ceiling:
        distinct, counts = np.unique(values, return_counts=True)
        if len(distinct) < MIN_DISTINCT or top < MIN_AT_END or top < PILE * counts[-2]:
            return 0.0
    return top / len(values)


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
