"""Delivery to real HTTP servers: signed, repeated after failures, never to private addresses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from mlops_assets.errors import Conflict, SettingsError, StorageError
from mlops_assets.integrations.webhooks import deliver as delivery
from mlops_assets.integrations.webhooks.declaration import DeclaredWebhooks, read_webhooks
from mlops_assets.integrations.webhooks.deliver import MAX_ATTEMPTS, deliver
from mlops_assets.integrations.webhooks.signature import signature_headers
from mlops_assets.models.approval.decisions import approve, deprecate, reject
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.specification import Approval
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility
from mlops_assets.registry import Registry
from mlops_assets.registry.promotion.outbox import EVENTS
from mlops_assets.registry.schema import WebhookMessage
from mlops_assets.registry.session import now
from mlops_assets.store import Store
from mlops_assets_tests.integrations.webhooks.receiver import KEY, SECRET, Receiver, receiving
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.registry.rows import failed_rule, webhook_message


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("TEAM_SECRET", SECRET)
    with receiving() as found:
        yield found


def declared(url: str, name: str = "team", **more: object) -> DeclaredWebhooks:
    webhook = {"name": name, "url": url, "secret": {"variable": "TEAM_SECRET"}, **more}
    return DeclaredWebhooks.model_validate({"webhooks": [webhook]})


@pytest.fixture
def webhooks(store: Store, receiver: Receiver) -> DeclaredWebhooks:
    """A webhook for which events are queued, with one message about a new version."""
    found = declared(receiver.url)
    assert deliver(store.registry, found) == []
    registered(store, "v1-a", accuracy=0.9)
    return found


def message(store: Store) -> WebhookMessage:
    """The only message."""
    (found,) = store.registry.webhook_messages()
    return found


def let_be_due(store: Store) -> None:
    """Let the time until the next attempts pass."""
    with store.registry.transaction("wait") as session:
        for found in session.query(WebhookMessage).filter_by(state="pending"):
            found.due = now() - timedelta(seconds=1)


def test_the_signature_is_that_of_the_published_vector() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [key]) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_event_is_delivered_once_in_its_order(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks
) -> None:
    row, other = store.registry.model_version(Reference("crops")), registered(store, "v1-b")
    store.registry.report_failed_gates(other, "accuracy: FAILED")
    approve(store, row, Approval(), "good")
    for version in (row, other):
        promote(store, version, [], reason="spring")
    rollback(store, "crops", reason="b drifts")
    reject(store, other, "b drifts")
    deprecate(store, other, "b drifts")
    deprecate(store, other, "b is right", undo=True)
    alarm = store.registry.raise_alarm(failed_rule("v1-b", "2026-11-02"))
    store.registry.close_alarm(alarm, "2026-11-03")
    for _ in range(2):
        deliver(store.registry, webhooks)
    kinds = [body["type"] for body in receiver.bodies]
    assert [kind.removeprefix("model.") for kind in kinds] == [
        *("new_version", "new_version", "gate_failed", "approved", "promoted", "promoted"),
        *("rolled_back", "rejected", "deprecated", "reinstated"),
        *("monitoring.alarm", "monitoring.recovered"),
    ]
    assert set(kinds) == set(EVENTS)
    rolled_back = receiver.bodies[6]["data"]
    assert rolled_back == {
        "model": "crops",
        "version": "v1-a",
        "dataset": "fields",
        "data_version": "v1",
        "by": "tester",
        "alias": "production",
        "previous": "v1-b",
        "reason": "b drifts",
    }
    assert len(set(receiver.ids)) == len(kinds)
    assert receiver.refused == 0


def test_only_wanted_events_of_versions_that_are_not_private_are_queued(
    store: Store, receiver: Receiver
) -> None:
    registered(store, "v1-early")
    deliver(store.registry, declared(receiver.url, events=["model.approved"]))
    row = registered(store, "v1-a")
    store.registry.set_visibility(row, Visibility.PRIVATE)
    approve(store, row, Approval(), "good")
    assert store.registry.webhook_messages() == []
    store.registry.set_visibility(row, Visibility.WORKSPACE)
    approve(store, row, Approval(), "good")
    assert message(store).event == "model.approved"


@pytest.mark.parametrize("answer", [500, 302, 400, "hang", "drip"])
def test_a_message_that_fails_is_sent_again_with_the_same_id_until_it_is_dead(
    answer: int | str,
    store: Store,
    receiver: Receiver,
    webhooks: DeclaredWebhooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", (1.0, 0.3))
    monkeypatch.setattr(delivery, "MAX_SECONDS", 0.7)
    receiver.answer = answer
    registered(store, "v1-later")
    ((sent, attempt),) = deliver(store.registry, webhooks)
    waits = attempt.due - now()  # type: ignore[operator]
    assert timedelta(seconds=25) < waits <= timedelta(seconds=30)
    expected = {302: "302 Found; redirects are not", "hang": "no answer", "drip": "no answer"}
    assert expected.get(answer, str(answer)) in str(attempt.error)
    first, later = store.registry.webhook_messages()
    assert (first.id, first.state, first.attempts) == (sent.id, "pending", 1)
    assert (later.state, later.attempts) == ("pending", 0)

    with store.registry.transaction("wait") as session:
        session.get_one(WebhookMessage, first.id).attempts = MAX_ATTEMPTS - 2
        session.delete(session.get_one(WebhookMessage, later.id))
    states = []
    for _ in range(3):
        let_be_due(store)
        states += [attempt.state for _, attempt in deliver(store.registry, webhooks)]
    assert states == ["pending", "dead"]
    assert (receiver.ids, receiver.refused) == ([sent.id] * 3, 0)

    receiver.answer = 204
    assert store.registry.retry_message(sent.id).state == "pending"
    deliver(store.registry, webhooks)
    assert (message(store).state, message(store).error) == ("delivered", None)
    assert receiver.ids == [sent.id] * 4
    with pytest.raises(Conflict, match="is delivered; only dead ones are retried"):
        store.registry.retry_message(sent.id)


def test_a_receiver_that_is_gone_is_not_asked_again(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks
) -> None:
    receiver.answer = 410
    ((_, attempt),) = deliver(store.registry, webhooks)
    assert (attempt.state, attempt.error) == ("dead", "the receiver answered 410 Gone")
    assert deliver(store.registry, webhooks) == []


def test_a_private_address_is_refused_unless_it_is_trusted(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRUSTED_SOURCES", "")
    ((_, attempt),) = deliver(store.registry, webhooks)
    assert "127.0.0.1, which is not public; " in str(attempt.error)
    assert receiver.ids == []


def test_a_receiver_that_hangs_holds_up_no_other(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", (1.0, 0.5))
    with receiving() as slow:
        slow.answer = "hang"
        both = DeclaredWebhooks(
            webhooks=[
                *declared(slow.url, "slow").webhooks,
                *declared(receiver.url).webhooks,
            ]
        )
        deliver(store.registry, both)
        registered(store, "v1-a")
        registered(store, "v1-b")
        done = [(sent.webhook, attempt.state) for sent, attempt in deliver(store.registry, both)]
    assert sorted(done) == [("slow", "pending"), ("team", "delivered"), ("team", "delivered")]


def test_many_messages_that_fail_hold_up_no_other_webhook(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "BATCH", 2)
    with receiving() as failing:
        failing.answer = 500
        first = declared(failing.url, "failing").webhooks
        deliver(store.registry, DeclaredWebhooks(webhooks=first))
        for version in ("v1-a", "v1-b", "v1-c"):
            registered(store, version)
        both = DeclaredWebhooks(webhooks=[*first, *declared(receiver.url).webhooks])
        deliver(store.registry, both)
        let_be_due(store)
        registered(store, "v1-d")
        done = [(sent.webhook, attempt.state) for sent, attempt in deliver(store.registry, both)]
    assert done == [("failing", "pending"), ("team", "delivered")]


def test_while_secrets_change_messages_are_signed_with_both(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text(f"whsec_{base64.b64encode(KEY[::-1]).decode()}\n")
    new = {"file": str(tmp_path / "new")}
    old = {"variable": "TEAM_SECRET"}
    deliver(store.registry, declared(receiver.url, secret=new, former_secret=old))
    assert (len(receiver.ids), receiver.refused) == (1, 0)
    registered(store, "v1-b")
    deliver(store.registry, declared(receiver.url, secret=new))
    assert (len(receiver.ids), receiver.refused) == (1, 1)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "environment variable TEAM_SECRET, which is not set"),
        ("whsec_dG9vIHNob3J0", "24 bytes"),
    ],
)
def test_without_its_secret_nothing_is_sent_and_no_attempt_counts(
    secret: str,
    problem: str,
    store: Store,
    receiver: Receiver,
    webhooks: DeclaredWebhooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_SECRET", secret)
    with pytest.raises(SettingsError, match=f"webhook team: .*{problem}"):
        deliver(store.registry, webhooks)
    assert message(store).attempts == 0


def test_messages_to_a_webhook_that_is_declared_no_more_are_dead(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks
) -> None:
    assert deliver(store.registry, declared(receiver.url, "other")) == []
    assert (message(store).state, message(store).error) == (
        "dead",
        "the webhook is declared no more",
    )
    with pytest.raises(Conflict, match="declare it in MLOPS_WEBHOOKS"):
        store.registry.retry_message(message(store).id)
    # queued by a transaction that has begun before the declaration changed
    with store.registry.transaction("queue") as session:
        session.add(webhook_message("msg_late"))
    ((_, attempt),) = deliver(store.registry, declared(receiver.url, "other"))
    assert (attempt.state, receiver.ids) == ("dead", [])


def test_after_a_crash_a_message_comes_again_with_the_same_id(
    store: Store, receiver: Receiver, webhooks: DeclaredWebhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: object) -> None:
        raise StorageError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "record_attempts", power_cut)
        with pytest.raises(StorageError, match="power cut"):
            deliver(store.registry, webhooks)
    deliver(store.registry, webhooks)
    assert receiver.ids == [message(store).id] * 2


def test_one_process_delivers_at_a_time(store: Store, webhooks: DeclaredWebhooks) -> None:
    with store.registry.lock("webhooks"), pytest.raises(Conflict):
        deliver(store.registry, webhooks)
    assert message(store).attempts == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "ftp://example.org"}, "write a URL"),
        ({"url": "https://me:word@example.org"}, "without user and password"),
        ({"events": ["promoted"]}, "'promoted' is not an event; there are model.approved"),
        ({"secret": "whsec_x"}, r"webhooks\.0\.secret"),
        ({"name": "a b"}, "webhook name"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(
    changes: dict[str, object], problem: str, tmp_path: Path
) -> None:
    good = {"name": "team", "url": "https://example.org", "secret": {"variable": "TEAM_SECRET"}}
    path = tmp_path / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"webhooks": [good]}))
    assert read_webhooks(path).webhooks[0].events == EVENTS
    path.write_text(yaml.safe_dump({"webhooks": [good | changes]}))
    with pytest.raises(SettingsError, match=problem):
        read_webhooks(path)
