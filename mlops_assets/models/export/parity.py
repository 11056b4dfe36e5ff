"""Proof that an ONNX model gives what the trained model gives, on real samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import ParityError
from mlops_assets.models.evaluation.slices import Place, place_of, place_text
from mlops_assets.models.onnx.session import OnnxModel, Outputs, at_once, decide
from mlops_assets.models.specification import Parity
from mlops_assets.text.json_values import JsonObject

# scores nearer than this part of their spread are equal; float32 has seven digits
TIE = 1e-5
# of the largest value: a model may give one number only, and float32 rounds it at 1e-7
MIN_SPREAD = 1e-4
# a served model gets batches of any size; one and an odd size reveal a fixed batch axis
BATCH_SIZES = (1, 7)
MAX_VALUES = 8  # of the worst sample
NO_SAMPLE = "there is no test sample to compare the ONNX model on; land more data or change 'split'"


@dataclass(frozen=True)
class WorstSample:
    """The sample on which the models differ most, or decide differently if that is the failure.

    Attributes:
        sample: index among the samples compared.
        batch: size of the batches it was in.
        output: name of the output that differs.
        native: output of the trained model: the scores of one pixel or sample, or a number; at most
            8 values.
        onnx: output of the ONNX model.
        place: the sample's position in the test split, its file, row and column; None if unknown.
    """

    sample: int
    batch: int
    output: str
    native: list[float]
    onnx: list[float]
    place: Place | None = None

    @property
    def description(self) -> str:
        """One clause for people."""
        where = f"sample {self.sample}" if self.place is None else place_text(self.place)
        native = ", ".join(f"{value:.6g}" for value in self.native)
        onnx = ", ".join(f"{value:.6g}" for value in self.onnx)
        return f"{where} in batches of {self.batch}: {self.output} {native} trained, {onnx} as ONNX"


@dataclass(frozen=True)
class ParityReport:
    """The comparison of the trained model and its ONNX model.

    Attributes:
        passed: within tolerance at every batch size.
        samples: samples compared.
        difference: largest absolute difference of an output, divided by the spread of the native
            output.
        differing: share of samples of which an output differs by more than `tolerance`, or the
            decision.
        agreement: share of samples with the same class (1 for regression).
        tolerance: what was allowed for `difference`.
        required_agreement: what was required of `agreement`.
        worst: the worst sample; None if no output is compared.
        claimed: False for an imported model, whose trained model is unknown: then its ONNX model
            was compared with itself in batches of other sizes.
    """

    passed: bool
    samples: int
    difference: float
    differing: float
    agreement: float
    tolerance: float
    required_agreement: float
    worst: WorstSample | None
    claimed: bool = True

    @property
    def description(self) -> str:
        """One sentence for people."""
        if not self.claimed and self.passed:
            return (
                "parity is not claimed: the model was imported as an ONNX file, and the model that"
                f" file was made from is unknown; on {self.samples} test samples it gives the same"
                " in batches of any size"
            )
        verdict = "equals" if self.passed else "differs from"
        text = (
            f"ONNX {verdict} the trained model on {self.samples} test samples: largest relative"
            f" difference {self.difference:.2e} (allowed {self.tolerance:.0e}), same decision on"
            f" {self.agreement:.2%} (required {self.required_agreement:.2%})"
        )
        if self.passed or self.worst is None:
            return text
        return f"{text}; worst is {self.worst.description}"

    def document(self) -> JsonObject:
        """The report as JSON values."""
        document = asdict(self)
        # absent where parity was proved, as in the files of older versions
        if self.claimed:
            del document["claimed"]
        return document


def compare_outputs(
    native: Outputs,
    onnx_model: OnnxModel,
    X: NDArray[np.float32],
    task: str,
    limits: Parity,
) -> ParityReport:
    """Run an ONNX model, in one batch and in small ones, and compare it with the trained model.

    Args:
        native: outputs of the trained model for the same samples.
        onnx_model: the ONNX model.
        X: raw samples, float32, (n, *sample_shape).
        task: the model's task.
        limits: the required closeness.

    Raises:
        ParityError: there is no sample.
    """
    if not len(X):
        raise ParityError(NO_SAMPLE)
    spread = {
        name: max(float(np.ptp(values)), MIN_SPREAD * float(np.abs(values).max()), 1e-6)
        for name, values in native.items()
    }
    difference = 0.0
    differing = 0.0
    agreement = 1.0
    furthest: WorstSample | None = None
    undecided: WorstSample | None = None
    for batch in (min(len(X), at_once(X)), *BATCH_SIZES):
        count = min(len(X), 5 * batch) if batch in BATCH_SIZES else len(X)
        found = onnx_model.predict(X[:count], batch)
        differs = np.zeros(count, dtype=bool)
        for name, expected in native.items():
            if name == "label" or name not in found:
                continue
            expected = expected[:count].astype(np.float64)
            given = found[name].reshape(expected.shape).astype(np.float64)
            with np.errstate(invalid="ignore"):
                gap = np.nan_to_num(
                    np.abs(given - expected) / spread[name], nan=np.inf, posinf=np.inf
                )
            differs |= (gap > limits.tolerance).reshape(count, -1).any(axis=1)
            if furthest is None or gap.max() > difference:
                place = np.unravel_index(int(gap.argmax()), gap.shape)
                difference = float(gap[place])
                furthest = _worst(batch, name, place, expected, given)
        if task != "regression":
            margin = TIE * spread.get("scores", 0.0)
            own = {name: value[:count] for name, value in native.items()}
            decided = decide(found)
            same = _same_decision(decided, own, margin)
            differs |= ~same.reshape(count, -1).all(axis=1)
            agreement = min(agreement, float(np.mean(same)))
            if undecided is None and not same.all():
                undecided = _worst(
                    batch, "label", tuple(np.argwhere(~same)[0]), decide(own), decided
                )
        differing = max(differing, float(differs.mean()))
    far = difference > limits.tolerance
    wrong = agreement < limits.agreement
    worst = undecided if wrong and not far else furthest or undecided
    return ParityReport(
        not far and not wrong,
        len(X),
        difference,
        differing,
        agreement,
        limits.tolerance,
        limits.agreement,
        worst,
    )


def located(
    report: ParityReport, committed: CommittedDataset, positions: NDArray[np.int64]
) -> ParityReport:
    """Return a report with the place of its worst sample.

    Args:
        report: of a comparison.
        committed: the data version of the samples.
        positions: position in the test split of each sample that was compared, (n,).
    """
    if report.worst is None:
        return report
    place = place_of(committed, "test", int(positions[report.worst.sample]))
    return replace(report, worst=replace(report.worst, place=place))


def _worst(
    batch: int,
    output: str,
    place: Sequence[np.intp],
    native: NDArray[np.number],
    onnx: NDArray[np.number],
) -> WorstSample:
    """Describe one place of an output: of scores those of all classes there."""
    sample = int(place[0])

    def values(of: NDArray[np.number]) -> list[float]:
        # scores are (n, classes, …)
        found = of[sample][:, *place[2:]] if output == "scores" else of[*place]
        return [float(value) for value in np.atleast_1d(found)[:MAX_VALUES]]

    return WorstSample(sample, batch, output, values(native), values(onnx))


def _same_decision(
    decided: NDArray[np.number], native: Outputs, margin: float
) -> NDArray[np.bool_]:
    """Return True where a decision is the native one, or as good as it.

    Forests often give two classes the same score, and which of them comes first is then a matter of
    the last bit.
    """
    same = np.asarray(decided == decide(native))
    if "scores" in native:
        scores = native["scores"]
        chosen = np.take_along_axis(
            scores, np.expand_dims(decided.astype(np.int64), 1), axis=1
        ).squeeze(1)
        same |= chosen >= scores.max(axis=1) - margin
    return same
