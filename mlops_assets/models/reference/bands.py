"""Statistics of the bands of patches, windows and images, which drift is measured of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# statistics of a band in a sample: mean, standard deviation, share of finite values
STATISTICS = ("mean", "standard deviation", "valid share")


def band_statistics(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the statistics of the bands of samples, see `STATISTICS`.

    Args:
        values: (n, bands, …).

    Returns:
        (n, bands, 3); NaN for mean and standard deviation of a band without finite values.
    """
    flat = values.reshape(*values.shape[:2], -1)
    valid = np.isfinite(flat)
    count = valid.sum(axis=2)
    known = np.where(valid, flat, 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = known.sum(axis=2) / count
        spread = np.where(valid, known - mean[:, :, None], 0)
        deviation = np.sqrt((spread**2).sum(axis=2) / count)
    share = count / flat.shape[2]
    return np.stack([mean, deviation, share], axis=2).astype(np.float32)


def feature_names(features: list[str], of_bands: bool) -> list[str]:
    """Return the names of what drift is measured of.

    Args:
        features: names of the features or bands of the model.
        of_bands: whether samples are described by the statistics of their bands.
    """
    if not of_bands:
        return list(features)
    return [f"{band} {statistic}" for band in features for statistic in STATISTICS]
