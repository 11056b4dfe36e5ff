"""Wrong labels are found, and hard or rare ones are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.quality.findings.label_noise import (
    Suspects,
    noise_check,
    suspect_classes,
    suspect_numbers,
)
from mlops_assets.datasets.specification.dataset import QualityThresholds


def crops(
    seed: int = 0, rows: int = 600
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Features, classes and fields of samples of four crops that are mostly easy to separate."""
    rng = np.random.default_rng(seed)
    fields = np.arange(rows) // 10
    y = rng.integers(0, 4, fields.max() + 1)[fields]
    X = (
        y[:, None]
        + rng.normal(0, 0.35, (rows, 5))
        + rng.normal(0, 0.1, (fields.max() + 1, 5))[fields]
    )
    return X.astype(np.float32), y.astype(np.int64), fields


@pytest.mark.parametrize("grouped", [False, True])
def test_changed_labels_are_found(grouped: bool) -> None:
    X, y, fields = crops()
    wrong = np.arange(0, 600, 20)
    given = y.copy()
    given[wrong] = (y[wrong] + 2) % 4
    found = suspect_classes(X, given, fields if grouped else None)
    assert found is not None
    hits = np.isin(found.positions, wrong)
    assert hits.mean() > 0.9
    assert hits.sum() > 0.7 * len(wrong)
    assert hits[:10].all()
    assert (found.likely[hits] == y[found.positions[hits]]).all()
    assert (found.given == given[found.positions]).all()
    assert found.agreement > 0.85


def test_good_labels_are_left_in_peace() -> None:
    X, y, fields = crops()
    found = suspect_classes(X, y, fields)
    assert found is not None
    assert found.share < 0.01


def test_hard_samples_are_left_in_peace() -> None:
    X, y, fields = crops()
    X += np.random.default_rng(1).normal(0, 1, X.shape).astype(np.float32)
    found = suspect_classes(X, y, fields)
    assert found is not None
    assert found.agreement < 0.8
    assert found.share < 0.02  # confident learning alone gives 0.17


def test_a_field_that_is_wrong_as_a_whole_is_found_as_its_samples_do_not_help_each_other() -> None:
    X, y, fields = crops()
    own = fields == 7
    # alike in a way of their own
    noise = np.random.default_rng(1).normal(0, 0.1, (len(X), 2)) + own[:, None]
    X = np.concatenate([X, noise], axis=1).astype(np.float32)
    given = y.copy()
    given[own] = (y[own] + 2) % 4
    found, alone = suspect_classes(X, given, fields), suspect_classes(X, given, None)
    assert found is not None
    assert alone is not None
    assert np.isin(np.flatnonzero(own), found.positions).mean() > 0.8
    assert np.isin(np.flatnonzero(own), alone.positions).mean() < 0.2


def test_classes_too_rare_or_of_one_place_are_left_out() -> None:
    X, y, fields = crops()
    y[:9] = 8  # too few
    y[fields == 30] = 9  # one field only
    found = suspect_classes(X, y, fields)
    assert found is not None
    assert found.left_out == 19
    assert not set(found.positions) & (set(range(9)) | set(np.flatnonzero(fields == 30)))


@pytest.mark.parametrize("rows", [0, 5, 9])
def test_a_few_samples_cannot_be_judged(rows: int) -> None:
    X, y, fields = crops(rows=600)
    assert suspect_classes(X[:rows], y[:rows], fields[:rows]) is None
    assert suspect_numbers(X[:rows], y[:rows].astype(float), None) is None


def test_one_class_or_one_place_cannot_be_judged() -> None:
    X, y, fields = crops()
    assert suspect_classes(X, np.zeros_like(y), fields) is None
    assert suspect_classes(X, y, np.zeros_like(fields)) is None


@pytest.mark.parametrize("grouped", [False, True])
def test_numbers_far_off_are_found(grouped: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (400, 3)).astype(np.float32)
    y = X @ [1.0, 2.0, 3.0] + rng.normal(0, 0.05, 400)
    wrong = np.arange(0, 400, 50)
    given = y.copy()
    given[wrong] += 4
    found = suspect_numbers(X, given, np.arange(400) // 10 if grouped else None)
    assert found is not None
    assert set(wrong) <= set(found.positions.tolist())
    assert set(found.positions[:8].tolist()) == set(wrong.tolist())
    assert len(found.positions) < 30
    np.testing.assert_allclose(
        found.likely[:8].astype(np.float64), y[found.positions[:8]], atol=0.8
    )


def test_numbers_that_are_all_alike_are_no_suspects() -> None:
    found = suspect_numbers(np.zeros((50, 2), dtype=np.float32), np.ones(50), None)
    assert found is not None
    assert len(found.positions) == 0


def test_the_same_suspects_come_every_time() -> None:
    X, y, fields = crops(seed=3)
    y[::7] = (y[::7] + 1) % 4
    first, second = suspect_classes(X, y, fields), suspect_classes(X, y, fields)
    assert first is not None
    assert second is not None
    assert first.positions.tolist() == second.positions.tolist()
    assert first.agreement == second.agreement


@pytest.mark.parametrize(("suspects", "passes"), [(0, True), (5, True), (6, False)])
def test_many_suspects_are_warned_of(suspects: int, passes: bool) -> None:
    nothing = np.zeros(suspects, dtype=np.int64)
    found = noise_check(Suspects("m", 100, 0, 0.9, nothing, nothing, nothing), QualityThresholds())
    assert (found.passed, found.blocking, found.values["share"]) == (passes, False, suspects / 100)


def test_a_check_without_estimate_passes() -> None:
    assert "too few" in noise_check(None, QualityThresholds()).description
