"""Delivery of queued messages, with retries; a message may come twice, but with the same id."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

import requests

from mlops_assets import __version__
from mlops_assets.datasets.sources.public_web import public_session
from mlops_assets.errors import SettingsError, StorageError
from mlops_assets.integrations.webhooks.declaration import (
    DeclaredWebhook,
    DeclaredWebhooks,
    check_receiver_url,
)
from mlops_assets.integrations.webhooks.signature import signature_headers, signing_key
from mlops_assets.registry import Registry, WebhookMessage
from mlops_assets.registry.promotion.outbox import DECLARED_NO_MORE, Attempt
from mlops_assets.registry.store import now

BATCH = 100  # messages to one webhook in one delivery
PARALLEL = 8  # webhooks that are served at once
# of one attempt: to connect, to wait for the answer, and in all, as headers may come byte by byte
TIMEOUT = (5.0, 10.0)
MAX_SECONDS = 15.0
# no attempt begins later in one delivery, which is less than the 60 s of a sensor's tick
DELIVERY_SECONDS = 30.0
MAX_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=30)
RETRY_FACTOR = 4
MAX_RETRY = timedelta(hours=12)


@dataclass(frozen=True)
class _Receiver:
    """A webhook whose secrets have been read."""

    name: str
    url: str = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True)
class _Answer:
    """What came of an attempt: an error, or None; and whether there is to be no other one."""

    error: str | None
    final: bool = False


def deliver(registry: Registry, declared: DeclaredWebhooks) -> list[tuple[WebhookMessage, Attempt]]:
    """Deliver the messages that are due, after events are queued for the declared webhooks.

    The messages of a webhook are sent in the order of their events; after one that fails, the
    others wait for the next delivery.

    Args:
        registry: has the messages.
        declared: the webhooks.

    Returns:
        The messages that were sent, with what came of it.

    Raises:
        Conflict: another process is delivering.
        Forbidden: the principal is not an operator.
        SettingsError: a secret cannot be read; nothing was sent.
    """
    receivers = {webhook.name: _receiver(webhook) for webhook in declared.webhooks}
    with registry.lock("webhooks", timeout=0):
        registry.set_webhooks({webhook.name: webhook.events for webhook in declared.webhooks})
        by_webhook: dict[str, list[WebhookMessage]] = defaultdict(list)
        for message in registry.due_messages(BATCH):
            by_webhook[message.webhook].append(message)
        until = time.monotonic() + DELIVERY_SECONDS
        with ThreadPoolExecutor(PARALLEL) as pool:
            results = pool.map(
                lambda name: _deliver_to(receivers.get(name), by_webhook[name], until), by_webhook
            )
            done = [each for result in results for each in result]
        if done:
            registry.record_attempts([attempt for _, attempt in done])
    return done


def _receiver(webhook: DeclaredWebhook) -> _Receiver:
    """Read the secrets of a webhook.

    Raises:
        SettingsError: one cannot be read, or is not valid.
    """
    if isinstance(webhook.url, str):
        url = webhook.url
    else:
        try:
            url = check_receiver_url(webhook.url.read(f"webhook {webhook.name}"))
        except ValueError as error:
            raise SettingsError(f"webhook {webhook.name}: {webhook.url}: {error}") from None
    secrets = [webhook.secret, *([webhook.former_secret] if webhook.former_secret else [])]
    return _Receiver(webhook.name, url, [signing_key(secret, webhook.name) for secret in secrets])


def _deliver_to(
    receiver: _Receiver | None, messages: Iterable[WebhookMessage], until: float
) -> list[tuple[WebhookMessage, Attempt]]:
    """Send messages to one receiver until one fails.

    There is none if its declaration was removed while an event was queued.
    """
    if receiver is None:
        return [(message, Attempt(message.id, "dead", DECLARED_NO_MORE)) for message in messages]
    done: list[tuple[WebhookMessage, Attempt]] = []
    with public_session() as session:
        for message in messages:
            if time.monotonic() > until:
                break
            answer = _send(session, receiver, message)
            done.append((message, _attempt(message, answer)))
            if answer.error is not None:
                break
    return done


def _attempt(message: WebhookMessage, answer: _Answer) -> Attempt:
    if answer.error is None:
        return Attempt(message.id, "delivered")
    made = message.attempts + 1
    if answer.final or made >= MAX_ATTEMPTS:
        return Attempt(message.id, "dead", answer.error)
    wait = min(FIRST_RETRY * RETRY_FACTOR ** (made - 1), MAX_RETRY)
    return Attempt(message.id, "pending", answer.error, now() + wait)


def _send(session: requests.Session, receiver: _Receiver, message: WebhookMessage) -> _Answer:
    """Send one message; the thread of a receiver that never ends its answer is left behind."""
    answers: queue.Queue[_Answer] = queue.Queue(1)
    body = message.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"mlops_assets/{__version__}",
        **signature_headers(message.id, int(time.time()), body, receiver.keys),
    }
    threading.Thread(
        target=lambda: answers.put(_post(session, receiver.url, body, headers)), daemon=True
    ).start()
    try:
        return answers.get(timeout=MAX_SECONDS)
    except queue.Empty:
        return _Answer(f"no answer within {MAX_SECONDS:.0f} s")


def _post(session: requests.Session, url: str, body: bytes, headers: dict[str, str]) -> _Answer:
    try:
        response = session.post(
            url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
        )
    except StorageError as error:
        return _Answer(str(error))
    except requests.Timeout:
        return _Answer(f"no answer within {TIMEOUT[1]:.0f} s")
    except requests.RequestException as error:
        return _Answer(f"not reached: {type(error).__name__}")
    response.close()
    status = response.status_code
    if 200 <= status < 300:
        return _Answer(None)
    known = status in set(HTTPStatus)
    text = f"the receiver answered {status}{f' {HTTPStatus(status).phrase}' if known else ''}"
    if 300 <= status < 400:
        return _Answer(f"{text}; redirects are not followed")
    return _Answer(text, final=status == HTTPStatus.GONE)
