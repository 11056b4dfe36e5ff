"""The assets `registration` and their sensor, with the hub of another workspace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.registration import registration_sensors
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.registry.schema import RegistrationAttempt
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.components.project import definitions
from mlops_assets_tests.hub.serving import TOKEN, hub

FIELDS, FOREST = (
    dg.AssetKey(["fields", "registration"]),
    dg.AssetKey(["crop_forest", "registration"]),
)


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of another workspace's API, which the project declares as a catalogue."""
    other = Workspace((tmp_path / "other").as_uri())
    registry = Registry(f"sqlite:///{other.root / 'registry.db'}").acting(local("ann"))
    monkeypatch.setenv("MLOPS_CATALOGUES", "catalogues.yaml")
    monkeypatch.setenv("OTHER_TOKEN", TOKEN)
    with hub(Store(other, registry)) as url:
        declare(f"{url}/stac")
        yield f"{url}/stac"
    registry.close()


def declare(url: str) -> None:
    Path("catalogues.yaml").write_text(
        f"catalogues:\n  - name: other\n    url: {url}\n"
        "    access: {token: {variable: OTHER_TOKEN}}\n"
    )


class Registering(Daemon):
    """The daemon of a project with catalogues."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        built = dg.Definitions.merge(definitions(), dg.Definitions(sensors=registration_sensors()))
        super().__init__(built, "registration", instance)

    def tick_and_run(self) -> list[dg.ExecuteInProcessResult]:
        """Evaluate the sensor, and run what it asks for."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return [
            job.execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                asset_selection=list(request.asset_selection or []),
            )
            for request in self.tick()
        ]


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = result.get_asset_check_evaluations()
    return found


def test_published_versions_are_registered_and_compared_once(
    assessed: Store, instance: dg.DagsterInstance, catalogue: str
) -> None:
    daemon = Registering(instance)
    lifecycle = daemon.definitions.resolve_job_def("crop_forest_lifecycle")
    assert daemon.tick() == []
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    assert lifecycle.execute_in_process(instance=instance, partition_key="v1").success
    assert daemon.tick() == [], "nothing is published"
    row = assessed.registry.model_version(Reference("crop_forest"))
    data = assessed.registry.data_version(Reference("fields"))
    set_visibility(assessed, data, Visibility.PUBLISHED)
    set_visibility(assessed, row, Visibility.PUBLISHED)
    of_data, of_model = daemon.tick_and_run()
    (made,) = of_data.asset_materializations_for_node("fields__registration")
    assert made.metadata["other"].value == f"{catalogue}/collections/fields-v1"
    (made,) = of_model.asset_materializations_for_node("crop_forest__registration")
    url = f"{catalogue}/collections/crop_forest/items/crop_forest-{row.version}"
    assert made.metadata["other"].value == url
    assert check_of(of_model).check_name == "registered_and_equal"
    assert check_of(of_model).passed
    assert check_of(of_model).partition == "v1"
    assert daemon.tick() == []
    assert daemon.reason == "nothing is due"
    assert daemon.tick() == []
    assert daemon.reason == "no record has changed"


def test_a_catalogue_that_is_unreachable_fails_no_run_and_is_tried_again_later(
    assessed: Store, instance: dg.DagsterInstance, catalogue: str
) -> None:
    daemon = Registering(instance)
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    job = daemon.definitions.resolve_job_def("fields_assessment")
    assert job.execute_in_process(instance=instance, partition_key="v1").success
    set_visibility(
        assessed, assessed.registry.data_version(Reference("fields")), Visibility.PUBLISHED
    )
    declare("http://127.0.0.1:9")
    first, again = daemon.tick(), daemon.tick()
    assert first[0].run_key == again[0].run_key, "one run for an attempt"
    (failed,) = daemon.tick_and_run()
    assert failed.success
    assert not check_of(failed).passed
    assert check_of(failed).severity == dg.AssetCheckSeverity.WARN
    assert "fields@v1 with other: " in str(check_of(failed).description)
    assert daemon.tick() == []
    with assessed.registry.transaction("pass the time") as session:
        attempt = session.get_one(RegistrationAttempt, ("other", "fields", "v1"))
        attempt.retry = attempt.tried - timedelta(seconds=1)
    (request,) = daemon.tick()
    assert request.run_key != first[0].run_key


def test_a_dataset_that_is_due_and_not_declared_is_named(
    assessed: Store, instance: dg.DagsterInstance, catalogue: str
) -> None:
    daemon = Registering(instance)
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    job = daemon.definitions.resolve_job_def("fields_assessment")
    assert job.execute_in_process(instance=instance, partition_key="v1").success
    data = assessed.registry.data_version(Reference("fields"))
    set_visibility(assessed, data, Visibility.PUBLISHED)
    daemon.definitions = dg.Definitions(sensors=registration_sensors(), resources=daemon.resources)
    assert daemon.tick() == []
    assert daemon.reason == ("not declared in this project: fields; run 'mlops registration run'")


def test_a_project_without_catalogues_has_none_of_it() -> None:
    keys = definitions().resolve_asset_graph().get_all_asset_keys()
    assert not {FIELDS, FOREST} & set(keys)
    assert registration_sensors() == []
