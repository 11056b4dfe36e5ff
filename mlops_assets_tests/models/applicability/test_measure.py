"""The applicability of model versions that were trained and exported on small, real data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.quality.assessment import QualityAssessment
from mlops_assets.datasets.quality.findings.balance import no_counts
from mlops_assets.datasets.quality.target.compare import compare_with_target
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError
from mlops_assets.models.applicability.document import (
    ApplicabilityDocument,
    read_applicability,
    read_document,
)
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.export import export as exporting
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.lifecycle import Outcome, do_stage
from mlops_assets.models.onnx.features import as_samples
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.signature import raw_data
from mlops_assets.models.signing.statements import signed_files
from mlops_assets.models.specification import Gate
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import applicability_key, model_folder, model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

Land = Callable[..., Commit]
BY_FARM = table_specification(
    source={
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "group": "farm"},
    },
    split={"method": "group", "fractions": {"train": 0.6, "validation": 0.1, "test": 0.3}},
)


def trained_on_rows(store: Store, land_table: Land) -> ModelVersion:
    land_table(crops_table(600), BY_FARM)
    return lifecycle(store, model_specification(), depth=3)


def test_rows_of_no_class_lie_outside(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    document = publish_applicability(store, row)
    assert document.measured is not None and document.measured.test is not None
    assert document.measured.training.compared == "samples of other groups (farm)"
    assert document.measured.weighted is not None
    assert document.measured.weighted.split == "validation"
    assert document.measured.test.outside < 0.2
    found = read_applicability(store, row)
    assert found is not None and found.names == tuple(f"ndvi_{month:02}" for month in range(1, 7))
    assert found.profile is not None and found.profile.split == "test"
    seen = crops_table(600)[list(found.names)].to_numpy(dtype=np.float32)
    water = np.full((100, 6), -0.4) + np.random.default_rng(0).normal(0, 0.05, (100, 6))
    assert found.inside(found.di(seen)).mean() > 0.9
    assert not found.inside(found.di(water)).any()


def test_it_is_published_signed_and_the_same_again(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    specification = model_specification()
    outcome = Outcome(row.model, row.version)
    do_stage("applicability", store, specification, row, outcome, Unheard())
    assert "test samples outside" in str(outcome.stages)
    files = store.registry.files(model_owner(row.model, row.version))
    assert {"applicability.json", "applicability.parquet"} <= signed_files(row, files).keys()
    publish_applicability(store, row)
    assert store.registry.files(model_owner(row.model, row.version)) == files


def test_a_gate_on_the_share_outside(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    gates = [Gate(metric="outside", max=0.5), Gate(metric="outside", max=0)]
    before = check_gates(store, row, gates)
    assert [found.verdict for found in before] == ["cannot tell", "cannot tell"]
    assert "was not measured; materialise it" in str(before[0])
    document = publish_applicability(store, row)
    assert document.measured is not None and document.measured.test is not None
    assert 0 < document.measured.test.outside < 0.5
    assert [found.verdict for found in check_gates(store, row, gates)] == ["passed", "failed"]


def test_patches_of_a_tree_are_described_by_their_pixels(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes"))
    document = publish_applicability(store, row)
    assert document.measured is not None and document.measured.space == "predictors"
    assert document.measured.training.compared.startswith("samples of other blocks of")
    assert "its last layer is TreeEnsemble" in document.notes[-1]
    found = read_applicability(store, row)
    assert found is not None and found.references.shape[1] == 4
    seen = np.array([[120, 120, 120, 120], [230, 230, 230, 230]], dtype=np.float32)
    assert found.inside(found.di(seen)).all()
    assert not found.inside(found.di(seen + 2000)).any()


def test_networks_are_described_by_their_features(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(**windows_source()), size=96)
    specification = model_specification(
        dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
    )
    row = lifecycle(store, specification)
    document = publish_applicability(store, row)
    assert document.measured is not None and document.measured.space == "features"
    assert document.measured.weighted is not None
    assert document.measured.weighted.error == "Brier score"
    found = read_applicability(store, row)
    assert found is not None and found.names == tuple(f"feature_{n}" for n in range(1, 5))
    path = published_path(
        store.workspace, store.registry, f"{model_folder(row.model, row.version)}/features.onnx"
    )
    data = raw_data(store.workspace, store.registry, row)
    X, _ = data.arrays("test", limit=20)
    seen, strange = (
        as_samples(OnnxModel(path).predict(samples)["features"]) for samples in (X, X * 20)
    )
    assert found.inside(found.di(seen)).mean() > 0.9
    assert found.inside(found.di(strange)).mean() < 0.1


def test_a_network_of_an_earlier_release_gets_its_features(
    store: Store, land_scenes: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_scenes(scenes_specification(), size=96)
    specification = model_specification(dataset="scenes", trainer=f"{HERE}:network")
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "_write_features", lambda *_: {})
        row = lifecycle(store, specification)
    key = f"{model_folder(row.model, row.version)}/features.onnx"
    assert not store.registry.files_at(key)
    document = publish_applicability(store, row)
    assert document.measured is not None and document.measured.space == "features"
    assert store.registry.files_at(key)


def test_the_share_outside_is_of_the_target_area(
    store: Store, land_scenes: Land, tmp_path: Path
) -> None:
    path = tmp_path / "target.tif"
    pixels = np.full((4, 20, 20), 9000, dtype=np.uint16)
    # like land
    pixels[:, :5] = 225
    with open_raster(
        path, "w", driver="GTiff", height=20, width=20, count=4, dtype="uint16"
    ) as raster:
        raster.write(pixels)
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes", inputs="pixel"))
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    quality = QualityAssessment({}, no_counts(), [], [])
    compare_with_target(store.registry, committed, TargetArea(scenes=[str(path)]), quality)
    found = publish_applicability(store, row).measured
    assert found is not None and found.target is not None
    assert found.target.pixels == 400 and found.target.outside == pytest.approx(0.75)
    (outcome,) = check_gates(store, row, [Gate(metric="outside", max=0.5)])
    assert outcome.verdict == "failed" and "400 pixels of the target area" in str(outcome)


def test_training_data_of_imports_is_unknown(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    with store.registry.transaction("test") as session:
        run = session.merge(store.registry.run(row.run_id))
        run.source = "import"
        run.tags = {"import.source": "elsewhere"}
    document = publish_applicability(store, row)
    assert document.description.startswith("not known: it was imported")
    assert read_applicability(store, row) is None
    assert read_document(store, row) == document
    (outcome,) = check_gates(store, row, [Gate(metric="outside", max=1)])
    assert outcome.verdict == "cannot tell" and "it was imported" in str(outcome)


def test_that_of_another_onnx_file_does_not_count(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    publish_applicability(store, row)
    assert read_applicability(store, row) is not None
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    model = onnx.load_from_string(store.workspace.get(key))
    onnx.helper.set_model_props(model, {"exported": "again"})
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(key, model.SerializeToString())
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)
    assert read_applicability(store, row) is None


@pytest.mark.parametrize("name", ["features.onnx", "applicability.parquet"])
def test_another_file_beside_it_is_not_used_and_named(
    name: str, store: Store, land_scenes: Land
) -> None:
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes", trainer=f"{HERE}:network"))
    publish_applicability(store, row)
    assert [line for line in verify_model(store, row).problems if name in line] == []
    folder = model_folder(row.model, row.version)
    with publication(store.workspace, store.registry) as publishing:
        # with its checksum in the registry: no byte is wrong
        publishing.put(f"{folder}/{name}", store.workspace.get(f"{folder}/model.onnx"))
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)
    named = rf"{name} is not the file that the applicability was measured with"
    with pytest.raises(IntegrityError, match=f"{named}; materialise crops/applicability again"):
        read_applicability(store, row)
    assert len([line for line in verify_model(store, row).problems if re.search(named, line)]) == 1


def test_a_newer_document_is_read(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    publish_applicability(store, row)
    content = json.loads(store.workspace.get(applicability_key(row.model, row.version)))
    content["measured"]["later"] = 1
    assert ApplicabilityDocument.model_validate(content).measured is not None
