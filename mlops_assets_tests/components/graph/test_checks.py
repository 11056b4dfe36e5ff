"""Checks of two data versions, as Dagster keeps them and its UI reads them."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from mlops_assets.components.naming import data_versions
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions
from mlops_assets_tests.conftest import crops_table, table_specification

READABLE = dg.AssetCheckKey(dg.AssetKey(["fields", "training_data"]), "readable")


def statuses(instance: dg.DagsterInstance) -> Mapping[str, set[str]]:
    """Status → data versions, as the UI has them."""
    versions = data_versions("fields")
    with partition_loading_context(dynamic_partitions_store=instance):
        states = instance.event_log_storage.get_asset_check_state([(READABLE, versions)])
        return {
            status.value: set(subset.subset_value.get_partition_keys())
            for status, subset in states[READABLE].subsets.items()
            if not subset.is_empty
        }


def test_a_check_of_a_version_stays_its_own_when_another_version_is_checked(
    assessed: Store, instance: dg.DagsterInstance
) -> None:
    # as releases before had it: of no partition
    before = dg.AssetCheckEvaluation(READABLE.asset_key, READABLE.name, passed=False)
    instance.report_runless_asset_event(before)
    specification = table_specification()
    table = assessed.workspace.root / specification.source.url / "samples.csv"
    crops_table(200, seed=1).to_csv(table, index=False)
    commit(assessed.workspace, assessed.registry, specification)
    defs = definitions()
    assert defs.resolve_job_def("fields_landing").execute_in_process(instance=instance).success
    job = dg.define_asset_job("quality", selection=[READABLE.asset_key])
    quality = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("quality")
    damaged = CommittedDataset.open(
        assessed.workspace, assessed.registry, Reference("fields", "v2")
    )
    assert quality.execute_in_process(instance=instance, partition_key="v1").success
    damaged.local_path("samples.csv").write_text("damaged")
    failed = quality.execute_in_process(instance=instance, partition_key="v2", raise_on_error=False)
    assert not failed.success
    assert statuses(instance) == {"SUCCEEDED": {"v1"}, "FAILED": {"v2"}}
