"""Distances of samples, beside SciPy's and beside their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon as scipy_jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance

from mlops_assets.models.reference.statistics import (
    MAX_BINS,
    Bins,
    jensen_shannon,
    joined,
    pooled,
    psi,
    sorted_distances,
)

# few distinct ones, so that samples have ties within and between them, and the largest of float32
VALUES = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-100, 100, width=32),
    st.sampled_from([1e38, -1e38, 0.0, -0.0]),
)
SAMPLES = arrays(np.float32, st.integers(1, 30), elements=VALUES).map(np.sort)
# arrays are drawn slowly where other tests run at the same time
UNHURRIED = settings(
    suppress_health_check=[HealthCheck.too_slow], deadline=None, derandomize=True, database=None
)
COUNTS = arrays(np.int64, 6, elements=st.integers(0, 50))


# of its p-value, which is not used
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@UNHURRIED
@given(SAMPLES, SAMPLES)
def test_sorted_distances_are_those_of_scipy(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> None:
    found = sorted_distances(first, second)
    exact = [own.astype(np.float64) for own in (first, second)]
    assert found.ks == pytest.approx(ks_2samp(*exact, method="asymp").statistic, abs=1e-12)
    scale = max(1.0, *(float(np.abs(own).max()) for own in exact))
    assert found.wasserstein == pytest.approx(wasserstein_distance(*exact), abs=1e-9 * scale)


@UNHURRIED
@given(COUNTS, COUNTS)
def test_distances_of_counts_are_their_formulas(
    reference: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    held = [(a + 0.5, b + 0.5) for a, b in zip(reference, counts, strict=True) if a or b]
    p, q = (np.array([own[side] for own in held]) for side in (0, 1))
    p, q = p / p.sum(), q / q.sum()
    assert psi(reference, counts) == pytest.approx(sum((q - p) * np.log(q / p)))
    assert psi(reference, reference) == 0
    if reference.sum() and counts.sum():
        expected = scipy_jensenshannon(reference, counts, base=2)
        # SciPy takes the root of rounding errors
        assert jensen_shannon(reference, counts) == pytest.approx(np.nan_to_num(expected), abs=1e-7)


@UNHURRIED
@given(SAMPLES)
def test_bins_hold_every_value_once(values: NDArray[np.float32]) -> None:
    bins = Bins.of(values)
    counts = bins.counts(values)
    assert counts.sum() == len(values) and counts[0] == counts[-1] == 0
    assert len(counts) <= MAX_BINS + 2 and (counts[1:-1] > 0).all()
    direct = np.searchsorted(bins.edges, values.astype(np.float64), side="left")
    assert counts.tolist() == np.bincount(direct, minlength=len(counts)).tolist()


def test_a_constant_has_a_bin_of_its_own() -> None:
    bins = Bins.of(np.full(50, 7, dtype=np.float32))
    day = np.array([6.9999, 7, 7, 7.0001], dtype=np.float32)
    assert bins.counts(day).tolist() == [1, 2, 1]
    assert Bins.of(np.empty(0)).counts(day).tolist() == [4]


def test_bins_are_joined_where_there_are_few_samples() -> None:
    reference = np.array([0, *[5000] * 20, 0])
    counts = np.array([0, *[10] * 20, 0])
    own, few = joined(reference, counts)
    assert own.tolist() == [25_000] * 4 and few.tolist() == [50] * 4
    # samples beyond training are not hidden in a large bin, unless they are within chance
    counts[-1] = 100
    own, few = joined(reference, counts)
    assert own[-1] == 0 and few[-1] == 100
    counts[-1] = 4
    assert (
        joined(reference, counts)[1].sum() == counts.sum() and 0 not in joined(reference, counts)[0]
    )


def test_the_index_stays_small_without_drift() -> None:
    # the largest of 200 features on 30 days, of 200 samples each, stays below a warning
    rng = np.random.default_rng(0)
    reference = np.sort(rng.normal(size=20_000))
    bins = Bins.of(reference)
    counts = bins.counts(reference)
    days = (np.sort(rng.normal(size=200)) for _ in range(6000))
    largest = max(psi(*joined(counts, bins.counts(day))) for day in days)
    assert largest < 0.2


def test_rare_classes_are_counted_together() -> None:
    own, counts = pooled(np.array([900, 80, 15, 5, 0]), np.array([90, 5, 3, 1, 1]))
    assert own.tolist() == [900, 100] and counts.tolist() == [90, 10]
