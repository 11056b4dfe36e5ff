"""`mlops webhooks` and the sensor `webhooks`, with a receiver on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.sensors.webhooks import webhooks
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.integrations.webhooks.receiver import SECRET, Receiver, receiving
from mlops_assets_tests.models.test_promotion import registered
from resources import StoreResource


@pytest.fixture
def receiver(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        (tmp_path / "webhooks.yaml").write_text(
            f"webhooks: [{{name: team, url: '{found.url}', secret: {{variable: TEAM_SECRET}}}}]"
        )
        monkeypatch.setenv("TEAM_SECRET", SECRET)
        monkeypatch.setenv("MLOPS_WEBHOOKS", "webhooks.yaml")
        yield found


def test_messages_are_delivered_listed_and_retried(
    store: Store, receiver: Receiver, mlops: Mlops
) -> None:
    assert mlops("webhooks", "deliver").out == "no message is due\n"
    registered(store, "v1-a")
    receiver.answer = 410
    failed = mlops("webhooks", "deliver")
    assert (failed.code, "the receiver answered 410 Gone" in failed.out) == (1, True)
    (dead,) = mlops("webhooks", "list", "--dead", "--json").json
    assert (dead["webhook"], dead["event"], dead["attempts"]) == ("team", "model.new_version", 1)
    receiver.answer = 204
    assert mlops("webhooks", "retry", dead["id"]).code == 0
    assert mlops("webhooks", "list", "--dead").out == "no dead message\n"
    delivered = mlops("webhooks", "deliver", "--json")
    assert (delivered.code, delivered.json[0]["state"]) == (0, "delivered")
    assert receiver.ids == [dead["id"]] * 2
    assert "message msg_x is not in the registry" in mlops("webhooks", "retry", "msg_x").err


def test_without_a_declaration_the_setting_is_named(
    store: Store, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_WEBHOOKS", raising=False)
    assert "MLOPS_WEBHOOKS is not set" in mlops("webhooks", "deliver").err
    assert not webhooks().sensors


def test_the_sensor_delivers(store: Store, receiver: Receiver) -> None:
    (sensor,) = webhooks().sensors or ()
    assert isinstance(sensor, dg.SensorDefinition)

    def tick() -> str:
        with dg.build_sensor_context(resources={"store": StoreResource()}) as context:
            return str(sensor.evaluate_tick(context).skip_message)

    tick()
    registered(store, "v1-a")
    assert tick() == "1 message(s) delivered, 0 failed"
    receiver.answer = 500
    registered(store, "v1-b")
    assert tick() == "0 message(s) delivered, 1 failed"
    with store.registry.lock("webhooks"):
        assert tick() == "another process is delivering"
