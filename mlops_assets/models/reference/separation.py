"""Multivariate drift: how well a classifier separates two samples.

Lopez-Paz and Oquab (2017), Revisiting Classifier Two-Sample Tests, ICLR; as an effect size its AUC
is taken, the chance that it ranks a sample of one above a sample of the other: 0.5 without drift.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES = 10_000  # of each side
MIN_SAMPLES = 50
_MAX_VALUES = 2_000_000  # of both sides, so that it takes seconds with hundreds of bands as well
_FOLDS = 3
_SEED = 0
# of all samples: a row that is more frequent is a value among few, and not a repeated request
_FREQUENT = 0.01


def separation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return the AUC of a classifier that separates two samples, cross-validated.

    Shallow boosted trees, which need no scaling, take missing values, and see rotations and other
    changes that no single feature shows.

    Args:
        first: (n, features); values that are not finite count as missing.
        second: (m, features).

    Returns:
        0.5 to 1; None with fewer than `MIN_SAMPLES` samples or no feature.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    if min(len(first), len(second)) < MIN_SAMPLES or not first.shape[1]:
        return None
    most = min(MAX_SAMPLES, max(MIN_SAMPLES, _MAX_VALUES // (2 * first.shape[1])))
    rng = np.random.default_rng(_SEED)
    X = np.concatenate([_drawn(first, most, rng), _drawn(second, most, rng)])
    X[~np.isfinite(X)] = np.nan
    y = np.repeat([0, 1], [min(most, len(first)), min(most, len(second))])
    found = []
    # one thread: sums do not depend on the machine
    with threadpool_limits(1):
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=_SEED)
        for train, test in folds.split(X, y, _groups(X)):
            classifier = HistGradientBoostingClassifier(
                max_iter=40,
                max_leaf_nodes=8,
                learning_rate=0.2,
                early_stopping=False,
                random_state=_SEED,
            )
            classifier.fit(X[train], y[train])
            found.append(roc_auc_score(y[test], classifier.decision_function(X[test])))
    # below it by chance only
    return max(0.5, float(np.mean(found)))


def _groups(X: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return a number for each sample, the same for repeated ones.

    They stay in one fold: a request that is sent again would be recognised, without any drift.

    Args:
        X: (n, features).
    """
    # as bytes, by which missing values are equal
    rows = np.ascontiguousarray(X + np.float32(0)).view(np.dtype((np.void, 4 * X.shape[1])))
    _, groups, counts = np.unique(rows.ravel(), return_inverse=True, return_counts=True)
    frequent = counts[groups] > max(1, _FREQUENT * len(X))
    groups[frequent] = len(counts) + np.arange(frequent.sum())
    return groups


def _drawn(values: NDArray[np.float32], most: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if len(values) <= most:
        return values
    return values[np.sort(rng.choice(len(values), most, replace=False))]
