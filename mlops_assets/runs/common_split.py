"""Models of runs measured on the test split of one data version, whatever they were trained on.

Nothing is published: the samples are read, the ONNX files are run, and their metrics returned.
`comparison` puts them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.datasets.diff.diff import file_changes
from mlops_assets.datasets.diff.match_samples import match_samples
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    EvaluationError,
    ExportError,
    SignatureRefused,
    SpecificationError,
)
from mlops_assets.models.evaluation.evaluate import measure_version
from mlops_assets.models.evaluation.tally import Evaluation
from mlops_assets.models.signature import fitting_data
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.names import Reference
from mlops_assets.progress import each
from mlops_assets.registry import Run
from mlops_assets.registry.model_documents import Signature
from mlops_assets.registry.schema import STAGES
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject


@dataclass(frozen=True)
class Overlap:
    """Samples of the common test split that a run has used before.

    Attributes:
        train: number of them in the training split of the run's own data version.
        validation: the same of its validation split, by which trainers may stop or choose.
    """

    train: int = 0
    validation: int = 0


@dataclass(frozen=True)
class Measured:
    """The model of a run on the common test split.

    Attributes:
        evaluation: None if it could not be measured.
        reason: why it could not; empty if it was.
        overlap: test samples that the run has used before.
    """

    evaluation: Evaluation | None
    reason: str = ""
    overlap: Overlap = Overlap()

    def document(self) -> JsonObject:
        """Return what is not a metric as JSON values."""
        return {
            "not_measured": self.reason or None,
            "test_samples_trained_on": self.overlap.train,
            "test_samples_validated_on": self.overlap.validation,
        }


@dataclass(frozen=True)
class CommonSplit:
    """The test split of one data version, and the models of runs on it.

    Attributes:
        reference: `dataset@version`.
        digest: of the data version.
        samples: number of its test samples.
        measured: one a run, in their order.
    """

    reference: str
    digest: str
    samples: int
    measured: tuple[Measured, ...]

    def notices(self, runs: Sequence[Run]) -> list[str]:
        """Return what has to be known before the metrics are read, each in one line.

        Args:
            runs: those that were measured, in their order.
        """
        test = f"the {self.samples} test samples of {self.reference}"
        notices = [f"measured on {test}, for this comparison only; nothing was published"]
        for run, found in zip(runs, self.measured, strict=True):
            short = run.run_id[:8]
            if found.evaluation is None:
                notices.append(f"{short} is not measured: {found.reason}")
                continue
            used = {"trained on": found.overlap.train, "validated on": found.overlap.validation}
            counts = [f"{how} {count}" for how, count in used.items() if count]
            if counts:
                notices.append(
                    f"{short} was {' and '.join(counts)} of {test}, so its metrics are too good;"
                    " name a version whose test split it has not used"
                )
        return notices

    def document(self) -> JsonObject:
        """Return the data version as JSON values."""
        return {
            "data_version": self.reference,
            "digest": self.digest,
            "samples": self.samples,
        }


def measure_on(store: Store, runs: Sequence[Run], reference: Reference) -> CommonSplit:
    """Measure the models of runs on the test split of one data version.

    Samples are the same where they are at the same place of the same file, by its path or its
    bytes; rows of tables that have changed where they have the same features.

    Args:
        store: the project's storage.
        runs: the runs.
        reference: the data version; the newest of its dataset if it names none.

    Raises:
        NotFound: there is no such data version.
        IntegrityError: a file of the data version or of a model is not as it was published.
        EvaluationError: the data version has no test sample, or no model can be measured on it.
    """
    committed = CommittedDataset.open(store.workspace, store.registry, reference)
    samples = len(committed.split("test"))
    if not samples:
        raise EvaluationError(
            f"{committed.reference} has no test sample; name another version of"
            f" {committed.row.dataset}"
        )
    overlaps: dict[tuple[str, str], Overlap] = {}
    measured = []
    for run in each("measuring models", runs, "models"):
        found = _measured(store, run, committed)
        if found.evaluation is not None:
            own = (run.dataset, run.data_version)
            if own not in overlaps:
                overlaps[own] = _overlap(store, Reference(*own), committed)
            found = Measured(found.evaluation, overlap=overlaps[own])
        measured.append(found)
    if not any(found.evaluation for found in measured):
        reasons = (
            f"{run.run_id[:8]}: {found.reason}" for run, found in zip(runs, measured, strict=True)
        )
        raise EvaluationError(
            f"no model can be measured on {committed.reference}: {'; '.join(reasons)}"
        )
    return CommonSplit(committed.reference, committed.row.digest, samples, tuple(measured))


def _measured(store: Store, run: Run, committed: CommittedDataset) -> Measured:
    if run.model_version is None:
        return Measured(None, f"it has no model version (status {run.status})")
    row = store.registry.model_version(Reference(run.model, run.model_version))
    if STAGES.index(row.stage) < STAGES.index("exported"):
        return Measured(None, f"it has no ONNX file, as {row.model}@{row.version} was not exported")
    try:
        require_signature(store, row)
        name = f"{row.model}@{row.version}"
        data = fitting_data(name, row.task, Signature.of(row), committed)
        return Measured(measure_version(store, row, data))
    except (EvaluationError, ExportError, SignatureRefused, SpecificationError) as error:
        return Measured(None, str(error))


def _overlap(store: Store, own: Reference, committed: CommittedDataset) -> Overlap:
    """Count the test samples of a data version that are in other splits of another."""
    trained = CommittedDataset.open(store.workspace, store.registry, own)
    if trained.row.digest == committed.row.digest:
        return Overlap()
    files = file_changes(trained.manifest, committed.manifest)
    before, after = match_samples(trained, committed, files.renamed, files.changed["path"])
    tested = committed.samples["split"].to_numpy(dtype=object)[after] == "test"
    used = trained.samples["split"].to_numpy(dtype=object)[before][tested]
    return Overlap(int(np.sum(used == "train")), int(np.sum(used == "validation")))
