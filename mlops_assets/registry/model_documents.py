"""The documents of a model version that later stages and other processes read.

The row of a model version has its signature, as JSON; `metrics.json` is a published file. Fields
that newer releases add are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.errors import IntegrityError
from mlops_assets.paths import model_folder
from mlops_assets.registry.schema import ModelVersion
from mlops_assets.text.json_values import JsonObject


class Document(BaseModel):
    """A document that is read, whatever else is in it."""

    model_config = ConfigDict(extra="allow", frozen=True)


class OutputClass(Document):
    """A class that a model predicts.

    Attributes:
        name: its name.
        value: its value in label files and maps.
    """

    name: str
    value: int | float | str


class Signature(Document):
    """The inputs and outputs of a model, written once, when it is trained.

    Attributes:
        view: how a sample is shaped.
        shape: shape of one sample, without the batch axis; features or bands first.
        features: names of the features or bands that the ONNX file takes, raw, in this order.
        source_features: names of all features or bands of the data it was trained on.
        scaling: MLM Value Scaling Object of each feature, which the ONNX file applies itself; None
            if the model takes raw values.
        classes: in the order of its scores; None for regression.
        apply_scale: whether it takes physical values, by scale and offset of each scene.
        architecture: name of the architecture.
        parameters: number of trained parameters; None where unknown.
    """

    view: Literal["row", "pixel", "patch", "window", "image"]
    shape: list[int]
    features: list[str]
    source_features: list[str] = Field(default_factory=lambda known: known["features"])
    scaling: list[dict[str, int | float | str]] | None = None
    classes: list[OutputClass] | None = None
    apply_scale: bool = False
    architecture: str
    parameters: int | None = None

    @classmethod
    def of(cls, row: ModelVersion) -> Signature:
        """Return the signature of a model version.

        Raises:
            IntegrityError: its row holds something else.
        """
        try:
            return cls.model_validate(row.signature)
        except ValidationError as error:
            # without a place where the signature is not a mapping at all
            found = [str(entry["loc"][0]) for entry in error.errors() if entry["loc"]]
            fields = ", ".join(dict.fromkeys(found))
            raise IntegrityError(
                f"the signature of {row.model}@{row.version} in the registry is not valid: check"
                f" {fields or 'all of it'}; restore the registry from a backup"
            ) from error

    def document(self) -> JsonObject:
        """Return the fields that were given, as JSON values, as the registry keeps them."""
        return self.model_dump(mode="json", exclude_unset=True)


# samples that are run together: activations inside a network are many times as large as a sample
MAX_AT_ONCE = 1024
BYTES_AT_ONCE = 16 << 20


def samples_at_once(shape: Sequence[int]) -> int:
    """Return the batch size for samples of a shape: many rows, few windows.

    Args:
        shape: of one sample, without the batch axis.
    """
    return max(1, min(MAX_AT_ONCE, BYTES_AT_ONCE // max(1, 4 * math.prod(shape))))


def unused_value(values: Sequence[int]) -> int:
    """Return the value of a map's pixels without a class.

    It is the largest free number of the smallest type that holds all classes, else one more.

    Args:
        values: of the classes.
    """
    import numpy as np

    span = np.iinfo(np.result_type(*(np.min_scalar_type(value) for value in values)))
    taken = set(values)
    free = (number for number in range(span.max, span.min - 1, -1) if number not in taken)
    return next(free, int(span.max) + 1)


class ClassMetrics(Document):
    """The metrics of one class; what is read of them.

    Attributes:
        name: of the class.
        samples: number of test samples, or of their pixels; None in old documents.
        precision, recall, f1, iou: on the test split.
    """

    name: str = Field(alias="class", coerce_numbers_to_str=True)
    samples: int | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    iou: float | None = None


class SliceMetrics(Document):
    """The metrics of a part of the test split, under their names.

    Attributes:
        value: of the column that divides the split.
    """

    value: str = Field(coerce_numbers_to_str=True)

    def metric(self, name: str) -> float | None:
        """Return a metric; None if it was not measured."""
        found = (self.model_extra or {}).get(name)
        return None if found is None else float(found)


class Intervals(Document):
    """Confidence intervals of metrics, by bootstrap.

    Attributes:
        confidence: e.g. 0.95.
        resampled: what was drawn, such as blocks or samples.
        units: number of those.
        metrics: metric → lower and upper end.
    """

    confidence: float
    resampled: str
    units: int
    metrics: dict[str, tuple[float, float]]


class Metrics(Document):
    """The `metrics.json` of a model version, measured on the test split; what is read of it.

    Attributes:
        samples: number of test samples; None in old documents.
        intervals: of the metrics; None in old documents.
        per_class: in the order of class indices; empty for regression.
        confusion_matrix: counts, true classes in rows; None for regression.
        slices: column that divides the split → its parts.
    """

    samples: int | None = None
    intervals: Intervals | None = None
    per_class: list[ClassMetrics] = []
    confusion_matrix: list[list[int]] | None = None
    slices: dict[str, list[SliceMetrics]] = {}

    @property
    def unmeasured(self) -> list[str]:
        """The classes without a test sample, which have no metrics."""
        return [entry.name for entry in self.per_class if entry.samples == 0]


class BatchLatency(Document):
    """The time that a model takes for some samples at once.

    Attributes:
        samples: their number.
        median_ms, p90_ms: of the runs, in milliseconds.
        runs: how often it was measured.
    """

    samples: int
    median_ms: float
    p90_ms: float
    runs: int


class Latency(Document):
    """The `latency.json` of a model version: times of the ONNX model on a machine.

    Attributes:
        host: name of the machine.
        cpu: name of its processor; empty if unknown.
        threads: processors that the model could use.
        runtime: name and version of what ran it.
        one: of one sample.
        batch: of as many samples as are run together.
    """

    host: str
    cpu: str
    threads: int
    runtime: str
    one: BatchLatency
    batch: BatchLatency


class SharedFile(Document):
    """A file of a model version in another workspace.

    Attributes:
        name: below the folder of the version.
        sha256: of its bytes.
        size: in bytes.
    """

    name: str
    sha256: str
    size: int


class SharedModel(Document):
    """The `shared.json` of a model version that is used from another workspace.

    Attributes:
        workspace: URL of the other workspace.
        record: URL of the version's Item there.
        model, version: its names there.
        run_id: of the run that has trained it.
        dataset, data_version, data_digest: that it was trained on.
        files: that it has there, but for signatures and what came of gates; `model.onnx` is read
            there, where it is used.
    """

    workspace: str
    record: str
    model: str
    version: str
    run_id: str
    dataset: str
    data_version: str
    data_digest: str
    files: list[SharedFile]

    @property
    def reference(self) -> str:
        """`model@version`, as it is called there."""
        return f"{self.model}@{self.version}"

    @property
    def onnx_key(self) -> str:
        """Key of its ONNX file in that workspace."""
        return f"{model_folder(self.model, self.version)}/model.onnx"

    @property
    def onnx_file(self) -> SharedFile:
        """Its ONNX file."""
        return next(file for file in self.files if file.name == "model.onnx")

    @property
    def onnx_url(self) -> str:
        """URL of that file."""
        return f"{self.workspace}/{self.onnx_key}"
