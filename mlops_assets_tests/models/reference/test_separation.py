"""The classifier that separates two samples."""

from __future__ import annotations

import numpy as np

from mlops_assets.models.reference.separation import MIN_SAMPLES, separation
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared

RNG = np.random.default_rng(0)
TRAINING = RNG.normal(size=(4000, 3)).astype(np.float32)


def test_it_sees_a_rotation_that_no_feature_shows() -> None:
    covariance = np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    day = RNG.multivariate_normal(np.zeros(3), covariance, 1000).astype(np.float32)
    nothing = Compared(TRAINING[:0], None)
    found = summarise(["a", "b", "c"], Compared(TRAINING, None), nothing, []).drift(
        Compared(day, None)
    )
    assert found.psi is not None and found.psi < 0.1
    assert found.separation is not None and found.separation > 0.75


def test_repeated_requests_are_not_recognised() -> None:
    day = RNG.normal(size=(400, 3)).astype(np.float32)
    found = separation(TRAINING, day[RNG.integers(0, 400, 1200)])
    assert found is not None and found < 0.6


def test_shares_of_few_values_are_compared() -> None:
    day = (RNG.random((1000, 2)) < 0.8).astype(np.float32)
    training = (RNG.random((2000, 2)) < 0.5).astype(np.float32)
    found = separation(training, day)
    assert found is not None and found > 0.65


def test_missing_and_huge_values_are_taken() -> None:
    day = TRAINING[:1000].copy()
    day[:500, 0] = np.nan
    day[500:, 1] = np.inf
    found = separation(TRAINING, day)
    assert found is not None and found > 0.95
    assert separation(TRAINING, np.full((100, 3), 1e38, dtype=np.float32)) == 1
    assert separation(np.full((100, 3), np.nan, dtype=np.float32), day) == 1
    assert separation(TRAINING, day[: MIN_SAMPLES - 1]) is None


def test_it_is_the_same_again() -> None:
    assert separation(TRAINING, TRAINING[:900]) == separation(TRAINING, TRAINING[:900])
