"""The component ProcessedDataset: its graph, its runs, and its sensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components import ProcessedDataset, TrainedModel, TrainingDataset
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.recall import ancestry
from mlops_assets.processing.produce import ProcessingJob, produce
from mlops_assets.store import Store
from mlops_assets_tests.components.daemon import is_stale
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.processing.functions import HERE
from mlops_assets_tests.processing.test_produce import processed
from resources import MlflowMirror, StoreResource


def definitions(**changes: object) -> dg.Definitions:
    """Fields, every other row of them, and a model on that; `changes` are to the latter dataset."""
    components = [
        TrainingDataset(table_specification()),
        ProcessedDataset(processed(**changes)),
        TrainedModel(model_specification(dataset="thinned")),
    ]
    built = [component.build_defs(None) for component in components]  # type: ignore[arg-type]
    common = dg.Definitions(
        resources={"store": StoreResource(), "mlflow": MlflowMirror()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(*built, common)


def materialise(
    instance: dg.DagsterInstance, key: str, partition: str, defs: dg.Definitions | None = None
) -> dg.ExecuteInProcessResult:
    """Materialise one asset, as `dagster asset materialize` does."""
    job = dg.define_asset_job("once", selection=[dg.AssetKey(key.split("/"))])
    merged = dg.Definitions.merge(defs or definitions(), dg.Definitions(jobs=[job]))
    return merged.resolve_job_def("once").execute_in_process(
        instance=instance, partition_key=partition, raise_on_error=False
    )


def test_data_flows_from_input_to_model_in_the_graph() -> None:
    graph = definitions().resolve_asset_graph()
    parents = {
        node.key.to_user_string(): sorted(key.to_user_string() for key in node.parent_keys)
        for node in graph.asset_nodes
    }
    assert parents["thinned/processed"] == ["fields/training_data"]
    assert parents["thinned/training_data"] == ["thinned/processed"]
    assert parents["thinned/record"] == ["thinned/training_data"]
    assert parents["crop_forest/trained_model"] == ["thinned/training_data"]
    names = {
        key: graph.get(dg.AssetKey(key.split("/"))).partitions_def
        for key in ("thinned/processed", "thinned/training_data")
    }
    assert [getattr(found, "name", None) for found in names.values()] == [
        "fields_versions",
        "thinned_versions",
    ]


def test_each_version_of_the_input_is_processed_and_its_versions_are_partitions(
    store: Store, land_table: Callable[..., Commit], instance: dg.DagsterInstance
) -> None:
    land_table()
    land_table(crops_table().assign(surveyed=1.0))
    instance.add_dynamic_partitions("fields_versions", ["v1", "v2"])
    for version, expected in (("v2", "v1"), ("v1", "v2"), ("v2", "v1")):
        result = materialise(instance, "thinned/processed", version)
        assert result.success
        (event,) = result.asset_materializations_for_node("thinned__processed")
        metadata = {name: value.value for name, value in event.metadata.items()}
        assert metadata["data_version"] == expected
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        tags = [run.tags[f"mlops/{tag}"] for tag in ("dataset", "data_version", "user")]
        assert tags == ["thinned", expected, "tester"]
        inputs: Any = metadata["inputs"]
        assert [given["version"] for given in inputs] == [version]
        assert metadata["parameters"] == {"every": 2}
        assert metadata["function"] == f"{HERE}:thin"
    assert instance.get_dynamic_partitions("thinned_versions") == ["v1", "v2"]
    for key in ("thinned/training_data", "thinned/record"):
        assert materialise(instance, key, "v1").success
    assert store.workspace.exists("catalog/datasets/thinned/v1/collection.json")
    land_table(crops_table().assign(surveyed=2.0))
    instance.add_dynamic_partitions("fields_versions", ["v3"])
    assert materialise(instance, "thinned/processed", "v3").success
    assert not is_stale(definitions(), instance, "thinned/training_data", "v1")


def test_parameters_of_the_launchpad_are_checked_and_recorded(
    store: Store, land_table: Callable[..., Commit], instance: dg.DagsterInstance
) -> None:
    land_table()
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    job = definitions().resolve_job_def("thinned_processing")
    config = {"ops": {"thinned__processed": {"config": {"every": 3}}}}
    assert job.execute_in_process(instance=instance, partition_key="v1", run_config=config).success
    assert store.registry.data_versions("thinned")[0].samples == 100
    with pytest.raises(dg.DagsterInvalidConfigError):
        job.execute_in_process(
            instance=instance,
            partition_key="v1",
            run_config={"ops": {"thinned__processed": {"config": {"evry": 3}}}},
        )


def test_the_sensor_processes_each_new_input_version_once(
    store: Store,
    land_table: Callable[..., Commit],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defs = definitions(auto_process=True)
    sensor = defs.resolve_sensor_def("thinned_new_input")
    cursor: str | None = None

    def tick() -> list[str | None]:
        nonlocal cursor
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, definitions=defs, resources={"store": StoreResource()}
        ) as context:
            result: Any = sensor(context)
            cursor = context.cursor
        return [request.partition_key for request in result.run_requests or []]

    assert tick() == []
    land_table()
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    # by hand, before the sensor sees it
    assert materialise(instance, "thinned/processed", "v1", defs).success
    land_table(crops_table().assign(surveyed=1.0))
    assert tick() == ["v2"]
    assert tick() == []
    land_table(crops_table().assign(surveyed=2.0))
    # by hand, in another Dagster home
    produce(store, ProcessingJob(processed()))
    assert tick() == []
    monkeypatch.setattr(ancestry, "processing_of", pytest.fail)
    assert tick() == [], "no document is read again"
    assert "thinned_new_input" not in {
        found.name
        for found in definitions().sensors or []
        if isinstance(found, dg.SensorDefinition)
    }
