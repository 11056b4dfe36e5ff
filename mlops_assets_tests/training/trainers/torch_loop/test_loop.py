"""The loop over epochs: equal runs, resumed runs, early stopping, losses that are no numbers."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mlops_assets.datasets.loading import streamed
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import TrainerError
from mlops_assets.models.frameworks.pytorch import PyTorch
from mlops_assets.models.native import load_native
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.store import Store
from mlops_assets.training.checkpoints import Checkpoints, RestoredCheckpoint
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.train import train
from mlops_assets.training.trainers.torch_loop import feed as feeding
from mlops_assets.training.trainers.torch_loop import loop
from mlops_assets.training.trainers.torch_loop.fit import fit
from mlops_assets.training.trainers.torch_loop.networks.layers import ScaledNetwork
from mlops_assets.training.trainers.torch_loop.parameters import LoopParams
from mlops_assets_tests.training.example_trainers import training_request
from mlops_assets_tests.training.trainers.torch_loop.cases import (
    IMAGES,
    PATCHES,
    SERIES,
    WINDOWS,
    Case,
    declared,
    forks,
    landed,
    trained,
)

EXACT: dict[str, Any] = {"dropout": 0.0, "augmentation": "none"}  # nothing is drawn
ROWS: dict[str, Any] = {"dropout": 0.0}
WILD: dict[str, Any] = {"learning_rate": 1.0, "schedule": "constant", "epochs": 30, "patience": 2}


def weights(store: Store, row: ModelVersion) -> dict[str, Tensor]:
    """Return the published weights."""
    return load_file(
        published_path(
            store.workspace,
            store.registry,
            f"{model_folder(row.model, row.version)}/native/model.safetensors",
        )
    )


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


def near(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(
        torch.allclose(value, other[name], atol=1e-4, rtol=1e-3) for name, value in one.items()
    )


def curve(store: Store, row: ModelVersion, name: str = "train_loss") -> list[float]:
    return [value for _, value in store.registry.series(row.run_id)[name]]


@pytest.mark.parametrize("case", [PATCHES, WINDOWS, SERIES], ids=str)
def test_equal_seeds_give_equal_weights(store: Store, case: Case) -> None:
    short = {"epochs": 2}
    first, again, other = (trained(store, case, seed, **short) for seed in (3, 3, 4))
    assert equal(weights(store, first), weights(store, again))
    assert not near(weights(store, first), weights(store, other))


def killed(epoch: int) -> Callable[[Mapping[str, float], int], None]:
    """Interrupt a run when it logs this epoch."""

    def watch(metrics: Mapping[str, float], step: int) -> None:
        if step == epoch:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize(
    ("case", "schedule"),
    [(PATCHES, "one_cycle"), (SERIES, "cosine"), (SERIES, "constant")],
    ids=str,
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    store: Store, case: Case, schedule: str
) -> None:
    params = {
        **case.params,
        "schedule": schedule,
        "patience": 3,
        "checkpoint_every": 2,
        "epochs": 5,
    }
    specification = declared(store, case)
    whole = train(store, training_request(specification, "v1", params, 7))

    with pytest.raises(KeyboardInterrupt):
        train(
            store,
            training_request(specification, "v1", params, 7, run_id="f" * 32),
            watchers=(killed(3),),
        )
    torch.rand(17), np.random.rand(3)  # another process would have drawn something else
    seen: list[int] = []
    resumed = train(
        store,
        training_request(specification, "v1", params, 7, run_id="f" * 32),
        watchers=(lambda metrics, step: seen.append(step),),
    )
    assert seen == [2, 3, 4]
    assert equal(weights(store, resumed), weights(store, whole))
    assert store.registry.series(resumed.run_id) == store.registry.series(whole.run_id)


@pytest.mark.parametrize("case", [PATCHES, WINDOWS, SERIES], ids=str)
def test_parts_of_a_batch_give_what_the_batch_gives(store: Store, case: Case) -> None:
    params = ROWS if case is SERIES else EXACT
    whole, parts = (trained(store, case, epochs=2, accumulate=count, **params) for count in (1, 3))
    np.testing.assert_allclose(curve(store, parts), curve(store, whole), rtol=1e-4)
    assert near(weights(store, parts), weights(store, whole))


@forks
def test_a_large_split_gives_what_a_small_one_gives(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = trained(store, PATCHES, epochs=2)
    monkeypatch.setattr(feeding, "RESIDENT_BYTES", 0)
    assert equal(weights(store, trained(store, PATCHES, epochs=2, workers=1)), weights(store, held))


@pytest.mark.parametrize("case", [IMAGES, WINDOWS], ids=str)
@pytest.mark.parametrize("shuffle", ["samples", "runs"])
def test_streamed_data_gives_the_weights_that_cached_data_gives(
    store: Store, case: Case, shuffle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {
        **case.params,
        "epochs": 3,
        "shuffle": shuffle,
        "class_weights": "balanced",
        "checkpoint_every": 1,
    }
    monkeypatch.setattr(feeding, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(streamed, "BLOCK_BYTES", 5000)
    monkeypatch.setattr(streamed, "RUN_BYTES", 1000)
    specification = declared(store, case)
    cached = train(store, training_request(specification, "v1", params, 7))
    shutil.rmtree(store.workspace.cache)
    monkeypatch.setenv("MLOPS_READING", "stream")
    again = training_request(specification, "v1", params, 7, run_id="f" * 32)
    with pytest.raises(KeyboardInterrupt):
        train(store, again, watchers=(killed(1),))
    resumed = train(store, again)
    assert equal(weights(store, resumed), weights(store, cached))
    assert store.registry.series(resumed.run_id) == store.registry.series(cached.run_id)
    assert not (store.workspace.cache / "decoded").exists()


@pytest.mark.parametrize("case", [PATCHES, WINDOWS], ids=str)
def test_sixteen_bits_and_channels_last_learn_on_any_device(store: Store, case: Case) -> None:
    plain = trained(store, case, epochs=2)
    mixed = trained(store, case, epochs=2, mixed_precision="always", channels_last="always")
    found, expected = weights(store, mixed), weights(store, plain)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert not equal(found, expected)
    np.testing.assert_allclose(curve(store, mixed), curve(store, plain), rtol=0.1)


def test_channels_last_alone_changes_nothing_but_the_layout(store: Store) -> None:
    plain, laid_out = (
        trained(store, WINDOWS, epochs=2, channels_last=choice) for choice in ("never", "always")
    )
    assert near(weights(store, laid_out), weights(store, plain))


def test_the_learning_rate_follows_its_schedule(store: Store) -> None:
    rates = {
        name: curve(store, trained(store, SERIES, schedule=name, epochs=5), "learning_rate")
        for name in ("one_cycle", "cosine", "constant")
    }
    assert rates["constant"] == [1e-2] * 5
    assert sorted(rates["cosine"], reverse=True) == rates["cosine"] and rates["cosine"][-1] < 1e-4
    assert rates["one_cycle"][1] > rates["one_cycle"][0] and rates["one_cycle"][-1] < 1e-6


def test_checkpoints_take_little_of_the_time_by_default(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 0.1)
    seconds = itertools.count()
    # keeping a checkpoint takes a second by this clock, so that the next one is due ten seconds
    # later
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    seldom, each = (
        trained(store, SERIES, epochs=12, checkpoint_every=every) for every in (None, 1)
    )
    kept = {
        row.run_id: [found.step for found in store.registry.checkpoints(row.run_id)]
        for row in (seldom, each)
    }
    assert kept == {seldom.run_id: [10, 0], each.run_id: [11, 10]}
    assert equal(weights(store, seldom), weights(store, each))


# early stopping


def test_the_best_weights_are_kept_and_waiting_has_an_end(store: Store) -> None:
    row = trained(store, SERIES, **WILD)
    losses = curve(store, row, "validation_loss")
    assert len(losses) == int(np.argmin(losses)) + 1 + 2 < 30
    data = TrainingData(landed(store, "row"), "classification")
    X, y = data.arrays("validation")
    folder = f"{model_folder(row.model, row.version)}/native"
    files = {
        name: published_path(store.workspace, store.registry, f"{folder}/{name}")
        for name in ("model.safetensors", "architecture.json")
    }
    model = load_native(files, PyTorch())
    assert isinstance(model, nn.Module)
    found = nn.functional.cross_entropy(model(torch.from_numpy(X)).detach(), torch.from_numpy(y))
    assert float(found) == pytest.approx(min(losses), rel=1e-4)
    last = trained(
        store, SERIES, **{**WILD, "epochs": len(losses), "patience": 0, "restore_best": False}
    )
    assert curve(store, last, "validation_loss") == losses
    assert not near(weights(store, last), weights(store, row))


def test_a_resumed_run_remembers_what_was_best_and_how_long_it_has_waited(store: Store) -> None:
    params = {**SERIES.params, **WILD, "checkpoint_every": 1}
    specification = declared(store, SERIES)
    whole = train(store, training_request(specification, "v1", params))
    last = len(curve(store, whole)) - 1
    with pytest.raises(KeyboardInterrupt):
        train(
            store,
            training_request(specification, "v1", params, run_id="f" * 32),
            watchers=(killed(last),),
        )
    resumed = train(store, training_request(specification, "v1", params, run_id="f" * 32))
    assert curve(store, resumed) == curve(store, whole)
    assert equal(weights(store, resumed), weights(store, whole))


def test_without_a_validation_split_the_last_weights_are_kept(store: Store) -> None:
    row = trained(store, PATCHES, epochs=3, patience=1)
    assert len(curve(store, row)) == 3
    assert "validation_loss" not in store.registry.series(row.run_id)


# losses and weights that are no numbers


class Breaking(ScaledNetwork):
    """Gives something that is not a number from its n-th training step on."""

    def __init__(self, features: int, classes: int, step: int, what: str) -> None:
        super().__init__(features, classes)
        self.features, self.classes, self.step, self.what = features, classes, step, what
        self.layer, self.nothing, self.steps = (
            nn.Linear(features, classes),
            nn.Parameter(torch.zeros(())),
            0,
        )

    def body(self, scaled: Tensor) -> Tensor:
        found: Tensor = self.layer(scaled)
        self.steps += self.training
        if not self.training or self.steps <= self.step:
            return found + self.nothing * 0
        if self.what == "loss":
            return found * torch.inf
        return found + self.nothing.abs().sqrt() * 0  # 0, whose gradient is not a number


class Breaks(LoopParams):
    """When, and what."""

    step: int
    what: str = "loss"


def breaking(data: TrainingData, params: Breaks, run: TrainingRun) -> nn.Module:
    """A trainer whose network breaks."""
    return fit(
        Breaking(len(data.features), len(data.class_names), params.step, params.what),
        data,
        params,
        run,
    )


def broken(store: Store, run_id: str = "first", **params: Any) -> str:
    """Train until it breaks, and return its error."""
    specification = declared(store, SERIES, trainer=f"{__name__}:breaking")
    with pytest.raises(TrainerError) as caught:
        train(
            store,
            training_request(
                specification, "v1", {"epochs": 3, "batch_size": 2, **params}, run_id=run_id
            ),
        )
    return str(caught.value)


@pytest.mark.parametrize("after", [0, 30])
def test_a_loss_that_is_no_number_stops_the_run_at_its_step(store: Store, after: int) -> None:
    first = broken(store, step=0)
    steps = int(re.findall(r"its step 0 of (\d+)", first)[0])
    assert steps > 60  # more than are checked together
    message = broken(store, "second", step=steps + after)
    assert (
        f"train_loss is nan at step {steps + after} (epoch 1, its step {after} of {steps}); lower"
        in message
    )
    assert store.registry.run("second").status == "failed"
    kept = newest(store, "second")
    assert kept.step == 0 and all(
        bool(value.isfinite().all()) for value in kept.state["model"].values()
    )
    assert "the checkpoint of step 0 is kept" in message


def test_weights_that_the_last_step_broke_are_not_kept(store: Store) -> None:
    steps = int(re.findall(r"its step 0 of (\d+)", broken(store, step=0))[0])
    message = broken(store, "second", step=2 * steps - 1, what="gradient")
    assert "weights are not finite after epoch 1; lower params.learning_rate" in message
    kept = newest(store, "second")
    assert kept.step == 0 and all(
        bool(value.isfinite().all()) for value in kept.state["model"].values()
    )


def newest(store: Store, run_id: str) -> RestoredCheckpoint:
    """Return the newest checkpoint of a run."""
    found = Checkpoints(store.workspace, store.registry, run_id, Path(), resumed=True).restore()
    assert found is not None
    return found
