"""Every ready-made PyTorch trainer, from YAML to what its ONNX file is worth on the test split."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from mlops_assets.errors import TrainerError
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets.training.trainers import load_trainer
from mlops_assets_tests.training.example_trainers import training_request
from mlops_assets_tests.training.trainers.torch_loop.cases import (
    CASES,
    PATCHES,
    SERIES,
    Case,
    declared,
    trained,
)

NAMES = ("patch_cnn", "time_series", "unet")
CLASSES = {"validation_accuracy", "validation_macro_f1"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_learns_and_its_onnx_file_gives_the_same(store: Store, case: Case) -> None:
    specification = declared(store, case)
    row = train(store, training_request(specification, "v1", case.params))
    assert export(store, specification, row).passed
    found = evaluate_version(store, specification, row)[0].metrics[case.metric]
    assert case.bounds[0] <= found <= case.bounds[1]
    series = store.registry.series(row.run_id)
    measured = {"validation_rmse"} if case.view == "yield" else CLASSES
    counts = store.registry.data_version(Reference(row.dataset, row.data_version)).counts
    watched = {"validation_loss"} | measured if counts["validation"] else set()
    assert series.keys() == {"train_loss", "learning_rate"} | watched
    assert {tuple(step for step, _ in points) for points in series.values()} == {
        tuple(range(case.params["epochs"]))
    }
    assert series["train_loss"][-1][1] < series["train_loss"][0][1]


def test_the_code_location_loads_their_parameters_without_torch() -> None:
    program = (
        "import sys\nfrom mlops_assets.training.trainers import load_trainer\nfor name in"
        f" {NAMES}:\n   "
        " load_trainer(f'mlops_assets.training.trainers.{name}:train').parameters({})\nassert"
        " not {'torch', 'torchmetrics'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_the_documentation(name: str) -> None:
    fields = load_trainer(f"mlops_assets.training.trainers.{name}:train").params_type.model_fields
    page = (Path(__file__).parents[4] / "docs" / "trainers.md").read_text()
    assert [parameter for parameter in fields if f"`{parameter}`" not in page] == []
    assert all(field.description for field in fields.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        ({"batch_size": 0}, "batch_size: Input should be greater than or equal to 1"),
        ({"learning_rate": 0}, "learning_rate: Input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate: Input should be"),
        ({"schedule": "linear"}, "schedule: Input should be 'one_cycle', 'cosine' or 'constant'"),
        ({"label_smoothing": 1}, "label_smoothing: Input should be less than 1"),
        ({"mixed_precision": True}, "mixed_precision: Input should be 'auto', 'always' or 'never'"),
        (
            {"class_weights": {"water": 0}},
            "class_weights.dict.*water: Input should be greater than 0",
        ),
        ({"momentum": 0.9}, "momentum: Extra inputs are not permitted"),
        ({"width": 1}, "width: Input should be"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_parameters_are_refused_by_name(
    name: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainerError, match=message):
        load_trainer(f"mlops_assets.training.trainers.{name}:train").parameters(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": 4}, "kernel: .*must be odd"),
        ({"steps": 3, "days": [1, 2]}, "days: .*must be as many as steps, 3"),
        ({"days": [1, 3, 3]}, "days: .*must rise from date to date"),
        ({"width": 20}, "width: Input should be a multiple of 16"),
    ],
)
def test_wrong_dates_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainerError, match=message):
        load_trainer("mlops_assets.training.trainers.time_series:train").parameters(values)


@pytest.mark.parametrize(
    ("case", "trainer", "params", "message"),
    [
        (
            SERIES,
            "patch_cnn",
            {},
            "patch_cnn takes patches or images, and fields@v1 is read as row; use time_series",
        ),
        (
            SERIES,
            "unet",
            {},
            "unet takes windows, and fields@v1 is read as row; use 'read: windows'",
        ),
        (
            PATCHES,
            "time_series",
            {},
            "time_series takes rows or pixels, and scenes@v1 is read as patch",
        ),
        (
            SERIES,
            "time_series",
            {"steps": 4},
            "params.steps is 4, and fields@v1 has 7 features, which is not a multiple",
        ),
        (SERIES, "time_series", {"days": [1, 2]}, "params.days has 2 days for 7 dates"),
        (
            SERIES,
            "time_series",
            {"class_weights": {"rye": 2}},
            "has no class rye; it has fallow, maize, wheat",
        ),
    ],
)
def test_data_that_does_not_suit_is_refused(
    store: Store, case: Case, trainer: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainerError, match=message):
        trained(store, Case(trainer, case.view), **params)


@pytest.mark.parametrize("params", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_numbers_have_no_classes_to_weigh(store: Store, params: dict[str, Any]) -> None:
    with pytest.raises(
        TrainerError, match="are for classes, and yields@v1 has numbers; leave them out"
    ):
        trained(store, Case("time_series", "yield"), **params)


def test_memory_that_does_not_suffice_is_explained(store: Store) -> None:
    with pytest.raises(
        TrainerError,
        match=r"out of memory on cpu: .*batch_size is 128, halve it, set accumulate to 2",
    ):
        trained(store, PATCHES, width=1 << 24)
    assert [run.status for run in store.registry.runs()] == ["failed"]


def test_a_declared_scaling_takes_the_place_of_the_networks_own(store: Store) -> None:
    specification = declared(store, SERIES, scaling="minmax")
    row = train(store, training_request(specification, "v1", SERIES.params))
    assert export(store, specification, row).passed
    assert row.signature["scaling"][0]["type"] == "min-max"
    path = published_path(
        store.workspace,
        store.registry,
        f"{model_folder(row.model, row.version)}/native/model.safetensors",
    )
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("mean"), torch.zeros(7))
        assert torch.equal(file.get_tensor("deviation"), torch.ones(7))
