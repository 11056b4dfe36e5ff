"""The best version of a model on a data version, and the one in production."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlops_assets.models.specification import (
    MAIN_METRIC,
    ModelSpecification,
    is_minimised,
    magnitude,
)
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry


@dataclass(frozen=True)
class Standing:
    """The versions that any other version on the same data is compared with.

    Attributes:
        metric: the metric by which the best one is best: that of the first gate, else the task's.
        best: the best version that was evaluated on the data version; None if there is none.
        production: the version in production; None if there is none.
        comparable: whether that was evaluated on the same data version: metrics on other test
            samples are not compared.
    """

    metric: str
    best: ModelVersion | None
    production: ModelVersion | None
    comparable: bool


def standing(registry: Registry, specification: ModelSpecification, row: ModelVersion) -> Standing:
    """Return the versions that a model version is compared with; it may be one of them itself.

    Args:
        registry: contains them.
        specification: the model as declared.
        row: the model version.
    """
    gates = specification.gates
    metric = gates[0].metric if gates else MAIN_METRIC[specification.task]
    alike = registry.model_versions(row.model, dataset=row.dataset, data_version=row.data_version)
    # of equal ones, the earlier one
    best = min(
        (other for other in alike if metric in measured(other)),
        key=lambda other: _rank(metric, measured(other)[metric]),
        default=None,
    )
    production = None
    if "production" in registry.aliases(row.model):
        production = registry.model_version(Reference(row.model, "production"))
    comparable = production is not None and (production.dataset, production.data_version) == (
        row.dataset,
        row.data_version,
    )
    return Standing(metric, best, production, comparable)


def measured(row: ModelVersion) -> dict[str, float]:
    """Return the metrics of a model version on the test split, as far as they are finite."""
    # the registry keeps NaN and infinities as text
    values = {name: float(value) for name, value in row.metrics.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _rank(metric: str, value: float) -> float:
    """Return a number that is smaller for better values of a metric."""
    compared = magnitude(metric, value)
    return compared if is_minimised(metric) else -compared
