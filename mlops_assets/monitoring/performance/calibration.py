"""The probability that a prediction is right: confidence, calibrated for each predicted class.

Platt scaling (Platt 1999, Probabilistic Outputs for Support Vector Machines, with its targets) of
the log-odds of the predicted class, with a slope and an intercept for each class that shrink to
those of all classes, so that a class with few or no samples gets the common ones; calibration by
the predicted class is that of Gupta and Ramdas (2022), Top-label calibration and
multiclass-to-binary reductions, ICLR. The dissimilarity index is one more predictor, as networks
stay sure of themselves where samples become unlike those of training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATES = 200  # of the bootstrap; each fits a regression
SEED = 0
MIN_SAMPLES = 50  # as for an error profile
# a priori, standard deviations of a class's own intercept and slope; wider ones were further from
# the truth in 20 divisions of Indian Pines by block, as samples of a block are alike
_INTERCEPTS = 0.3
_SLOPES = 0.1
# what is common to all classes is nearly free
_COMMON = 10.0


@dataclass(frozen=True)
class CalibrationSamples:
    """Samples that were not trained on, with what the model has predicted of them.

    Attributes:
        odds: log-odds of the predicted class, (n,), finite.
        distance: dissimilarity index, in thresholds of the area of applicability, (n,), finite.
        labels: predicted class index, (n,).
        right: whether it was right, (n,).
        units: number of each one's independent unit, (n,).
    """

    odds: NDArray[np.float64]
    distance: NDArray[np.float64]
    labels: NDArray[np.int64]
    right: NDArray[np.bool_]
    units: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.odds)

    @property
    def unit_count(self) -> int:
        """Number of independent units."""
        return len(np.unique(self.units))


@dataclass(frozen=True)
class ClassCalibration:
    """Coefficients of the log-odds that a prediction is right: the fit, then its replicates.

    Attributes:
        intercepts: of each class, (1 + replicates, classes).
        slopes: of the log-odds of the predicted class, of each class, (1 + replicates, classes).
        distances: of the dissimilarity index, (1 + replicates,).
    """

    intercepts: NDArray[np.float64]
    slopes: NDArray[np.float64]
    distances: NDArray[np.float64]

    @property
    def replicates(self) -> int:
        """Number of replicates."""
        return len(self.distances) - 1

    def probabilities(
        self,
        odds: NDArray[np.float64],
        distance: NDArray[np.float64],
        labels: NDArray[np.int64],
        replicate: int = 0,
    ) -> NDArray[np.float64]:
        """Return the probability that each prediction is right, (n,).

        Args:
            odds: log-odds of the predicted class, (n,).
            distance: dissimilarity index, in thresholds, (n,).
            labels: predicted class index, (n,).
            replicate: 0 for the fit, else a replicate.
        """
        from scipy.special import expit

        found = self.intercepts[replicate][labels] + self.slopes[replicate][labels] * odds
        return np.asarray(expit(found + self.distances[replicate] * distance), dtype=np.float64)


def calibrate(
    samples: CalibrationSamples, classes: int, replicates: int = REPLICATES
) -> ClassCalibration:
    """Fit the calibration, and again on units drawn with replacement.

    Args:
        samples: at least one.
        classes: number of classes of the model.
        replicates: number of those fits.
    """
    from threadpoolctl import threadpool_limits

    design = _design(samples, classes)
    weights = [np.ones(len(samples))]
    rng = np.random.default_rng(SEED)
    _, units = np.unique(samples.units, return_inverse=True)
    count = int(units.max()) + 1
    for _ in range(replicates):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        weights.append(drawn[units].astype(np.float64))
    # products of so small matrices are many times slower on several threads
    with threadpool_limits(limits=1, user_api="blas"):
        fitted = np.stack([_fit(design, samples.right, weight) for weight in weights])
    common, distance = fitted[:, 0], fitted[:, 1]
    slope, own = fitted[:, 2], fitted[:, 3:]
    return ClassCalibration(
        common[:, None] + own[:, :classes] * _INTERCEPTS,
        slope[:, None] * _COMMON + own[:, classes:] * _SLOPES,
        distance * _COMMON,
    )


def widening(units: int) -> float:
    """Return what deviations of replicates are multiplied by, as few units understate them.

    A bootstrap of m units has (m - 1) / m of the variance, and Student's t with m - 1 degrees of
    freedom has longer tails: Hesterberg (2015), What Teachers Should Know About the Bootstrap, The
    American Statistician 69, 371-386.

    Args:
        units: number of independent units, at least 2.
    """
    from scipy import stats

    tail = 0.975
    longer = stats.t.ppf(tail, units - 1) / stats.norm.ppf(tail)
    return float(longer * np.sqrt(units / (units - 1)))


def _design(samples: CalibrationSamples, classes: int) -> NDArray[np.float64]:
    """Return the predictors, (n, 2 + 2 classes): scaled so that one penalty suits all."""
    one = np.eye(classes)[samples.labels]
    return np.hstack(
        [
            samples.distance[:, None] * _COMMON,
            samples.odds[:, None] * _COMMON,
            one * _INTERCEPTS,
            one * samples.odds[:, None] * _SLOPES,
        ]
    )


def _fit(
    design: NDArray[np.float64], right: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return intercept and coefficients of a regularised logistic regression, (3 + 2 classes,).

    With Platt's targets no sample is certain, so there is a fit where all are right, or all wrong.
    """
    from sklearn.linear_model import LogisticRegression

    used = weights > 0
    hits, misses = weights[right].sum(), weights[~right].sum()
    target = np.where(right[used], (hits + 1) / (hits + 2), 1 / (misses + 2))
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200)
    model.fit(
        np.vstack([design[used], design[used]]),
        np.repeat([1, 0], used.sum()),
        np.concatenate([weights[used] * target, weights[used] * (1 - target)]),
    )
    return np.concatenate([model.intercept_, model.coef_[0]])
