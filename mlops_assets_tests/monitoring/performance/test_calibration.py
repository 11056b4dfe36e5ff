"""The calibration of confidences where the truth is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, softmax

from mlops_assets.monitoring.performance.calibration import (
    CalibrationSamples,
    ClassCalibration,
    calibrate,
)
from mlops_assets.monitoring.performance.scores import log_odds

CLASSES = 4
# of each class: whether a prediction is right has the log-odds a + b * confidence
INTERCEPTS = np.array([-1.0, 0.5, 0.0, 0.0])
SLOPES = np.array([0.3, 1.0, 0.7, 0.7])


def drawn(
    count: int, seed: int, classes: tuple[int, ...] = (0, 1, 2), units: int | None = None
) -> CalibrationSamples:
    """Samples of a model that is too sure of class 0 and unsure of class 1."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count)
    odds, distance = rng.normal(2, 1.5, count), rng.random(count)
    p = expit(INTERCEPTS[labels] + SLOPES[labels] * odds - 1.5 * distance)
    codes = np.arange(count) if units is None else rng.integers(units, size=count)
    return CalibrationSamples(odds, distance, labels, rng.random(count) < p, codes)


def expected(
    calibration: ClassCalibration, samples: CalibrationSamples, replicate: int = 0
) -> NDArray[np.float64]:
    return calibration.probabilities(samples.odds, samples.distance, samples.labels, replicate)


def test_each_class_is_expected_as_it_is() -> None:
    calibration = calibrate(drawn(20_000, 0), CLASSES, 0)
    fresh = drawn(50_000, 1)
    found = expected(calibration, fresh)
    raw = expit(fresh.odds)
    for each in range(3):
        own = fresh.labels == each
        truth = fresh.right[own].mean()
        assert found[own].mean() == pytest.approx(truth, abs=0.015)
    assert abs(raw[fresh.labels == 0].mean() - fresh.right[fresh.labels == 0].mean()) > 0.2
    # also where samples have moved away, within what was seen
    far = fresh.distance > 0.8
    assert found[far].mean() == pytest.approx(fresh.right[far].mean(), abs=0.02)
    sure = (fresh.odds > 3) & (fresh.labels == 0)
    assert found[sure].mean() == pytest.approx(fresh.right[sure].mean(), abs=0.02)


def test_intervals_have_the_truth() -> None:
    """Over many draws of calibration samples, the truth is within 95 % of their intervals."""
    fresh = drawn(20_000, 99)
    truth = fresh.right.mean()
    inside = []
    for seed in range(12):
        calibration = calibrate(drawn(300, seed), CLASSES, 60)
        means = [
            expected(calibration, fresh, replicate).mean()
            for replicate in range(1, calibration.replicates + 1)
        ]
        low, high = np.percentile(means, [2.5, 97.5])
        inside.append(low <= truth <= high)
    assert np.sum(inside) >= 10


def test_units_that_are_alike_widen_the_interval() -> None:
    one = drawn(400, 0)
    spreads = []
    for units in (np.arange(400), np.repeat(np.arange(20), 20)):
        order = np.argsort(one.right, kind="stable")
        # the same samples; where units are large, all of a unit are right, or all are wrong
        samples = CalibrationSamples(
            one.odds[order], one.distance[order], one.labels[order], one.right[order], units
        )
        calibration = calibrate(samples, CLASSES, 60)
        means = [expected(calibration, samples, k).mean() for k in range(1, 61)]
        spreads.append(np.std(means))
    assert spreads[1] > 3 * spreads[0]


def test_a_class_without_samples_is_expected_like_the_others() -> None:
    samples = drawn(5000, 0, classes=(2,))
    calibration = calibrate(samples, CLASSES, 0)
    missing = CalibrationSamples(
        samples.odds, samples.distance, np.full(5000, 3), samples.right, samples.units
    )
    assert expected(calibration, missing).mean() == pytest.approx(samples.right.mean(), abs=0.02)


@pytest.mark.parametrize("right", [True, False])
def test_samples_that_are_all_right_or_all_wrong(right: bool) -> None:
    one = drawn(60, 0)
    samples = CalibrationSamples(
        one.odds, one.distance, one.labels, np.full(60, right), np.zeros(60, dtype=np.int64)
    )
    found = expected(calibrate(samples, CLASSES, 5), samples)
    # Platt's targets: 61 of 62, as if one more had been the other way
    assert found.mean() == pytest.approx(61 / 62 if right else 1 / 62, abs=1e-3)


def test_equal_samples_give_equal_fits() -> None:
    first, second = (calibrate(drawn(300, 0), CLASSES, 5) for _ in range(2))
    np.testing.assert_array_equal(first.slopes, second.slopes)


def test_log_odds_of_logits_and_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 5))
    labels = logits.argmax(axis=1)
    p = softmax(logits, axis=1).max(axis=1)
    expected_odds = np.log(p / (1 - p))
    np.testing.assert_allclose(log_odds(logits, labels, "logits"), expected_odds)
    np.testing.assert_allclose(
        log_odds(softmax(logits, axis=1), labels, "probabilities"), expected_odds, rtol=1e-6
    )
    # not the class of the largest score, but that which is predicted
    assert log_odds(np.array([[0.9, 0.1]]), np.array([1]), "probabilities")[0] < 0


def test_log_odds_are_finite_where_scores_are() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, 1.0], [0.5, np.inf]], dtype=np.float32)
    found = log_odds(scores, np.array([0, 0, 1, 0]), "probabilities")
    np.testing.assert_allclose(found[:2], [13.8155, -13.8155], atol=1e-3)
    assert np.isnan(found[2:]).all()
    large = np.array([[1e30, -1e30], [800.0, 0.0]])
    assert np.isfinite(log_odds(large, np.array([0, 0]), "logits")).all()
    assert np.isfinite(log_odds(np.array([[3.0]]), np.array([0]), "logits")).all()
