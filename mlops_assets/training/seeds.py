"""Seeds of everything that draws random numbers."""

from __future__ import annotations

import importlib.util
import random
import sys

# name of its framework adapter
PYTORCH = "pytorch"


def seed_everything(seed: int, framework: str | None = None) -> None:
    """Seed Python, NumPy and PyTorch.

    PyTorch takes seconds to import: where it is not loaded yet, trainers of other frameworks do
    without it.

    Args:
        seed: the seed; NumPy takes its last 32 bits.
        framework: the framework that the trainer's module names by `FRAMEWORK`; None if it names
            none, and may import PyTorch later.
    """
    # definitions load this module and need no NumPy
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    wanted = framework in (PYTORCH, None) and importlib.util.find_spec("torch") is not None
    if wanted or torch_loaded():
        import torch

        torch.manual_seed(seed)


def torch_loaded() -> bool:
    """Return whether this process has imported PyTorch."""
    return "torch" in sys.modules
