"""Metrics of confusion matrices against scikit-learn and torchmetrics on the samples themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torchmetrics

from mlops_assets.models.evaluation.metrics import class_metrics, many_class_metrics


def drawn(classes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Truth and prediction of 500 samples.

    The last class is never true, and the one before never predicted.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes - 1, 500)
    predicted = np.where(rng.random(500) < 0.6, truth, rng.integers(0, classes, 500))
    return truth, np.where(predicted == classes - 2, 0, predicted)


def confusion_of(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


@pytest.mark.parametrize("classes", [3, 16, 40])
def test_metrics_are_those_of_the_samples(classes: int) -> None:
    truth, predicted = drawn(classes, seed=classes)
    names = [f"class {i}" for i in range(classes)]
    found, per_class = class_metrics(confusion_of(truth, predicted, classes), names)
    present = np.unique(truth)
    f1 = sklearn_metrics.f1_score(
        truth, predicted, labels=present, average="macro", zero_division=0
    )
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(f1)
    assert found["kappa"] == pytest.approx(sklearn_metrics.cohen_kappa_score(truth, predicted))
    recalls = sklearn_metrics.recall_score(
        truth, predicted, labels=present, average="macro", zero_division=0
    )
    assert found["balanced_accuracy"] == pytest.approx(recalls)
    tensors = torch.from_numpy(predicted), torch.from_numpy(truth)
    iou = torchmetrics.multiclass_jaccard_index(*tensors, num_classes=classes, average=None).numpy()
    np.testing.assert_allclose(per_class["iou"], iou, rtol=1e-6)
    assert found["mean_iou"] == pytest.approx(iou[present].mean(), rel=1e-6)
    precision = torchmetrics.multiclass_precision(
        *tensors, num_classes=classes, average=None
    ).numpy()
    np.testing.assert_allclose(per_class["precision"], precision, rtol=1e-6)
    kappa = torchmetrics.multiclass_cohen_kappa(*tensors, num_classes=classes)
    assert found["kappa"] == pytest.approx(float(kappa), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 16])
def test_many_at_once_are_each_as_one(classes: int) -> None:
    matrices = np.stack([confusion_of(*drawn(classes, seed), classes) for seed in range(20)])
    matrices[3] = np.diag(np.arange(classes))
    matrices[4] = 0
    matrices[4][0, 0] = 7
    many = many_class_metrics(matrices)
    for number, matrix in enumerate(matrices):
        one, _ = class_metrics(matrix, [str(i) for i in range(classes)])
        measured = {
            name: values[number] for name, values in many.items() if not np.isnan(values[number])
        }
        assert measured == pytest.approx(one)


def test_counts_may_be_larger_than_any_list_of_samples() -> None:
    found, per_class = class_metrics(np.array([[3, 1], [0, 4]]) * 10**12, ["a", "b"])
    assert found["accuracy"] == 7 / 8
    assert per_class["samples"].tolist() == [4 * 10**12, 4 * 10**12]
