"""The dissimilarity index against a second implementation that follows the paper in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.models.applicability import fit as fitting
from mlops_assets.models.applicability.fit import Described, fit
from mlops_assets.models.applicability.importance import permutation_importance
from mlops_assets.models.applicability.index import Applicability
from mlops_assets.models.applicability.profile import error_profile
from mlops_assets.models.onnx.session import Outputs

DIMENSIONS = 6
IMPORTANCE = np.array([0.3, 0.1, -0.02, 0.0, 0.05, 0.2])


def described(rows: int = 300, groups: int = 10, seed: int = 0) -> Described:
    """Groups of samples that are alike within, of features that are correlated."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, groups, rows)
    mixing = rng.normal(size=(DIMENSIONS, DIMENSIONS))
    values = rng.normal(size=(groups, DIMENSIONS))[codes] + rng.normal(0, 0.1, (rows, DIMENSIONS))
    names = tuple(f"b{band}" for band in range(DIMENSIONS))
    return Described("predictors", names, (100 + values @ mixing).astype(np.float32), codes)


def fitted(training: Described, importance: NDArray[np.float64] | None = None) -> Applicability:
    found = fit(training, importance)
    assert not isinstance(found, str)
    return found.applicability


def direct(
    training: Described, importance: NDArray[np.float64], samples: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return index and threshold as Meyer and Pebesma (2021) define them, pair by pair."""
    weights = np.maximum(importance, 0)
    values = training.values.astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)

    def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(np.sqrt((((one - other) / deviation * weights) ** 2).sum()))

    pairs = [[distance(one - mean, other - mean) for other in values] for one in values]
    average = np.mean(
        [pairs[i][j] for i in range(len(values)) for j in range(len(values)) if i != j]
    )
    own = [
        min(pairs[i][j] for j in range(len(values)) if training.codes[i] != training.codes[j])
        for i in range(len(values))
    ]
    low, high = np.quantile(np.array(own) / average, (0.25, 0.75))
    di = [min(distance(sample - mean, one - mean) for one in values) for sample in samples]
    return np.array(di) / average, float(high + 1.5 * (high - low))


def test_it_equals_a_direct_implementation() -> None:
    training, samples = described(200), described(500, seed=1).values * np.float32(1.02)
    found = fitted(training, IMPORTANCE)
    di, threshold = direct(training, IMPORTANCE, samples.astype(np.float64))
    assert found.di(samples) == pytest.approx(di, abs=1e-5)
    assert found.threshold == pytest.approx(threshold, abs=1e-5)
    assert found.gap == 0 and 0 < (di > threshold).mean() < 1


def test_fewer_references_differ_by_less_than_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    training, samples = described(1000), described(500, seed=1).values
    monkeypatch.setattr(fitting, "MAX_REFERENCES", 100)
    found, again = fitted(training), fitted(training)
    assert len(found.references) <= 100 and found.gap > 0
    difference = np.abs(found.di(samples) - found.exact_di(samples, training.values))
    assert 0 < difference.max() <= found.gap
    assert found.references.tobytes() == again.references.tobytes()


def test_groups_reach_farther_than_single_samples() -> None:
    grouped = described()
    naive = Described(grouped.space, grouped.names, grouped.values, np.arange(len(grouped.values)))
    assert fitted(grouped).threshold > 2 * fitted(naive).threshold


def test_one_group_is_compared_sample_by_sample() -> None:
    grouped = described()
    codes = np.zeros(len(grouped.values), dtype=np.int64)
    found = fit(Described(grouped.space, grouped.names, grouped.values, codes), None)
    assert not isinstance(found, str) and found.alone
    assert np.isfinite(found.applicability.threshold)


def test_a_constant_predictor_does_not_count() -> None:
    grouped = described()
    values = grouped.values.copy()
    values[:, 2] = 0.1
    found = fit(Described(grouped.space, grouped.names, values, grouped.codes), None)
    assert not isinstance(found, str) and found.constant == ("b2",)
    other = values[:1].copy()
    other[:, 2] = 1e6
    assert found.applicability.di(other) == pytest.approx([0])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((1, 3)), "1 sample"),
        (np.ones((0, 3)), "0 sample"),
        (np.ones((9, 3)), "all training samples are equal"),
    ],
)
def test_training_that_says_nothing(values: NDArray[np.float32], reason: str) -> None:
    training = Described(
        "predictors", ("a", "b", "c"), values.astype(np.float32), np.arange(len(values))
    )
    assert reason in str(fit(training, None))


def test_missing_values_have_no_index() -> None:
    found = fitted(described(), IMPORTANCE)
    samples = described(4, seed=1).values
    samples[1, 0] = np.nan
    samples[3, 0] = np.inf
    # of no weight
    samples[2, 2] = np.nan
    di = found.di(samples)
    assert np.isnan(di).tolist() == [False, True, False, True]
    assert not found.inside(di)[1]


def test_importance_is_that_of_the_features_a_model_uses() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)).astype(np.float32)

    def predict(samples: NDArray[np.float32]) -> Outputs:
        right = 1 / (1 + np.exp(-4 * samples[:, 0] - samples[:, 1]))
        return {"scores": np.stack([1 - right, right], axis=1)}

    truth = (X[:, 0] > 0).astype(np.int64)
    found, measure = permutation_importance(predict, X, truth, "probabilities")
    assert measure == "Brier score"
    assert found[0] > 10 * found[1] > 0 and found[2] == 0
    numbers, measure = permutation_importance(
        lambda samples: {"value": samples[:, 2]}, X, X[:, 2].astype(np.float64), None
    )
    assert measure == "mean squared error"
    assert numbers[2] > 1 and numbers[0] == numbers[1] == 0


def test_the_expected_error_never_falls() -> None:
    rng = np.random.default_rng(0)
    di = rng.random(2000).astype(np.float32)
    wrong = (rng.random(2000) < di / 2).astype(np.float64)
    profile = error_profile(di, wrong, "error rate", "test")
    assert profile is not None and (np.diff(profile.error) >= 0).all()
    expected = profile.expected(np.array([0.1, 0.9, 5.0], dtype=np.float32))
    assert expected[:2] == pytest.approx([0.05, 0.45], abs=0.1)
    assert expected[2] == profile.error[-1]
    assert error_profile(di[:40], wrong[:40], "error rate", "test") is None
