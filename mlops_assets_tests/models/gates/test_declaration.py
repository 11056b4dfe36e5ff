"""Gates as declared: what is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlops_assets.models.specification import Gate
from mlops_assets_tests.training.example_trainers import model_specification


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ({"metric": "recall", "min": 0.8}, "metric 'recall' is unknown; .* recall.wheat"),
        ({"metric": "latency_ms", "min": 1, "max": 2}, "'latency_ms' takes 'max' only"),
        ({"metric": "size_mb", "not_worse_than": "production"}, "'size_mb' takes 'max' only"),
        (
            {"metric": "accuracy", "slice": {"a": "b"}, "not_worse_than": "production"},
            "accuracy of a=b: a slice takes 'min' and 'max' only",
        ),
        ({"metric": "ece", "slice": {"a": "b"}, "max": 1}, "a slice has no ece; it has accuracy"),
        ({"metric": "f1.wheat", "slice": {"a": "b"}, "min": 0}, "a slice has no f1.wheat"),
        ({"metric": "accuracy", "slice": {"a": "b", "c": "d"}, "min": 0}, "at most 1 item"),
        ({"metric": "accuracy", "slice": {}, "min": 0}, "at least 1 item"),
        ({"metric": "accuracy", "min": float("nan")}, "min\n.* finite number"),
        (
            {"metric": "rmse", "not_worse_than": "production", "tolerance": float("inf")},
            "tolerance\n.* finite number",
        ),
        ({"metric": "accuracy", "tolerance": 0.1}, "needs 'min', 'max' or 'not_worse_than'"),
    ],
)
def test_a_gate_that_cannot_be_checked_is_refused(gate: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Gate.model_validate(gate)


def test_values_of_slices_may_be_numbers() -> None:
    gate = Gate.model_validate({"metric": "rmse", "slice": {"year": 2024}, "max": 1})
    assert gate.subject == "rmse of year=2024"
    assert "slice" not in Gate(metric="rmse", max=1).model_dump()


def test_costs_are_of_any_task_and_calibration_of_classes() -> None:
    gates = [{"metric": "latency_ms", "max": 5}]
    assert model_specification(task="regression", gates=gates).gates[0].max == 5
    with pytest.raises(ValidationError, match="task 'regression' has no metric 'brier'"):
        model_specification(task="regression", gates=[{"metric": "brier", "max": 1}])
