"""The asset `training_data`: the quality report as people see it in Dagster."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components import TrainingDataset
from mlops_assets.components.training_dataset import located
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality import CHECKS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions
from mlops_assets_tests.conftest import table_specification
from resources import StoreResource


@pytest.fixture
def materialise(
    store: Store, land_table: Callable[..., Commit], instance: dg.DagsterInstance
) -> Callable[[], dg.ExecuteInProcessResult]:
    land_table()
    definition: Any = definitions()
    definition.resolve_job_def("fields_landing").execute_in_process(instance=instance)
    job = dg.define_asset_job("quality", selection=[dg.AssetKey(["fields", "training_data"])])
    merged = dg.Definitions.merge(definition, dg.Definitions(jobs=[job]))
    return lambda: merged.resolve_job_def("quality").execute_in_process(
        instance=instance, partition_key="v1", raise_on_error=False
    )


def test_figures_and_counts_show_in_the_metadata(
    materialise: Callable[[], dg.ExecuteInProcessResult],
) -> None:
    result = materialise()
    assert result.success
    (event,) = result.asset_materializations_for_node("fields__training_data")
    metadata = {name: value.value for name, value in event.metadata.items()}
    assert str(metadata["class_counts"]).startswith(
        "| class (samples) | train | validation | test |"
    )
    for name in ("class_counts_figure", "band_histograms_figure"):
        before, _, data = str(metadata[name]).partition("base64,")
        assert before.startswith(
            f"![{name.removesuffix('_figure').replace('_', ' ')}](data:image/png;"
        )
        assert base64.b64decode(data.rstrip(")")).startswith(b"\x89PNG")
        assert len(data) < 140_000
    (schema,) = [v for v in event.metadata.values() if isinstance(v, dg.TableSchemaMetadataValue)]
    label = schema.schema.columns[-1]
    assert (label.name, label.tags) == ("crop", {"role": "label"})
    assert metadata["dagster/row_count"] == 300
    assert {e.check_name for e in result.get_asset_check_evaluations()} == set(CHECKS)


def test_damaged_data_is_an_error(
    materialise: Callable[[], dg.ExecuteInProcessResult], store: Store
) -> None:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    committed.local_path("samples.csv").write_text("damaged")
    result = materialise()
    assert not result.success
    failed = {
        e.check_name: e.description for e in result.get_asset_check_evaluations() if not e.passed
    }
    assert "samples.csv" in str(failed["readable"])


def test_a_target_area_has_a_check_that_does_not_block(
    store: Store, land_table: Callable[..., Commit], instance: dg.DagsterInstance
) -> None:
    land_table()
    declared = table_specification(target_area={"bbox": [9.0, 46.0, 10.0, 47.0]})
    definition = TrainingDataset(declared).build_defs(None)  # type: ignore[arg-type]
    resources = {"store": StoreResource()}
    job = dg.define_asset_job("quality", selection=[dg.AssetKey(["fields", "training_data"])])
    merged = dg.Definitions.merge(definition, dg.Definitions(jobs=[job], resources=resources))
    instance.add_dynamic_partitions("fields_versions", ["v1"])
    result = merged.resolve_job_def("quality").execute_in_process(
        instance=instance, partition_key="v1"
    )
    found = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert set(found) == {*CHECKS, "resembles_target"}
    assert found["resembles_target"].severity == dg.AssetCheckSeverity.WARN
    (event,) = result.asset_materializations_for_node("fields__training_data")
    assert "target_area.json" in event.metadata


def test_the_file_of_a_target_area_is_beside_its_declaration(tmp_path: Path) -> None:
    declaration = tmp_path / "defs" / "defs.yaml"
    declaration.parent.mkdir()
    declaration.touch()
    declared = table_specification(target_area={"area": "../areas/valley.geojson"})
    for path in (declaration, declaration.parent):
        target = located(declared, path).target_area
        assert target is not None
        assert target.area == f"{tmp_path}/defs/../areas/valley.geojson"
    remote = table_specification(target_area={"area": "s3://areas/valley.geojson"})
    assert located(remote, declaration) == remote
    assert located(table_specification(), declaration) == table_specification()
