"""Drift of columns in a fresh process: `python -m benchmarks.drift_steps FOLDER`.

It reads `reference.npy` and `day.npy`. The reference is sorted before, as it is once a version.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measured import Steps
from mlops_assets.models.reference.statistics import (
    Bins,
    jensen_shannon,
    psi,
    sorted_distances,
)
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared, TrainingReference, sorted_finite


def main(folder: Path) -> None:
    """Measure each statistic alone, and all of them with the classifier."""
    training, day = (np.load(folder / f"{name}.npy") for name in ("reference", "day"))
    steps = Steps()
    names = [f"feature_{place}" for place in range(training.shape[1])]
    nothing = Compared(training[:0], None)
    with steps.step("reference"):
        reference = summarise(names, Compared(training, None), nothing, [])
        values = reference.sorted_values
    with steps.step("sorted"):
        for own, column in zip(values, day.T, strict=True):
            sorted_distances(own, sorted_finite(column))
    for name, distance in (("psi", psi), ("jensenshannon", jensen_shannon)):
        with steps.step(name):
            for counts, found in _counts(reference, day):
                distance(counts, found)
    with steps.step("all"):
        measured = reference.drift(Compared(day, None))
    first = next(own for own in measured.features if own.name == names[0])
    steps.report(wasserstein=first.wasserstein, psi=first.psi, jensenshannon=first.jensen_shannon)


def _counts(
    reference: TrainingReference, day: NDArray[np.float32]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return [
        (np.array(own.counts), Bins(np.array(own.edges)).counts(sorted_finite(column)))
        for own, column in zip(reference.referred.features, day.T, strict=True)
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
