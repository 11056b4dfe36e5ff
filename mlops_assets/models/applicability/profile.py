"""The expected error at an index: of samples like those that are this far from training.

After the function `errorProfiles` of the R package CAST: means over windows of samples that are
sorted by their index, and a curve through them that never falls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.applicability.index import ErrorProfile

MIN_SAMPLES = 50
KNOTS = 50  # about as many windows


def error_profile(
    di: NDArray[np.float32], error: NDArray[np.float64], measure: str, split: str
) -> ErrorProfile | None:
    """Return the error at an index; None if there are too few samples.

    Args:
        di: index of each sample, (n,); those that are NaN are left out.
        error: of each sample, (n,).
        measure: what the error is.
        split: of the samples.
    """
    from sklearn.isotonic import isotonic_regression

    known = np.isfinite(di) & np.isfinite(error)
    if known.sum() < MIN_SAMPLES:
        return None
    order = np.argsort(di[known], kind="stable")
    windows = np.array_split(order, min(KNOTS, len(order) // 10))
    places = np.array([di[known][window].mean() for window in windows])
    means = np.array([error[known][window].mean() for window in windows])
    sizes = np.array([len(window) for window in windows], dtype=np.float64)
    rising = isotonic_regression(means, sample_weight=sizes)
    return ErrorProfile(
        measure,
        split,
        int(known.sum()),
        places.astype(np.float32),
        np.asarray(rising, dtype=np.float32),
    )
