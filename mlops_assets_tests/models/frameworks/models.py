"""The contents of every adapter's file of models for the contract suite.

Frameworks are imported only when a case is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlops_assets_tests.training.example_trainers import samples


@dataclass(frozen=True)
class Case:
    """A model to train and the shape of its samples.

    Attributes:
        framework: name of the adapter; its models are in `<framework>_models.py`.
        builder: function there `(X, y) -> trained model`; equal calls give equal models.
        outputs: names of the ONNX outputs.
    """

    framework: str
    builder: str
    task: str = "classification"
    shape: tuple[int, ...] = (6,)
    outputs: frozenset[str] = frozenset({"scores"})

    def build(self) -> tuple[Any, Any]:
        """Return a trained model and real samples of it."""
        X, y = samples(self.shape)
        return (
            from_models(self.framework, self.builder)(
                X, y + 0.5 if self.task == "regression" else y
            ),
            X,
        )


def with_gaps(X: Any) -> Any:
    """Rows of samples in which values are missing."""
    rows = X.reshape(len(X), -1).copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.2] = np.nan
    return rows


def from_models(framework: str, name: str) -> Callable[..., Any]:
    """Return a function of a framework's file of models."""
    module = importlib.import_module(f"{__package__}.{framework.replace('-', '_')}_models")
    found: Callable[..., Any] = getattr(module, name)
    return found


def _case(
    framework: str, builder: str, task: str = "classification", *shape: int, outputs: str = "scores"
) -> Case:
    names = {"value"} if task == "regression" else set(outputs.split())
    return Case(framework, builder, task, shape or (6,), frozenset(names))


BOTH = "label scores"
CASES = [
    _case("pytorch", "sequential"),
    _case("pytorch", "module_as_argument"),
    _case("pytorch", "own_class_on_patches", "classification", 4, 5, 5),
    _case("pytorch", "windows", "semantic-segmentation", 2, 8, 8),
    _case("pytorch", "regression", "regression"),
    _case("scikit-learn", "pipeline_svc", outputs="label"),
    _case("scikit-learn", "linear_svc", outputs="label"),
    _case("scikit-learn", "discriminant_of_two_classes", outputs=BOTH),
    _case("scikit-learn", "best_features", outputs=BOTH),
    _case("scikit-learn", "random_forest", outputs=BOTH),
    _case("scikit-learn", "logistic", outputs=BOTH),
    _case("scikit-learn", "logistic", "classification", 2, 3, 3, outputs=BOTH),
    _case("scikit-learn", "ridge", "regression"),
    _case("scikit-learn", "forest_regression", "regression"),
    _case("xgboost", "booster"),
    _case("xgboost", "wrapper"),
    _case("xgboost", "wrapper_of_two_classes"),
    _case("xgboost", "booster", "classification", 2, 3, 3),
    _case("xgboost", "regression", "regression"),
    _case("xgboost", "wrapped_regression", "regression"),
    _case("xgboost", "counts", "regression"),
    _case("lightgbm", "booster"),
    _case("lightgbm", "wrapper"),
    _case("lightgbm", "wrapper_of_two_classes"),
    _case("lightgbm", "booster", "classification", 2, 3, 3),
    _case("lightgbm", "regression", "regression"),
    _case("lightgbm", "wrapped_regression", "regression"),
    _case("lightgbm", "counts", "regression"),
    _case("keras", "sequential"),
    _case("keras", "functional_on_patches", "classification", 4, 5, 5),
    _case("keras", "own_layer"),
    _case("keras", "windows", "semantic-segmentation", 2, 8, 8),
    _case("keras", "regression", "regression"),
    _case("flax", "mlp"),
    _case("flax", "patches", "classification", 4, 5, 5),
    _case("flax", "windows", "semantic-segmentation", 2, 8, 8),
    _case("flax", "regression", "regression"),
]
FRAMEWORKS = list(dict.fromkeys(case.framework for case in CASES))


def marks_of(framework: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test that needs this framework."""
    return [] if framework in ("pytorch", "scikit-learn") else [pytest.mark.frameworks]
