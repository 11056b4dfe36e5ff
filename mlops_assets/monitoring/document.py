"""The `monitoring.json` of a model on a day: how each version that was served did.

Written by `mlops_assets.monitoring.day`; read by checks, reports, the hub and lineage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mlops_assets.models.reference.document import Referred
from mlops_assets.models.reference.measures import DriftMeasures as DriftMeasures
from mlops_assets.models.reference.measures import FeatureDrift as FeatureDrift
from mlops_assets.registry.model_documents import Document

# `unknown`: too few samples, or nothing to compare with
Verdict = Literal["passed", "warned", "failed", "unknown"]


class Interval(Document):
    """A number with its confidence interval.

    Attributes:
        value: the number.
        lower: end of the interval; None if it is unknown.
        upper: the other end.
        samples: that it was measured on.
    """

    value: float
    lower: float | None = None
    upper: float | None = None
    samples: int


class Quality(Document):
    """The quality of the samples of a day.

    Attributes:
        samples: their number.
        kept: of them, those whose inputs were kept.
        invalid: share of samples with missing or infinite values.
        beyond: share of samples with a value beyond those of training.
        constant: features that have one value only, unlike in training.
    """

    samples: int
    kept: int
    invalid: float
    beyond: float
    constant: list[str] = Field(default_factory=list)


class Drift(Document):
    """The drift of a day, and that of the test split for comparison.

    Attributes:
        day: of the samples of the day.
        test: of the test split against the training split; None if it is unknown.
        reference: training samples that both are compared with; None if that is unknown.
        predicted: training samples whose predictions they are compared with; None likewise.
        classes: that predictions are counted by; None of numbers.
    """

    day: DriftMeasures
    test: DriftMeasures | None = None
    reference: int | None = None
    predicted: int | None = None
    classes: int | None = None

    @classmethod
    def of(cls, day: DriftMeasures, referred: Referred) -> Drift:
        """Return the drift of a day.

        Args:
            day: its measures.
            referred: what it was compared with.
        """
        counts = referred.predictions
        return cls(
            day=day,
            test=referred.test,
            reference=referred.samples,
            predicted=None if counts is None else sum(counts.train),
            classes=len(counts.train) if counts is not None and counts.kind == "classes" else None,
        )


class Outside(Document):
    """The share of samples outside the area of applicability.

    Attributes:
        share: of the samples whose index is known; None if there are none.
        samples: their number.
        test: share of the test split; None if it is unknown.
        unknown: why it is unknown; None if it is not.
    """

    share: float | None = None
    samples: int = 0
    test: float | None = None
    unknown: str | None = None


class Live(Document):
    """Metrics of the samples that have labels.

    Attributes:
        samples: with a label, of `total`.
        metrics: name → value with its interval.
        test: the same metrics of the test split.
        slices: column that the truth file has → its value → metrics.
    """

    samples: int
    total: int
    metrics: dict[str, Interval]
    test: dict[str, float]
    slices: dict[str, dict[str, dict[str, Interval]]] = Field(default_factory=dict)


class Estimate(Document):
    """What a metric is expected to be, without labels.

    Attributes:
        metric: its name.
        value: for the samples inside the area of applicability; None if it cannot be estimated.
        not_estimable: share of the samples that are outside of it, or whose index is unknown; 1
            without a value.
        method: how it was estimated.
        reason: why there is no value; None if there is one.
    """

    metric: str
    value: Interval | None
    not_estimable: float
    method: str
    reason: str | None = None


class Rule(Document):
    """A rule of monitoring, and its outcome.

    Attributes:
        name: such as `max_outside`.
        verdict: its outcome.
        value: that was compared with the limit; None if it is unknown.
        limit: that decided; None if there is none.
        text: for people.
    """

    name: str
    verdict: Verdict
    value: float | None = None
    limit: float | None = None
    text: str


class MappedArea(Document):
    """A map of a day.

    Attributes:
        name: of the map.
        area: that it is of; None for a map of scenes alone.
        outside: share outside the area of applicability; None if it is unknown.
    """

    name: str
    area: str | None = None
    outside: float | None = None


class VersionDay(Document):
    """How a model version did on a day.

    Attributes:
        version: of the model.
        data_version: that it was trained on, `dataset@version`.
        run_id: of its training run.
        code_version: of the trainer's package in that run.
        onnx: sha256 of its file.
        requests: logged.
        latency_ms: `p50`, `p95` and `p99`, in milliseconds.
        quality: of the samples.
        outside: of the samples.
        drift: of the samples; None without reference.
        live: None without labels.
        estimate: None without samples.
        maps: of the day.
        rules: and their outcomes.
    """

    version: str
    data_version: str
    run_id: str
    code_version: str
    onnx: str
    requests: int
    latency_ms: dict[str, float] = Field(default_factory=dict)
    quality: Quality | None = None
    outside: Outside | None = None
    drift: Drift | None = None
    live: Live | None = None
    estimate: Estimate | None = None
    maps: list[MappedArea] = Field(default_factory=list)
    rules: list[Rule] = Field(default_factory=list)

    def rule(self, name: str) -> Rule | None:
        """Return a rule; None if there is none of this name."""
        return next((rule for rule in self.rules if rule.name == name), None)


class MonitoringDocument(Document):
    """The `monitoring.json` of a model on a day.

    Attributes:
        model: its name.
        day: `YYYY-MM-DD`, UTC.
        software: name → version of what has made it.
        inputs: published files that it was made from → sha256.
        dropped: requests that the log has dropped, as far as known.
        versions: that were served, the one with most requests first.
    """

    model: str
    day: str
    software: dict[str, str]
    inputs: dict[str, str]
    dropped: int = 0
    versions: list[VersionDay] = Field(default_factory=list)

    def outcomes(self) -> Mapping[str, Rule]:
        """Return rule → its worst outcome over all versions; unknown if it is so for each."""
        # a version of a few requests, as before a promotion, leaves the other's outcome as it is
        order = ("failed", "warned", "passed", "unknown")
        found: dict[str, Rule] = {}
        for version in self.versions:
            for rule in version.rules:
                worst = found.get(rule.name)
                if worst is None or order.index(rule.verdict) < order.index(worst.verdict):
                    found[rule.name] = rule
        return found
