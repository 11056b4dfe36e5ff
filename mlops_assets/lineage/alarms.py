"""What came of an alarm: the run that trains again, its model version, and where that is used."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import monitoring_key
from mlops_assets.registry import Alarm, Deployment, ModelVersion, Promotion
from mlops_assets.store import Store

ARROW = " → "


@dataclass(frozen=True)
class Move:
    """A promotion, or a deployment.

    Attributes:
        to: the alias that moved, or the service and its engine.
        by: who has done it.
        at: when.
        reason: why; None if unknown.
        is_current: whether it is still so.
    """

    to: str
    by: str
    at: datetime
    reason: str | None
    is_current: bool


@dataclass(frozen=True)
class Retrained:
    """A training run because of an alarm.

    Attributes:
        run_id: of it.
        status: of it.
        data: reference of the data version that it trained on.
        code_version: of the trainer's package.
        version: reference of its model version; None if it has none.
        promotions: of that, oldest first.
        deployments: of that, oldest first.
    """

    run_id: str
    status: str
    data: str
    code_version: str
    version: str | None
    promotions: list[Move] = field(default_factory=list)
    deployments: list[Move] = field(default_factory=list)


@dataclass(frozen=True)
class AlarmLineage:
    """What an alarm is based on, and what came of it.

    Attributes:
        number: of the alarm.
        model: reference of the model version that the rule has failed for.
        trained_on: reference of the data version that it was trained on.
        rule: that has failed.
        day: on which it failed first.
        last_day: on which it failed last.
        recovered_day: on which it passed; None while the alarm is open.
        text: why it failed last.
        documents: published documents of its first and last day → sha256.
        issue: URL of its issue; None if there is none.
        orchestration_run: the Dagster run that retrains because of it; None if none does.
        runs: training runs of that.
    """

    number: int
    model: str
    trained_on: str
    rule: str
    day: str
    last_day: str
    recovered_day: str | None
    text: str
    documents: dict[str, str]
    issue: str | None
    orchestration_run: str | None
    runs: list[Retrained]

    def line(self) -> str:
        """Return all of it on one line."""
        checksums = "".join(f", sha256 {sha256[:12]}" for sha256 in self.documents.values())
        state = "open" if self.recovered_day is None else f"recovered on {self.recovered_day}"
        parts = [
            f"alarm {self.number}: {self.rule} of {self.model} on {self.day}{checksums} ({state})"
        ]
        if self.orchestration_run is not None:
            parts.append(f"Dagster run {self.orchestration_run}")
        for run in self.runs:
            parts.append(f"training run {run.run_id} on {run.data} ({run.status})")
            if run.version is not None:
                parts.append(run.version)
            parts += [_moved(move) for move in (*run.promotions, *run.deployments)]
        return ARROW.join(parts)


def alarm_lineage(store: Store, alarm: Alarm) -> AlarmLineage:
    """Return what an alarm is based on, and what came of it, as far as the principal may see it.

    Args:
        store: workspace and registry.
        alarm: the alarm.

    Raises:
        NotFound: its model version is not in the registry.
    """
    row = store.registry.model_version(Reference(alarm.model, alarm.version))
    keys = [monitoring_key(alarm.model, day) for day in dict.fromkeys((alarm.day, alarm.last_day))]
    return AlarmLineage(
        number=alarm.id,
        model=f"{alarm.model}@{alarm.version}",
        trained_on=f"{row.dataset}@{row.data_version}",
        rule=alarm.rule,
        day=alarm.day,
        last_day=alarm.last_day,
        recovered_day=alarm.recovered_day,
        text=alarm.text,
        documents={file.path: file.sha256 for file in store.registry.files_at(*keys)},
        issue=alarm.issue,
        orchestration_run=alarm.orchestration_run,
        runs=_runs(store, alarm),
    )


def _runs(store: Store, alarm: Alarm) -> list[Retrained]:
    if alarm.orchestration_run is None:
        return []
    registry = store.registry
    versions = {
        version.run_id: version
        for version in registry.model_versions(alarm.model, data_version=alarm.retrained_on)
    }
    runs = registry.runs(alarm.model, orchestration_run=alarm.orchestration_run)
    found = []
    for run in runs:
        version = versions.get(run.run_id)
        found.append(
            Retrained(
                run_id=run.run_id,
                status=run.status,
                data=f"{run.dataset}@{run.data_version}",
                code_version=run.code.get("commit") or run.code_version,
                version=None if version is None else f"{version.model}@{version.version}",
                promotions=[] if version is None else _promotions(store, version),
                deployments=[] if version is None else _deployments(store, version),
            )
        )
    return found


def _promotions(store: Store, row: ModelVersion) -> list[Move]:
    aliases = store.registry.aliases(row.model)

    def move(found: Promotion) -> Move:
        is_current = aliases.get(found.alias) == row.version
        return Move(found.alias, found.moved_by, found.moved, found.reason, is_current)

    moves = store.registry.promotions(row.model)
    return [move(found) for found in moves if found.version == row.version]


def _deployments(store: Store, row: ModelVersion) -> list[Move]:
    made = store.registry.deployments(row.model)
    newest: dict[str, int] = {}
    for each in made:
        newest.setdefault(each.service, each.id)

    def move(found: Deployment) -> Move:
        is_current = newest[found.service] == found.id
        to = f"{found.action} in {found.service} ({found.engine})"
        return Move(to, found.deployed_by, found.deployed, found.reason, is_current)

    return [move(found) for found in reversed(made) if found.version == row.version]


def _moved(move: Move) -> str:
    since = "" if move.is_current else ", not any more"
    return f"{move.to} by {move.by} on {move.at:%Y-%m-%d}{since}"


def find_alarm(store: Store, number: int) -> Alarm:
    """Return an alarm by its number.

    Args:
        store: workspace and registry.
        number: of the alarm.

    Raises:
        NotFound: there is none that the principal may see.
    """
    try:
        return store.registry.alarm(number)
    except NotFound:
        raise NotFound(f"there is no alarm {number}; see 'mlops alarm list'") from None
