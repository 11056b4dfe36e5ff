"""The published reference of a model version.

`reference.json` has how its training values are distributed, and `reference.parquet` the values, a
column each feature.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops_assets.models.reference.measures import DriftMeasures
from mlops_assets.registry.model_documents import Document


class ReferenceFeature(Document):
    """A feature, or a statistic of a band, of the training samples.

    Attributes:
        name: its name.
        minimum: of its finite values; None if there are none.
        maximum: of them.
        deviation: their standard deviation; 0 where they are equal.
        missing: share of values that are missing or infinite.
        edges: upper ends of all bins but the last, see `statistics.Bins`.
        counts: finite values in each bin, one more than edges.
    """

    name: str
    minimum: float | None
    maximum: float | None
    deviation: float
    missing: float
    edges: list[float]
    counts: list[int]


class PredictionCounts(Document):
    """Predictions of the model on samples of its data.

    Attributes:
        kind: `classes`, each counted under its index, or `numbers` in bins.
        edges: of the bins of numbers, as of features; empty for classes.
        train: predictions of training samples, by class or bin.
        test: of test samples; empty if there are none.
    """

    kind: Literal["classes", "numbers"]
    edges: list[float] = Field(default_factory=list)
    train: list[int]
    test: list[int]


class Referred(Document):
    """What days are compared with.

    Attributes:
        onnx: sha256 of the model's file.
        values: sha256 of `reference.parquet`.
        samples: training samples that it holds, of `total`.
        total: training samples.
        features: in the order of its columns.
        predictions: None if the model gives no class or number a sample.
        test: drift of the test split against these; None without test samples.
    """

    onnx: str
    values: str
    samples: int
    total: int
    features: list[ReferenceFeature]
    predictions: PredictionCounts | None
    test: DriftMeasures | None


class ReferenceDocument(Document):
    """The `reference.json` of a model version.

    Attributes:
        unknown: why there is no reference; None if there is one.
        referred: what days are compared with.
    """

    unknown: str | None = None
    referred: Referred | None = None
