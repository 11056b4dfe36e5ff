"""Several processes train as one.

The same losses and weights, but for the rounding of another order of sums.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.train import train, train_rank
from mlops_assets_tests.training.example_trainers import training_request
from mlops_assets_tests.training.trainers.torch_loop.cases import PATCHES, SERIES, WINDOWS, declared

PROCESSES = 2
# what is dropped depends on the process
NOTHING_DRAWN: dict[str, Any] = {
    "dropout": 0.0,
    "epochs": 2,
    "mixed_precision": "never",
}


def take_part(workspace: str, rank: int, specifications: list[ModelSpecification]) -> None:
    """Train each model as one of the processes."""
    torch.set_num_threads(1)
    meeting = f"file://{Path('meeting').resolve()}"
    backend = "nccl" if specifications[0].compute.gpus else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=PROCESSES
    )
    opened = Workspace(workspace)
    store = Store(
        opened, Registry(f"sqlite:///{opened.root / 'registry.db'}").acting(local("tester"))
    )
    for specification in specifications:
        params = {**specification.params, **NOTHING_DRAWN}
        request = training_request(
            specification, "v1", params, run_id=f"together-{specification.name}"
        )
        if rank:
            train_rank(store, request, rank, PROCESSES)
        else:
            train(store, request, world_size=PROCESSES)
    torch.distributed.destroy_process_group()


def together(store: Store, specifications: list[ModelSpecification]) -> None:
    """Train in processes of their own; each must end well."""
    files = [Path(f"{specification.name}.json").resolve() for specification in specifications]
    for file, specification in zip(files, specifications, strict=True):
        file.write_text(specification.model_dump_json())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, __file__, store.workspace.url]
    started = [
        subprocess.Popen(
            [*command, str(rank), *map(str, files)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        for rank in range(PROCESSES)
    ]
    output = [process.communicate(timeout=250)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, "\n".join(output)


def weights(store: Store, row: ModelVersion) -> dict[str, torch.Tensor]:
    """Return the published weights."""
    return load_file(
        published_path(
            store.workspace,
            store.registry,
            f"{model_folder(row.model, row.version)}/native/model.safetensors",
        )
    )


def train_together_and_alone(store: Store, gpus: int, tolerance: float) -> None:
    """Train each model both ways and compare losses, metrics and weights."""
    compute = {"gpus": gpus}
    specifications = [
        declared(store, case, case.trainer, compute=compute) for case in (PATCHES, WINDOWS, SERIES)
    ]
    together(store, specifications)
    for specification in specifications:
        alone = train(
            store, training_request(specification, "v1", {**specification.params, **NOTHING_DRAWN})
        )
        row = store.registry.model_version(Reference(specification.name, "v1-together"))
        one, two = store.registry.series(alone.run_id), store.registry.series(row.run_id)
        assert one.keys() == two.keys()
        for name, points in one.items():
            expected = [value for _, value in points]
            np.testing.assert_allclose(
                [value for _, value in two[name]], expected, rtol=tolerance, err_msg=name
            )
        torch.testing.assert_close(
            weights(store, row), weights(store, alone), atol=tolerance / 10, rtol=tolerance
        )


@pytest.mark.slow
def test_two_processes_train_as_one(store: Store) -> None:
    train_together_and_alone(store, gpus=0, tolerance=1e-3)


if __name__ == "__main__":
    declarations = [
        ModelSpecification.model_validate_json(Path(file).read_bytes()) for file in sys.argv[3:]
    ]
    take_part(sys.argv[1], int(sys.argv[2]), declarations)
