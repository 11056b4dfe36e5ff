"""Confidence intervals.

They contain the truth as often as claimed, and respect dependent samples.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mlops_assets.models.evaluation import bootstrap
from mlops_assets.models.evaluation.bootstrap import MIN_UNITS, bags, held_units, intervals


def mean(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {"mean": sums[:, 1] / sums[:, 0]}


def sums_of(values: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([np.bincount(codes), np.bincount(codes, values)], axis=1)


def coverage(units: int, within: int, resampled_by_unit: bool) -> float:
    """Return the share of intervals that hold the true mean of 0.

    Units differ by 1, and samples in them by 0.5.
    """
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = (rng.normal(0, 1, (units, 1)) + rng.normal(0, 0.5, (units, within))).ravel()
        codes = np.repeat(np.arange(units), within) if resampled_by_unit else np.arange(len(values))
        low, high = intervals(sums_of(values, codes), mean)["mean"]
        held += low <= 0 <= high
    return held / 100


def test_intervals_contain_the_truth_as_often_as_claimed() -> None:
    assert coverage(units=60, within=1, resampled_by_unit=True) >= 0.9


def test_samples_of_one_unit_are_not_independent() -> None:
    assert coverage(units=40, within=10, resampled_by_unit=True) >= 0.88
    assert coverage(units=40, within=10, resampled_by_unit=False) < 0.6


def test_an_interval_is_as_wide_as_theory_predicts() -> None:
    values = np.random.default_rng(0).normal(3, 1, 2000)
    low, high = intervals(sums_of(values, np.arange(2000)), mean)["mean"]
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.005)


def test_the_same_sums_give_the_same_interval_however_memory_is_divided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sums = sums_of(np.random.default_rng(0).normal(0, 1, 500), np.arange(500))
    whole = intervals(sums, mean)
    assert intervals(sums, mean) == whole
    assert intervals(csr_array(sums), mean)["mean"] == pytest.approx(whole["mean"], rel=1e-9)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 500 * 7)
    assert intervals(sums, mean)["mean"] == pytest.approx(whole["mean"], abs=0.02)


def test_many_units_in_bags_give_nearly_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, values = np.arange(50_000), np.random.default_rng(0).normal(0, 1, 50_000)
    bagged = bags(codes)
    assert bagged.max() + 1 == bootstrap.MAX_UNITS
    assert set(np.bincount(bagged)) == {5}
    low, high = intervals(sums_of(values, bagged), mean)["mean"]
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(50_000), rel=0.08)


def test_few_units_stay_as_they_are() -> None:
    assert bags(np.array([0, 2, 1, 2])).tolist() == [0, 2, 1, 2]
    assert bags(np.zeros(0, dtype=np.int64)).tolist() == []


def test_too_few_units_give_no_interval() -> None:
    sums = np.ones((MIN_UNITS + 3, 2))
    assert intervals(sums, mean) == {"mean": (1, 1)}
    sums[MIN_UNITS - 1 :] = 0  # units where nothing was measured are none
    assert held_units(sums) == MIN_UNITS - 1
    assert intervals(sums, mean) == {}


def test_a_metric_that_is_never_a_number_has_no_interval() -> None:
    assert intervals(
        np.ones((9, 2)), lambda sums: {"r2": np.full(len(sums), np.nan)} | mean(sums)
    ) == {"mean": (1, 1)}
