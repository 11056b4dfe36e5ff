"""The documents of a model version that later stages and other processes read.

The row of a model version has its signature, as JSON; `metrics.json` is a published file. Fields
that newer releases add are kept.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.errors import IntegrityError
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


class ClassMetrics(Document):
    """The metrics of one class; what is read of them.

    Attributes:
        name: of the class.
        samples: number of test samples, or of their pixels; None in old documents.
    """

    name: str = Field(alias="class", coerce_numbers_to_str=True)
    samples: int | None = None


class Metrics(Document):
    """The `metrics.json` of a model version, measured on the test split; what is read of it.

    Attributes:
        per_class: in the order of class indices; empty for regression.
        confusion_matrix: counts, true classes in rows; None for regression.
    """

    per_class: list[ClassMetrics] = []
    confusion_matrix: list[list[int]] | None = None

    @property
    def unmeasured(self) -> list[str]:
        """The classes without a test sample, which have no metrics."""
        return [entry.name for entry in self.per_class if entry.samples == 0]
