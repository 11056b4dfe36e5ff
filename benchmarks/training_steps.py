"""A minute of training in a fresh process.

`python -m benchmarks.training_steps STEP FOLDER EPOCHS`.

`prepare` commits chips; `ours` trains through the platform, `bare` with a plain loop: the same
network, samples, order of batches, optimizer, schedule and validation, and nothing of ours around
it. Each reports seconds of its fit, for which PyTorch is loaded already (`fit`), and of everything
from the start of a process to the saved network (`whole`), and its last training loss.

AdamW is `fused` on both sides: PyTorch's other implementations round differently, and after some
dozens of epochs the last bit has become the second digit.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.landings import CLASSES, add_chips
from benchmarks.measured import Steps
from benchmarks.timed_trainer import CPU_SECONDS
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.request import TrainingRequest

if TYPE_CHECKING:
    import torch

_CHIP = (4, 16, 16)
_CHIPS = 2_000
_BATCH = 64
_WIDTH = 32
_RATE = 1e-3
_DECAY = 1e-2
_TRAINER = "benchmarks.timed_trainer:train"


def main(step: str, folder: str, epochs: str) -> None:
    """Take one step."""
    place = Path(folder)
    taken = Steps()
    if step == "prepare":
        _prepare(place)
    elif step == "ours":
        _ours(taken, int(epochs))
        return
    else:
        _bare(place, taken, int(epochs))
        return
    taken.report()


def _prepare(place: Path) -> None:
    """Commit chips, and write their splits as plain arrays for the bare loop."""
    add_chips(place / "landing", range(_CHIPS), _CHIP)
    declared = {
        "name": "chips",
        "source": {"url": str(place / "landing"), "layout": "image_folder"},
    }
    store = open_store(Settings.from_environment())
    commit(store.workspace, store.registry, DatasetSpecification.model_validate(declared))
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("chips"))
    data = TrainingData(committed, "classification", scaling="standardize")
    for split in ("train", "validation"):
        X, y = data.arrays(split)
        np.save(place / f"{split}_X.npy", X)
        np.save(place / f"{split}_y.npy", y)


def _ours(taken: Steps, epochs: int) -> None:
    params = {
        "epochs": epochs,
        "batch_size": _BATCH,
        "learning_rate": _RATE,
        "weight_decay": _DECAY,
        "width": _WIDTH,
        "blocks": 1,
        "dropout": 0.0,
        "augmentation": "none",
    }
    specification = ModelSpecification.model_validate(
        {
            "name": "chips_cnn",
            "dataset": "chips",
            "task": "classification",
            "trainer": _TRAINER,
            "params": params,
            "scaling": "standardize",
            "compute": {"cpus": 2},
        }
    )
    store = open_store(Settings.from_environment())
    with taken.step("whole"):
        request = TrainingRequest(
            specification=specification, data_version="v1", parameters=params, seed=0
        )
        row = train_supervised(store, request)
    run = store.registry.run(row.run_id)
    taken.seconds["fit"] = run.phases["fit"]
    taken.cpu["fit"] = run.metrics[CPU_SECONDS]
    taken.report(loss=store.registry.series(run.run_id)["train_loss"][-1][1])


def _bare(place: Path, taken: Steps, epochs: int) -> None:
    with taken.step("whole"):
        # the platform forks from a process in which these are loaded
        import torch
        import torch._dynamo  # noqa: F401
        from safetensors.torch import save_file  # noqa: PLC0415

        with taken.step("fit"):
            network, loss = _fit_bare(place, epochs)
        save_file(network.state_dict(), place / "bare.safetensors")
    taken.report(loss=loss)


def _fit_bare(place: Path, epochs: int) -> tuple[torch.nn.Module, float]:
    """Return the network with the weights of its lowest validation loss, and its last loss."""
    import torch
    from torch.nn.functional import cross_entropy

    from mlops_assets.training.trainers.torch_loop.networks.patch_cnn import (  # noqa: PLC0415
        PatchCNN,
    )

    torch.manual_seed(0)
    X, y, held_X, held_y = (
        torch.from_numpy(np.load(place / f"{name}.npy"))
        for name in ("train_X", "train_y", "validation_X", "validation_y")
    )
    network = PatchCNN(_CHIP[0], CLASSES, _WIDTH, 1, 1, False, 0.0)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY, fused=True)
    steps = epochs * -(-len(y) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    best = float("inf")
    weights = network.state_dict()
    mean = float("nan")
    for epoch in range(epochs):
        network.train()
        losses = []
        order = torch.from_numpy(np.random.default_rng([0, epoch]).permutation(len(y)))
        for positions in order.split(_BATCH):
            loss = cross_entropy(network(X[positions]), y[positions])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())
        network.eval()
        with torch.no_grad():
            scores = torch.cat([network(part) for part in held_X.split(_BATCH)])
        held = float(cross_entropy(scores, held_y))
        accuracy = float((scores.argmax(1) == held_y).float().mean())
        print(f"epoch {epoch}: loss {mean:.4f}, validation {held:.4f}, {accuracy:.4f}")
        if held < best:
            best = held
            weights = copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return network, mean


if __name__ == "__main__":
    main(*sys.argv[1:])
