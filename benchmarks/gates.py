"""Verdicts of gates on simulated models: how often a loss is let through, or told from none.

Units differ in size, in their classes and in how hard they are; both models make many of the same
mistakes. The verdicts are those of the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.options import Options
from benchmarks.tables import print_table
from mlops_assets.models.gates.check import decide
from mlops_assets.models.gates.outcomes import Verdict
from mlops_assets.models.gates.paired_tally import MetricComparison, PairedClasses

CLASSES = ("wheat", "maize", "fallow", "vineyard")
_SHARES = np.array([0.5, 0.3, 0.15, 0.05])
_ACCURACY = 0.85  # of production
# standard deviations on the probit scale: of a unit for both models, of a unit for one, and of a
# sample for both
_HARD, _OWN, _SHARED = 0.7, 0.3, 0.7**0.5
MARGIN = 0.03
SEEDS = 200
UNITS = (40, 80, 160)
# a better model, an equal one, one that is worse by the margin, and one by twice as much
LOSSES = (-MARGIN, 0.0, MARGIN, 2 * MARGIN)


def simulated(rng: np.random.Generator, units: int, loss: float) -> dict[str, MetricComparison]:
    """Return the comparison of a model whose true accuracy is lower by `loss` than production's.

    Args:
        rng: draws truth and predictions.
        units: number of units, of 12 samples by the median, log-normal.
        loss: true difference in accuracy.
    """
    sizes = np.maximum(1, rng.lognormal(np.log(12), 0.8, units).astype(int))
    unit = np.repeat(np.arange(units), sizes)
    count = len(unit)
    below = rng.dirichlet(_SHARES * 4, units).cumsum(axis=1)[unit]
    truth = (rng.random((count, 1)) > below).sum(axis=1).clip(max=len(CLASSES) - 1)
    hard = rng.normal(0, _HARD, units)[unit]
    shared = rng.normal(0, _SHARED, count)
    tally = PairedClasses(CLASSES, [CLASSES, CLASSES], [None, None])
    for model, accuracy in enumerate((_ACCURACY - loss, _ACCURACY)):
        own = rng.normal(0, _OWN, units)[unit] + rng.normal(0, (1 - _SHARED**2) ** 0.5, count)
        scale = (1 + _HARD**2 + _OWN**2) ** 0.5
        right = norm.cdf((hard + shared + own) / scale) < accuracy
        wrong = (truth + rng.integers(1, len(CLASSES), count)) % len(CLASSES)
        predicted: NDArray[np.int64] = np.where(right, truth, wrong)
        tally.count(model, truth, predicted, None, unit)
    return tally.metrics(units)


def verdicts(units: int, loss: float, metric: str, seeds: Iterable[int]) -> Counter[Verdict]:
    """Return how often each verdict comes out with the margin `MARGIN`."""
    return Counter(
        decide(simulated(np.random.default_rng(seed), units, loss)[metric], MARGIN)[0]
        for seed in seeds
    )


def measure(options: Options) -> None:
    """Print the share of each verdict, by number of units and true loss of accuracy.

    It takes about 5 minutes of one core; 1,000 seeds (`--all`) take five times as long.
    """
    seeds = range(1000 if options.all else SEEDS)
    rows = []
    for units in UNITS:
        for loss in LOSSES:
            found = verdicts(units, loss, "accuracy", seeds)
            shares = [
                f"{found[verdict] / len(seeds):.1%}"
                for verdict in ("passed", "failed", "cannot tell")
            ]
            rows.append([str(units), f"{loss:g}", *shares])
    print_table(["units", "true loss", "passed", "failed", "cannot tell"], rows)
