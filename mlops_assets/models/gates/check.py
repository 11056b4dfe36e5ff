"""The check of a model version against its gates.

Floors and ceilings are of what was measured at evaluation; a comparison with another version runs
both, see `comparison`, once for each version and newest data version.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import (
    EvaluationError,
    ExportError,
    IntegrityError,
    NotFound,
    SpecificationError,
    StorageError,
    StorageUnreachable,
)
from mlops_assets.models.applicability.document import read_document
from mlops_assets.models.gates.outcomes import Evidence, GateOutcome, Verdict
from mlops_assets.models.specification import (
    OUTSIDE,
    Gate,
    class_metric,
    is_minimised,
    magnitude,
)
from mlops_assets.names import Reference
from mlops_assets.paths import comparison_key, model_folder, model_owner
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_metrics, read_published
from mlops_assets.registry.model_documents import Latency, Metrics
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.models.gates.comparison import Comparison
    from mlops_assets.models.gates.paired_tally import MetricComparison

# below which nothing is decided: intervals of fewer do not hold
MIN_UNITS = 20
MAX_NEEDED = 100_000  # test units; more are not worth naming


def check_gates(
    store: Store,
    row: ModelVersion,
    gates: Sequence[Gate],
    run: bool = True,
    made: dict[str, Comparison] | None = None,
) -> list[GateOutcome]:
    """Check a model version against gates; a metric that was not measured passes none.

    Args:
        store: workspace and registry, also for the versions that gates compare with.
        row: the evaluated model version.
        gates: the rules, as declared.
        run: whether to run models that have not been compared yet, and publish that; otherwise
            such a gate is undecided.
        made: comparisons by their keys, for callers that check twice: one that is there is taken,
            and each that is made is added, also where the principal may not publish it.

    Returns:
        An outcome for each rule.

    Raises:
        IntegrityError: a document of the version is not as it was published.
    """
    checked = _CheckedVersion(store, row, run, {} if made is None else made)
    return [outcome for gate in gates for outcome in checked.outcomes(gate)]


def decide(found: MetricComparison, margin: float) -> tuple[Verdict, int | None]:
    """Return the verdict of a comparison, and about how many more units would decide it.

    The number is that at which bounds as wide as these, shrinking with the root of the number of
    units, would not contain the margin any more.

    Args:
        found: the metric of both versions.
        margin: by how much the version may be worse.

    Returns:
        The verdict, and the number; None if it is decided, or the number cannot be estimated.
    """
    if found.units < MIN_UNITS:
        return "cannot tell", MIN_UNITS - found.units
    if found.half_width is None:
        return "cannot tell", None
    beyond = found.difference + margin
    # of differences such as 0.8 - 0.78
    if beyond - found.half_width >= -1e-12:
        return "passed", None
    if beyond + found.half_width < 0:
        return "failed", None
    more = found.units * ((found.half_width / beyond) ** 2 - 1) if beyond else math.inf
    return "cannot tell", max(1, math.ceil(more)) if more <= MAX_NEEDED else None


class _CheckedVersion:
    """A model version whose gates are checked; each document is read once."""

    def __init__(
        self, store: Store, row: ModelVersion, run: bool, made: dict[str, Comparison]
    ) -> None:
        self._store = store
        self._row = row
        self._run = run
        self._made = made
        self._compared: dict[str, Comparison | str] = {}

    def outcomes(self, gate: Gate) -> Iterator[GateOutcome]:
        """Yield the outcome of each rule of a gate."""
        value, reason = self._measured(gate)
        if value is not None and math.isnan(value):
            value, reason = None, "it is not a number"
        if gate.min is not None:
            passed = value is not None and value >= gate.min
            yield GateOutcome(f"{gate.subject} ≥ {gate.min:g}", passed, value, gate.min, reason)
        if gate.max is not None:
            passed = value is not None and value <= gate.max
            name = f"{gate.subject} ≤ {gate.max:g}"
            undecided = gate.metric == OUTSIDE and value is None
            yield GateOutcome(name, passed, value, gate.max, reason, undecided=undecided)
        if gate.not_worse_than is not None:
            yield self._not_worse(gate, gate.not_worse_than, value, reason)

    @cached_property
    def _document(self) -> Metrics:
        row = self._row
        found = published_metrics(
            self._store.workspace, self._store.registry, row.model, row.version
        )
        return found or Metrics()

    @cached_property
    def _latency(self) -> Latency | None:
        key = f"{model_folder(self._row.model, self._row.version)}/latency.json"
        if not self._store.registry.files_at(key):
            return None
        content = read_published(self._store.workspace, self._store.registry, key)
        return Latency.model_validate_json(content)

    def _measured(self, gate: Gate) -> tuple[float | None, str | None]:
        """Return the metric of a gate; or None, and why, where that is not the split's doing."""
        if gate.slice is not None:
            return self._of_slice(gate.metric, *next(iter(gate.slice.items())))
        if gate.metric == OUTSIDE:
            return self._outside()
        if gate.metric == "size_mb":
            key = f"{model_folder(self._row.model, self._row.version)}/model.onnx"
            (file,) = self._store.registry.files_at(key)
            return file.size / 1e6, None
        if gate.metric in ("latency_ms", "batch_latency_ms"):
            if self._latency is None:
                return None, "it was evaluated by an earlier release; evaluate it again"
            part = self._latency.one if gate.metric == "latency_ms" else self._latency.batch
            return part.median_ms, f"{part.samples} sample(s) on {self._latency.host}"
        # the registry keeps NaN and infinities as text
        value = self._row.metrics.get(gate.metric)
        if value is None and (of_class := class_metric(gate.metric)):
            return self._of_class(*of_class)
        return None if value is None else float(value), None

    def _outside(self) -> tuple[float | None, str | None]:
        found = read_document(self._store, self._row)
        if found is None:
            return None, "its applicability was not measured; materialise it"
        if found.measured is None:
            return None, f"its applicability is not known: {found.unknown}"
        if found.measured.outside is None:
            return None, f"{self._data} has no test sample"
        return found.measured.outside

    def _of_class(self, measure: str, name: str) -> tuple[float | None, str | None]:
        classes = {entry.name: entry for entry in self._document.per_class}
        if name not in classes:
            there = ", ".join(classes) or "no class was measured"
            return None, f"there is no class {name!r} in {self._data}: {there}"
        if not classes[name].samples:
            return None, f"no test sample of {self._data} is of class {name!r}"
        return getattr(classes[name], measure), None

    def _of_slice(self, metric: str, column: str, value: str) -> tuple[float | None, str | None]:
        slices = self._document.slices
        if column not in slices:
            there = ", ".join(slices) or "none"
            return None, f"{self._data} has no slices by {column!r}; it has: {there}"
        parts = {part.value: part for part in slices[column]}
        if value not in parts:
            there = ", ".join(sorted(parts))
            return (
                None,
                f"{self._data} has no slice {column}={value} of 10 samples; it has: {there}",
            )
        return parts[value].metric(metric), None

    @property
    def _data(self) -> str:
        return f"{self._row.dataset}@{self._row.data_version}"

    def _not_worse(
        self, gate: Gate, alias: str, value: float | None, reason: str | None
    ) -> GateOutcome:
        name = f"{gate.metric} not worse than {alias} (tolerance {gate.tolerance:g})"
        registry = self._store.registry
        version = registry.aliases(self._row.model).get(alias)
        if version in (None, self._row.version):
            why = f"no version is {alias} yet" if version is None else f"it is {alias} itself"
            return GateOutcome(name, value is not None, value, None, reason or why, alias)
        if (self._row.model, version) in registry.deprecated_versions(self._row.model):
            why = f"{alias} {version} is deprecated, and not compared with"
            return GateOutcome(name, value is not None, value, None, reason or why, alias)
        comparison = self._comparison(str(version))
        if isinstance(comparison, str):
            return GateOutcome(name, False, None, None, comparison, alias, undecided=True)
        return _outcome(name, gate, comparison)

    def _comparison(self, version: str) -> Comparison | str:
        """Return the comparison with another version, or why there is none."""
        if version not in self._compared:
            self._compared[version] = self._compare(version)
        return self._compared[version]

    def _compare(self, version: str) -> Comparison | str:
        from mlops_assets.models.gates.comparison import Comparison, compare

        registry, row = self._store.registry, self._row
        other = registry.model_version(Reference(row.model, version))
        data = registry.data_version(Reference(row.dataset))
        key = comparison_key(row.model, row.version, version, data.version)
        known = self._made.get(key)
        if known is None and registry.files_at(key):
            content = read_published(self._store.workspace, registry, key)
            known = Comparison.model_validate_json(content)
        if known is not None and known.onnx == _onnx_files(self._store, row, other):
            return known
        reference = Reference(data.dataset, data.version)
        if not self._run:
            return f"not compared with {version} on {reference} yet; promotion does"
        try:
            found = compare(self._store, row, other, reference)
        except StorageUnreachable:
            raise
        except (
            EvaluationError,
            ExportError,
            IntegrityError,
            NotFound,
            SpecificationError,
            StorageError,
        ) as error:
            return f"it cannot be compared with {version} on {reference}: {error}"
        self._made[key] = found
        if Role.SCIENTIST in registry.principal.roles:
            with publication(self._store.workspace, registry) as publishing:
                publishing.put(key, json_bytes(found.model_dump(mode="json")))
                registry.add_files(model_owner(row.model, row.version), publishing.files)
        return found


