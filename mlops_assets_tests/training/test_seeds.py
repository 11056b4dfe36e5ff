"""Seeds: equal ones draw equal numbers, and PyTorch is not imported where it is not used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

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
def test_pytorch_is_imported_and_seeded_unless_the_trainer_names_another_framework(
    framework: str | None,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRAW.format(framework=framework)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, drawn = json.loads(done.stdout)
    torch.manual_seed(7)
    assert loaded == (framework != "scikit-learn")
    assert (drawn == torch.rand(3).tolist()) == loaded
