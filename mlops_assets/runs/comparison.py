"""Differences of runs: data, code, environment, parameters, metrics, and outcome.

`reports` and the commands format them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.errors import IntegrityError
from mlops_assets.models.specification import (
    CLASS_METRICS,
    NUMBER_METRICS,
    SINGLE_CLASS_METRICS,
    SMALLER_IS_BETTER,
)
from mlops_assets.paths import model_folder
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import published_metrics, read_published
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject

SECTIONS = ("run", "data", "code", "parameters", "environment", "hardware", "took")
# best at zero, on either side
_NO_DIRECTION = {"bias"}


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix on the test split: counts by true class (rows) and predicted class."""

    classes: list[str]
    counts: list[list[int]]


@dataclass(frozen=True)
class ComparedRun:
    """A run with its series, its environment and the evaluation of its model version.

    Attributes:
        run: its row.
        series: name → [(step, value), …].
        environment: `python` and the installed packages with their versions; None if it was not
            recorded.
        confusion: of its model version, if that was evaluated and is a classifier.
        unmeasured: classes without a metric of its model version, as the test split has no sample
            of them.
    """

    run: Run
    series: Mapping[str, list[tuple[int, float]]]
    environment: Mapping[str, str] | None
    confusion: Confusion | None
    unmeasured: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.run.run_id[:8]

    @property
    def product(self) -> str:
        """Its model version, or its status if there is none."""
        made = self.run.model_version
        return f"{self.run.model}@{made}" if made else f"{self.run.model}, {self.run.status}"


@dataclass(frozen=True)
class Difference:
    """A recorded value that is not the same in all runs; None where a run does not have it."""

    section: str
    what: str
    values: tuple[Json, ...]


@dataclass(frozen=True)
class MetricRow:
    """A metric in all runs.

    Attributes:
        name: of the metric.
        values: one a run; None where a run does not have it.
        comparable: one a run; whether it was measured on the samples of the first.
        best: index of the run that is better than all others, if the direction of the metric is
            known and all were measured on the same samples.
    """

    name: str
    values: tuple[float | None, ...]
    comparable: tuple[bool, ...]
    best: int | None

    @property
    def deltas(self) -> tuple[float | None, ...]:
        """The difference of each value from the first run's; None where it means nothing."""
        first = self.values[0]
        return tuple(
            value - first if comparable and value is not None and first is not None else None
            for value, comparable in zip(self.values, self.comparable, strict=True)
        )

    @property
    def smaller_is_better(self) -> bool | None:
        """True if less is better; None if the direction is unknown."""
        return smaller_is_better(self.name)


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side; the first is what the others are compared with."""

    runs: tuple[ComparedRun, ...]
    differences: tuple[Difference, ...]
    metrics: tuple[MetricRow, ...]
    same_parameters: Mapping[str, Json]

    @property
    def different_data(self) -> str:
        """The reason why not all metrics can be compared, and the remedy; empty if they can."""
        if all(_same_data([compared.run for compared in self.runs])):
            return ""
        versions = dict.fromkeys(f"{c.run.dataset}@{c.run.data_version}" for c in self.runs)
        return (
            f"measured on different samples, of {', '.join(versions)}: metrics of different data"
            " versions are not compared; train on the same version to compare models, e.g."
            f" 'mlops train {self.runs[0].run.model}@{self.runs[-1].run.data_version}'"
        )

    @property
    def unmeasured(self) -> list[str]:
        """The classes without a test sample of each run, joined.

        Empty if all runs were measured on all classes.
        """
        found = [", ".join(compared.unmeasured) or "–" for compared in self.runs]
        return found if any(compared.unmeasured for compared in self.runs) else []

    def of(self, section: str) -> list[Difference]:
        """Return the differences of one section."""
        return [difference for difference in self.differences if difference.section == section]

    def document(self) -> JsonObject:
        """Return everything as JSON values, by run id."""
        ids = [compared.run.run_id for compared in self.runs]
        return {
            "runs": [
                {
                    "run_id": c.run.run_id,
                    "model": c.run.model,
                    "model_version": c.run.model_version,
                    "status": c.run.status,
                    "started": c.run.started.isoformat(),
                    "unmeasured_classes": list(c.unmeasured),
                }
                for c in self.runs
            ],
            "differences": [
                {
                    "section": d.section,
                    "what": d.what,
                    "values": dict(zip(ids, d.values, strict=True)),
                }
                for d in self.differences
            ],
            "metrics": [
                {
                    "metric": m.name,
                    "values": dict(zip(ids, m.values, strict=True)),
                    "deltas": dict(zip(ids, m.deltas, strict=True)),
                    "best": None if m.best is None else ids[m.best],
                }
                for m in self.metrics
            ],
            "same_parameters": dict(self.same_parameters),
            "different_data": self.different_data,
        }


def compare_runs(store: Store, runs: Sequence[Run]) -> Comparison:
    """Compare runs with each other.

    Args:
        store: the project's storage.
        runs: two or more; the first is the one that the others are compared with.

    Raises:
        IntegrityError: a document of a run has changed since it was published.
    """
    compared = tuple(_gathered(store, run) for run in runs)
    parameters = [flat(run.parameters) for run in runs]
    sections: dict[str, Sequence[Mapping[str, Json]]] = {
        "run": [_outcome(run) for run in runs],
        "data": [_data(run) for run in runs],
        "code": [_code(run) for run in runs],
        "parameters": [
            {"seed": run.seed, **found} for run, found in zip(runs, parameters, strict=True)
        ],
        "environment": _environments(compared),
        "hardware": [flat(run.hardware) for run in runs],
        "took": [{"seconds": run.seconds, **run.usage} for run in runs],
    }
    found = [
        Difference(section, what, values)
        for section in SECTIONS
        for what, values in _unequal(sections[section])
    ]
    same = {
        name: value
        for name, value in parameters[0].items()
        if all(name in other and _equal(other[name], value) for other in parameters)
    }
    return Comparison(compared, tuple(found), tuple(_metrics(runs)), same)


def smaller_is_better(metric: str) -> bool | None:
    """Return whether a smaller value of a metric is better; None if that is unknown."""
    name = metric.rpartition("/")[2]
    measure = name.partition(".")[0]
    if name in SMALLER_IS_BETTER or "loss" in name or "error" in name:
        return True
    if name in _NO_DIRECTION:
        return None
    known = {*CLASS_METRICS, *NUMBER_METRICS, *SINGLE_CLASS_METRICS}
    return False if measure in known or "accuracy" in name else None


def recorded_environment(store: Store, run: Run) -> dict[str, str] | None:
    """Return `python` and the packages that a run had installed, with their versions.

    None if they were not recorded.

    Raises:
        IntegrityError: the record has changed since it was written.
    """
    if run.environment is not None:
        try:
            content = store.workspace.get_object(run.environment)
        except IntegrityError as error:
            raise IntegrityError(
                f"the environment of run {run.run_id[:8]} has changed: {error}"
            ) from error
        return environment_versions(json.loads(content))
    document = _published(store, run, "environment.json")
    return None if document is None else environment_versions(json.loads(document))


def environment_versions(document: JsonObject) -> dict[str, str]:
    """Return the versions in a document of `provenance.environment` as one table."""
    packages = document.get("packages")
    versions = {"python": str(document.get("python", ""))}
    if isinstance(packages, dict):
        versions |= {name: str(version) for name, version in packages.items()}
    return versions


def flat(document: Mapping[str, Json], prefix: str = "") -> JsonObject:
    """Return a nested document with dotted names."""
    found: JsonObject = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _gathered(store: Store, run: Run) -> ComparedRun:
    metrics = None
    if run.model_version is not None:
        metrics = published_metrics(store.workspace, store.registry, run.model, run.model_version)
    confusion = None
    if metrics is not None and metrics.confusion_matrix:
        names = [entry.name for entry in metrics.per_class]
        confusion = Confusion(names, metrics.confusion_matrix)
    unmeasured = [] if metrics is None else metrics.unmeasured
    series, environment = store.registry.series(run.run_id), recorded_environment(store, run)
    return ComparedRun(run, series, environment, confusion, tuple(unmeasured))


def _published(store: Store, run: Run, name: str) -> bytes | None:
    """Return the content of a document of a run's model version, or None if there is none."""
    if run.model_version is None:
        return None
    key = f"{model_folder(run.model, run.model_version)}/{name}"
    if not store.registry.files_at(key):
        return None
    return read_published(store.workspace, store.registry, key)


