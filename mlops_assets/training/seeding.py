"""Seeds of everything that draws random numbers.

PyTorch is seeded when it is imported, and not imported for that.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch; PyTorch, if it is only imported later, right then."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    for finder in [finder for finder in sys.meta_path if isinstance(finder, _SeedsTorch)]:
        sys.meta_path.remove(finder)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    else:
        sys.meta_path.insert(0, _SeedsTorch(seed))


class _SeedsTorch(MetaPathFinder):
    """Finds PyTorch once, in the usual way, and has it seeded as soon as it is loaded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find `torch`, and nothing else."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Seeding(spec.loader, self._seed)
        return spec


class _Seeding(Loader):
    """Loads PyTorch with its own loader, and seeds it."""

    def __init__(self, loader: Loader, seed: int) -> None:
        self._loader, self._seed = loader, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As its own loader does; then seed."""
        self._loader.exec_module(module)
        module.manual_seed(self._seed)
