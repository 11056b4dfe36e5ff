"""Two model versions on the same test samples: the differences of their metrics, with bounds.

Both ONNX models run over the test split of one data version, batch by batch, side by side. Samples
that either has seen are left out. Nothing is decided here; that is in `check`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlops_assets.datasets.loading.training_data import BATCH_BYTES, TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import EvaluationError, SpecificationError
from mlops_assets.models.evaluation.bootstrap import MAX_PAIRED_UNITS, bags
from mlops_assets.models.evaluation.evaluate import require_usable
from mlops_assets.models.evaluation.slices import independent_units
from mlops_assets.models.gates.paired_tally import (
    MetricComparison,
    PairedClasses,
    PairedNumbers,
    PairedTally,
)
from mlops_assets.models.gates.seen_samples import seen_samples
from mlops_assets.models.onnx.graph import kind_of_scores
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.registry.model_documents import Signature
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store


class Comparison(BaseModel):
    """A model version compared with another one, as it is published.

    Attributes:
        version: the version.
        other: the version that it is compared with.
        onnx: sha256 of the ONNX files of the two.
        data: `dataset@version` of the test split.
        unit: name of the independent units.
        units: number of units that were compared.
        left_out: number of units that were left out entirely, as one of the two has seen them.
        samples: number of labelled samples or pixels that were compared.
        metrics: metric → comparison; those that were measured of both.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    other: str
    onnx: list[str]
    data: str
    unit: str
    units: int
    left_out: int
    samples: int
    metrics: dict[str, MetricComparison]


def compare(store: Store, row: ModelVersion, other: ModelVersion, data: Reference) -> Comparison:
    """Compare a model version with another one on the test split of a data version.

    Args:
        store: workspace and registry.
        row: the model version.
        other: the version that it is compared with.
        data: the data version.

    Raises:
        SpecificationError: the data version does not have what one of them takes.
        EvaluationError: one of them returns something that is not a prediction.
        IntegrityError: an ONNX file or a document is not as it was published.
        NotFound: a data version that one of them was trained on is not there.
    """
    test = CommittedDataset.open(store.workspace, store.registry, data)
    if row.task != other.task:
        raise SpecificationError(f"{row.version} is for {row.task}, {other.version} {other.task}")
    units = independent_units(test, "test")
    fresh = np.ones(len(units.codes), dtype=bool)
    for version in {(each.dataset, each.data_version) for each in (row, other)}:
        trained_on = CommittedDataset.open(store.workspace, store.registry, Reference(*version))
        fresh &= ~seen_samples(test, trained_on)
    models = [_Contestant(store, each, test) for each in (row, other)]
    tally = (
        PairedClasses(
            models[0].data.class_names,
            [each.classes for each in models],
            [each.scores for each in models],
        )
        if row.task != "regression"
        else PairedNumbers()
    )
    title = f"comparing {row.model}@{row.version} with {other.version}"
    held, samples = _run(models, tally, units.codes, fresh, title)
    return Comparison(
        version=row.version,
        other=other.version,
        onnx=[each.sha256 for each in models],
        data=test.reference,
        unit=units.name,
        units=int(held.sum()),
        left_out=len(np.setdiff1d(units.codes, units.codes[fresh])),
        samples=samples,
        metrics=tally.metrics(int(held.sum())),
    )


class _Contestant:
    """One of the two models, with the samples as it takes them."""

    def __init__(self, store: Store, row: ModelVersion, test: CommittedDataset) -> None:
        import onnx

        signature = Signature.of(row)
        if signature.apply_scale != test.is_scaled:
            raise SpecificationError(
                f"{row.version} takes {'physical' if signature.apply_scale else 'stored'} values,"
                f" and {test.reference} has others"
            )
        self.name = f"{row.model}@{row.version}"
        self.data = TrainingData(test, row.task, signature.view, signature.features)
        key = f"{model_folder(row.model, row.version)}/model.onnx"
        path = published_path(store.workspace, store.registry, key)
        self.sha256 = sha256_of(path)
        self.model = OnnxModel(path)
        self.scores = kind_of_scores(onnx.load(path), row.framework)
        self.classes = [entry.name for entry in signature.classes or []]

    @property
    def widest(self) -> int:
        """Numbers of a sample or of its scores, whichever are more."""
        shape = self.data.sample_shape
        pixels = int(np.prod(shape[1:])) if self.data.view == "window" else 1
        return max(int(np.prod(shape)), len(self.classes) * pixels)

    def predict(
        self,
        X: NDArray[np.float32],
        truth: NDArray[np.int64 | np.float64],
        positions: NDArray[np.int64],
    ) -> tuple[NDArray[np.number], NDArray[np.number] | None]:
        """Return predictions, and scores if the model has any.

        Args:
            X: samples.
            truth: their labels.
            positions: of each sample in the test split.

        Raises:
            EvaluationError: an output is not a prediction.
        """
        outputs = self.model.predict(X)
        predicted = decide(outputs)
        try:
            require_usable(outputs, predicted, truth, len(self.classes), self.data, positions)
        except EvaluationError as error:
            raise EvaluationError(f"{self.name}: {error}") from error
        return predicted, outputs.get("scores")

    def takes_the_samples_of(self, other: _Contestant) -> bool:
        """Return whether both take the same arrays."""
        mine, theirs = self.data, other.data
        return (mine.view, mine.features) == (theirs.view, theirs.features)


def _run(
    models: Sequence[_Contestant],
    tally: PairedTally,
    units: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    title: str,
) -> tuple[NDArray[np.bool_], int]:
    """Run both models, batch by batch, and count what they predict.

    Args:
        models: the two.
        tally: counts predictions.
        units: unit of each test sample, (n,).
        fresh: whether it is compared, (n,).
        title: of the step.

    Returns:
        For each unit, whether it has a labelled sample that was compared; and the number of those.

    Raises:
        EvaluationError: an output is not a prediction.
    """
    held = np.zeros(int(units.max(initial=-1)) + 1, dtype=bool)
    in_bags = np.full(len(units), -1)
    # of the units that are left, so that no bag is empty
    _, left = np.unique(units[fresh], return_inverse=True)
    in_bags[fresh] = bags(left.astype(np.int64), MAX_PAIRED_UNITS)
    first, second = models
    size = max(1, BATCH_BYTES // (4 * max(model.widest for model in models)))
    apart = None if second.takes_the_samples_of(first) else second.data.batches("test", size)
    start = samples = 0
    with step(title, len(fresh), "samples") as done:
        for X, y in first.data.batches("test", size):
            inputs = [X, X if apart is None else next(apart)[0]]
            part = fresh[start : start + len(X)]
            positions = start + np.flatnonzero(part)
            truth = y[part]
            known = tally.known(truth)
            sample = positions[np.nonzero(known)[0]]
            held[units[sample]] = True
            samples += len(sample)
            for number, model in enumerate(models if len(sample) else ()):
                predicted, scores = model.predict(inputs[number][part], truth, positions)
                tally.count(
                    number,
                    truth[known],
                    predicted[known],
                    None if scores is None else np.moveaxis(scores, 1, -1)[known],
                    in_bags[sample],
                )
            start += len(X)
            done.advance(len(X))
    return held, samples
