"""Metrics of a model on a split, by task, with scikit-learn's formulae."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """What was measured: metric → number, one row a class, and the confusion matrix (rows true, columns predicted)."""

    metrics: dict[str, float]
    per_class: pd.DataFrame
    confusion: NDArray[np.int64] | None


def evaluate(truth: NDArray[Any], predicted: NDArray[Any], task: str, class_names: list[str]) -> Evaluation:
    """Measure predictions.

    Args:
        truth: class indices (n,) or (n, h, w) with -1 where nobody knows, or numbers (n,).
        predicted: the same shape.
        task: the model's task.
        class_names: names in the order of class indices.

    Returns:
        For classes: accuracy, balanced_accuracy, macro_f1, mean_iou (both over the classes that occur in `truth`) and
        Cohen's kappa. For numbers: rmse, mae, r2 and bias (mean of predicted - true).
    """
    from sklearn import metrics as formulae

    if task == "regression":
        y, p = truth.astype(np.float64), predicted.astype(np.float64)
        found = {
            "rmse": formulae.root_mean_squared_error(y, p),
            "mae": formulae.mean_absolute_error(y, p),
            "r2": formulae.r2_score(y, p) if len(y) > 1 else 0.0,
            "bias": float(np.mean(p - y)),
        }
        return Evaluation({k: float(v) for k, v in found.items()}, pd.DataFrame(), None)
    known = truth >= 0
    y, p = truth[known], predicted[known]
    indices = list(range(len(class_names)))
    confusion = formulae.confusion_matrix(y, p, labels=indices)
    precision, recall, f1, support = formulae.precision_recall_fscore_support(y, p, labels=indices, zero_division=0)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    iou = np.diag(confusion) / np.maximum(union, 1)
    per_class = pd.DataFrame(
        {"class": class_names, "samples": support, "precision": precision, "recall": recall, "f1": f1, "iou": iou}
    )
    present = support > 0
    found = {
        "accuracy": float(np.mean(y == p)),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "mean_iou": float(iou[present].mean()),
        "kappa": float(formulae.cohen_kappa_score(y, p)) if len(set(y) | set(p)) > 1 else 1.0,
    }
    return Evaluation(found, per_class, confusion)
