"""The shipped example project as Dagster sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path

import dagster as dg
import pytest
from pydantic import BaseModel, model_validator

from mlops_assets.components import load_project
from mlops_assets.components.project import load
from mlops_assets.components.project.declarations import check_declarations
from mlops_assets.components.project.definitions import DeclaredModels, left_out
from mlops_assets.definitions import defs
from mlops_assets.errors import SpecificationError
from mlops_assets_tests.components import project

GRAPH = {
    "workspace": [],
    "workspace/backup": ["workspace"],
    "workspace/unneeded": ["workspace"],
    "indian_pines/source": [],
    "indian_pines/landing": ["indian_pines/source"],
    "indian_pines/training_data": ["indian_pines/landing"],
    "indian_pines/record": ["indian_pines/training_data"],
    **{
        f"{model}/{step}": [key.format(model) for key in upstream.split()]
        for model in ("indian_pines_svm", "indian_pines_cnn")
        for step, upstream in {
            "trained_model": "indian_pines/training_data",
            "onnx_model": "{}/trained_model",
            "evaluation": "{}/onnx_model",
            "applicability": "{}/onnx_model",
            "record": "{0}/applicability {0}/evaluation",
            "production": "{}/record",
            "maps": "{}/production",
        }.items()
    },
    "indian_pines_cnn/deployment": ["indian_pines_cnn/production"],
    "indian_pines_cnn/inference_log": ["indian_pines_cnn/deployment"],
    "indian_pines_cnn/truth": ["indian_pines_cnn/inference_log"],
    "indian_pines_cnn/monitoring": ["indian_pines_cnn/inference_log", "indian_pines_cnn/truth"],
}
HEAVY = (
    "torch",
    "sklearn",
    "onnx",
    "onnxruntime",
    "rasterio",
    "matplotlib",
    "pystac",
    "kubernetes",
    "tensorly",
    "mlflow",
)


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


def test_the_asset_graph_is_this(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    found = {
        n.key.to_user_string(): sorted(k.to_user_string() for k in n.parent_keys)
        for n in graph.asset_nodes
    }
    assert found == GRAPH
    partitioned = {n.key.path[-1] for n in graph.asset_nodes if n.is_partitioned}
    assert partitioned == {
        *("training_data", "trained_model", "onnx_model", "applicability", "evaluation", "record"),
        *("inference_log", "truth", "monitoring"),
    }


def test_these_checks_block_what_comes_after(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking == {
        *("readable", "labels", "leakage", "parity"),
        *("gates", "better_than_production"),
    }


def test_these_jobs_and_sensors_are_there_and_sensors_run_as_declared(
    loaded: dg.Definitions,
) -> None:
    repository = loaded.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    of_models = {
        f"indian_pines_{model}_{what}"
        for model in ("svm", "cnn")
        for what in ("lifecycle", "sweep")
    }
    of_data = {"indian_pines_landing", "indian_pines_assessment"}
    of_services = {
        "indian_pines_service_deployment",
        "indian_pines_cnn_inference_log",
        "indian_pines_cnn_monitoring",
    }
    assert jobs == {*of_data, *of_models, *of_services, "predict", "verify", "upkeep"}
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    names = {
        "indian_pines_new_data",
        "indian_pines_new_version",
        "indian_pines_svm_new_version",
        "indian_pines_cnn_new_version",
        "indian_pines_service_deploy",
    }
    assert sensors == dict.fromkeys(names, dg.DefaultSensorStatus.RUNNING)
    schedules = {schedule.name: schedule.default_status for schedule in repository.schedule_defs}
    of_days = {"indian_pines_cnn_inference_log", "indian_pines_cnn_monitoring"}
    running = {"verify_changes", "verify_everything", *of_days}
    assert schedules == {
        **dict.fromkeys(running, dg.DefaultScheduleStatus.RUNNING),
        "upkeep": dg.DefaultScheduleStatus.STOPPED,
    }


def test_the_launchpad_offers_typed_parameters_with_the_values_of_the_yaml(
    loaded: dg.Definitions,
) -> None:
    node = loaded.resolve_job_def("indian_pines_cnn_lifecycle").get_node_named(
        "indian_pines_cnn__trained_model"
    )
    schema = node.definition.config_schema
    assert schema is not None and isinstance(schema.config_type, dg.Shape)
    fields = schema.config_type.fields
    assert {name: field.default_value for name, field in fields.items()} == {
        "epochs": 40,
        "learning_rate": 0.003,
        "batch_size": 64,
        "components": 100,
        "width": 64,
        "seed": 0,
    }


def test_kubernetes_gets_the_compute_that_is_declared() -> None:
    from dagster_k8s.job import get_user_defined_k8s_config

    from mlops_assets.components.graph.pods import kubernetes_tags
    from mlops_assets.models.compute import Compute

    declared = kubernetes_tags(Compute(cpus=2, memory="4Gi", gpus=1))
    tags = {name: json.dumps(value) for name, value in declared.items()}  # as Dagster stores them
    container = get_user_defined_k8s_config(tags).container_config
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "1"},
    }


@pytest.mark.parametrize(
    ("compute", "pool"),
    [
        ({"memory": "15.9Gi"}, None),
        ({"memory": "16384Mi"}, "memory"),
        ({"memory": "64Gi", "gpus": 1}, "gpu"),
    ],
)
def test_trainings_that_do_not_fit_beside_each_other_wait_in_a_pool(
    compute: dict[str, object], pool: str | None
) -> None:
    definitions = project.definitions(compute=compute)
    key = dg.AssetKey(["crop_forest", "trained_model"])
    assert definitions.resolve_asset_graph().get(key).assets_def.op.pool == pool


def test_importing_the_definitions_imports_no_framework() -> None:
    # a real process: a forked one has everything imported
    code = (
        f"import sys, mlops_assets.definitions as d; d.defs(); print([m for m in {HEAVY!r} if m in"
        " sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"


DATASET = """
type: mlops_assets.components.TrainingDataset
attributes:
  name: fields
  source: {url: landing/fields, layout: table, table: {label: crop}}
