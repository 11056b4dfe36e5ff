"""Proof that an ONNX model gives what the trained model gives, on real samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.training.frameworks import Framework
from mlops_assets.training.onnx_model import OnnxModel, decide
from mlops_assets.training.specification import Parity

TIE = 1e-5  # scores nearer than this part of their spread are one score; float32 keeps seven digits
BATCH_SIZES = (1, 7)  # a served model sees any batch size; one and an odd one show a frozen batch axis


@dataclass(frozen=True)
class ParityReport:
    """How the two models compare.

    Attributes:
        passed: within tolerance at every batch size.
        samples: samples compared.
        difference: largest absolute difference of an output, divided by the spread of the native output.
        agreement: share of samples with the same class (1 for regression).
        worst_sample: index of the sample with the largest difference.
        tolerance: what was allowed for `difference`.
        required_agreement: what was required of `agreement`.
    """

    passed: bool
    samples: int
    difference: float
    agreement: float
    worst_sample: int
    tolerance: float
    required_agreement: float

    @property
    def description(self) -> str:
        """One sentence for people."""
        verdict = "equals" if self.passed else "differs from"
        return (
            f"ONNX {verdict} the trained model on {self.samples} test samples: largest relative difference "
            f"{self.difference:.2e} (allowed {self.tolerance:.0e}, worst at sample {self.worst_sample}), "
            f"same decision on {self.agreement:.2%} (required {self.required_agreement:.2%})"
        )

    def document(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


def compare(
    framework: Framework,
    model: Any,
    onnx_model: OnnxModel,
    X: NDArray[np.float32],
    task: str,
    limits: Parity,
    scaled: NDArray[np.float32] | None = None,
) -> ParityReport:
    """Run both models, whole and in small batches, and compare every output they share.

    Args:
        framework: adapter of the trained model.
        model: the trained model.
        onnx_model: what it was exported to.
        X: raw samples, as the ONNX model takes them.
        task: the model's task.
        limits: how near they must come.
        scaled: the same samples as the trained model takes them, if scaling is only in the ONNX model.
    """
    native = framework.predict(model, X if scaled is None else scaled, task)
    spread = {name: max(float(np.ptp(values)), 1e-6) for name, values in native.items()}
    difference, worst, agreement = 0.0, 0, 1.0
    for batch in (len(X), *BATCH_SIZES):
        count = min(len(X), 5 * batch)
        found = onnx_model.predict(X[:count], batch)
        for name, expected in native.items():
            if name == "label" or name not in found:
                continue
            expected = expected[:count].astype(np.float64)
            gap = (
                np.abs(found[name].reshape(expected.shape).astype(np.float64) - expected).reshape(count, -1).max(axis=1)
            )
            relative = gap / spread[name]
            if not np.isfinite(relative).all() or relative.max() > difference:
                worst = int(np.nan_to_num(relative, nan=np.inf).argmax())
                difference = float(np.nan_to_num(relative, nan=np.inf)[worst])
        if task != "regression":
            margin = TIE * spread.get("scores", 0.0)
            same = _same_decision(decide(found), {name: value[:count] for name, value in native.items()}, margin)
            agreement = min(agreement, float(np.mean(same)))
    passed = difference <= limits.tolerance and agreement >= limits.agreement
    return ParityReport(passed, len(X), difference, agreement, worst, limits.tolerance, limits.agreement)


def _same_decision(decided: NDArray[Any], native: dict[str, NDArray[Any]], margin: float) -> NDArray[np.bool_]:
    """Say where a decision is the native one, or as good as it: forests often give two classes the same score, and
    which of them comes first is then a matter of the last bit.
    """
    same = np.asarray(decided == decide(native))
    if "scores" in native:
        scores = native["scores"]
        chosen = np.take_along_axis(scores, np.expand_dims(decided.astype(np.int64), 1), axis=1).squeeze(1)
        same |= chosen >= scores.max(axis=1) - margin
    return same
