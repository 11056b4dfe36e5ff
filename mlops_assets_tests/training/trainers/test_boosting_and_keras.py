"""The ready-made trainers of XGBoost, LightGBM and Keras, from a declaration alone."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import ExportError, MissingExtra, TrainerError
from mlops_assets.models.frameworks import framework_of
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.metric_writer import PointWriter
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.trainers import load_trainer
from mlops_assets_tests.conftest import crops_table, scenes_specification
from mlops_assets_tests.training.example_trainers import (
    lifecycle,
    model_specification,
    windows_source,
)

pytestmark = pytest.mark.frameworks
QUICK: dict[str, dict[str, Any]] = {
    "xgboost": {"rounds": 12, "max_depth": 3},
    "lightgbm": {"rounds": 12, "num_leaves": 6},
    "keras": {"epochs": 6, "width": 8, "batch_size": 16, "learning_rate": 0.02},
}
ALL = list(QUICK)


class Recorded(TrainingRun):
    """A run that keeps what is logged, and can be cut off after a checkpoint."""

    cut_at: int | None = None

    def log(self, metrics: Any, step: int) -> None:
        super().log(metrics, step)
        self.__dict__.setdefault("series", []).append((step, dict(metrics)))

    def checkpoint(self, state: Any, step: int) -> None:
        super().checkpoint(state, step)
        if step == self.cut_at:
            raise KeyboardInterrupt


class NoLog:
    """A writer that loses points."""

    def log(self, run_id: str, points: Any) -> None:
        """Lose them."""


Train = Callable[..., tuple[Any, Recorded, TrainingData]]


@pytest.fixture
def fit(store: Store, tmp_path: Path) -> Train:
    """Run one of the trainers without a lifecycle around it; return model, run and data."""

    def run(
        name: str,
        task: str = "classification",
        dataset: str = "fields",
        run_id: str = "a-run",
        resumed: bool = False,
        seed: int = 7,
        cut_at: int | None = None,
        **params: Any,
    ) -> tuple[Any, Recorded, TrainingData]:
        data = TrainingData(
            CommittedDataset.open(store.workspace, store.registry, Reference(dataset)), task
        )
        trainer = load_trainer(f"mlops_assets.training.trainers.{name}:train")
        checkpoints = Checkpoints(store.workspace, store.registry, run_id, tmp_path, resumed)
        points = PointWriter(NoLog(), run_id)
        handle = Recorded(run_id, seed, tmp_path, points, checkpoints)
        handle.cut_at = cut_at
        try:
            model = trainer.function(data, trainer.parameters({**QUICK[name], **params}), handle)
        finally:
            points.close()
        return model, handle, data

    return run


def native(model: Any, folder: Path) -> dict[str, str]:
    """Return file → sha256 of a model in its native format."""
    folder.mkdir()
    framework_of(model, "a:trainer").save(model, folder)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ALL)
def test_a_trainer_learns_and_logs_its_losses(
    name: str, fit: Train, land_table: Callable[..., Commit]
) -> None:
    land_table()
    model, run, data = fit(name)
    X, y = data.arrays("test")
    found = framework_of(model, name).predict(model, X, "classification")["scores"]
    assert (found.argmax(axis=1) == y).mean() > 0.85
    steps = run.__dict__["series"]
    assert [step for step, _ in steps] == list(range(len(steps)))
    assert all(set(metrics) == {"train_loss", "validation_loss"} for _, metrics in steps)
    assert steps[-1][1]["train_loss"] < steps[0][1]["train_loss"]


@pytest.mark.parametrize("name", ALL)
def test_equal_runs_give_equal_bytes(
    name: str, fit: Train, land_table: Callable[..., Commit], tmp_path: Path
) -> None:
    land_table()
    subsampled = {
        "xgboost": {"subsample": 0.5},
        "lightgbm": {"bagging_fraction": 0.5},
        "keras": {"dropout": 0.3},
    }[name]
    first, again, other = (fit(name, seed=seed, **subsampled)[0] for seed in (7, 7, 8))
    written = native(first, tmp_path / "first")
    assert native(again, tmp_path / "again") == written
    assert native(other, tmp_path / "other") != written


@pytest.mark.parametrize(("name", "cut_at"), [("xgboost", 5), ("keras", 2)])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    name: str,
    cut_at: int,
    fit: Train,
    land_table: Callable[..., Commit],
    tmp_path: Path,
    store: Store,
) -> None:
    land_table()
    params = {"xgboost": {"subsample": 0.5, "checkpoint_every": 3}, "keras": {"dropout": 0.3}}[name]
    whole, _, _ = fit(name, run_id="whole", **params)
    with pytest.raises(KeyboardInterrupt):
        fit(name, run_id="cut", cut_at=cut_at, **params)
    resumed, run, _ = fit(name, run_id="cut", resumed=True, **params)
    assert run.__dict__["series"][0][0] == cut_at + 1
    assert native(resumed, tmp_path / "resumed") == native(whole, tmp_path / "whole")


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "keras"])
def test_training_stops_when_validation_gets_no_better(
    name: str, fit: Train, land_table: Callable[..., Commit]
) -> None:
    table = crops_table(120)
    table["crop"] = np.random.default_rng(1).permutation(table["crop"])  # there is nothing to learn
    land_table(table)
    longest = (
        {"rounds": 200, "learning_rate": 0.5}
        if name != "keras"
        else {"epochs": 100, "learning_rate": 0.1}
    )
    model, run, data = fit(name, patience=3, **longest)
    losses = [metrics["validation_loss"] for _, metrics in run.__dict__["series"]]
    assert len(losses) == int(np.argmin(losses)) + 1 + 3
    X, y = data.arrays("validation")
    scores = framework_of(model, name).predict(model, X, "classification")["scores"]
    assert -np.log(scores[np.arange(len(y)), y]).mean() == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_balanced_classes_count_alike(
    name: str, fit: Train, land_table: Callable[..., Commit]
) -> None:
    table = crops_table(400)
    table = table[(table["crop"] != "fallow") | (np.arange(400) % 8 == 0)]
    table = table.assign(
        **{
            column: np.random.default_rng(2).normal(size=len(table))
            for column in table.columns[1:7]
        }
    )
    land_table(table)  # features have no information: only the classes' shares are learnt
    few = {"rounds": 3} if name != "keras" else {"epochs": 3}
    shares = []
    for weights in ("none", "balanced"):
        model, _, data = fit(name, class_weights=weights, patience=0, **few)
        X, _ = data.arrays("test")
        scores = framework_of(model, name).predict(model, X, "classification")["scores"]
        shares.append(scores[:, data.class_names.index("fallow")].mean())
    assert shares[1] > shares[0] + 0.03


@pytest.mark.parametrize("name", ALL)
def test_numbers_are_learnt_and_the_model_is_published(
    name: str, store: Store, land_table: Callable[..., Commit]
) -> None:
    table = crops_table(300).drop(columns="crop")
    land_table(table.assign(crop=1000 + 100 * table["ndvi_03"]))
    declared = model_specification(
        task="regression",
        trainer=f"mlops_assets.training.trainers.{name}:train",
        params=QUICK[name],
    )
    row = lifecycle(
        store,
        declared,
        **{**QUICK[name], **({"epochs": 40} if name == "keras" else {"rounds": 60})},
    )
    assert row.metrics["r2"] > 0.7
    assert row.framework == name


@pytest.mark.parametrize("name", ["xgboost", "keras"])
def test_patches_become_a_published_model(
    name: str, store: Store, land_scenes: Callable[..., Commit]
) -> None:
    land_scenes()
    declared = model_specification(
        dataset="scenes", trainer=f"mlops_assets.training.trainers.{name}:train", params=QUICK[name]
    )
    few = {"keras": {"epochs": 2, "batch_size": 64}}.get(name, {})
    row = lifecycle(store, declared, recorded=True, **{**QUICK[name], **few})
    assert row.metrics["accuracy"] > 0.9
    assert row.stage == "recorded"


def test_windows_are_refused(
    fit: Train, land_scenes: Callable[..., Commit], subtests: pytest.Subtests
) -> None:
    land_scenes(scenes_specification(**windows_source()))
    for name in ALL:
        with (
            subtests.test(name),
            pytest.raises(TrainerError, match=r"read as windows|takes no windows"),
        ):
            fit(name, "semantic-segmentation", "scenes")


def test_class_weights_of_numbers_are_refused(
    fit: Train, land_table: Callable[..., Commit], subtests: pytest.Subtests
) -> None:
    table = crops_table(100)
    land_table(table.assign(crop=np.arange(100.0)))
    for name in ALL:
        with subtests.test(name), pytest.raises(TrainerError, match="class_weights is for classes"):
            fit(name, "regression", class_weights="balanced")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("xgboost", {"max_depht": 3}, 'XGBoost has no use for the parameters "max_depht"'),
    ("xgboost", {"min_child_weight": "many"}, "XGBoost refuses to train: .*min_child_weight"),
    ("xgboost", {"rounds": 0}, "rounds: Input should be greater than or equal to 1"),
    ("xgboost", {"num_class": 5}, "num_class is the data's"),
    ("xgboost", {"objective": "multi:softmax"}, "objective is chosen by the data's classes"),
    ("lightgbm", {"num_leafs": 3}, "LightGBM has no use for the parameters num_leafs"),
    ("lightgbm", {"lambda_l2": "many"}, "LightGBM refuses to train: Unknown token many"),
    ("lightgbm", {"num_leaves": 1}, "num_leaves: Input should be greater than or equal to 2"),
    ("keras", {"dropout": 1.0}, "dropout: Input should be less than 1"),
    ("keras", {"epoch": 3}, "epoch: Extra inputs are not permitted"),
]


def test_wrong_parameters_are_refused(
    fit: Train, land_table: Callable[..., Commit], subtests: pytest.Subtests
) -> None:
    land_table()
    for name, params, message in WRONG:
        with subtests.test(trainer=name, **params), pytest.raises(TrainerError, match=message):
            fit(name, **params)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("xgboost", {"booster": "dart"}),
        ("lightgbm", {"linear_tree": True}),
        ("lightgbm", {"zero_as_missing": True}),
    ],
)
def test_what_cannot_be_exported_is_found_before_training(
    name: str, params: dict[str, Any], fit: Train, land_table: Callable[..., Commit]
) -> None:
    table = crops_table()
    table["ndvi_01"] = table["ndvi_01"].where(table.index % 2 == 0, 0.0)
    land_table(table)
    with pytest.raises(
        ExportError, match=r"cannot be exported to ONNX.*this was found before training"
    ):
        fit(name, **params)


def test_a_missing_library_names_its_extra(
    fit: Train, land_table: Callable[..., Commit], subtests: pytest.Subtests
) -> None:
    land_table()
    for name, extra in (("xgboost", "xgboost"), ("lightgbm", "lightgbm"), ("keras", "tensorflow")):
        message = rf"the trainer {name} needs {name}, .*'mlops-assets\[{extra}\]'"
        with subtests.test(name), pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(MissingExtra, match=message):
                fit(name)