"""
CLASSES = "  classes: {1: wheat}\n"
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
        (
            DATASET + "  classes: {7: maize, '012': rye, 010: wheat}\n",
            6,
            "attributes.classes",
            "010 is 8 to YAML; quote it",
        ),
        (
            DATASET + "  title: Fields\n  license: MIT\n  title: Farms\n",
            8,
            "title",
            "is written twice, first in line 6",
        ),
        (
            DATASET + "  classes: {2024-13-45: wheat, 1: rye, 1: maize}\n",
            6,
            "1",
            "is written twice, first in line 6",
        ),
        (
            DATASET + "  classes: {1: wheat, '1': rye}\n",
            3,
            "attributes",
            "1 is declared both as a number and as text",
        ),
        (
            DATASET.replace("label: crop", "label: no"),
            5,
            "attributes.source.table.label",
            "quote it: 'no'",
        ),
        (
            DATASET + "  classes: {NO: Norway}\n",
            6,
            "attributes.classes",
            "quote it as it was meant",
        ),
        (
            DATASET.replace("label: crop}", "label: crop}, label_column: x"),
            5,
            "attributes.source.label_column",
            "belongs in attributes.source.scenes or attributes.source.stac",
        ),
        (
            DATASET.replace(
                "layout: table, table: {label: crop}", "layout: scenes, label_column: x"
            )
            + CLASSES,
            5,
            "attributes.source.label_column",
            "belongs in attributes.source.scenes\n",
        ),
        (
            DATASET.replace("label: crop}", "label: crop, method: group}"),
            5,
            "attributes.source.table.method",
            "belongs in attributes.split",
        ),
        (
            DATASET.replace("label: crop}", "label: crop, lattitude: y}"),
            5,
            "attributes.source.table.lattitude",
            "did you mean 'latitude'?",
        ),
        (
            DATASET + MODEL.replace("type", "---\ntype") + "  kernel: rbf\n",
            15,
            "attributes.kernel",
            "a parameter it belongs in attributes.params",
        ),
        (
            DATASET
            + MODEL.replace("type", "---\ntype")
            + "  gates: [{metric: kappa, minimum: 0}]\n",
            15,
            "attributes.gates.0.minimum",
            "did you mean 'min'?",
        ),
        (DATASET + "  gates: []\n", 6, "attributes.gates", "a TrainedModel has it"),
        (DATASET + "title: fields\n", 6, "title", "belongs in attributes"),
        (
            DATASET + "  post_processing: {}\n",
            6,
            "attributes.post_processing",
            "belongs beside 'attributes'",
        ),
        ("type: nowhere.Component\n", 1, "type", "there is no component nowhere.Component"),
        (
            DATASET.replace("layout: table", "layout: tabel"),
            5,
            "attributes.source.layout",
            "'scenes' or 'stac'",
        ),
        (
            DATASET + "  split: {method: temporal}\n",
            3,
            "attributes",
            "needs 'table: {time: COLUMN}'",
        ),
        (
            DATASET + "  split: {fractions: {train: 0.9, test: 0.9}}\n",
            6,
            "attributes.split.fractions",
            "sum to 1",
        ),
        (
            DATASET
            + MODEL.replace("type", "---\ntype").replace("task: classification", "task: detection"),
            12,
            "attributes.task",
            "'classification', 'semantic-segmentation' or 'regression'",
        ),
        (
            DATASET + MODEL.replace("type", "---\ntype").replace("sklearn:train", "nowhere:train"),
            13,
            "attributes.trainer",
            "cannot be imported",
        ),
        (
            DATASET
            + MODEL.replace("type", "---\ntype").replace("{estimator: sklearn.svm.SVC}", "{C: 1}"),
            14,
            "attributes.params",
            "estimator: Field required",
        ),
        (MODEL, 5, "attributes.dataset", "no dataset is called 'fields'"),
        (
            DATASET.replace("crop}", "crop, features: [red, nir]}")
            + MODEL.replace("type", "---\ntype")
            + "  bands: [nir, swir]\n",
            15,
            "attributes.bands",
            "fields has no swir; it has red, nir",
        ),
        (
            DATASET
            + MODEL.replace("type", "---\ntype")
            + "  bands: [red]\n  scaling: {nir: minmax}\n",
            16,
            "attributes.scaling",
            "scaling: no nir; there is red",
        ),
        (
            DATASET + MODEL.replace("type", "---\ntype") + "  scaling: normalise\n",
            15,
            "attributes.scaling.method",
            "'none', 'standardize' or 'minmax'",
        ),
        (DATASET + "  owners: [ada]\n", 6, "attributes.owners.0", "'ada' is not a valid owner"),
        (
            DATASET + "  owners: [ada@farm.org, 'team:']\n",
            6,
            "attributes.owners.1",
            "or 'team:NAME' for a team",
        ),
        (
            DATASET + "  tags:\n    domain: food\n    stage: on trial\n",
            8,
            "attributes.tags.stage",
            "'on trial' is not a valid value of a tag",
        ),
        (
            DATASET + "  tags:\n    domain: food\n    stage: no\n",
            8,
            "attributes.tags.stage",
            "quote it: 'no'",
        ),
        (
            DATASET + "  tags: {'what for': food}\n",
            6,
            "attributes.tags",
            "'what for' is not a valid key of a tag",
        ),
        (
            DATASET + "  tags: {dagster/kind/s3: ''}\n",
            6,
            "attributes.tags",
            "are Dagster's own; choose another key",
        ),
        (
            DATASET + MODEL.replace("type", "---\ntype") + "  kinds: [pytorch, a b]\n",
            15,
            "attributes.kinds.1",
            "'a b' is not a valid kind",
        ),
        (
            DATASET + MODEL.replace("type", "---\ntype") + "  kinds: [a, b, c, d]\n",
            15,
            "attributes.kinds",
            "at most 3 items",
        ),
        (
            DATASET + "  freshness: {fail: 1 week}\n",
            6,
            "attributes.freshness.fail",
            "write a whole number and m, h, d or w",
        ),
        (
            DATASET + "  freshness: {fail: 7d, warn: 2w}\n",
            6,
            "attributes.freshness",
            "2w must be less than 'fail', 7d",
        ),
        (
            DATASET + "  freshness: {fail: 7d, deadline: 0 6 * * *}\n",
            6,
            "attributes.freshness",
            "not both",
        ),
        (
            DATASET + "  freshness: {deadline: daily at six}\n",
            6,
            "attributes.freshness.deadline",
            "is not a valid cron schedule",
        ),
        (
            DATASET + "  freshness: {deadline: 0 6 * * *, within: 2d}\n",
            6,
            "attributes.freshness",
            "2d is longer than from one deadline to the next",
        ),
        (
            DATASET + "  freshness: {deadline: 0 6 * * *, timezone: Berlin}\n",
            6,
            "attributes.freshness.timezone",
            "'Berlin' is not a known time zone",
        ),
        (DATASET + DATASET.replace("type", "---\ntype"), 10, "attributes.name", "is declared at"),
        (DATASET.replace("TrainingDataset", "TrainingData"), 2, "type", "there is no component"),
        ("attributes: {}\n", 1, "type", "names no component"),
    ],
)
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
    assert reason in message + "\n"


class Spiteful(BaseModel):
    """Parameters whose check fails by itself."""

    @model_validator(mode="before")
    @classmethod
    def _check(cls, values: object) -> object:
        raise KeyError("depth")


def spiteful(data: object, params: Spiteful, run: object) -> None:
    """A trainer that cannot be declared."""


def test_a_trainer_that_cannot_check_its_parameters_is_an_error_of_its_model(
    tmp_path: Path,
) -> None:
    model = MODEL.replace("mlops_assets.training.trainers.sklearn:train", f"{__name__}:spiteful")
    (tmp_path / "defs.yaml").write_text(f"{DATASET}---{model}")
    with pytest.raises(
        SpecificationError,
        match=r"^1 problem.*\n.*:8: attributes: cannot be checked: KeyError: 'depth'",
    ):
        check_declarations(tmp_path)


def test_errors_of_all_files_are_reported_together(tmp_path: Path) -> None:
    for name, text in {
        "a": DATASET + "  oops: 1\n",
        "b": DATASET.replace("label: crop", "labl: crop"),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "defs.yaml").write_text(text.replace("name: fields", f"name: {name}"))
    with pytest.raises(SpecificationError, match=r"3 problem\(s\)") as raised:
        check_declarations(tmp_path)
    assert all(
        part in str(raised.value)
        for part in ("a/defs.yaml:6", "b/defs.yaml:5", "table.label", "table.labl")
    )


def project_of(tmp_path: Path, **files: str) -> Path:
    """A project with these files of declarations; returns its `definitions.py`."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\nproject.root_module = "farm"\n'
    )
    package = tmp_path / "farm"
    for name, text in files.items():
        (package / "defs" / name).mkdir(parents=True)
        (package / "defs" / name / "defs.yaml").write_bytes(text.encode("latin-1"))
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    return package / "definitions.py"


