"""Paired comparisons: over many seeds, and against metrics worked out otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gates import MARGIN, SEEDS, simulated, verdicts
from mlops_assets.models.evaluation.tally import evaluate
from mlops_assets.models.gates.check import decide
from mlops_assets.models.gates.paired_tally import MetricComparison, PairedClasses, PairedNumbers

NAMES = ["wheat", "maize", "fallow"]


@pytest.mark.slow
def test_over_many_seeds_verdicts_are_wrong_as_rarely_as_stated() -> None:
    at_margin = verdicts(40, MARGIN, "accuracy", range(SEEDS))
    assert at_margin["passed"] <= 0.08 * SEEDS
    equal = verdicts(40, 0, "accuracy", range(SEEDS))
    assert equal["failed"] <= 0.08 * SEEDS
    assert equal["passed"] >= 0.3 * SEEDS
    worse = verdicts(40, 2 * MARGIN, "accuracy", range(SEEDS))
    assert worse["failed"] > 3 * at_margin["failed"] and worse["passed"] <= 0.01 * SEEDS


def test_metrics_are_those_of_an_evaluation_whatever_the_order_of_classes() -> None:
    """The second model has another order, and does not know one class."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    first, second = (np.where(rng.random(400) < 0.8, truth, (truth + 1) % 3) for _ in range(2))
    second[second == 2] = 0
    unit = np.arange(400) % 40
    tally = PairedClasses(NAMES, [NAMES, ["maize", "wheat"]], [None, None])
    for part in (slice(0, 150), slice(150, 400)):
        tally.count(0, truth[part], first[part], None, unit[part])
        tally.count(1, truth[part], np.array([1, 0, 9])[second[part]], None, unit[part])
    found = tally.metrics(40)
    for number, predicted in enumerate((first, second)):
        own = evaluate(truth, predicted, "classification", NAMES)
        expected = own.metrics | {
            f"{measure}.{row['class']}": row[measure]
            for row in own.per_class.to_dict(orient="records")
            for measure in ("precision", "recall", "f1", "iou")
        }
        values = {name: (own.value, own.other)[number] for name, own in found.items()}
        assert values == pytest.approx(expected)
    assert found["accuracy"].difference == pytest.approx(
        (first == truth).mean() - (second == truth).mean()
    )


@pytest.mark.parametrize(("metric", "better"), [("rmse", True), ("r2", True), ("bias", False)])
def test_differences_are_positive_where_a_version_is_better(metric: str, better: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(1e6, 10, 300)
    errors = rng.normal(0, (1.0, 3.0), (300, 2)) + np.array([0.5, -0.1])
    tally = PairedNumbers()
    for model in range(2):
        tally.count(model, truth, truth + errors[:, model], None, np.arange(300) % 30)
    found = tally.metrics(30)
    own = evaluate(truth, truth + errors[:, 0], "regression", [])
    assert found[metric].value == pytest.approx(own.metrics[metric])
    assert (found[metric].difference > 0) == better


def test_calibration_is_compared_by_unit() -> None:
    truth = np.arange(300) % 3
    sure, unsure = np.eye(3)[truth] * 0.9 + 0.1 / 3, np.eye(3)[truth] * 0.3 + 0.7 / 3
    tally = PairedClasses(NAMES, [NAMES, NAMES], ["probabilities", "probabilities"])
    for model, scores in enumerate((sure, unsure)):
        tally.count(model, truth, truth, scores, np.arange(300) % 30)
    found = tally.metrics(30)
    assert found["brier"].difference > 0 and found["ece"].difference > 0
    assert decide(found["brier"], 0)[0] == "passed"


def test_a_class_counts_the_units_that_have_it() -> None:
    truth = np.where(np.arange(300) < 50, 2, np.arange(300) % 2)
    tally = PairedClasses(NAMES, [NAMES, NAMES], [None, None])
    for model in range(2):
        tally.count(model, truth, truth, None, np.arange(300) // 10)
    found = tally.metrics(30)
    assert (found["recall.fallow"].units, found["accuracy"].units) == (5, 30)
    assert decide(found["recall.fallow"], 0.1) == ("cannot tell", 15)
    # of no difference at all, there is no doubt
    assert decide(found["accuracy"], 0) == ("passed", None)


def test_a_class_that_one_model_does_not_know_leaves_bounds() -> None:
    """Of draws without the one wrong unit, what is left of the jackknife is rounding."""
    rng = np.random.default_rng(1)
    truth, unit = rng.integers(0, 3, 690), rng.integers(0, 41, 690)
    first = truth.copy()
    wrong = int(np.flatnonzero(truth < 2)[0])
    first[wrong] = 1 - truth[wrong]
    tally = PairedClasses(NAMES, [NAMES, ["wheat", "maize", "barley"]], [None, None])
    for model, predicted in enumerate((first, truth)):
        tally.count(model, truth, predicted, None, unit)
    found = tally.metrics(41)["macro_f1"]
    assert found.difference > 0.3 and decide(found, 0) == ("passed", None)


def test_as_many_more_units_as_stated_decide() -> None:
    found = simulated(np.random.default_rng(4), 40, 0.0)["accuracy"]
    verdict, needed = decide(found, 0.01)
    assert verdict == "cannot tell" and needed is not None
    assert found.half_width is not None
    narrower = found.half_width * (found.units / (found.units + needed)) ** 0.5
    decided = found.model_copy(update={"half_width": narrower})
    assert decide(decided, 0.01)[0] != "cannot tell"
    undetermined = MetricComparison(value=1, other=1, difference=0, half_width=None, units=40)
    assert decide(undetermined, 0.1) == ("cannot tell", None)
