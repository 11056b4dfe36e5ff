"""The shipped example project as Dagster sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.project import check_declarations
from mlops_assets.definitions import defs
from mlops_assets.errors import SpecificationError

GRAPH = {
    "indian_pines/source": [],
    "indian_pines/landing": ["indian_pines/source"],
    "indian_pines/training_data": ["indian_pines/landing"],
    "indian_pines/record": ["indian_pines/training_data"],
    **{
        f"{model}/{step}": [upstream.format(model)]
        for model in ("indian_pines_svm", "indian_pines_cnn")
        for step, upstream in {
            "trained_model": "indian_pines/training_data",
            "onnx_model": "{}/trained_model",
            "evaluation": "{}/onnx_model",
            "record": "{}/evaluation",
            "production": "{}/record",
        }.items()
    },
}
HEAVY = ("torch", "sklearn", "onnx", "onnxruntime", "rasterio", "matplotlib", "pystac", "kubernetes", "tensorly",
         "mlflow")  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


def test_the_asset_graph_is_this(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    found = {n.key.to_user_string(): sorted(k.to_user_string() for k in n.parent_keys) for n in graph.asset_nodes}
    assert found == GRAPH
    partitioned = {n.key.path[-1] for n in graph.asset_nodes if n.is_partitioned}
    assert partitioned == {"training_data", "record", "trained_model", "onnx_model", "evaluation"}


def test_these_checks_block_what_comes_after(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {"readable", "labels", "leakage", "parity", "gates"}


def test_these_jobs_and_sensors_are_there_and_sensors_are_off(loaded: dg.Definitions) -> None:
    repository = loaded.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    of_models = {f"indian_pines_{model}_{what}" for model in ("svm", "cnn") for what in ("lifecycle", "sweep")}
    assert jobs == {"indian_pines_landing", *of_models}
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    names = {"indian_pines_new_data", "indian_pines_svm_new_version", "indian_pines_cnn_new_version"}
    assert sensors == dict.fromkeys(names, dg.DefaultSensorStatus.STOPPED)


def test_the_launchpad_offers_typed_parameters_with_the_values_of_the_yaml(loaded: dg.Definitions) -> None:
    node = loaded.resolve_job_def("indian_pines_cnn_lifecycle").get_node_named("indian_pines_cnn__trained_model")
    fields = node.definition.config_schema.config_type.fields  # type: ignore[attr-defined]
    assert {name: field.default_value for name, field in fields.items()} == {
        "epochs": 40, "learning_rate": 0.003, "batch_size": 64, "components": 100, "width": 64, "seed": 0,
    }  # fmt: skip


def test_kubernetes_gets_the_compute_that_is_declared() -> None:
    from dagster_k8s.job import get_user_defined_k8s_config

    from mlops_assets.components.run_config import kubernetes_tags
    from mlops_assets.training.specification import Compute

    declared = kubernetes_tags(Compute(cpus=2, memory="4Gi", gpus=1))
    tags = {name: json.dumps(value) for name, value in declared.items()}  # as Dagster stores them
    container = get_user_defined_k8s_config(tags).container_config
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }


def test_importing_the_definitions_imports_no_framework() -> None:
    # a real process: a forked one has everything imported
    code = f"import sys, mlops_assets.definitions as d; d.defs(); print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "[]"


DATASET = """
type: mlops_assets.components.TrainingDataset
attributes:
  name: fields
  source: {url: landing/fields, layout: table, table: {label: crop}}
"""
MODEL = """
type: mlops_assets.components.TrainedModel
attributes:
  name: forest
  dataset: fields
  task: classification
  trainer: mlops_assets.training.trainers.sklearn:train
  params: {estimator: sklearn.svm.SVC}
"""


@pytest.mark.parametrize(
    ("text", "line", "key", "reason"),
    [
        (DATASET + "  oops: 1\n", 6, "attributes.oops", "unknown key"),
        (DATASET.replace("layout: table", "layout: tabel"), 5, "attributes.source.layout", "'scenes' or 'stac'"),
        (DATASET + "  split: {method: temporal}\n", 3, "attributes", "needs 'table: {time: COLUMN}'"),
        (DATASET + "  split: {fractions: {train: 0.9, test: 0.9}}\n", 6, "attributes.split.fractions", "sum to 1"),
        (DATASET + MODEL.replace("type", "---\ntype").replace("task: classification", "task: detection"), 12,
         "attributes.task", "'classification', 'semantic-segmentation' or 'regression'"),
        (DATASET + MODEL.replace("type", "---\ntype").replace("sklearn:train", "nowhere:train"), 13,
         "attributes.trainer", "cannot be imported"),
        (DATASET + MODEL.replace("type", "---\ntype").replace("{estimator: sklearn.svm.SVC}", "{C: 1}"), 14,
         "attributes.params", "estimator: Field required"),
        (MODEL, 5, "attributes.dataset", "no TrainingDataset is called 'fields'"),
        (DATASET.replace("crop}", "crop, features: [red, nir]}") + MODEL.replace("type", "---\ntype")
         + "  bands: [nir, swir]\n", 15, "attributes.bands", "fields has no swir; it has red, nir"),
        (DATASET + MODEL.replace("type", "---\ntype") + "  bands: [red]\n  scaling: {nir: minmax}\n", 16,
         "attributes.scaling", "scaling: no nir; there is red"),
        (DATASET + MODEL.replace("type", "---\ntype") + "  scaling: normalise\n", 15,
         "attributes.scaling.method", "'none', 'standardize' or 'minmax'"),
        (DATASET + DATASET.replace("type", "---\ntype"), 10, "attributes.name", "is declared at"),
        (DATASET.replace("TrainingDataset", "TrainingData"), 2, "type", "there is no component"),
        ("attributes: {}\n", 1, "type", "names no component"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_one_error_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, key: str, reason: str
) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(text)
    with pytest.raises(SpecificationError) as raised:
        check_declarations(tmp_path)
    message = str(raised.value)
    assert message.startswith("1 problem(s)")
    assert f"{file}:{line}: {key}: " in message
    assert reason in message


def test_errors_of_all_files_are_reported_together(tmp_path: Path) -> None:
    for name, text in {"a": DATASET + "  oops: 1\n", "b": DATASET.replace("label: crop", "labl: crop")}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "defs.yaml").write_text(text.replace("name: fields", f"name: {name}"))
    with pytest.raises(SpecificationError, match=r"3 problem\(s\)") as raised:
        check_declarations(tmp_path)
    assert all(part in str(raised.value) for part in ("a/defs.yaml:6", "b/defs.yaml:5", "table.label", "table.labl"))
