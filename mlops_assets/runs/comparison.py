"""Differences of runs: data, code, environment, parameters, metrics, and outcome.

`reports` and the commands format them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.models.specification import (
    CLASS_METRICS,
    NUMBER_METRICS,
    SIGNED,
    SINGLE_CLASS_METRICS,
    SMALLER_IS_BETTER,
)
from mlops_assets.names import Reference
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import published_metrics
from mlops_assets.runs.environment import recorded_environment
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject

if TYPE_CHECKING:
    from mlops_assets.models.evaluation.bootstrap import Interval
    from mlops_assets.models.evaluation.tally import Evaluation
    from mlops_assets.runs.common_split import CommonSplit, Measured

SECTIONS = ("run", "data", "code", "parameters", "environment", "hardware", "took")


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
        metrics: what it logged and what its model version was measured by; on a common test split
            only the latter.
        measured_on: data version whose test split its model version was measured on; empty if it
            was not.
        measured: its model version on the common test split, if there is one.
    """

    run: Run
    series: Mapping[str, list[tuple[int, float]]]
    environment: Mapping[str, str] | None
    confusion: Confusion | None
    unmeasured: tuple[str, ...]
    metrics: Mapping[str, object]
    measured_on: str
    measured: Measured | None = None

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
            known, all were measured on the same samples, and none was trained on some of them.
        intervals: one a run; the 95 % confidence interval on a common test split, None if there is
            none.
    """

    name: str
    values: tuple[float | None, ...]
    comparable: tuple[bool, ...]
    best: int | None
    intervals: tuple[Interval | None, ...]

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
    on: CommonSplit | None = None

    @property
    def different_data(self) -> str:
        """The reason why not all metrics can be compared, and the remedy; empty if they can."""
        if self.on is not None or all(_same_data([compared.run for compared in self.runs])):
            return ""
        versions = list(dict.fromkeys(f"{c.run.dataset}@{c.run.data_version}" for c in self.runs))
        return (
            f"measured on different samples, of {', '.join(versions)}: metrics of different data"
            f" versions are not compared; {self._remedy()}"
        )

    @property
    def notices(self) -> list[str]:
        """What has to be known before the metrics are read, each in one line."""
        if self.on is not None:
            return self.on.notices([compared.run for compared in self.runs])
        return [self.different_data] if self.different_data else []

    def _remedy(self) -> str:
        """Return how to compare the models on the test split of one data version, the newest."""
        # v10 comes after v9; a growing dataset moves no sample of an older training split into it
        oldest, *_, newest = sorted(
            (compared.run for compared in self.runs),
            key=lambda run: (len(run.data_version), run.data_version),
        )
        if sum(compared.run.model_version is not None for compared in self.runs) < 2:
            return (
                "train on the same version to compare models, e.g."
                f" 'mlops train {oldest.model}@{newest.data_version}'"
            )
        ids = " ".join(compared.short for compared in self.runs)
        version = f"{newest.dataset}@{newest.data_version}"
        return f"to measure all models on one test split: 'mlops run compare {ids} --on {version}'"

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
                    "measured_on": c.measured_on or None,
                    **({} if c.measured is None else c.measured.document()),
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
                    **(
                        {"intervals": dict(zip(ids, map(_ends, m.intervals), strict=True))}
                        if self.on
                        else {}
                    ),
                }
                for m in self.metrics
            ],
            "same_parameters": dict(self.same_parameters),
            "different_data": self.different_data,
            "test_split": None if self.on is None else self.on.document(),
        }


def compare_runs(store: Store, runs: Sequence[Run], on: Reference | None = None) -> Comparison:
    """Compare runs with each other.

    Args:
        store: the project's storage.
        runs: two or more; the first is the one that the others are compared with.
        on: a data version, to measure all models on its test split; metrics as recorded if None.

    Raises:
        IntegrityError: a document of a run, or what is measured now, has changed since it was
            published.
        NotFound: there is no such data version.
        EvaluationError: no model can be measured on the data version.
    """
    common = None
    if on is not None:
        from mlops_assets.runs.common_split import measure_on

        common = measure_on(store, runs, on)
    compared = tuple(
        _gathered(store, run, common, None if common is None else common.measured[number])
        for number, run in enumerate(runs)
    )
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
    return Comparison(compared, tuple(found), tuple(_metrics(compared)), same, common)


def smaller_is_better(metric: str) -> bool | None:
    """Return whether a smaller value of a metric is better; None if that is unknown."""
    name = metric.rpartition("/")[2]
    measure = name.partition(".")[0]
    if name in SMALLER_IS_BETTER or "loss" in name or "error" in name:
        return True
    if name in SIGNED:
        return None
    known = {*CLASS_METRICS, *NUMBER_METRICS, *SINGLE_CLASS_METRICS}
    return False if measure in known or "accuracy" in name else None


def flat(document: Mapping[str, Json], prefix: str = "") -> JsonObject:
    """Return a nested document with dotted names."""
    found: JsonObject = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _gathered(
    store: Store, run: Run, common: CommonSplit | None, measured: Measured | None
) -> ComparedRun:
    series, environment = store.registry.series(run.run_id), recorded_environment(store, run)
    if common is not None and measured is not None:
        evaluation = measured.evaluation
        return ComparedRun(
            run,
            series,
            environment,
            None if evaluation is None else _confusion(evaluation),
            () if evaluation is None else tuple(evaluation.unmeasured),
            {} if evaluation is None else evaluation.metrics,
            "" if evaluation is None else common.reference,
            measured,
        )
    metrics = None
    if run.model_version is not None:
        metrics = published_metrics(store.workspace, store.registry, run.model, run.model_version)
    confusion = None
    if metrics is not None and metrics.confusion_matrix:
        names = [entry.name for entry in metrics.per_class]
        confusion = Confusion(names, metrics.confusion_matrix)
    return ComparedRun(
        run,
        series,
        environment,
        confusion,
        () if metrics is None else tuple(metrics.unmeasured),
        run.metrics,
        "" if metrics is None else f"{run.dataset}@{run.data_version}",
    )


def _confusion(evaluation: Evaluation) -> Confusion | None:
    if evaluation.confusion is None:
        return None
    names: list[str] = evaluation.per_class["class"].tolist()
    counts: list[list[int]] = evaluation.confusion.tolist()
    return Confusion(names, counts)


def _outcome(run: Run) -> JsonObject:
    names = ("model", "status", "source", "created_by", "attempts", "error")
    found = {name: getattr(run, name) for name in names}
    return found | {f"tags.{name}": value for name, value in run.all_tags.items()}


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
        "container": run.code.get("container"),
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


def _metrics(runs: Sequence[ComparedRun]) -> Iterable[MetricRow]:
    alike = _same_samples(runs)
    fair = all(alike) and not any(each.measured and each.measured.overlap.train for each in runs)
    for name in dict.fromkeys(name for each in runs for name in each.metrics):
        values = tuple(_number(each.metrics.get(name)) for each in runs)
        intervals = tuple(_interval(each, name) for each in runs)
        yield MetricRow(name, values, alike, _best(name, values) if fair else None, intervals)


def _same_samples(runs: Sequence[ComparedRun]) -> tuple[bool, ...]:
    """Return for each run whether it was measured on the samples of the first."""
    if any(each.measured for each in runs):
        return tuple(True for _ in runs)
    return _same_data([each.run for each in runs])


def _interval(compared: ComparedRun, name: str) -> Interval | None:
    evaluation = compared.measured and compared.measured.evaluation
    return evaluation.intervals.get(name) if evaluation else None


def _ends(interval: Interval | None) -> list[Json] | None:
    return None if interval is None else list(interval)


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