def assets_of(definitions: dg.Definitions) -> set[str]:
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    return {key.path[0] for key in keys} - {"workspace"}  # that every project has


GOOD = DATASET.replace("name: fields", "name: good")


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (DATASET + "  oops: 1\n" + MODEL.replace("type", "---\ntype"), {"fields", "forest"}),
        (DATASET + "---" + DATASET, {"fields"}),
        (DATASET.replace("TrainingDataset", "TrainingData"), set()),
        (DATASET.replace("mlops_assets", "mlops_asset"), set()),
        ("attributes: [\n", set()),
        ("type: x\nattributes: {? [1] : 2, a: !!int b}\n", set()),
        ("title: Grünland\n", set()),
        ("", set()),
        (
            DATASET + "post_processing: {assets: [{target: '((', attributes: {group_name: x}}]}\n",
            {"fields"},
        ),
    ],
    ids=["key", "twice", "component", "package", "syntax", "tags", "encoding", "empty", "building"],
)
def test_a_wrong_declaration_fails_only_itself_and_validation(
    tmp_path: Path,
    wrong: str,
    names: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = project_of(tmp_path, wrong=wrong, well=GOOD)
    monkeypatch.setattr(load, "documented", ContextVar("documented", default=False))
    try:
        loaded = load_project(str(file))
        assert assets_of(loaded) == {"good"}
        assert set(left_out(loaded)) == names
        (record,) = caplog.records
        assert f"{tmp_path}/farm/defs/wrong/defs.yaml" in record.getMessage()
        monkeypatch.setenv("DAGSTER_IS_DEFS_VALIDATION_CLI", "1")
        with pytest.raises(SpecificationError, match=r"wrong/defs\.yaml"):
            load_project(str(file))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "farm"]:
            del sys.modules[name]


def test_a_model_that_is_declared_wrongly_is_not_taken_for_one_that_is_not_declared() -> None:
    models = DeclaredModels({}, {"forest": "  - defs.yaml:3: attributes.seed: must be a number"})
    assert models.get("other") is None
    with pytest.raises(SpecificationError, match=r"forest is declared wrongly.*\n.*defs.yaml:3"):
        models.get("forest")
