"""Seeds: equal ones draw equal numbers, and PyTorch is not imported where it is not used."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets.training import train as training
from mlops_assets.training.train import train
from mlops_assets_tests.training.trainers import model_specification, training_request

DRAW = """
import json, sys
from mlops_assets.training.seeds import seed_everything
seed_everything(7, {framework!r})
loaded = "torch" in sys.modules
import torch
print(json.dumps([loaded, torch.rand(3).tolist()]))
"""


# a process that has not imported PyTorch, which the fork server of the tests has
@pytest.mark.parametrize("framework", [None, "scikit-learn", "pytorch"])
def test_pytorch_is_imported_and_seeded_only_for_its_own_trainers(framework: str | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRAW.format(framework=framework)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, drawn = json.loads(done.stdout)
    torch.manual_seed(7)
    assert loaded == (framework == "pytorch")
    assert (drawn == torch.rand(3).tolist()) == loaded


def test_a_network_whose_framework_was_imported_after_seeding_is_reported(
    store: Store,
    land_scenes: Callable[..., Commit],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    land_scenes()
    monkeypatch.setattr(training, "torch_loaded", lambda: False)
    trainer = "mlops_assets_tests.training.trainers:network"
    specification = model_specification(dataset="scenes", inputs="patch", trainer=trainer)
    with caplog.at_level(logging.WARNING):
        train(store, training_request(specification))
    assert f"PyTorch was not seeded, as trainer {trainer} imports it in its function" in caplog.text
    assert 'FRAMEWORK = "pytorch"' in caplog.text
