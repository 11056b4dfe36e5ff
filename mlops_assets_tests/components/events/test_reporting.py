"""Reports to Dagster of model versions that no step of the asset graph made."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.models.gates.outcomes import GateOutcome
from mlops_assets.store import Store
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.training.example_trainers import model_specification


def test_checks_of_each_version_of_a_partition_are_reported(store: Store, tmp_path: Path) -> None:
    key = dg.AssetCheckKey(dg.AssetKey(["crops", "record"]), "gates")
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    first, second = (registered(store, version, accuracy=0.9) for version in ("v1-a", "v1-b"))
    files = store.registry.files_at("catalog/models/crops/v1-a.json")
    with DagsterReporter(store, model_specification(), instance) as reporter:
        for row, passed in ((first, True), (second, False), (second, True)):
            reporter.recorded(row, files, [GateOutcome("accuracy ≥ 0.8", passed, 0.9, 0.8)])
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert [(own.status.value, own.partition) for own in history] == [("SUCCEEDED", "v1")] * 2
    assert [
        own.evaluation.metadata["model_version"].value for own in history if own.evaluation
    ] == ["v1-b", "v1-a"]
    assert [own.run_id for own in history] == [second.run_id, first.run_id]
    newest = instance.fetch_materializations(key.asset_key, limit=1).records[0].storage_id
    latest = history[0].evaluation
    assert latest is not None and latest.target_materialization_data is not None
    assert latest.target_materialization_data.storage_id == newest
