"""All models, declared or with a version: what is in production, and how it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, tuple_

from mlops_assets.errors import NotFound
from mlops_assets.hub.views.models.evidence import Evidence, Key, read_evidence
from mlops_assets.hub.views.models.measures import Measure, main_metric, measure_of
from mlops_assets.hub.views.models.monitoring import MonitoredVersion, last_day_of
from mlops_assets.models.gates.outcomes import Verdict
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store

_SHOWN_ALIASES = ("production", "candidate")


@dataclass(frozen=True)
class StandingVersion:
    """A version of a model that an alias names, or its newest.

    Attributes:
        version: of the model.
        data: `dataset@version` that it was trained on.
        metric: the main one; None if it was not measured.
        gates: what came of its gates; None if that is unknown.
        problems: documents of it that cannot be read.
    """

    version: str
    data: str
    metric: Measure | None
    gates: Verdict | None
    problems: list[str]


@dataclass(frozen=True)
class ModelSummary:
    """A model at a glance.

    Attributes:
        name: of the model.
        title: one line for people; None if none is declared.
        declared: whether the project declares it.
        invalid: why its declaration is left out; None if it is not.
        task: such as `classification`; None if unknown.
        dataset: that it is trained on; None if unknown.
        metric: name of its main metric; None if unknown.
        versions: their number.
        trained: when the newest one was made; None if there is none.
        newest: version; None if there is none.
        production, candidate: versions that these aliases name.
        monitored_day: the last monitored day, `YYYY-MM-DD`; None if there is none.
        monitored: of that day, the version with most requests; None if there was no request.
        alarms: number of open ones.
    """

    name: str
    title: str | None
    declared: bool
    invalid: str | None
    task: str | None
    dataset: str | None
    metric: str | None
    versions: int
    trained: datetime | None
    newest: StandingVersion | None
    production: StandingVersion | None
    candidate: StandingVersion | None
    monitored_day: str | None
    monitored: MonitoredVersion | None
    alarms: int


def models_overview(
    store: Store,
    declared: Mapping[str, ModelSpecification],
    left_out: Mapping[str, str],
) -> list[ModelSummary]:
    """Return all models by name: those that have a version, and those that are declared.

    Args:
        store: workspace and registry.
        declared: models of the project, by name.
        left_out: why declarations are not valid, by name; of datasets, too.
    """
    return _summaries(store, declared, left_out, None)


def model_summary(
    store: Store,
    declared: Mapping[str, ModelSpecification],
    left_out: Mapping[str, str],
    model: str,
) -> ModelSummary:
    """Return one model.

    Args:
        store: workspace and registry.
        declared: models of the project, by name.
        left_out: why declarations are not valid, by name; of datasets, too.
        model: its name.

    Raises:
        NotFound: it is not declared, and has no version that the principal may see.
    """
    own = {name: found for name, found in declared.items() if name == model}
    for found in _summaries(store, own, left_out, model):
        return found
    raise NotFound(f"there is no model {model!r}; 'mlops model list' has those with a version")


def _summaries(
    store: Store,
    declared: Mapping[str, ModelSpecification],
    left_out: Mapping[str, str],
    only: str | None,
) -> list[ModelSummary]:
    counted = _counted(store, only)
    named = {
        (model, alias): version
        for (model, version), names in store.registry.all_aliases().items()
        for alias in names
        if alias in _SHOWN_ALIASES and only in (None, model)
    }
    wanted = {(model, version) for (model, _), version in named.items()}
    wanted |= {(model, newest) for model, (_, _, newest) in counted.items()}
    rows = _rows(store, sorted(wanted))
    evidence = read_evidence(store, rows)
    alarms: dict[str, int] = {}
    for alarm in store.registry.alarms(only, only_open=True):
        alarms[alarm.model] = alarms.get(alarm.model, 0) + 1
    # a wrong declaration of a dataset is listed with those of models
    invalid = {name: why for name, why in left_out.items() if name in counted}

    def summary(name: str) -> ModelSummary:
        specification = declared.get(name)
        versions, trained, newest = counted.get(name, (0, None, ""))
        row = rows.get((name, newest))
        task = row.task if row is not None else None
        dataset = row.dataset if row is not None else None
        if specification is not None:
            task, dataset = specification.task, specification.dataset
        metric = None if task is None else main_metric(specification, task)

        def standing(version: str | None) -> StandingVersion | None:
            found = None if version is None else rows.get((name, version))
            if found is None:
                return None
            return _standing(found, metric, evidence[(name, found.version)])

        day, monitored = last_day_of(store, name)
        return ModelSummary(
            name=name,
            title=None if specification is None else specification.title,
            declared=specification is not None,
            invalid=invalid.get(name),
            task=task,
            dataset=dataset,
            metric=metric,
            versions=versions,
            trained=trained,
            newest=standing(newest),
            production=standing(named.get((name, "production"))),
            candidate=standing(named.get((name, "candidate"))),
            monitored_day=day,
            monitored=monitored,
            alarms=alarms.get(name, 0),
        )

    return [summary(name) for name in sorted({*counted, *declared})]


def _counted(store: Store, only: str | None) -> dict[str, tuple[int, datetime, str]]:
    """Return for each model, or one, its number of versions, and time and name of the newest."""
    number, last = func.count(), func.max(ModelVersion.created)
    grouped = select(ModelVersion.model, number, last).group_by(ModelVersion.model)
    if only is not None:
        grouped = grouped.where(ModelVersion.model == only)
    with store.registry.reading() as session:
        counts = {model: (count, when) for model, count, when in session.execute(grouped)}
        pairs = [(model, when) for model, (_, when) in counts.items()]
        newest = select(ModelVersion.model, ModelVersion.version).where(
            tuple_(ModelVersion.model, ModelVersion.created).in_(pairs)
        )
        found = session.execute(newest).all() if pairs else []
    return {model: (*counts[model], version) for model, version in found}


def _rows(store: Store, keys: Sequence[Key]) -> dict[Key, ModelVersion]:
    """Return the rows of model versions that the principal may see."""
    query = select(ModelVersion).where(tuple_(ModelVersion.model, ModelVersion.version).in_(keys))
    with store.registry.reading() as session:
        return {(row.model, row.version): row for row in session.scalars(query)} if keys else {}


def _standing(row: ModelVersion, metric: str | None, evidence: Evidence) -> StandingVersion:
    intervals = None if evidence.metrics is None else evidence.metrics.intervals
    return StandingVersion(
        version=row.version,
        data=f"{row.dataset}@{row.data_version}",
        metric=(
            measure_of(metric, row.metrics[metric], intervals)
            if metric is not None and metric in row.metrics
            else None
        ),
        gates=None if evidence.gates is None else evidence.gates.verdict,
        problems=evidence.problems,
    )