def _outcome(run: Run) -> JsonObject:
    names = ("model", "status", "source", "created_by", "attempts", "error")
    found = {name: getattr(run, name) for name in names}
    return found | {f"tags.{name}": value for name, value in run.tags.items()}


def _data(run: Run) -> JsonObject:
    return {
        "dataset": run.dataset,
        "data version": run.data_version,
        "digest": run.data_digest[:12],
    }


def _code(run: Run) -> JsonObject:
    diff = run.code.get("diff")
    return {
        "trainer": run.trainer,
        "version": run.code_version,
        "uncommitted changes": diff[:12] if diff else None,
    }


def _environments(compared: Iterable[ComparedRun]) -> Sequence[Mapping[str, Json]]:
    """Return the versions if all runs have recorded them, else only which runs have."""
    found = [each.environment for each in compared]
    if any(environment is None for environment in found):
        return [{"recorded": environment is not None} for environment in found]
    return [environment or {} for environment in found]


def _unequal(facts: Sequence[Mapping[str, Json]]) -> Iterable[tuple[str, tuple[Json, ...]]]:
    names = dict.fromkeys(name for fact in facts for name in fact)
    for name in names:
        values = tuple(fact.get(name) for fact in facts)
        if not all(_equal(value, values[0]) for value in values):
            yield name, values


def _equal(first: Json, second: Json) -> bool:
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _metrics(runs: Sequence[Run]) -> Iterable[MetricRow]:
    comparable = _same_data(runs)
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        values = tuple(_number(run.metrics.get(name)) for run in runs)
        best = _best(name, values) if all(comparable) else None
        yield MetricRow(name, values, comparable, best)


def _same_data(runs: Sequence[Run]) -> tuple[bool, ...]:
    """Return for each run whether it used the data of the first."""
    data = [(run.dataset, run.data_digest) for run in runs]
    return tuple(each == data[0] for each in data)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _best(name: str, values: Sequence[float | None]) -> int | None:
    smaller = smaller_is_better(name)
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    if smaller is None or len(known) < 2:
        return None
    values_known = [value for value, _ in known]
    best = min(values_known) if smaller else max(values_known)
    indices = [index for value, index in known if value == best]
    return indices[0] if len(indices) == 1 else None
