"""The sensors' own code, evaluated as the daemon does."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from mlops_assets.components.landing_sensor import new_data_sensor
from mlops_assets.components.naming import data_versions
from mlops_assets.components.new_version_sensor import new_version_sensor
from mlops_assets.datasets.freezing import Freeze
from mlops_assets.training.lifecycle import Store, train
from mlops_assets_tests.components.project import FOREST, model_specification
from mlops_assets_tests.conftest import crops_table, table_specification
from resources import StoreResource


class Daemon:
    """Evaluates a sensor again and again with its own cursor."""

    def __init__(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.sensor, self.instance, self.cursor = sensor, instance, None

    def tick(self) -> list[dg.RunRequest]:
        resources = {"store": StoreResource()}
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=resources)
        answer = self.sensor(context)
        answers = [answer] if isinstance(answer, dg.RunRequest | dg.SkipReason) else list(answer)
        self.cursor = context.cursor
        return [each for each in answers if isinstance(each, dg.RunRequest)]


def test_new_data_is_asked_for_once_after_it_has_settled(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("mlops_assets.components.landing_sensor.time.time", lambda: clock[0])
    specification = table_specification(sensor={"settle_seconds": 60})
    daemon = Daemon(new_data_sensor(specification, "fields_landing"), instance)
    assert daemon.tick() == [], "an empty landing asks for nothing"
    folder = store.workspace.root / "landing" / "fields"
    folder.mkdir(parents=True)
    crops_table(10).to_csv(folder / "a.csv")
    assert daemon.tick() == [], "new data has not settled"
    clock[0] += 59
    crops_table(20).to_csv(folder / "a.csv")
    assert daemon.tick() == [], "it has changed, so it settles anew"
    clock[0] += 59
    assert daemon.tick() == []
    clock[0] += 1
    (request,) = daemon.tick()
    assert request.run_key
    clock[0] += 600
    assert daemon.tick() == [], "it was asked for already"
    crops_table(30).to_csv(folder / "b.csv")
    assert daemon.tick() == []
    clock[0] += 60
    (again,) = daemon.tick()
    assert again.run_key != request.run_key


def test_a_new_version_asks_for_the_lifecycle_once_and_not_for_what_was_trained_by_hand(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Freeze]
) -> None:
    name = str(data_versions("fields").name)
    daemon = Daemon(new_version_sensor(model_specification(), "crop_forest_lifecycle"), instance)
    assert daemon.tick() == []
    land_table()
    instance.add_dynamic_partitions(name, ["v1"])
    train(store, model_specification(), "v1", FOREST, seed=0)
    assert daemon.tick() == []
    instance.add_dynamic_partitions(name, ["v2", "v3"])
    assert [request.partition_key for request in daemon.tick()] == ["v2", "v3"]
    assert daemon.tick() == []
