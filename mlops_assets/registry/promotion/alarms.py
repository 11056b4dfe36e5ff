"""Alarms: rules of monitoring that have failed, until they pass again, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry.promotion.outbox import (
    MONITORING_ALARM,
    MONITORING_RECOVERED,
    queue_messages,
)
from mlops_assets.registry.schema import Alarm, ModelVersion
from mlops_assets.registry.session import RegistrySession, existing, now


@dataclass(frozen=True)
class FailedRule:
    """A rule that has failed for a model version on a day.

    Attributes:
        model: reference of the model version.
        rule: that failed.
        day: `YYYY-MM-DD`, UTC.
        text: why, for people.
    """

    model: Reference
    rule: str
    day: str
    text: str


class Alarms(RegistrySession):
    """Alarms of monitoring."""

    def raise_alarm(self, failed: FailedRule) -> Alarm:
        """Open an alarm, or extend the one of the same model and rule that is open.

        One that a pass of the same day has closed is open again. There is a message to webhooks
        when an alarm opens, and when it is open again; none while it lasts.

        Args:
            failed: the rule; a day that an alarm has already, changes the text of an open one only.

        Returns:
            The alarm.

        Raises:
            NotFound: there is no such model version.
        """
        name, version = failed.model.name, failed.model.what or ""
        with self.transaction(f"raise alarm {failed.rule} of {failed.model}", Role.SCIENTIST) as s:
            row = existing(s.get(ModelVersion, (name, version)), str(failed.model))
            alarm = _alarm_of(s, failed)
            is_news = alarm is None or alarm.recovered_day == failed.day
            if alarm is None:
                alarm = Alarm(
                    model=name,
                    version=version,
                    data_version=row.data_version,
                    rule=failed.rule,
                    day=failed.day,
                    last_day=failed.day,
                    text=failed.text,
                    opened=now(),
                )
                s.add(alarm)
            elif alarm.recovered_day is None or is_news:
                alarm.recovered_day = None
                alarm.day = min(alarm.day, failed.day)
                alarm.last_day = max(alarm.last_day, failed.day)
                alarm.text = failed.text
            if is_news:
                s.flush()
                queue_messages(s, MONITORING_ALARM, row, self._facts(alarm, failed.day))
        return alarm

    def close_alarm(self, alarm: Alarm, day: str) -> Alarm:
        """Record that the rule of an alarm has passed, with a message to webhooks.

        Args:
            alarm: an open one; one that is closed stays as it is.
            day: on which it passed, `YYYY-MM-DD`, UTC.

        Returns:
            The alarm.
        """
        with self.transaction(f"close alarm {alarm.rule} of {alarm.model}", Role.SCIENTIST) as s:
            row = existing(s.get(Alarm, alarm.id), f"alarm {alarm.id}")
            if row.recovered_day is not None:
                return row
            row.recovered_day = day
            version = s.get(ModelVersion, (row.model, row.version))
            if version is not None:
                queue_messages(s, MONITORING_RECOVERED, version, self._facts(row, day))
        return row

    def _facts(self, alarm: Alarm, day: str) -> dict[str, object]:
        """Return what messages to webhooks state of an alarm."""
        return {
            "by": self.principal.name,
            "alarm": alarm.id,
            "rule": alarm.rule,
            "day": day,
            "first_day": alarm.day,
            "text": alarm.text,
        }

    def note_issue(self, alarm: Alarm, url: str) -> None:
        """Record the issue of an alarm.

        Args:
            alarm: the alarm.
            url: of its issue.
        """
        with self.transaction(f"note issue of alarm {alarm.id}", Role.SCIENTIST) as session:
            existing(session.get(Alarm, alarm.id), f"alarm {alarm.id}").issue = url

    def note_retraining(self, alarm: Alarm, orchestration_run: str, data_version: str) -> None:
        """Record the run that retrains a model because of an alarm.

        Args:
            alarm: the alarm.
            orchestration_run: id of the Dagster run.
            data_version: that it trains on.
        """
        with self.transaction(f"note retraining for alarm {alarm.id}", Role.SCIENTIST) as session:
            row = existing(session.get(Alarm, alarm.id), f"alarm {alarm.id}")
            row.orchestration_run, row.retrained_on = orchestration_run, data_version

    def alarms(self, model: str | None = None, only_open: bool = False) -> list[Alarm]:
        """Return alarms, newest first.

        Args:
            model: only of this model.
            only_open: only those whose rule has not passed again.
        """
        query = select(Alarm).order_by(Alarm.id.desc())
        if model is not None:
            query = query.filter_by(model=model)
        if only_open:
            query = query.where(Alarm.recovered_day.is_(None))
        with self.reading() as session:
            return list(session.scalars(query))

    def alarm(self, number: int) -> Alarm:
        """Return an alarm.

        Args:
            number: of it.

        Raises:
            NotFound: there is none that the principal may see.
        """
        with self.reading() as session:
            query = select(Alarm).filter_by(id=number)
            return existing(session.scalar(query), f"alarm {number}")


def _alarm_of(session: Session, failed: FailedRule) -> Alarm | None:
    """Return the alarm that a failure belongs to; None if it is the first of a new one.

    That is the one that has the day already, else the one that was closed by a pass of this day,
    else the open one.
    """
    day = failed.day
    of_rule = select(Alarm).filter_by(model=failed.model.name, rule=failed.rule)
    for condition in (
        (Alarm.day <= day) & (Alarm.last_day >= day),
        Alarm.recovered_day == day,
        Alarm.recovered_day.is_(None),
    ):
        found = session.scalar(of_rule.where(condition).order_by(Alarm.id.desc()).limit(1))
        if found is not None:
            return found
    return None
