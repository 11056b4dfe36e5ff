"""Seeds of everything that draws random numbers."""

from __future__ import annotations

import random
import sys

import numpy as np

# name of its framework adapter
PYTORCH = "pytorch"


def seed_everything(seed: int, framework: str | None = None) -> None:
    """Seed Python, NumPy and, where it is used, PyTorch.

    PyTorch takes seconds to import, so it is only seeded if it is loaded already or is the
    framework of the trainer.

    Args:
        seed: the seed; NumPy takes its last 32 bits.
        framework: the framework that the trainer's module names by `FRAMEWORK`, if it does.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if framework == PYTORCH or torch_loaded():
        import torch

        torch.manual_seed(seed)


def torch_loaded() -> bool:
    """Return whether this process has imported PyTorch."""
    return "torch" in sys.modules
