"""Metrics of confusion matrices.

A single one is measured by scikit-learn, many at once by the same formulae.

A confusion matrix has true classes in rows and predicted ones in columns, and counts samples or
pixels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def class_metrics(
    confusion: NDArray[np.int64], class_names: list[str]
) -> tuple[dict[str, float], pd.DataFrame]:
    """Return metrics, and one row a class.

    Scikit-learn gets every cell once, with its count as weight.

    Args:
        confusion: counts, (classes, classes), at least one of them above 0.
        class_names: names in the order of class indices.

    Returns:
        accuracy, balanced_accuracy, macro_f1, mean_iou (all three over the classes that occur in
        the truth), and kappa, which measures nothing where the truth has one class only, and is
        left out then; and a table of class, samples, precision, recall, f1 and iou, 0 where nothing
        was predicted or is there.
    """
    from sklearn import metrics as formulae

    indices = list(range(len(class_names)))
    truth, predicted = (cells.ravel() for cells in np.indices(confusion.shape))
    options = {"labels": indices, "sample_weight": confusion.ravel(), "zero_division": 0}
    precision, recall, f1, _ = formulae.precision_recall_fscore_support(truth, predicted, **options)
    iou = formulae.jaccard_score(truth, predicted, average=None, **options)
    support = confusion.sum(axis=1)
    per_class = pd.DataFrame(
        {
            "class": class_names,
            "samples": support,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "iou": iou,
        }
    )
    present = support > 0
    weight = confusion.ravel()
    found = {
        "accuracy": formulae.accuracy_score(truth, predicted, sample_weight=weight),
        "balanced_accuracy": recall[present].mean(),
        "macro_f1": f1[present].mean(),
        "mean_iou": iou[present].mean(),
    }
    if present.sum() > 1:
        found["kappa"] = formulae.cohen_kappa_score(truth, predicted, sample_weight=weight)
    return {name: float(value) for name, value in found.items()}, per_class


def many_class_metrics(confusion: NDArray[np.number]) -> dict[str, NDArray[np.float64]]:
    """Return the same metrics for each of many confusion matrices.

    Args:
        confusion: counts, (n, classes, classes).

    Returns:
        (n,) for each metric; NaN where it was not measured.
    """
    counts = confusion.astype(np.float64)
    right = np.diagonal(counts, axis1=1, axis2=2)
    return metrics_of_counts(right, counts.sum(axis=2), counts.sum(axis=1))


def metrics_of_counts(
    right: NDArray[np.float64], true: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the same metrics from the margins of confusion matrices, which are all they need.

    Args:
        right: samples of each class that are predicted as such, (..., classes).
        true: samples of each class, (..., classes).
        predicted: samples predicted as each class, (..., classes).

    Returns:
        (...) for each metric; NaN where it was not measured.
    """
    total = true.sum(axis=-1)
    present = true > 0

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.where(present, values, 0).sum(axis=-1) / present.sum(axis=-1))

    # counts of nothing have no metrics
    with np.errstate(invalid="ignore", divide="ignore"):
        by_chance = (true * predicted).sum(axis=-1) / total**2
        accuracy = right.sum(axis=-1) / total
        return {
            "accuracy": accuracy,
            "balanced_accuracy": mean(right / true),
            "macro_f1": mean(2 * right / (true + predicted)),
            "mean_iou": mean(right / (true + predicted - right)),
            "kappa": np.where(
                present.sum(axis=-1) > 1, (accuracy - by_chance) / (1 - by_chance), np.nan
            ),
        }


def single_class_metrics(
    right: NDArray[np.float64], true: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, f1 and iou of a class.

    Args:
        right: samples of the class that are predicted as such, (...).
        true: samples of the class, (...).
        predicted: samples predicted as the class, (...).

    Returns:
        (...) for each metric; NaN where the class has no sample, else 0 where it is not predicted.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "precision": np.where(predicted > 0, right / predicted, 0),
            "recall": right / true,
            "f1": 2 * right / (true + predicted),
            "iou": right / (true + predicted - right),
        }
    return {name: np.where(true > 0, values, np.nan) for name, values in found.items()}
