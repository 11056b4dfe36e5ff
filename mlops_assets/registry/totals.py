"""Figures of the whole registry, for metrics: no version or run by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from mlops_assets.paths import MONITORING
from mlops_assets.principals import Role
from mlops_assets.registry.schema import (
    Alarm,
    Base,
    BrowserSession,
    DataVersion,
    File,
    ModelVersion,
    Run,
    WebhookMessage,
)
from mlops_assets.registry.session import RegistrySession, now


@dataclass(frozen=True)
class Totals:
    """Figures of a registry.

    Attributes:
        runs: status → number of runs of training.
        data_versions: number of them.
        model_versions: number of them.
        alarms: model → number of its alarms that are open.
        messages: state → number of messages to webhooks.
        sessions: browsers that have signed in, and whose session has not expired.
        monitored: model → its newest monitored day, `YYYY-MM-DD`, UTC.
    """

    runs: Mapping[str, int]
    data_versions: int
    model_versions: int
    alarms: Mapping[str, int]
    messages: Mapping[str, int]
    sessions: int
    monitored: Mapping[str, str]


class WithTotals(RegistrySession):
    """The figures of a registry."""

    def totals(self) -> Totals:
        """Return the figures, which are of all versions.

        Raises:
            Forbidden: the principal is no operator, and so may not see all versions.
        """
        prefix, end = f"{MONITORING}/", "/monitoring.json"
        with self.reading(Role.OPERATOR) as session:

            def count(
                column: InstrumentedAttribute[str], *where: ColumnElement[bool]
            ) -> dict[str, int]:
                query = select(column, func.count()).where(*where).group_by(column)
                return dict(session.execute(query).all())

            def rows(table: type[Base], *where: ColumnElement[bool]) -> int:
                query = select(func.count()).select_from(table).where(*where)
                return session.scalar(query) or 0

            documents = select(File.path).where(
                File.path.startswith(prefix, autoescape=True), File.path.endswith(end)
            )
            monitored: dict[str, str] = {}
            for path in session.scalars(documents):
                model, _, day = path.removeprefix(prefix).removesuffix(end).partition("/")
                monitored[model] = max(day, monitored.get(model, ""))
            return Totals(
                runs=count(Run.status),
                data_versions=rows(DataVersion),
                model_versions=rows(ModelVersion),
                alarms=count(Alarm.model, Alarm.recovered_day.is_(None)),
                messages=count(WebhookMessage.state),
                sessions=rows(BrowserSession, BrowserSession.expires > now()),
                monitored=monitored,
            )
