"""The model versions in production, and how they do by their newest monitoring."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.hub.views.numbers import finite
from mlops_assets.monitoring.document import Interval, VersionDay
from mlops_assets.monitoring.documents import read_documents
from mlops_assets.monitoring.rules import headline_of
from mlops_assets.paths import monitoring_owner
from mlops_assets.registry import Alias, File, Registry
from mlops_assets.registry.model_versions import ListedVersion
from mlops_assets.store import Store


@dataclass(frozen=True)
class LiveDay:
    """How a version did on its newest monitored day.

    Attributes:
        day: `YYYY-MM-DD`, UTC.
        requests: that were logged.
        metric: that is measured or estimated; None if there is none.
        value: of the metric; None if it is unknown.
        lower: end of its confidence interval; None if it is unknown.
        upper: other end.
        samples: that it was measured on.
        estimated: whether it is an estimate, without labels.
        outside: share of samples outside the area of applicability, 0 to 1; None if unknown.
        verdict: worst of its rules: `failed`, `warned`, `passed` or `unknown`.
    """

    day: str
    requests: int
    metric: str | None
    value: float | None
    lower: float | None
    upper: float | None
    samples: int
    estimated: bool
    outside: float | None
    verdict: str


@dataclass(frozen=True)
class InProduction:
    """A model version in production.

    Attributes:
        model: its name.
        version: that `production` names.
        since: when the alias moved there.
        metric: main metric; None if it was not evaluated.
        value: of the metric on the test split; None if unknown.
        live: newest day on which this version was monitored; None if the newest monitored day of
            the model has none of it.
        alarms: open ones of the model.
    """

    model: str
    version: str
    since: datetime
    metric: str | None
    value: float | None
    live: LiveDay | None
    alarms: int


def in_production(store: Store) -> list[InProduction]:
    """Return the versions in production that the principal sees, by name of the model.

    Args:
        store: workspace and registry.
    """
    registry = store.registry
    rows = {(row.model, row.version): row for row in registry.production_versions()}
    alarms = Counter(alarm.model for alarm in registry.alarms(only_open=True))
    days = _newest_days(registry)
    with registry.reading() as session:
        query = select(Alias).where(Alias.alias == "production").order_by(Alias.model)
        aliases = session.scalars(query).all()
    found = []
    for alias in aliases:
        row = rows.get((alias.model, alias.version))
        if row is None:
            continue
        metric = headline_of(row.metrics)
        found.append(
            InProduction(
                model=alias.model,
                version=alias.version,
                since=alias.since,
                metric=metric,
                value=finite(row.metrics[metric]) if metric else None,
                live=_live(store, row, days.get(alias.model)),
                alarms=alarms[alias.model],
            )
        )
    return found


def _newest_days(registry: Registry) -> dict[str, str]:
    """Return the newest day that each model was monitored on."""
    prefix = monitoring_owner("", "").removesuffix("@")
    # a range, which the index on owners has in order
    query = select(File.owner).distinct().where(File.owner >= prefix, File.owner < f"{prefix}~")
    with registry.reading() as session:
        owners = session.scalars(query).all()
    found: dict[str, str] = {}
    for owner in owners:
        model, _, day = owner.removeprefix(prefix).rpartition("@")
        found[model] = max(day, found.get(model, ""))
    return found


def _live(store: Store, row: ListedVersion, day: str | None) -> LiveDay | None:
    if day is None:
        return None
    # damaged documents are the business of 'mlops verify'
    with suppress(IntegrityError, StorageError):
        document = read_documents(store, row.model, [day]).get(day)
        for version in [] if document is None else document.versions:
            if version.version == row.version:
                return _of_day(day, version, headline_of(row.metrics))
    return None


def _of_day(day: str, version: VersionDay, metric: str | None) -> LiveDay:
    value: Interval | None = None
    estimated = False
    if version.live is not None and metric is not None:
        value = version.live.metrics.get(metric)
    if value is None and version.estimate is not None:
        metric, value = version.estimate.metric, version.estimate.value
        estimated = value is not None
    verdicts = {rule.verdict for rule in version.rules}
    worst = next((each for each in ("failed", "warned", "passed") if each in verdicts), "unknown")
    return LiveDay(
        day=day,
        requests=version.requests,
        metric=metric if value else None,
        value=finite(value.value) if value else None,
        lower=finite(value.lower) if value else None,
        upper=finite(value.upper) if value else None,
        samples=value.samples if value else 0,
        estimated=estimated,
        outside=None if version.outside is None else finite(version.outside.share),
        verdict=worst,
    )
