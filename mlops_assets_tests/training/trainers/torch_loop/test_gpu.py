"""The loop on a GPU: where things lie, 16 bits, memory that does not suffice, several GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.errors import TrainerError
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.store import Store
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.run import Execution, TrainingRun
from mlops_assets.training.train import train
from mlops_assets.training.trainers.torch_loop import feed as feeding
from mlops_assets.training.trainers.torch_loop.feed import Feed, FeedOptions
from mlops_assets.training.trainers.torch_loop.precision import Precision
from mlops_assets_tests.training.example_trainers import training_request
from mlops_assets_tests.training.trainers.torch_loop.cases import (
    CASES,
    PATCHES,
    SERIES,
    WINDOWS,
    Case,
    declared,
    landed,
)
from mlops_assets_tests.training.trainers.torch_loop.test_processes import train_together_and_alone

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"
)
GPU: dict[str, Any] = {"compute": {"gpus": 1}}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_learns_on_a_gpu_and_its_onnx_file_gives_the_same_on_a_cpu(
    store: Store, case: Case
) -> None:
    specification = declared(store, case, **GPU)
    torch.cuda.reset_peak_memory_stats()
    row = train(store, training_request(specification, "v1", case.params))
    assert torch.cuda.max_memory_allocated() > 0
    assert export(store, specification, row).passed
    found = evaluate_version(store, specification, row)[0].metrics[case.metric]
    assert case.bounds[0] <= found <= case.bounds[1]


@pytest.mark.parametrize("case", [PATCHES, WINDOWS, SERIES], ids=str)
@pytest.mark.parametrize("mixed", ["never", "always"])
def test_a_gpu_follows_the_losses_of_a_cpu(store: Store, case: Case, mixed: str) -> None:
    params = {**case.params, "dropout": 0.0, "epochs": 3, "mixed_precision": mixed}
    curves = []
    for gpus in (0, 1):
        specification = declared(store, case, f"net{gpus}", compute={"gpus": gpus})
        row = train(
            store,
            training_request(
                specification, "v1", params if gpus else {**params, "mixed_precision": "never"}
            ),
        )
        curves.append([value for _, value in store.registry.series(row.run_id)["train_loss"]])
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.02 if mixed == "never" else 0.15)


def test_everything_is_on_the_device_and_auto_means_sixteen_bits(
    store: Store, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(store.workspace, store.registry, "a-run", tmp_path, resumed=False)
    device = TrainingRun("a-run", 0, tmp_path, None, checkpoints, Execution(gpus=1)).device
    assert device.startswith("cuda:")
    precision = Precision(device, "auto", "auto")
    assert precision.mixed and precision.channels_last
    image = precision.laid_out(torch.zeros(2, 3, 4, 4, device=device))
    assert image.is_contiguous(memory_format=torch.channels_last)
    with precision.autocast():
        assert (torch.ones(2, 2, device=device) @ torch.ones(2, 2, device=device)).dtype in (
            torch.bfloat16,
            torch.float16,
        )


@pytest.mark.parametrize("resident", [True, False])
def test_batches_arrive_on_the_device(
    store: Store, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not resident:
        monkeypatch.setattr(feeding, "RESIDENT_BYTES", 0)
    data = TrainingData(landed(store, "window"), "semantic-segmentation")
    on_cpu, on_gpu = (
        list(Feed(data, "train", FeedOptions(8, 0, device, -1)).epoch(0))
        for device in ("cpu", "cuda:0")
    )
    assert {share.samples.device.type for share in on_gpu} == {"cuda"}
    for one, other in zip(on_cpu, on_gpu, strict=True):
        assert torch.equal(one.samples, other.samples.cpu()) and torch.equal(
            one.labels, other.labels.cpu()
        )


def test_memory_that_does_not_suffice_is_explained_and_given_back(store: Store) -> None:
    specification = declared(store, PATCHES, **GPU)
    with pytest.raises(
        TrainerError, match=r"out of memory on cuda:\d+: .*batch_size is 128, halve it"
    ):
        train(store, training_request(specification, "v1", {**PATCHES.params, "width": 1 << 20}))
    train(store, training_request(specification, "v1", PATCHES.params))


def test_an_interrupted_run_on_a_gpu_is_resumed(store: Store) -> None:
    specification = declared(store, WINDOWS, **GPU)

    def kill(metrics: Any, step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            store,
            training_request(specification, "v1", WINDOWS.params, run_id="interrupted"),
            watchers=(kill,),
        )
    row = train(store, training_request(specification, "v1", WINDOWS.params, run_id="interrupted"))
    whole = train(store, training_request(specification, "v1", WINDOWS.params))
    curves = [
        [value for _, value in store.registry.series(run_id)["train_loss"]]
        for run_id in (row.run_id, whole.run_id)
    ]
    np.testing.assert_allclose(curves[0], curves[1], rtol=0.05)  # sums on GPUs have no fixed order


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_as_one(store: Store) -> None:
    train_together_and_alone(store, gpus=2, tolerance=0.02)
