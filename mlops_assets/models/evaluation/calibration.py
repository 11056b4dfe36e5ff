"""Calibration: whether a model is right as often as its probabilities predict.

Expected calibration error: Guo, Pleiss, Sun, Weinberger (2017), On Calibration of Modern Neural
Networks, ICML. 15 bins are kept, however many samples there are; torchmetrics keeps every sample,
and tests compare this with it. Brier score: Brier (1950), Verification of Forecasts Expressed in
Terms of Probability, Monthly Weather Review 78, 1-3: summed over classes, from 0 to 2.
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
        brier: Brier score, the mean squared distance of all probabilities from the truth.
    """

    scores: Scores
    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    brier: float

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
        self._squares = np.zeros(units)

    def add(
        self,
        scores: NDArray[np.number],
        predicted: NDArray[np.int64],
        true: NDArray[np.int64],
        units: NDArray[np.int64],
    ) -> None:
        """Count predictions.

        Args:
            scores: of each class, (n, classes).
            predicted: class index, (n,).
            true: class index, (n,); -1 where the model does not know the class.
            units: number of each one's unit, (n,).
        """
        right = true == predicted
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
        of_truth = np.take_along_axis(probabilities, true[:, None], axis=1)[:, 0]
        squares = (probabilities**2).sum(axis=1) + np.where(true < 0, 1, 1 - 2 * of_truth)
        self._squares += np.bincount(units, squares, minlength=len(self._squares))

    def result(self) -> tuple[Calibration, NDArray[np.float64]]:
        """Return the calibration, and the sums of each unit that `many_calibrations` takes."""
        cells = self._counts.sum(axis=0)
        count = cells.reshape(BINS, 2).sum(axis=1)
        most = np.maximum(count, 1)
        confidence = self._confidences.reshape(BINS, 2).sum(axis=1) / most
        brier = float(self._squares.sum() / max(int(count.sum()), 1))
        calibration = Calibration(self._scores, count, confidence, cells[1::2] / most, brier)
        return calibration, np.column_stack([self._counts, self._squares])


def many_calibrations(
    sums: NDArray[np.float64], confidence: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the calibration error and the Brier score of many sums.

    Args:
        sums: counts by bin and whether the prediction was right, then squared distances from the
            truth, (..., 2 x 15 + 1).
        confidence: mean probability of each bin, (15,), which stands for that of whatever was drawn
            from the bin.

    Returns:
        (...) for each metric; NaN where there is no prediction.
    """
    counts = sums[..., :_CELLS].reshape(*sums.shape[:-1], BINS, 2)
    count = counts.sum(axis=-1)
    total = count.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "ece": np.abs(counts[..., 1] - count * confidence).sum(axis=-1) / total,
            "brier": sums[..., -1] / total,
        }
