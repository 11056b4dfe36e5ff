"""Metrics against numbers worked out by hand, and the decisions of ONNX outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlops_assets.errors import ExportError
from mlops_assets.models.evaluation.tally import evaluate
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.specification import CLASS_METRICS, NUMBER_METRICS

NAMES = ["water", "wood", "field"]
TRUTH, PREDICTED = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
# confusion [[2, 1, 0], [0, 2, 0], [1, 0, 0]]; kappa: observed 4/6, by chance (3·3 + 2·3 + 1·0) / 36
# = 15/36
BY_HAND = {
    "accuracy": 4 / 6,
    "balanced_accuracy": (2 / 3 + 1 + 0) / 3,
    "macro_f1": (2 / 3 + 4 / 5 + 0) / 3,
    "mean_iou": (2 / 4 + 2 / 3 + 0 / 2) / 3,
    "kappa": (4 / 6 - 15 / 36) / (1 - 15 / 36),
}


def test_classification_metrics_are_those_worked_out_by_hand() -> None:
    found = evaluate(TRUTH, PREDICTED, "classification", NAMES)
    assert found.metrics == pytest.approx(BY_HAND)
    assert {*found.metrics, "ece", "brier"} == set(CLASS_METRICS)
    assert found.confusion is not None
    assert found.confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    rows = found.per_class.set_index("class")
    assert rows["samples"].to_dict() == {"water": 3, "wood": 2, "field": 1}
    figures = rows[["precision", "recall", "f1", "iou"]].T
    assert figures["water"].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.5])
    assert figures["wood"].tolist() == pytest.approx([2 / 3, 1, 0.8, 2 / 3])
    assert figures["field"].tolist() == [0, 0, 0, 0]


def test_unlabelled_pixels_do_not_count() -> None:
    truth = np.full((2, 2, 4), -1)
    predicted = np.ones((2, 2, 4), dtype=np.int64)
    truth[0, 0, :3], truth[1, 1, :3] = TRUTH[:3], TRUTH[3:]
    predicted[0, 0, :3], predicted[1, 1, :3] = PREDICTED[:3], PREDICTED[3:]
    found = evaluate(truth, predicted, "semantic-segmentation", NAMES)
    assert found.metrics == pytest.approx(BY_HAND)
    assert found.per_class["samples"].sum() == 6


def test_a_class_absent_from_the_truth_is_listed_but_not_averaged() -> None:
    found = evaluate(TRUTH, PREDICTED, "classification", [*NAMES, "snow"])
    assert found.metrics == pytest.approx(BY_HAND)
    assert found.per_class.set_index("class").loc["snow", "samples"] == 0


def test_predicting_a_class_absent_from_the_truth_lowers_the_others() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    found = evaluate(truth, predicted, "classification", NAMES)
    assert found.metrics == pytest.approx(
        # kappa: observed 3/4, by chance (2·1 + 2·2 + 0·1) / 16
        {
            "accuracy": 3 / 4,
            "balanced_accuracy": 3 / 4,
            "macro_f1": (2 / 3 + 1) / 2,
            "mean_iou": (1 / 2 + 1) / 2,
            "kappa": (3 / 4 - 6 / 16) / (1 - 6 / 16),
        }
    )
    assert found.confusion is not None and found.confusion[0, 2] == 1


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [([0, 1, 2], [0, 1, 2], 1.0), ([0, 0, 1, 1], [1, 1, 0, 0], -1.0)],
    ids=["all right", "all wrong"],
)
def test_extremes_are_numbers(truth: list[int], predicted: list[int], expected: float) -> None:
    found = evaluate(np.array(truth), np.array(predicted), "classification", NAMES).metrics
    assert found["kappa"] == pytest.approx(expected)
    assert all(
        value == pytest.approx(max(expected, 0)) for name, value in found.items() if name != "kappa"
    )


@pytest.mark.parametrize("predicted", [[1, 1, 1], [1, 0, 1]])
def test_one_class_has_no_agreement_beyond_chance(predicted: list[int]) -> None:
    found = evaluate(np.array([1, 1, 1]), np.array(predicted), "classification", NAMES).metrics
    assert found.keys() == {"accuracy", "balanced_accuracy", "macro_f1", "mean_iou"}


def test_regression_metrics_are_those_worked_out_by_hand() -> None:
    found = evaluate(
        np.array([1.0, 2, 3, 4]), np.array([1.5, 2, 2, 5], np.float32), "regression", []
    )
    # errors 0.5, 0, -1, 1; squares sum to 2.25; spread of the truth sums to 5
    assert found.metrics == pytest.approx(
        {"rmse": 0.75, "mae": 0.625, "r2": 1 - 2.25 / 5, "bias": 0.125}
    )
    assert set(found.metrics) == set(NUMBER_METRICS)
    assert found.confusion is None and found.per_class.empty


def test_one_number_can_be_evaluated() -> None:
    found = evaluate(np.array([3.0]), np.array([1.0]), "regression", [])
    assert found.metrics == {"rmse": 2, "mae": 2, "r2": 0, "bias": -2}


def test_decisions_come_from_value_label_or_scores() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2]])
    assert decide({"value": np.array([[1.5], [2.5]])}).tolist() == [1.5, 2.5]
    assert decide({"label": np.array([0, 1]), "scores": scores}).tolist() == [0, 1]
    assert decide({"scores": scores}).tolist() == [1, 0]
    assert decide({"scores": np.eye(3)[None, :, None, [2, 0]]}).tolist() == [[[2, 0]]]


def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ExportError, match=r"model\.onnx cannot be loaded by onnxruntime"):
        OnnxModel(tmp_path / "model.onnx")
