"""Calibration: whether a model is right as often as its probabilities predict.

Expected calibration error: Guo, Pleiss, Sun, Weinberger (2017), On Calibration of Modern Neural
Networks, ICML. 15 bins are kept, however many samples there are; torchmetrics keeps every sample,
and tests compare this with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlops_assets.text.json_values import JsonObject

BINS = 15  # of equal width, as in the paper and in torchmetrics
_CELLS = 2 * BINS  # bin and whether it was right

Scores = Literal["probabilities", "logits"]


@dataclass(frozen=True)
class Calibration:
    """Predictions by the probability of the predicted class, in bins of equal width from 0 to 1.

    Attributes:
        scores: kind of the model's scores; logits become probabilities by softmax.
        count: predictions in each bin, (15,).
        confidence: their mean probability, (15,), 0 where there are none.
        accuracy: the share of them that is right, (15,), 0 where there are none.
    """

    scores: Scores
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |accuracy - confidence| over predictions."""
        return float(
            (self.count * np.abs(self.accuracy - self.confidence)).sum() / self.count.sum()
        )

    def document(self) -> JsonObject:
        """Return it as JSON values."""
        return {
            "scores": self.scores,
            "bins": BINS,
            "count": self.count.tolist(),
            "confidence": self.confidence.tolist(),
            "accuracy": self.accuracy.tolist(),
        }


class CalibrationTally:
    """Counts predictions by probability, unit by unit.

    Args:
        units: number of units.
        scores: kind of the model's scores; that is known from its export, never from their values.
    """

    def __init__(self, units: int, scores: Scores) -> None:
        self._scores = scores
        self._counts = np.zeros((units, _CELLS), dtype=np.int64)
        self._confidences = np.zeros(_CELLS)

    def add(
        self,
        scores: NDArray[np.number],
        predicted: NDArray[np.int64],
        right: NDArray[np.bool_],
        units: NDArray[np.int64],
    ) -> None:
        """Count predictions.

        Args:
            scores: of each class, (n, classes).
            predicted: class index, (n,).
            right: whether it is the true one, (n,).
            units: number of each one's unit, (n,).
        """
        from scipy.special import softmax

        exact = scores.astype(np.float64)
        probabilities = exact if self._scores == "probabilities" else softmax(exact, axis=1)
        confidence = np.clip(
            np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0], 0, 1
        )
        edges = np.linspace(0, 1, BINS + 1)[1:-1]
        cells = 2 * np.digitize(confidence, edges, right=True) + right
        self._counts += np.bincount(units * _CELLS + cells, minlength=self._counts.size).reshape(
            self._counts.shape
        )
        self._confidences += np.bincount(cells, confidence, minlength=_CELLS)

    def result(self) -> tuple[Calibration, NDArray[np.int64]]:
        """Return the calibration, and the counts of each unit, shape (units, 2 x 15).

        The counts are by bin and by whether the prediction was right.
        """
        cells = self._counts.sum(axis=0)
        count = cells.reshape(BINS, 2).sum(axis=1)
        most = np.maximum(count, 1)
        confidence = self._confidences.reshape(BINS, 2).sum(axis=1) / most
        return Calibration(self._scores, count, confidence, cells[1::2] / most), self._counts


def many_ece(cells: NDArray[np.float64], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the calibration error of many counts by bin and whether it was right, (n, 2 x 15).

    Args:
        cells: the counts.
        confidence: mean probability of each bin, (15,), which stands for that of whatever was drawn
            from the bin.
    """
    counts = cells.reshape(len(cells), BINS, 2)
    count = counts.sum(axis=2)
    return np.asarray(np.abs(counts[:, :, 1] - count * confidence).sum(axis=1) / count.sum(axis=1))
