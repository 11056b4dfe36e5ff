"""Class counts against each other, and those of the splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.quality.findings.balance import (
    balance_check,
    coverage_check,
    distances_by_chance,
    distances_from_train,
    imbalance,
    labels_check,
    no_counts,
    pixel_counts,
    sample_counts,
)
from mlops_assets.datasets.specification.dataset import QualityThresholds

CLASSES = [{"value": 2, "name": "sea"}, {"value": 1, "name": "land"}]


def counts(train: list[int], test: list[int]) -> pd.DataFrame:
    return pixel_counts(
        {"train": np.array(train), "test": np.array(test)},
        CLASSES,  # type: ignore[arg-type]
    )


def test_counts_are_in_the_order_of_classes_whatever_the_samples() -> None:
    samples = pd.DataFrame(
        {"label": ["1", "1", "2", "1"], "split": ["train", "test", "train", None]}
    )
    found = sample_counts(samples, CLASSES)  # type: ignore[arg-type]
    assert found.to_dict() == {
        "train": {"sea": 1, "land": 1},
        "validation": {"sea": 0, "land": 0},
        "test": {"sea": 0, "land": 1},
    }


def test_the_distance_is_the_share_that_would_need_another_class() -> None:
    assert distances_from_train(counts([50, 50], [30, 10])) == {"test": pytest.approx(0.25)}
    assert distances_from_train(counts([50, 50], [7, 7])) == {"test": 0}
    assert distances_from_train(counts([10, 0], [0, 3])) == {"test": 1}


def test_what_chance_gives_is_what_drawing_gives() -> None:
    table = counts([300, 700], [20, 20])
    drawn = np.random.default_rng(0).binomial(40, 0.3, 20_000) / 40
    assert distances_by_chance(table)["test"] == pytest.approx(np.abs(drawn - 0.3).mean(), rel=0.03)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([1000, 1000], [500, 500], None),
        ([1000, 1000], [620, 380], "12.0% of test"),
        ([1000, 1000], [7, 4], None),  # no more than chance
        ([10_100, 100], [101, 1], "sea has 101 times as much as land"),
        ([10_000, 100], [100, 1], None),
    ],
)
def test_unequal_classes_and_splits_are_warned_of(
    train: list[int], test: list[int], message: str | None
) -> None:
    found = balance_check(counts(train, test), QualityThresholds())
    assert (found.passed, found.blocking) == (message is None, False)
    assert message is None or message in found.description


def test_numbers_have_no_balance() -> None:
    assert balance_check(no_counts(), QualityThresholds()).passed
    assert coverage_check(no_counts()).passed
    assert imbalance(no_counts()) is None


def test_a_class_that_misses_a_split_is_named() -> None:
    found = coverage_check(counts([5, 5], [5, 0]))
    assert (found.passed, found.blocking, found.description) == (False, False, "not in test: land")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["1", "2", "2"], None), (["1", "3", "2"], "labels 3 are no class"), (["1", "1", "1"], None)],
)
def test_labels_are_declared_classes(labels: list[str], message: str | None) -> None:
    found = labels_check(
        pd.Series(labels),
        CLASSES,  # type: ignore[arg-type]
        counts([1, 1], [1, 0]),
    )
    assert (found.passed, found.blocking) == (message is None, True)
    assert message is None or message in found.description


def test_a_class_without_training_sample_blocks() -> None:
    found = labels_check(
        pd.Series([None, None]),
        CLASSES,  # type: ignore[arg-type]
        counts([9, 0], [1, 4]),
    )
    assert (found.passed, found.description) == (
        False,
        "classes land have no training sample; correct the data or the split",
    )


def test_labels_that_are_no_numbers_block() -> None:
    assert labels_check(pd.Series([1.0, 2.0]), None, no_counts()).passed
    assert not labels_check(pd.Series([1.0, np.inf]), None, no_counts()).passed
