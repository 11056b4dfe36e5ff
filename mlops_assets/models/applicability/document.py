"""The published applicability of a model version.

`applicability.json` has how it was measured, and `applicability.parquet` its reference points, a
column each predictor or feature, scaled and weighted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from mlops_assets.errors import IntegrityError
from mlops_assets.models.applicability.index import Applicability, ErrorProfile, Space
from mlops_assets.models.onnx.features import FEATURES_FILE
from mlops_assets.models.specification import OUTSIDE, Gate
from mlops_assets.paths import applicability_key, applicability_references_key, model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.model_documents import Document
from mlops_assets.store import Store

MAX_OUTSIDE = 0.2  # share, beyond which there is a warning


class Axis(Document):
    """A predictor or feature: its name, and how its values are scaled and weighted."""

    name: str
    centre: float
    scale: float
    weight: float


class Weighting(Document):
    """How the weights were measured.

    Attributes:
        split: the samples are of.
        samples: their number.
        error: what grew when a predictor was permuted.
    """

    split: str
    samples: int
    error: str


class Training(Document):
    """The training samples.

    Attributes:
        samples: number of those that the index is made from: pixels, of windows.
        read: samples of the split that were read, of `total`.
        left_out: samples with missing values.
        compared: what a sample is compared with, e.g. `samples of other groups (farm)`.
    """

    samples: int
    read: int
    total: int
    left_out: int
    compared: str


class Tested(Document):
    """The index on the test split.

    Attributes:
        samples: their number.
        outside: the share of them outside the area of applicability.
        difference: the largest difference of their index from that to all training samples.
    """

    samples: int
    outside: float
    difference: float


class Target(Document):
    """The index on pixels of the scenes that the dataset's `target_area` declares.

    Attributes:
        pixels: their number.
        outside: the share of them outside the area of applicability.
    """

    pixels: int
    outside: float


class Profile(Document):
    """Index → expected error, see `ErrorProfile`."""

    measure: str
    split: str
    samples: int
    di: list[float]
    error: list[float]


class Measured(Document):
    """What was measured.

    Attributes:
        space: see `Applicability`.
        threshold: see `Applicability`.
        mean_distance: see `Applicability`.
        references: number of reference points.
        gap: see `Applicability`.
        onnx: sha256 of the model's file.
        features: sha256 of the file that gives features; None if predictors describe samples, and
            in documents that do not state it.
        points: sha256 of the file of reference points; None in documents that do not state it.
        axes: predictors or features.
        weighted: how weights were measured; None for equal weights.
        training: the samples behind the references.
        test: None without test samples.
        profile: None if there are too few samples.
        target: None without scenes to be mapped, and where features describe samples.
    """

    space: Space
    threshold: float
    mean_distance: float
    references: int
    gap: float
    onnx: str
    axes: list[Axis]
    weighted: Weighting | None
    training: Training
    test: Tested | None
    profile: Profile | None
    target: Target | None = None
    features: str | None = None
    points: str | None = None

    @property
    def outside(self) -> tuple[float, str] | None:
        """The share outside, and of what: of the target area if known, else of the test split."""
        if self.target is not None:
            return self.target.outside, f"{self.target.pixels} pixels of the target area"
        if self.test is not None:
            return self.test.outside, f"{self.test.samples} test samples"
        return None

    def error_profile(self) -> ErrorProfile | None:
        """Return the error profile for computations; None if there is none."""
        own = self.profile
        if own is None:
            return None
        di, error = (np.array(knots, dtype=np.float32) for knots in (own.di, own.error))
        return ErrorProfile(own.measure, own.split, own.samples, di, error)


class ApplicabilityDocument(Document):
    """The `applicability.json` of a model version.

    Attributes:
        unknown: why nothing is known; None if something is.
        measured: what is known.
        notes: for people.
    """

    unknown: str | None = None
    measured: Measured | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def description(self) -> str:
        """One line for people."""
        if self.measured is None:
            return f"not known: {self.unknown}"
        text = f"threshold {self.measured.threshold:.3f} in the space of {self.measured.space}"
        if self.measured.outside is not None:
            share, what = self.measured.outside
            text += f", {share:.1%} of {what} outside"
        return text


def read_document(store: Store, row: ModelVersion) -> ApplicabilityDocument | None:
    """Return the published document of a model version; None if there is none.

    Raises:
        IntegrityError: it is not as it was published.
    """
    key = applicability_key(row.model, row.version)
    if not store.registry.files_at(key):
        return None
    content = read_published(store.workspace, store.registry, key)
    return ApplicabilityDocument.model_validate_json(content)


def read_applicability(store: Store, row: ModelVersion) -> Applicability | None:
    """Return the published applicability of a model version; None if nothing is known.

    That of another ONNX file, which was exported before, does not count.

    Raises:
        IntegrityError: a file of it is not as it was published, or is another one than its
            document states.
    """
    document = read_document(store, row)
    if document is None or document.measured is None:
        return None
    (onnx,) = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    if document.measured.onnx != onnx.sha256:
        return None
    for problem in other_files(store, row, document.measured):
        raise IntegrityError(f"{problem}; materialise {row.model}/applicability again")
    key = applicability_references_key(row.model, row.version)
    return restored(document.measured, read_published(store.workspace, store.registry, key))


def other_files(store: Store, row: ModelVersion, measured: Measured) -> Iterator[str]:
    """Yield what is published beside an applicability and is another file than it was made with.

    Args:
        store: workspace and registry.
        row: the model version.
        measured: its applicability, of the `model.onnx` that is published.
    """
    folder = model_folder(row.model, row.version)
    stated = {
        f"{folder}/{FEATURES_FILE}": measured.features,
        applicability_references_key(row.model, row.version): measured.points,
    }
    published = {file.path: file.sha256 for file in store.registry.files_at(*stated)}
    for key, sha256 in stated.items():
        if sha256 is not None and published.get(key) != sha256:
            yield f"{key} is not the file that the applicability was measured with"


def references_parquet(applicability: Applicability) -> bytes:
    """Return the reference points as Parquet, a column for each predictor or feature."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(applicability.references.T)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=list(applicability.names)), sink)
    return sink.getvalue()


