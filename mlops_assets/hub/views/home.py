"""Home: what needs attention, what is running, what is new, and what is in production."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from mlops_assets.datasets.quality.checks import written_checks
from mlops_assets.datasets.quality.published import published_report
from mlops_assets.hub.views import addresses
from mlops_assets.hub.views.data.published import files_of
from mlops_assets.hub.views.in_production import InProduction, in_production
from mlops_assets.hub.views.kept import SharedReads
from mlops_assets.hub.views.numbers import finite
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.monitoring.rules import headline_of
from mlops_assets.registry import DataVersion, Run
from mlops_assets.runs import activity
from mlops_assets.store import Store
from mlops_assets.training.sweeps.trials import SWEEP

MAX_NEWEST = 6
MAX_WAITING = 50
MAX_KEPT = 64  # states of the page, of which each user has their own
MAX_SECONDS = 60.0  # that one is kept, as runs fail and wait by the clock, too


@dataclass(frozen=True)
class Attention:
    """Something that a user has to look at or decide.

    Attributes:
        kind: `alarm`, `failed run`, `failed check` if it blocks training and `warning` if not,
            `approval`, `promotion` or `training`.
        subject: what it is about, as a reference or the beginning of a run id.
        path: of its page.
        detail: one line.
        command: that shows or does it.
    """

    kind: str
    subject: str
    path: str
    detail: str
    command: str


@dataclass(frozen=True)
class RunningRun:
    """A run under way.

    Attributes:
        run_id: of it.
        model: that it trains.
        data: reference of the data version.
        started: when.
        created_by: who has started it; None if unknown.
        host: machine that it runs on.
        step: last one that it has logged; None before the first.
        note: newest values of a few metrics.
        alive: whether its process is running; None if that is on another machine.
        sweep: that it is a trial of; None if it is none.
    """

    run_id: str
    model: str
    data: str
    started: datetime
    created_by: str | None
    host: str
    step: int | None
    note: str
    alive: bool | None
    sweep: str | None


@dataclass(frozen=True)
class RunningWork:
    """What is running now.

    Attributes:
        runs: under way, oldest first.
        sweeps: with a trial under way: name, model and trials in each state.
    """

    runs: list[RunningRun]
    sweeps: list[activity.Sweep]


@dataclass(frozen=True)
class NewData:
    """A data version that is new. `size` in bytes."""

    reference: str
    created: datetime
    created_by: str
    samples: int
    files: int
    size: int


@dataclass(frozen=True)
class NewModel:
    """A model version that is new.

    Attributes:
        reference: `model@version`.
        data: reference of its data version.
        created: when.
        metric: name of its main metric; None if it is not evaluated yet.
        value: of the metric on the test split; None if it is not finite.
        stage: that it has reached.
        aliases: of it.
    """

    reference: str
    data: str
    created: datetime
    metric: str | None
    value: float | None
    stage: str
    aliases: list[str]


@dataclass(frozen=True)
class Counts:
    """Numbers of what the workspace has."""

    datasets: int
    data_versions: int
    runs: int
    models: int
    model_versions: int


@dataclass(frozen=True)
class Home:
    """The home page, but for what is running.

    Attributes:
        counts: of all there is.
        attention: most urgent first.
        data: newest data versions.
        models: newest model versions.
        production: of each model that has one, the version in production.
    """

    counts: Counts
    attention: list[Attention]
    data: list[NewData]
    models: list[NewModel]
    production: list[InProduction]


class HomeView:
    """The home page of a project; what it reads is kept until the registry changes."""

    def __init__(self, declared: Mapping[str, ModelSpecification]) -> None:
        """Make the view.

        Args:
            declared: models of the project, by name.
        """
        self._declared = declared
        self._kept: SharedReads[Home] = SharedReads(MAX_KEPT, MAX_SECONDS)

    def read(self, store: Store) -> Home:
        """Return the home page for the principal of a store."""
        registry = store.registry
        entry = registry.newest_entry()  # before it is read, so that no change is missed
        question = (registry.url, store.workspace.url, registry.principal, entry)
        return self._kept.get(question, lambda: _home(store, self._declared))


def running_work(store: Store) -> RunningWork:
    """Return what is running now, with the newest metrics."""
    found = activity.running(store.registry)
    runs = [
        RunningRun(
            run_id=each.run.run_id,
            model=each.run.model,
            data=f"{each.run.dataset}@{each.run.data_version}",
            started=each.run.started,
            created_by=each.run.created_by,
            host=each.run.host,
            step=each.step,
            note=each.note,
            alive=each.alive,
            sweep=each.run.tags.get(SWEEP),
        )
        for each in found
    ]
    return RunningWork(runs, activity.sweeps_of(store.registry, found))


def _home(store: Store, declared: Mapping[str, ModelSpecification]) -> Home:
    registry = store.registry
    aliases = registry.all_aliases()
    # none of these reads all versions, of which there may be a hundred thousand
    models = registry.count_model_versions()
    datasets = registry.newest_data_versions()
    with registry.reading() as session:
        runs = session.scalar(select(func.count()).select_from(Run)) or 0
    return Home(
        counts=Counts(
            datasets=len(datasets),
            data_versions=sum(found.versions for found in datasets),
            runs=runs,
            models=len(models),
            model_versions=sum(models.values()),
        ),
        attention=list(_attention(store, declared, [found.row for found in datasets])),
        data=[
            NewData(
                f"{row.dataset}@{row.version}",
                row.created,
                row.created_by,
                row.samples,
                row.files,
                row.size,
            )
            for row in registry.newest_committed(MAX_NEWEST)
        ],
        models=[
            NewModel(
                reference=f"{row.model}@{row.version}",
                data=f"{row.dataset}@{row.data_version}",
                created=row.created,
                metric=(metric := headline_of(row.metrics)),
                value=finite(row.metrics[metric]) if metric else None,
                stage=row.stage,
                aliases=aliases.get((row.model, row.version), []),
            )
            for row in registry.newest_model_versions(MAX_NEWEST)
        ],
        production=in_production(store),
    )


def _attention(
    store: Store, declared: Mapping[str, ModelSpecification], data: list[DataVersion]
) -> Iterator[Attention]:
    """Yield what needs attention, most urgent first."""
    registry = store.registry
    for alarm in registry.alarms(only_open=True)[::-1]:
        reference = f"{alarm.model}@{alarm.version}"
        yield Attention(
            "alarm",
            reference,
            f"{addresses.model_path(alarm.model)}?tab=monitoring",
            f"{alarm.rule} fails since {alarm.day}: {alarm.text}",
            f"mlops alarm show {alarm.id}",
        )
    failed = activity.failed(registry)
    for run in failed:
        work = f"{run.run.model} on {run.run.dataset}@{run.run.data_version}"
        yield Attention(
            "failed run",
            run.run.run_id[:8],
            addresses.run_path(run.run.run_id),
            f"{work}: {run.error}",
            run.command,
        )
    yield from _failed_checks(store, data)
    known = {
        name: activity.DeclaredModel(model.dataset, model.gates, model.approval)
        for name, model in declared.items()
    }
    begun = [
        *registry.runs(status="running"),
        *(each.run for each in failed),
    ]
    for number, waiting in enumerate(activity.waiting(store, known, begun)):
        if number == MAX_WAITING:
            return
        yield Attention(
            waiting.what,
            waiting.subject,
            addresses.model_path(waiting.subject),
            waiting.detail,
            waiting.command,
        )


def _failed_checks(store: Store, data: list[DataVersion]) -> Iterator[Attention]:
    """Yield the failed checks of the newest version of each dataset, as they were published.

    Those that block training come first.
    """
    assessed = files_of(store, data, "quality.json")
    for row in data:
        if (row.dataset, row.version) not in assessed:
            continue
        report = published_report(store.workspace, store.registry, row)
        failed = (
            [] if report is None else [each for each in written_checks(report) if not each.passed]
        )
        failed.sort(key=lambda check: not check.blocking)
        if failed:
            reference = f"{row.dataset}@{row.version}"
            names = ", ".join(check.name for check in failed)
            first = failed[0].description
            yield Attention(
                "failed check" if failed[0].blocking else "warning",
                reference,
                f"{addresses.data_path(reference)}?tab=quality",
                f"{names}: {first}" if len(failed) == 1 else f"{names}; first: {first}",
                f"mlops dataset show {reference}",
            )
