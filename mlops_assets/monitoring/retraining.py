"""When a model is to be trained again: its rules fail, and there is data that it has not seen.

Days are those that are monitored, in UTC, whenever the decision is made; runs are requested
elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from mlops_assets.monitoring.documents import last_days, monitored_days, read_documents
from mlops_assets.names import Reference
from mlops_assets.registry import Alarm, ModelVersion
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store
from mlops_assets.text.listing import named

MAX_NAMED = 5


@dataclass(frozen=True)
class LastRetraining:
    """The last retraining that was requested because of alarms.

    Attributes:
        day: newest monitored day when it was requested.
        alarms: numbers of the alarms.
        data_version: that it trains on.
    """

    day: str
    alarms: tuple[int, ...]
    data_version: str


@dataclass(frozen=True)
class Retraining:
    """Whether a model is to be trained again.

    Attributes:
        reason: why, or what is missing.
        day: newest monitored day; None if there is none.
        alarms: open ones whose rules have failed often enough, oldest first.
        dataset: that the model is trained on.
        data_version: the newest, if it is newer than that of the version in use; None otherwise.
        is_due: whether it is to be trained on that now.
    """

    reason: str
    day: str | None = None
    alarms: list[Alarm] = field(default_factory=list)
    dataset: str | None = None
    data_version: str | None = None
    is_due: bool = False


def plan_retraining(
    store: Store, specification: ServiceSpecification, last: LastRetraining | None = None
) -> Retraining:
    """Decide whether a model is to be trained again.

    It is if a rule has failed for the version in use on as many of the last monitored days as
    `retrain` declares, there is a data version newer than the one it was trained on, that was never
    trained on, and the cool-down after the last retraining is over.

    Args:
        store: workspace and registry.
        specification: of the service.
        last: the last retraining; None if there was none.

    Raises:
        IntegrityError: a monitoring document is not as it was published.
        NotFound: no version has the alias of the service.
        StorageError: one cannot be read.
    """
    model, declared = specification.model, specification.retrain
    row = store.registry.model_version(Reference(model, specification.alias))
    monitored = monitored_days(store, model)
    if not monitored:
        return Retraining(f"no day of {model} is monitored yet; run 'mlops monitor run {model}'")
    day = monitored[-1]
    failures = _failures(store, row, last_days(day, declared.of))
    often = {rule: days for rule, days in failures.items() if len(days) >= declared.days}
    window = f"on {declared.days} of the last {declared.of} days up to {day}"
    if not often:
        most = max(failures.items(), key=lambda found: len(found[1]), default=None)
        seen = "" if most is None else f"; {most[0]} has, on {named(most[1], MAX_NAMED)}"
        return Retraining(f"no rule of {model}@{row.version} has failed {window}{seen}", day)
    opened = store.registry.alarms(model, only_open=True)[::-1]
    alarms = [alarm for alarm in opened if alarm.rule in often]
    rules = f"{named(sorted(often), MAX_NAMED)} of {model}@{row.version} failed {window}"
    if not alarms:
        return Retraining(f"{rules}, but has no open alarm", day)
    trained_on = f"{row.dataset}@{row.data_version}"
    newest = _newest(store, row)
    if newest is None:
        return Retraining(
            f"{rules}, but there is no data version newer than {trained_on}, which it was trained"
            f" on; commit newer data: 'mlops dataset commit {row.dataset}'",
            day,
            alarms,
            row.dataset,
        )
    found = Retraining(rules, day, alarms, row.dataset, newest)
    if newest in store.registry.trained_versions(model):
        return _with_reason(
            found,
            f"{rules}; {model} was already trained on {row.dataset}@{newest}, and"
            f" {specification.alias!r} is still {row.version}: promote what passes its gates, or"
            " commit newer data",
        )
    if last is not None and (until := _end_of_cooldown(last, declared.cooldown_days)) > day:
        numbers = named([str(number) for number in last.alarms], MAX_NAMED)
        return _with_reason(
            found,
            f"{rules}; cool-down until {until} after the retraining of {last.day} for alarm"
            f" {numbers}",
        )
    return Retraining(
        f"{rules}; retraining on {row.dataset}@{newest}, as {row.version} was trained on"
        f" {trained_on}",
        day,
        alarms,
        row.dataset,
        newest,
        is_due=True,
    )


def _with_reason(found: Retraining, reason: str) -> Retraining:
    return Retraining(reason, found.day, found.alarms, found.dataset, found.data_version)


def _failures(store: Store, row: ModelVersion, days: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the rules that have failed for a version, each with its days."""
    found: dict[str, list[str]] = defaultdict(list)
    for day, document in read_documents(store, row.model, days).items():
        for version in document.versions:
            if version.version != row.version:
                continue
            for rule in version.rules:
                if rule.verdict == "failed":
                    found[rule.name].append(day)
    return found


def _newest(store: Store, row: ModelVersion) -> str | None:
    """Return the newest data version if it is newer than the one of a model version."""
    newest = store.registry.data_versions(row.dataset)[-1:]
    trained_on = store.registry.data_version(Reference(row.dataset, row.data_version))
    return newest[0].version if newest and newest[0].number > trained_on.number else None


def _end_of_cooldown(last: LastRetraining, days: int) -> str:
    return str(date.fromisoformat(last.day) + timedelta(days=days))
