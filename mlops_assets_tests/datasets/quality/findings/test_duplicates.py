"""Copies, exact and near, within splits and across them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.descriptors import Descriptor, cells
from mlops_assets.datasets.quality.findings import duplicates
from mlops_assets.datasets.quality.findings.duplicates import (
    ExactCopies,
    duplicates_check,
    exact_copies,
    near_copies,
)
from mlops_assets.datasets.specification.dataset import QualityThresholds


def splits(train: int, validation: int, test: int) -> NDArray[Any]:
    return np.array(["train"] * train + ["validation"] * validation + ["test"] * test, dtype=object)


def digests(*values: int) -> NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


def copies(
    found: NDArray[np.uint64], where: NDArray[Any], labels: pd.Series | None = None
) -> ExactCopies:
    return exact_copies(np.arange(len(found)), found, where, labels)


def test_exact_copies_are_counted_within_and_across_splits() -> None:
    found = copies(digests(1, 1, 2, 3, 1, 9, 9, 2, 9, 9), splits(4, 1, 5))
    assert found.within == {"train": 0.25, "validation": 0, "test": pytest.approx(0.6)}
    assert found.across == {"validation": 1, "test": pytest.approx(0.2)}
    assert found.held_out == pytest.approx(1 / 3)
    # across splits first
    assert [group.tolist() for group in found.groups] == [
        [0, 1, 4],
        [2, 7],
        [5, 6, 8, 9],
    ]


def test_copies_with_different_labels_are_counted() -> None:
    labels = pd.Series(["a", "b", "a", "a", "a"])
    assert copies(digests(1, 1, 2, 2, 3), splits(5, 0, 0), labels).contradicting == 1
    assert copies(digests(1, 1, 2, 2, 3), splits(5, 0, 0)).contradicting is None


def test_no_samples_are_no_copies() -> None:
    found = copies(digests(), splits(0, 0, 0))
    assert (found.held_out, found.groups) == (0, [])


def images(number: int, seed: int = 0, size: int = 32) -> NDArray[np.uint8]:
    """Smooth pictures of three bands, all different."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.05, 0.5, (number, 3, 2)) @ np.mgrid[:size, :size].reshape(2, -1)
    pictures = np.sin(waves + rng.uniform(0, 6, (number, 3, 1))).reshape(number, 3, size, size)
    return np.asarray(128 + 100 * pictures, dtype=np.uint8)


def described(block: NDArray[Any]) -> NDArray[np.float32]:
    found = cells(block, np.zeros(block.shape, dtype=bool))
    return Descriptor(found)(found)


def digested(block: NDArray[Any]) -> NDArray[np.uint64]:
    return np.array([hash(sample.tobytes()) & (2**64 - 1) for sample in block], dtype=np.uint64)


def test_recompressed_and_noisy_images_are_near_copies_and_others_are_not() -> None:
    block = images(300)
    rng = np.random.default_rng(1)
    copied = block[:30].astype(int)
    copied[:15] = copied[:15] // 4 * 4  # quantised, as compression does
    copied[15:] += rng.integers(-3, 4, copied[15:].shape)
    block[270:] = np.clip(copied, 0, 255)
    found = near_copies(described(block), digested(block), splits(200, 0, 100))
    assert found is not None
    assert found.across == {"test": 0.3}
    assert found.within == {"train": 0, "test": 0}
    assert {pair[:2] for pair in found.pairs} <= {(270 + i, i) for i in range(30)}


def test_exact_copies_are_no_near_copies() -> None:
    block = images(60)
    block[50:] = block[:10]
    found = near_copies(described(block), digested(block), splits(50, 0, 10))
    assert found is not None
    assert found.compared == {"train": 50, "validation": 0, "test": 0}


def test_near_copies_within_a_split_are_found() -> None:
    block = images(100)
    block[90:] = block[:10]
    block[90:, 0, 0, 0] ^= 1
    found = near_copies(described(block), digested(block), splits(0, 0, 100))
    assert found is None  # nothing to compare with
    found = near_copies(described(block), digested(block), splits(100, 0, 0))
    assert found is not None
    assert found.within == {"train": pytest.approx(0.2)}


def test_two_features_are_too_few_to_find_near_copies() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    assert near_copies(rows, digested(rows), splits(40, 0, 10)) is None


def test_neighbours_of_a_densely_sampled_field_are_no_copies() -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    found = near_copies(rows, digested(rows), splits(4000, 0, 1000))
    assert found is not None
    assert found.across["test"] < 0.002


def test_of_many_samples_the_same_ones_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_COMPARED", 50)
    monkeypatch.setattr(duplicates, "MAX_KNOWN", 200)
    rows = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)
    first, second = (near_copies(rows, digested(rows), splits(800, 0, 200)) for _ in range(2))
    assert first == second
    assert first is not None
    assert (first.compared, first.known) == ({"train": 50, "validation": 0, "test": 50}, 200)


@pytest.mark.parametrize(
    ("within", "near", "contradicting", "message"),
    [
        (0.1, 0.01, 0, None),
        (0.11, 0.0, 0, "11.0% of train are copies"),
        (0.0, 0.02, 0, "2.0% of test nearly are training samples"),
        (0.0, 0.0, 3, "3 group(s) of identical samples have different labels"),
    ],
)
def test_too_many_copies_are_warned_of(
    within: float, near: float, contradicting: int, message: str | None
) -> None:
    exact = ExactCopies(10, {"train": within}, {}, 0, contradicting)
    close = duplicates.NearCopies(0.1, {}, {"test": near}, {}, 10)
    found = duplicates_check(exact, close, QualityThresholds())
    assert (found.passed, found.blocking) == (message is None, False)
    assert message is None or message in found.description


# descriptors


@pytest.mark.parametrize("size", [1, 3, 8, 9, 17, 64])
def test_cells_are_means_of_usable_pixels(size: int) -> None:
    rng = np.random.default_rng(size)
    block = rng.normal(size=(4, 2, size, size))
    bad = rng.random(block.shape) < 0.3
    found = cells(block, bad)
    side = min(8, size)
    edges = [*np.linspace(0, size, side, endpoint=False).astype(int), size]
    assert found.shape == (4, 2 * side * side)
    grid = found.reshape(4, 2, side, side)
    for row in range(side):
        for column in range(side):
            own = np.s_[:, :, edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            usable = np.where(bad[own], np.nan, block[own])
            expected = np.full((4, 2), np.nan)
            known = ~np.isnan(usable).all(axis=(2, 3))
            expected[known] = np.nanmean(usable[known], axis=(1, 2))
            np.testing.assert_allclose(grid[:, :, row, column], expected)


def test_missing_values_count_as_the_mean_and_constant_ones_as_nothing() -> None:
    rows = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
    assert Descriptor(rows)(rows).tolist() == [[-1, 0], [1, 0], [0, 0]]


def test_descriptors_of_many_bands_are_short() -> None:
    block = np.random.default_rng(0).normal(size=(50, 200, 5, 5))
    assert described(block).shape == (50, 32)
