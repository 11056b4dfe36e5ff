"""Monitored days of a model, as tables and curves show them."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.hub.views.numbers import finite
from mlops_assets.monitoring.document import Interval as MonitoredInterval
from mlops_assets.monitoring.document import MonitoringDocument, Verdict, VersionDay
from mlops_assets.monitoring.documents import monitored_days, read_documents
from mlops_assets.monitoring.rules import headline_of
from mlops_assets.monitoring.version_day import metrics_on_test
from mlops_assets.monitoring.visible import hidden_versions, visible
from mlops_assets.paths import monitoring_key
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store

MAX_DAYS = 366
DAYS = 30


@dataclass(frozen=True)
class MonitoredNumber:
    """A number of a day with its interval.

    Attributes:
        value: the number; None if it is not finite.
        lower, upper: ends of its interval; None if that is unknown.
        samples: that it was measured on.
    """

    value: float | None
    lower: float | None
    upper: float | None
    samples: int


@dataclass(frozen=True)
class MonitoredRule:
    """A rule of monitoring, and its outcome; see `Rule` of `monitoring.document`."""

    name: str
    verdict: Verdict
    value: float | None
    limit: float | None
    text: str


@dataclass(frozen=True)
class MonitoredVersion:
    """How a model version did on a day.

    Attributes:
        version: of the model.
        requests: logged.
        samples: of them; None if unknown.
        outside: share of samples outside the area of applicability; None if unknown.
        drift: the largest population stability index of a day's features; None if unknown.
        metric: name of the compared one; None if there is none.
        test: of the test split; None if it was not measured.
        live: measured with labels; None without them.
        estimate: expected without labels; None if it cannot be estimated.
        no_estimate: why there is none; None if there is one, or nothing is known.
        rules: and their outcomes.
    """

    version: str
    requests: int
    samples: int | None
    outside: float | None
    drift: float | None
    metric: str | None
    test: float | None
    live: MonitoredNumber | None
    estimate: MonitoredNumber | None
    no_estimate: str | None
    rules: list[MonitoredRule]


@dataclass(frozen=True)
class MonitoredDay:
    """A monitored day of a model.

    Attributes:
        day: `YYYY-MM-DD`, UTC.
        dropped: requests that the log has dropped.
        versions: that were served, the one with most requests first.
        report: key of the day's report; None if there is none.
        problem: why the day cannot be read; None if it can.
    """

    day: str
    dropped: int
    versions: list[MonitoredVersion]
    report: str | None
    problem: str | None = None


def monitoring_of(store: Store, model: str, days: int = DAYS) -> list[MonitoredDay]:
    """Return the last monitored days of a model, oldest first.

    Args:
        store: workspace and registry.
        model: its name.
        days: at most, `MAX_DAYS` at most.
    """
    tests = {row.version: metrics_on_test(row) for row in store.registry.model_versions(model)}
    wanted = monitored_days(store, model)[-max(1, min(days, MAX_DAYS)) :]
    keys = [monitoring_key(model, day, "report.html") for day in wanted]
    reports = {file.path for file in store.registry.files_at(*keys)}
    found = []
    for day, key in zip(wanted, keys, strict=True):
        try:
            document = visible(store, read_documents(store, model, [day])[day])
        except (IntegrityError, StorageError) as error:
            found.append(MonitoredDay(day, 0, [], None, str(error)))
            continue
        report = key if key in reports else None
        found.append(_day(document, tests, report))
    return found


def last_day_of(store: Store, model: str) -> tuple[str | None, MonitoredVersion | None]:
    """Return the last monitored day of a model, and the version with most requests on it."""
    if not monitored_days(store, model):
        return None, None
    (last,) = monitoring_of(store, model, 1)
    return last.day, next(iter(last.versions), None)


@dataclass(frozen=True)
class OpenAlarm:
    """A rule that has failed and has not passed again; see `Alarm` of the registry.

    Attributes:
        number: of the alarm.
        rule: that failed.
        version: of the model that it failed for.
        day: the first day that failed, `YYYY-MM-DD`, UTC.
        last_day: the newest day that failed.
        text: of the newest failure.
        issue: URL of its issue; None if there is none.
        retraining: id of the Dagster run that retrains because of it; None if none does.
    """

    number: int
    rule: str
    version: str
    day: str
    last_day: str
    text: str
    issue: str | None
    retraining: str | None


def open_alarms(store: Store, model: str) -> list[OpenAlarm]:
    """Return the open alarms of a model, newest first.

    Args:
        store: workspace and registry.
        model: its name.
    """
    return [
        OpenAlarm(
            number=own.id,
            rule=own.rule,
            version=own.version,
            day=own.day,
            last_day=own.last_day,
            text=own.text,
            issue=own.issue,
            retraining=own.orchestration_run,
        )
        for own in store.registry.alarms(model, only_open=True)
    ]


def read_report(store: Store, model: str, day: str) -> bytes:
    """Return the report of a monitored day, one HTML page.

    Args:
        store: workspace and registry.
        model: its name.
        day: `YYYY-MM-DD`, UTC.

    Raises:
        IntegrityError: it is not as it was published.
        NotFound: there is none, or it is about versions that the principal may not see.
    """
    key = monitoring_key(model, day, "report.html")
    if not store.registry.files_at(key) or hidden_versions(store, model):
        raise NotFound(f"there is no report of {model} on {day} that you may see")
    return read_published(store.workspace, store.registry, key)


def _day(
    document: MonitoringDocument, tests: dict[str, dict[str, float]], report: str | None
) -> MonitoredDay:
    return MonitoredDay(
        day=document.day,
        dropped=document.dropped,
        versions=[_version(own, tests.get(own.version, {})) for own in document.versions],
        report=report,
    )


def _version(own: VersionDay, test: dict[str, float]) -> MonitoredVersion:
    metric = headline_of(test)
    live = None
    if own.live is not None and metric is not None:
        live = own.live.metrics.get(metric)
    estimate = own.estimate
    return MonitoredVersion(
        version=own.version,
        requests=own.requests,
        samples=None if own.quality is None else own.quality.samples,
        outside=None if own.outside is None else finite(own.outside.share),
        drift=None if own.drift is None else finite(own.drift.day.psi),
        metric=metric,
        test=None if metric is None else finite(test.get(metric)),
        live=None if live is None else _number(live),
        estimate=(None if estimate is None or estimate.value is None else _number(estimate.value)),
        no_estimate=None if estimate is None else estimate.reason,
        rules=[
            MonitoredRule(
                rule.name, rule.verdict, finite(rule.value), finite(rule.limit), rule.text
            )
            for rule in own.rules
        ],
    )


def _number(own: MonitoredInterval) -> MonitoredNumber:
    return MonitoredNumber(finite(own.value), finite(own.lower), finite(own.upper), own.samples)
