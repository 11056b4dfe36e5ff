"""Calibration against torchmetrics, on scores known to be calibrated and on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import softmax
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from mlops_assets.models.evaluation.calibration import (
    BINS,
    CalibrationTally,
    Scores,
    many_calibrations,
)
from mlops_assets.models.onnx.graph import kind_of_scores

COUNT = 20_000


def drawn(classes: int = 4, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and a truth that is drawn from their softmax: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (COUNT, classes))
    below = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((COUNT, 1)) > below).sum(axis=1).clip(max=classes - 1)


def tally_of(
    scores: NDArray[np.floating],
    truth: NDArray[np.int64],
    batch: int = COUNT,
    given: Scores = "logits",
) -> CalibrationTally:
    tally, predicted = CalibrationTally(7, given), scores.argmax(axis=1)
    for start in range(0, len(scores), batch):
        part = slice(start, start + batch)
        units = np.arange(start, start + len(scores[part])) % 7
        tally.add(scores[part], predicted[part], truth[part], units)
    return tally


@pytest.mark.parametrize("stretch", [1.0, 3.0], ids=["calibrated", "overconfident"])
@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_error_is_that_of_torchmetrics(given: Scores, stretch: float) -> None:
    logits, truth = drawn()
    probabilities = softmax(stretch * logits, axis=1)
    scores = (stretch * logits if given == "logits" else probabilities).astype(np.float32)
    found = tally_of(scores, truth, given=given).result()
    assert found[0].scores == given
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities),
        torch.from_numpy(truth),
        num_classes=4,
        n_bins=BINS,
        norm="l1",
    )
    assert found[0].ece == pytest.approx(float(theirs), abs=1e-5)
    assert (found[0].ece < 0.02) == (stretch == 1)


def test_parts_are_as_the_whole() -> None:
    logits, truth = drawn()
    whole, parts = tally_of(logits, truth).result(), tally_of(logits, truth, batch=999).result()
    assert parts[0].count.tolist() == whole[0].count.tolist()
    assert parts[0].confidence == pytest.approx(whole[0].confidence)
    assert parts[0].ece == pytest.approx(whole[0].ece)
    assert parts[1] == pytest.approx(whole[1])
    assert whole[1][:, :-1].sum() == COUNT == whole[0].count.sum()


def test_the_errors_of_all_units_are_the_errors() -> None:
    calibration, sums = tally_of(*drawn()).result()
    found = many_calibrations(sums.sum(axis=0)[None], calibration.confidence)
    assert found["ece"][0] == pytest.approx(calibration.ece)
    assert found["brier"][0] == pytest.approx(calibration.brier)


@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_the_brier_score_is_that_of_scikit_learn(given: Scores) -> None:
    logits, truth = drawn()
    probabilities = softmax(logits, axis=1)
    found, _ = tally_of(logits if given == "logits" else probabilities, truth, given=given).result()
    theirs = brier_score_loss(truth, probabilities, labels=range(4), scale_by_half=False)
    assert found.brier == pytest.approx(theirs)


def test_the_truth_may_be_a_class_that_the_model_does_not_know() -> None:
    tally = CalibrationTally(1, "probabilities")
    tally.add(np.array([[0.6, 0.4]]), np.array([0]), np.array([-1]), np.array([0]))
    found, _ = tally.result()
    assert (found.ece, found.brier) == pytest.approx((0.6, 1 + 0.6**2 + 0.4**2))


def test_rounding_makes_no_logits_of_probabilities() -> None:
    """A random forest of two classes gives -1.2e-07 and 1.0000001 under onnxruntime."""
    truth = np.arange(300) % 2
    scores = np.eye(2)[truth] + np.array([1.2e-7, -1.2e-7])
    assert tally_of(scores, truth, given="probabilities").result()[0].ece == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(
    ("operations", "framework", "expected"),
    [
        (["Softmax", "Identity"], "onnx", "probabilities"),
        (["LogSoftmax", "Cast"], "scikit-learn", "logits"),
        (["Sigmoid", "Identity"], "keras", None),
        (["MatMul", "Identity"], "pytorch", "logits"),
        (["Identity"], "scikit-learn", "probabilities"),
        (["MatMul", "Identity"], "onnx", None),
    ],
)
def test_graph_and_exporter_determine_the_kind_of_scores(
    operations: list[str], framework: str, expected: Scores | None
) -> None:
    names = ["input", *(f"inner_{number}" for number in range(len(operations) - 1)), "scores"]
    nodes = [
        helper.make_node(name, [names[i]], [names[i + 1]]) for i, name in enumerate(operations)
    ]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "graph", [], [output]))
    assert kind_of_scores(model, framework) == expected


def test_certain_and_right_is_perfect() -> None:
    truth = np.arange(30) % 3
    found = tally_of(np.eye(3)[truth], truth, given="probabilities").result()
    assert (found[0].scores, found[0].ece, found[0].count[-1]) == ("probabilities", 0, 30)


def test_the_decision_of_the_model_counts_not_its_largest_score() -> None:
    """A support vector machine may decide against the probabilities that were fitted to it."""
    tally = CalibrationTally(1, "probabilities")
    tally.add(np.array([[0.6, 0.4]]), np.array([1]), np.array([1]), np.array([0]))
    assert tally.result()[0].ece == pytest.approx(0.6)
