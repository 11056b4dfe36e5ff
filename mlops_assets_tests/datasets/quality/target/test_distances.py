"""Nearest-neighbour distances, and their Wasserstein distance, beside a direct computation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pyproj import Geod

from mlops_assets.datasets.quality.target import distances
from mlops_assets.datasets.quality.target.distances import Values, between_bands, on_ground


def test_ground_distances_are_those_of_a_direct_computation() -> None:
    rng = np.random.default_rng(0)
    train = rng.uniform([-180, -80], [180, 80], (12, 2))
    test = train[:5] + rng.normal(0, 0.1, (5, 2))
    target = rng.uniform([170, -10], [180, 10], (9, 2))
    geod = Geod(ellps="WGS84")

    def metres(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([[geod.inv(*p, *q)[2] for q in b] for p in a])

    found = on_ground(train, test, target)
    own = metres(train, train) + np.diag(np.full(len(train), np.inf))
    for measured, direct in (
        (found.sample, own),
        (found.test, metres(test, train)),
        (found.target, metres(target, train)),
    ):
        np.testing.assert_allclose(measured, np.sort(direct.min(axis=1)), rtol=0.005)
    # W1 is the area between the quantile functions
    share = (np.arange(4500) + 0.5) / 4500
    area = np.abs(
        np.quantile(found.test, share, method="inverted_cdf")
        - np.quantile(found.target, share, method="inverted_cdf")
    ).mean()
    assert found.wasserstein == pytest.approx(area, rel=1e-3)
    assert found.difference == pytest.approx(
        found.wasserstein / max(found.test.mean(), found.target.mean())
    )


def test_bands_are_standardised_by_training_and_a_window_is_no_neighbour_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distances, "AT_ONCE", 4)
    rng = np.random.default_rng(0)
    train = Values(rng.normal(0, [1, 100, 0], (11, 3)), np.arange(11) // 2)
    test = Values(rng.normal(0, [1, 100, 0], (7, 3)), np.arange(7))
    target = rng.normal(5, [1, 100, 1], (6, 3))
    found = between_bands(train, test, target)

    spread = np.where(train.values.std(axis=0) > 0, train.values.std(axis=0), 1)

    def direct(a: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.sqrt(
            (((a[:, None] - train.values) / spread) ** 2).sum(axis=2)
        )
        return found

    own = np.where(train.sample[:, None] == train.sample, np.inf, direct(train.values))
    np.testing.assert_allclose(found.sample, np.sort(own.min(axis=1)))
    np.testing.assert_allclose(found.test, np.sort(direct(test.values).min(axis=1)))
    np.testing.assert_allclose(found.target, np.sort(direct(target).min(axis=1)))


def test_points_are_drawn_of_many_samples_but_all_are_looked_up() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.uniform([0, 0], [1, 1], (2, 25_000, 2))
    found = on_ground(train, test, train[:20_000])
    assert (len(found.sample), len(found.test), len(found.target)) == (10_000, 10_000, 20_000)
    assert found.target.max() < 1e-3
