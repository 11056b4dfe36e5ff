"""Metrics as pages show them, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from mlops_assets.choices import Task
from mlops_assets.hub.views.numbers import finite
from mlops_assets.models.specification import (
    CLASS_METRICS,
    MAIN_METRIC,
    NUMBER_METRICS,
    ModelSpecification,
)
from mlops_assets.registry.model_documents import Intervals


@dataclass(frozen=True)
class Measure:
    """A metric of the test split.

    Attributes:
        name: of the metric.
        value: None if it was not measured, or is not finite.
        lower, upper: ends of its confidence interval; None if that is unknown.
    """

    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None


def measures_of(metrics: Mapping[str, object], intervals: Intervals | None) -> list[Measure]:
    """Return metrics with their intervals, in the order of the registry."""
    return [measure_of(name, value, intervals) for name, value in metrics.items()]


def measure_of(name: str, value: object, intervals: Intervals | None) -> Measure:
    """Return one metric with its interval.

    Args:
        name: of the metric.
        value: as the registry has it.
        intervals: of the same version; None if they are unknown.
    """
    ends = None if intervals is None else intervals.metrics.get(name)
    lower, upper = (None, None) if ends is None else map(finite, ends)
    return Measure(name, finite(value), lower, upper)


def main_metric(specification: ModelSpecification | None, task: str) -> str | None:
    """Return the metric by which versions of a model are compared.

    That is the metric of its first gate that is one of the test split, else the main one of the
    task.

    Args:
        specification: the model as declared; None if it is not.
        task: of its versions.
    """
    for gate in () if specification is None else specification.gates:
        if gate.slice is None and gate.metric in (*CLASS_METRICS, *NUMBER_METRICS):
            return gate.metric
    return MAIN_METRIC.get(cast(Task, task))