def _onnx_files(store: Store, *rows: ModelVersion) -> list[str]:
    """Return the checksums of ONNX files, which an export again may change."""
    keys = [f"{model_folder(row.model, row.version)}/model.onnx" for row in rows]
    found = {file.path: file.sha256 for file in store.registry.files_at(*keys)}
    return [found.get(key, "") for key in keys]


def _outcome(name: str, gate: Gate, comparison: Comparison) -> GateOutcome:
    """Return the outcome of a gate by a comparison with another version."""
    found = comparison.metrics.get(gate.metric)
    other = f"{gate.not_worse_than} {comparison.other}"
    where = f"{comparison.units} {comparison.unit} of {comparison.data}"
    if comparison.left_out:
        where += f", {comparison.left_out} left out as training has seen them"
    verdict: Verdict = "failed"
    needed: int | None = None
    low = high = limit = None
    reason = f"not measured of both versions on {where}"
    if found is not None:
        margin = gate.tolerance if is_minimised(gate.metric) else -gate.tolerance
        limit = magnitude(gate.metric, found.other) + margin
        verdict, needed = decide(found, gate.tolerance)
        reason = f"{other} has {found.other:.4f} on {where}; better by {found.difference:+.4f}"
        if found.half_width is not None:
            low, high = found.difference - found.half_width, found.difference + found.half_width
            reason += f", 95 % bounds {low:+.4f} and {high:+.4f}"
    elif comparison.units < MIN_UNITS:
        verdict, needed = "cannot tell", MIN_UNITS - comparison.units
        reason = f"{other} was compared on {where}"
    if verdict == "cannot tell":
        reason += f": {_needed(needed)}"
    evidence = Evidence(
        other=comparison.other,
        data=comparison.data,
        unit=comparison.unit,
        units=comparison.units,
        left_out=comparison.left_out,
        difference=found.difference if found else None,
        low=low,
        high=high,
        needed=needed,
    )
    value = found.value if found else None
    return GateOutcome(
        name,
        verdict == "passed",
        value,
        limit,
        reason,
        gate.not_worse_than,
        undecided=verdict == "cannot tell",
        evidence=evidence,
    )


def _needed(units: int | None) -> str:
    if units is None:
        return "far more test units needed"
    return f"about {units} more test unit{'s' * (units != 1)} needed"
