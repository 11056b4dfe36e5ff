"""The alarms that a monitored day raises, extends and closes.

A rule that has failed raises an alarm; one that passes closes it. A warning of the same version, or
too few samples, leave an alarm as it is, so that it does not come and go with a measure near its
limit. Issues and retraining follow from open alarms, elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from mlops_assets.monitoring.document import MonitoringDocument, Rule, Verdict
from mlops_assets.monitoring.documents import read_documents
from mlops_assets.names import Reference
from mlops_assets.registry import Alarm
from mlops_assets.registry.promotion.alarms import FailedRule
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store

# days after a monitored one among which a pass is looked for, when a former day is monitored again
MAX_LATER_DAYS = 400


@dataclass(frozen=True)
class AlarmChange:
    """A change of an alarm by a monitored day.

    Attributes:
        alarm: as it is now.
        change: what has happened to it.
    """

    alarm: Alarm
    change: Literal["raised", "extended", "reopened", "closed"]


@dataclass(frozen=True)
class _Decided:
    """The outcome of a rule on a day, over all versions that were served.

    Attributes:
        verdict: `failed` if it failed for any version, else that of the version with most requests.
        version: that it is of.
        text: of the rule.
    """

    verdict: Verdict
    version: str
    text: str


def consequences(
    store: Store, specification: ServiceSpecification, document: MonitoringDocument
) -> list[AlarmChange]:
    """Do what follows at once from a monitored day of a service: its alarms, with their webhooks.

    A day before the first one that the service monitors has no consequences.

    Args:
        store: workspace and registry.
        specification: of the service.
        document: of the day, published.

    Returns:
        What has changed.

    Raises:
        Forbidden: the principal is not a scientist.
        IntegrityError: a later document is not as it was published.
        NotFound: a model version of the document is not in the registry.
    """
    if document.day < str(specification.start):
        return []
    return update_alarms(store, document)


def update_alarms(store: Store, document: MonitoringDocument) -> list[AlarmChange]:
    """Raise, extend and close the alarms of a model by a monitored day.

    Days may come in any order, and again: a pass closes no alarm that has failed on a later day,
    and a failure changes none if the rule is known to have passed on a later day.

    Args:
        store: workspace and registry.
        document: of the day, published.

    Returns:
        What has changed.

    Raises:
        Forbidden: the principal is not a scientist.
        IntegrityError: a later document is not as it was published.
        NotFound: a model version of the document is not in the registry.
    """
    decided = _decided(document)
    if not decided:
        return []
    with store.registry.lock(f"alarms of {document.model}"):
        alarms = store.registry.alarms(document.model)
        newest = max((alarm.last_day for alarm in alarms), default=document.day)
        # what has passed since is read only where a former day has failed
        later: Mapping[str, MonitoringDocument] = {}
        if any(rule.verdict == "failed" for rule in decided.values()):
            later = read_documents(store, document.model, _days_after(document.day, newest))
        changes: list[AlarmChange] = []
        for name, rule in decided.items():
            own = [alarm for alarm in alarms if alarm.rule == name]
            if rule.verdict == "failed" and not _has_passed_since(name, later):
                changes += _fail(store, document, name, rule, own)
            elif rule.verdict in ("passed", "warned"):
                over = [alarm for alarm in own if _is_over(alarm, rule, document.day)]
                changes += [
                    AlarmChange(store.registry.close_alarm(alarm, document.day), "closed")
                    for alarm in over
                ]
    return changes


def _decided(document: MonitoringDocument) -> dict[str, _Decided]:
    found: dict[str, _Decided] = {}
    # the version with most requests comes first
    for version in document.versions:
        for rule in version.rules:
            if rule.name not in found or _is_worse(rule, found[rule.name]):
                found[rule.name] = _Decided(rule.verdict, version.version, rule.text)
    return found


def _is_worse(rule: Rule, found: _Decided) -> bool:
    order = ("failed", "warned")
    if rule.verdict not in order:
        return False
    return found.verdict not in order or order.index(rule.verdict) < order.index(found.verdict)


def _days_after(day: str, newest: str) -> list[str]:
    start = date.fromisoformat(day)
    # the day after the newest failure may have passed, too
    count = min((date.fromisoformat(newest) - start).days + 8, MAX_LATER_DAYS)
    return [str(start + timedelta(days=after)) for after in range(1, count)]


def _has_passed_since(name: str, later: Mapping[str, MonitoringDocument]) -> bool:
    """Return whether a rule has passed on a later day, so that its failure is over."""
    decided = (_decided(document).get(name) for document in later.values())
    return any(rule is not None and rule.verdict == "passed" for rule in decided)


def _fail(
    store: Store, document: MonitoringDocument, name: str, rule: _Decided, own: list[Alarm]
) -> list[AlarmChange]:
    before = {alarm.id: (alarm.recovered_day, alarm.day, alarm.last_day) for alarm in own}
    failed = FailedRule(Reference(document.model, rule.version), name, document.day, rule.text)
    alarm = store.registry.raise_alarm(failed)
    known = before.get(alarm.id)
    if known is None:
        return [AlarmChange(alarm, "raised")]
    if known[0] is not None and alarm.recovered_day is None:
        return [AlarmChange(alarm, "reopened")]
    is_longer = known[1:] != (alarm.day, alarm.last_day)
    return [AlarmChange(alarm, "extended")] if is_longer else []


def _is_over(alarm: Alarm, rule: _Decided, day: str) -> bool:
    """Return whether a day on which a rule has not failed ends its alarm.

    A warning of the version that has failed does not, so that the alarm does not come and go; one
    of another version does, as that has taken over.
    """
    has_ended = rule.verdict == "passed" or rule.version != alarm.version
    return alarm.recovered_day is None and day >= alarm.last_day and has_ended
