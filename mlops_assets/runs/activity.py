"""The activity in a workspace: running and failed runs, and pending decisions.

Only the registry and published documents are read, and nothing is changed.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select

from mlops_assets.errors import IntegrityError
from mlops_assets.models.approval.standing import approval_check, newest_decision
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.promotion import NO_APPROVAL
from mlops_assets.models.specification import Approval, Gate
from mlops_assets.names import Reference
from mlops_assets.registry import Checkpoint, ModelVersion, Registry, Run
from mlops_assets.registry.model_versions import ListedVersion
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.training.process.run_progress import MAX_POINTS, newest_metrics
from mlops_assets.training.provenance import process_alive
from mlops_assets.training.sweeps.trials import SWEEP

RECENT = timedelta(hours=24)
MAX_FAILED = 5


@dataclass(frozen=True)
class Running:
    """A training run under way.

    Attributes:
        run: its row.
        step: the last step that it has logged; None before the first.
        metrics: the newest value of each metric.
        note: the newest values of a few metrics as a text.
        alive: whether its process is running; None if that is on another machine.
    """

    run: Run
    step: int | None
    metrics: dict[str, float]
    note: str
    alive: bool | None


@dataclass(frozen=True)
class Sweep:
    """A sweep with a trial under way. `trials` is the number of its trials in each state."""

    name: str
    model: str
    trials: dict[str, int]


@dataclass(frozen=True)
class Failed:
    """A run that failed, or was stopped and can be resumed. `error` is one line."""

    run: Run
    error: str
    command: str


@dataclass(frozen=True)
class Waiting:
    """A pending decision of a user, and the command that makes it."""

    what: str
    subject: str
    detail: str
    command: str


@dataclass(frozen=True)
class DeclaredModel:
    """A model as it is declared; `gates` is None where they are unknown."""

    dataset: str
    gates: Sequence[Gate] | None = None
    approval: Approval = NO_APPROVAL


def running(registry: Registry) -> list[Running]:
    """Return the runs under way, oldest first."""
    found = []
    for run in registry.runs(status="running"):
        points = registry.newest_points(run.run_id, MAX_POINTS)
        local = run.source == "platform" and run.host == socket.gethostname()
        alive = process_alive(run.host, run.pid) if local else None
        step = points[-1][2] if points else None
        metrics = {name: value for _, name, _, value, _ in points}
        found.append(Running(run, step, metrics, newest_metrics(points), alive))
    return found


def sweeps_of(registry: Registry, runs: Sequence[Running]) -> list[Sweep]:
    """Return the sweeps that these runs are trials of, with the number of trials in each state."""
    names = dict.fromkeys(
        (each.run.model, str(each.run.tags[SWEEP])) for each in runs if SWEEP in each.run.tags
    )
    found = []
    for model, sweep in names:
        query = select(Run.status).where(Run.model == model, Run.tags[SWEEP].as_string() == sweep)
        with registry.reading() as session:
            counts = Counter(session.scalars(query))
        found.append(Sweep(sweep, model, dict(counts)))
    return found


def failed(registry: Registry, since: datetime | None = None) -> list[Failed]:
    """Return recent failures, newest first.

    A failure is left out if a later run of the same model on the same data has succeeded.

    Args:
        registry: contains the runs.
        since: time after which they ended; 24 hours ago if not given.
    """
    since = since or now() - RECENT
    recent = select(Run.model, Run.data_version, func.max(Run.finished)).where(
        Run.status == "succeeded", Run.finished >= since
    )
    # one that was stopped is a failure only if it can be resumed
    resumable = exists().where(Checkpoint.run_id == Run.run_id)
    ended = select(Run.run_id, Run.model, Run.data_version, Run.finished).where(
        or_(Run.status == "failed", and_(Run.status == "canceled", resumable)),
        Run.finished > since,
        Run.tags[SWEEP].as_string().is_(None),
    )
    found: list[Failed] = []
    with registry.reading() as session:
        # there may be very many runs, of which a few are shown
        succeeded = session.execute(recent.group_by(Run.model, Run.data_version))
        done = {(model, data): last for model, data, last in succeeded}
        ids = [
            run_id
            for run_id, model, data, finished in session.execute(
                ended.order_by(Run.finished.desc())
            )
            if finished is not None and finished > (done.get((model, data)) or since)
        ]
    for run_id in ids[:MAX_FAILED]:
        run = registry.run(run_id)
        checkpoints = registry.checkpoints(run_id)
        error = error_line(run.error)
        if run.status == "canceled":
            error = f"stopped; the checkpoint of step {checkpoints[0].step} is kept"
        verb = "resume" if checkpoints else "show"
        found.append(Failed(run, error, f"mlops run {verb} {run_id[:8]}"))
    return found


def error_line(error: str | None) -> str:
    """Return an error as one line.

    It is the first line, or the last of a traceback, which has the exception.
    """
    lines = (error or "").strip().splitlines() or ["no reason is recorded"]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def open_alarms(registry: Registry) -> Iterator[Waiting]:
    """Yield rules of monitoring that have failed and not passed since, oldest first."""
    for alarm in registry.alarms(only_open=True)[::-1]:
        yield Waiting(
            "alarm",
            alarm.model,
            f"{alarm.rule} of {alarm.model}@{alarm.version} fails since {alarm.day}: {alarm.text}",
            f"mlops alarm show {alarm.id}",
        )


def waiting(
    store: Store, models: Mapping[str, DeclaredModel], begun: Sequence[Run]
) -> Iterator[Waiting]:
    """Yield models not trained on the newest data, and newer versions not in production.

    Args:
        store: contains the data versions and the model versions.
        models: those that are declared; others are known from their versions.
        begun: runs that are under way or have failed; their work is not waiting.
    """
    registry = store.registry
    newest_data = {found.row.dataset: found.row for found in registry.newest_data_versions()}
    deprecated = registry.deprecated_versions()
    pairs = [(row.dataset, row.version) for row in newest_data.values()]
    versions: dict[str, list[ListedVersion]] = {}
    for listed in registry.standing_versions(pairs, deprecated.keys()):
        versions.setdefault(listed.model, []).append(listed)
    aliases = {
        model: version
        for (model, version), names in registry.all_aliases().items()
        if "production" in names
    }
    known = {model: DeclaredModel(own[-1].dataset) for model, own in versions.items()}
    known |= models
    under_way = {(run.model, run.data_version) for run in begun}
    for model, declared in sorted(known.items()):
        own = versions.get(model, [])
        data = newest_data.get(declared.dataset)
        if data is not None:
            work = model, data.version
            if not any(row.data_version == data.version for row in own) and work not in under_way:
                yield Waiting(
                    "training",
                    model,
                    f"{model} has no version trained on {data.dataset}@{data.version}",
                    f"mlops train {model}@{data.version}",
                )
        recorded = [
            row for row in own if row.stage == "recorded" and (model, row.version) not in deprecated
        ]
        in_production = aliases.get(model)
        if not recorded or recorded[-1].version == in_production:
            continue
        newest = recorded[-1]
        if any(each.version == in_production and each.created > newest.created for each in own):
            continue
        row = registry.model_version(Reference(model, newest.version))
        passes = _gates(store, row, declared.gates)
        if passes is None:
            continue
        if declared.approval.protects("production"):
            made = newest_decision(registry, row)
            if made is not None and made.decision == "rejected":
                continue
            if not approval_check(registry, row, declared.approval).passed:
                yield Waiting(
                    "approval",
                    model,
                    f"{model}@{row.version} is recorded and {passes}; it waits for approval",
                    f"mlops model approve {model}@{row.version} --reason …",
                )
                continue
        place = f"{in_production} is" if in_production else "no version is"
        yield Waiting(
            "promotion",
            model,
            f"{model}@{row.version} is recorded and {passes}; {place} in production",
            f"mlops model promote {model}@{row.version}",
        )


def _gates(store: Store, row: ModelVersion, gates: Sequence[Gate] | None) -> str | None:
    """Return what is known of the gates of a version; None if it does not pass them."""
    later = "its gates are checked when it is promoted"
    if gates is None:
        return later
    # damaged documents are the business of 'mlops verify'
    with suppress(IntegrityError):
        outcomes = check_gates(store, row, gates, run=False)
        if all(outcome.passed for outcome in outcomes):
            return "it passes its gates"
        not_compared = [each.undecided and each.evidence is None for each in outcomes]
        if all(
            each.passed or pending for each, pending in zip(outcomes, not_compared, strict=True)
        ):
            return later
    return None
