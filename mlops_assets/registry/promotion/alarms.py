"""Alarms: rules of monitoring that have failed, until they pass again, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from mlops_assets.names import Reference
from mlops_assets.principals import Role
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

        Args:
            failed: the rule; a day that the open alarm has already changes its text only.

        Returns:
            The alarm.

        Raises:
            NotFound: there is no such model version.
        """
        name, version = failed.model.name, failed.model.what or ""
        with self.transaction(f"raise alarm {failed.rule} of {failed.model}", Role.SCIENTIST) as s:
            row = existing(s.get(ModelVersion, (name, version)), str(failed.model))
            query = select(Alarm).filter_by(model=name, rule=failed.rule)
            # one that has recovered is open again if the day is monitored again and fails
            is_of_day = (Alarm.recovered_day.is_(None)) | (Alarm.day == failed.day)
            alarm = s.scalar(query.where(is_of_day).order_by(Alarm.id.desc()).limit(1))
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
            else:
                alarm.recovered_day = None
                alarm.day = min(alarm.day, failed.day)
                alarm.last_day = max(alarm.last_day, failed.day)
                alarm.text = failed.text
        return alarm

    def close_alarm(self, alarm: Alarm, day: str) -> None:
        """Record that the rule of an alarm has passed.

        Args:
            alarm: an open one.
            day: on which it passed, `YYYY-MM-DD`, UTC.
        """
        with self.transaction(f"close alarm {alarm.rule} of {alarm.model}", Role.SCIENTIST) as s:
            existing(s.get(Alarm, alarm.id), f"alarm {alarm.id}").recovered_day = day

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
