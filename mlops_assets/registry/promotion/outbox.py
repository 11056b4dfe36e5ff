"""The outbox: messages to webhooks, queued in the transactions of the events they report.

They are sent by `mlops_assets.integrations.webhooks`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mlops_assets.errors import Conflict
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry.schema import ModelVersion, Webhook, WebhookMessage
from mlops_assets.registry.session import RegistrySession, existing, now

APPROVED = "model.approved"
REJECTED = "model.rejected"
PROMOTED = "model.promoted"
ROLLED_BACK = "model.rolled_back"
DEPRECATED = "model.deprecated"
REINSTATED = "model.reinstated"
NEW_VERSION = "model.new_version"
GATE_FAILED = "model.gate_failed"
MONITORING_ALARM = "monitoring.alarm"
MONITORING_RECOVERED = "monitoring.recovered"
EVENTS = (
    APPROVED,
    REJECTED,
    PROMOTED,
    ROLLED_BACK,
    DEPRECATED,
    REINSTATED,
    NEW_VERSION,
    GATE_FAILED,
    MONITORING_ALARM,
    MONITORING_RECOVERED,
)
# the error of messages that are not sent for this reason
DECLARED_NO_MORE = "the webhook is declared no more"


@dataclass(frozen=True)
class Attempt:
    """An attempt to deliver a message.

    Attributes:
        id: of the message.
        state: of the message afterwards.
        error: what was wrong; None if it was delivered.
        due: when the next attempt is due; None if there is none.
    """

    id: str
    state: str
    error: str | None = None
    due: datetime | None = None


def queue_messages(
    session: Session, event: str, row: ModelVersion, facts: Mapping[str, object]
) -> None:
    """Queue a message about an event for each webhook that wants it, within its transaction.

    There is none about private versions, as receivers are outside of the workspace.

    Args:
        session: the transaction.
        event: one of `EVENTS`.
        row: the model version.
        facts: of the event, as JSON values.
    """
    wanted = [found for found in session.scalars(select(Webhook)) if event in found.events]
    version = session.get(ModelVersion, (row.model, row.version)) if wanted else None
    if version is None or version.visibility == Visibility.PRIVATE:
        return
    moment = now()
    body = {
        "type": event,
        "timestamp": moment.isoformat(),
        "data": {
            "model": version.model,
            "version": version.version,
            "dataset": version.dataset,
            "data_version": version.data_version,
            **facts,
        },
    }
    text = to_json(body, inf_nan_mode="strings").decode()
    for webhook in wanted:
        session.add(
            WebhookMessage(
                id=f"msg_{uuid.uuid4().hex}",
                webhook=webhook.name,
                event=event,
                body=text,
                created=moment,
                state="pending",
                attempts=0,
                due=moment,
                error=None,
            )
        )


class Outbox(RegistrySession):
    """Messages to webhooks."""

    def report_failed_gates(self, row: ModelVersion, description: str) -> None:
        """Queue messages about a recorded model version that does not pass its gates.

        Args:
            row: the model version.
            description: of the gates.
        """
        with self.transaction("report failed gates", Role.SCIENTIST) as session:
            facts = {"by": self.principal.name, "gates": description}
            queue_messages(session, GATE_FAILED, row, facts)

    def set_webhooks(self, declared: Mapping[str, Sequence[str]]) -> None:
        """Set the webhooks that messages are queued for from now on.

        Messages to those that are declared no more are not sent.

        Args:
            declared: events of each, by its name.
        """
        with self.reading() as session:
            known = {found.name: found.events for found in session.scalars(select(Webhook))}
        if known == {name: list(events) for name, events in declared.items()}:
            return
        with self.transaction("declare webhooks") as session:
            found = {webhook.name: webhook for webhook in session.scalars(select(Webhook))}
            for name, events in declared.items():
                if name not in found:
                    session.add(Webhook(name=name, events=list(events), since=now()))
                elif found[name].events != list(events):
                    found[name].events = list(events)
            for name in found.keys() - declared.keys():
                session.delete(found[name])
                left = select(WebhookMessage).filter_by(webhook=name, state="pending")
                for message in session.scalars(left):
                    message.state, message.due = "dead", None
                    message.error = DECLARED_NO_MORE

    def due_messages(self, limit: int) -> list[WebhookMessage]:
        """Return messages whose next attempt is due, oldest first.

        Args:
            limit: at most so many of each webhook, so that one that fails holds up no other.
        """
        order = (WebhookMessage.created, WebhookMessage.id)
        turn = func.row_number().over(partition_by=WebhookMessage.webhook, order_by=order)
        due = (
            select(WebhookMessage.id, turn.label("turn"))
            .where(WebhookMessage.state == "pending", WebhookMessage.due <= now())
            .subquery()
        )
        query = (
            select(WebhookMessage)
            .join(due, WebhookMessage.id == due.c.id)
            .where(due.c.turn <= limit)
            .order_by(*order)
        )
        self.principal.require(Role.OPERATOR, "read messages to webhooks")
        with self.reading() as session:
            return list(session.scalars(query))

    def webhook_messages(self, state: str | None = None) -> list[WebhookMessage]:
        """Return messages, oldest first.

        Args:
            state: only those in this state.
        """
        query = select(WebhookMessage).order_by(WebhookMessage.created, WebhookMessage.id)
        self.principal.require(Role.OPERATOR, "read messages to webhooks")
        with self.reading() as session:
            return list(session.scalars(query if state is None else query.filter_by(state=state)))

    def record_attempts(self, attempts: Sequence[Attempt]) -> None:
        """Record attempts to deliver messages.

        Args:
            attempts: at most one for each message.
        """
        with self.transaction("deliver to webhooks") as session:
            for attempt in attempts:
                message = existing(session.get(WebhookMessage, attempt.id), attempt.id)
                message.attempts += 1
                message.state, message.due = attempt.state, attempt.due
                message.error = attempt.error

    def retry_message(self, message_id: str) -> WebhookMessage:
        """Deliver a dead message again, with the same id.

        Args:
            message_id: its id.

        Returns:
            The message as it is then.

        Raises:
            Conflict: it is not dead, or its webhook is declared no more.
            NotFound: there is no such message.
        """
        with self.transaction("retry a message") as session:
            message = existing(session.get(WebhookMessage, message_id), f"message {message_id}")
            if message.state != "dead":
                raise Conflict(
                    f"message {message_id} is {message.state}; only dead ones are retried"
                )
            if session.get(Webhook, message.webhook) is None:
                raise Conflict(
                    f"message {message_id} is for the webhook {message.webhook}, which is declared"
                    " no more; declare it in MLOPS_WEBHOOKS, and run 'mlops webhooks deliver'"
                )
            message.state, message.attempts, message.due = "pending", 0, now()
            return message