def restored(measured: Measured, parquet: bytes) -> Applicability:
    """Return the applicability that was published.

    Args:
        measured: of its document.
        parquet: its reference points.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(parquet))
    columns = [column.to_numpy() for column in table.columns]
    return Applicability(
        measured.space,
        tuple(axis.name for axis in measured.axes),
        np.array([axis.centre for axis in measured.axes]),
        np.array([axis.scale for axis in measured.axes]),
        np.array([axis.weight for axis in measured.axes]),
        np.stack(columns, axis=1).astype(np.float32),
        mean_distance=measured.mean_distance,
        threshold=measured.threshold,
        gap=measured.gap,
        profile=measured.error_profile(),
    )


def outside_check(document: ApplicabilityDocument, gates: Sequence[Gate]) -> tuple[bool, str]:
    """Return whether the share outside is low enough, and a sentence on it.

    Args:
        document: of the model version.
        gates: of the model; without one on `outside`, `MAX_OUTSIDE` is accepted.
    """
    limits = [gate.max for gate in gates if gate.metric == OUTSIDE and gate.max is not None]
    limit = min(limits, default=MAX_OUTSIDE)
    if document.measured is None:
        return False, f"not known: {document.unknown}"
    if document.measured.outside is None:
        return False, "not known: the test split has no sample"
    share, what = document.measured.outside
    found = f"{share:.1%} of {what} are outside the area of applicability"
    if share <= limit:
        return True, f"{found}, at most {limit:.1%} accepted"
    return False, f"{found}, and {limit:.1%} are accepted: train on samples like them"
