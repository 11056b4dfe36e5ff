"""Descriptions of the values of a band.

They are statistics, shares that cannot be used, percentiles and histograms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.values import (
    BINS,
    PERCENTILES,
    BandValues,
    RunningStatistics,
    band_values,
    unusable,
    values_check,
    values_document,
)
from mlops_assets.datasets.readers.table_columns import find_features
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.specification.source import TableLayout

NOTHING = np.full(2, np.nan)


def described(values: NDArray[np.generic], ceiling: float | None = None) -> BandValues:
    """A table with one feature."""
    statistics = RunningStatistics(1)
    block = values[:, None]
    bad = unusable(block, np.full((len(block), 1), np.nan))
    statistics.add(block, bad)
    return band_values(statistics, np.where(bad, np.nan, block.astype(np.float64)), ceiling, ["f"])


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_blocks_of_any_size_give_the_statistics_of_the_whole(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(1e6, 1, (size, 2, 3, 3)) for size in sizes]
    for block in blocks:
        block[rng.random(block.shape) < 0.2] = np.nan
        block[rng.random(block.shape) < 0.1] = -9999
    running = RunningStatistics(2)
    for block in blocks:
        running.add(block, unusable(block, np.full((len(block), 2), -9999.0)))
    whole = np.moveaxis(np.concatenate(blocks), 1, 0).reshape(2, -1)
    usable = np.where(whole == -9999, np.nan, whole)
    found = running.document()
    if not np.isnan(usable).all(axis=1).any():
        np.testing.assert_allclose(np.array(found["mean"]), np.nanmean(usable, axis=1), rtol=1e-12)
        np.testing.assert_allclose(
            np.array(found["std"]), np.nanstd(usable, axis=1), rtol=1e-6, atol=1e-9
        )
        assert found["min"] == np.nanmin(usable, axis=1).tolist()
        assert found["max"] == np.nanmax(usable, axis=1).tolist()
    np.testing.assert_allclose(running.missing, np.isnan(whole).mean(axis=1))
    np.testing.assert_allclose(running.nodata, (whole == -9999).mean(axis=1))


def test_a_band_without_a_usable_value_has_no_statistics() -> None:
    running = RunningStatistics(2)
    block = np.array([[1, 0], [3, 0]], dtype=np.uint8)
    running.add(block, unusable(block, np.array([[np.nan, 0], [np.nan, 0]])))
    assert running.document() == {
        "mean": [2, None],
        "std": [1, None],
        "min": [1, None],
        "max": [3, None],
    }


def test_infinite_values_are_missing() -> None:
    found = described(np.array([1.0, np.inf, -np.inf, np.nan]))
    assert found.missing.tolist() == [0.75]


@pytest.mark.parametrize("nodata", [0, 255])
def test_nodata_is_that_of_the_file_of_each_sample(nodata: int) -> None:
    block = np.full((2, 2), nodata, dtype=np.uint8)
    assert unusable(block, np.array([NOTHING, [nodata, nodata]])).tolist() == [
        [False, False],
        [True, True],
    ]


def test_the_top_of_the_type_is_saturated_and_a_tail_is_not() -> None:
    rng = np.random.default_rng(0)
    tail = np.minimum(rng.poisson(200, 5000), 255)
    assert described(tail, 255).saturated[0] == pytest.approx((tail == 255).mean())
    # piles up
    assert described(np.minimum(tail, 240), None).saturated[0] == pytest.approx(
        (tail >= 240).mean()
    )
    low = tail[tail < 240]
    assert described(low, 255).saturated[0] == 0
    assert described(rng.normal(size=5000)).saturated[0] == 0
    assert described(rng.integers(0, 2, 5000)).saturated[0] == 0  # a flag
    assert described(rng.integers(0, 100, 5000)).saturated[0] == 0  # as many as of any other value


def test_percentiles_and_histogram_are_of_usable_values() -> None:
    values = np.append(np.arange(1001.0), np.nan)
    report: dict[str, Any] = values_document(described(values))
    (document,) = report["bands"]
    assert document["percentiles"] == {str(p): pytest.approx(10 * p) for p in PERCENTILES}
    assert document["histogram"]["edges"] == [5, 995]
    assert len(document["histogram"]["counts"]) == BINS
    assert sum(document["histogram"]["counts"]) == 991


def test_a_constant_band_has_a_histogram_too() -> None:
    assert described(np.full(10, 7.0)).histograms.sum() == 10


@pytest.mark.parametrize(
    ("missing", "saturated", "message"),
    [
        (0.1, 0.01, None),
        (0.11, 0.0, "11.0% of f is missing"),
        (0.0, 0.02, "2.0% of f is saturated"),
    ],
)
def test_bands_with_too_little_in_them_are_warned_of(
    missing: float, saturated: float, message: str | None
) -> None:
    values = np.linspace(0, 250, 1000).round()
    values[: int(saturated * 1000)] = 255
    values[len(values) - int(missing * 1000) :] = np.nan
    found = values_check(described(values, 255), QualityThresholds(max_saturated=0.015))
    assert (found.passed, found.blocking) == (message is None, False)
    assert message is None or message in found.description


def test_a_column_that_a_few_texts_keep_from_being_a_feature_is_warned_of() -> None:
    tables = {
        "a.csv": pd.DataFrame(
            {"red": range(20), "nir": [*map(str, range(19)), "n.d."], "soil": "loam"}
        )
    }
    _, notes = find_features(tables, TableLayout(label="crop"), [])
    found = values_check(described(np.linspace(0, 250, 1000), 255), QualityThresholds(), notes)
    assert (found.passed, found.blocking) == (False, False)
    assert (
        "column 'nir' is not numeric and is not a feature: 1 of 20 values (5.0%)"
        in found.description
    )
    assert "soil" not in found.description
