"""One training run while it goes on: its seed, its device, and the metrics it logs.

Points are buffered and written in batches, so that logging thousands a second costs the trainer little.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np

from mlops_assets.errors import TrainerError
from mlops_assets.registry import Registry
from mlops_assets.registry.store import now

FLUSH_SECONDS = 1.0  # how old a point may grow before people can see it
FLUSH_POINTS = 5_000


class TrainingRun:
    """What a trainer gets to know about its run, and where it tells how it goes.

    Attributes:
        run_id: identifier of the run.
        seed: seed of the run; Python, NumPy and PyTorch are seeded already.
        directory: a scratch folder that is removed after the run.
        device: `cuda` or `cpu`, for trainers that can use either.
    """

    def __init__(self, registry: Registry, run_id: str, seed: int, directory: Path, gpus: int = 0) -> None:
        """Make the handle of a started run."""
        self.run_id, self.seed, self.directory, self._gpus = run_id, seed, directory, gpus
        self._registry = registry
        self._points: list[tuple[str, int, float, datetime]] = []
        self._last: dict[str, float] = {}
        self._flushed = time.monotonic()

    @property
    def device(self) -> str:
        """`cuda` if the model asks for a GPU and there is one, else `cpu`."""
        if not self._gpus:
            return "cpu"
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric logged."""
        return dict(self._last)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metric values at a step.

        Raises:
            TrainerError: a value is NaN or infinite; the run stops here instead of training on.
        """
        moment = now()
        for name, value in metrics.items():
            number = float(value)
            if not math.isfinite(number):
                self.flush()
                raise TrainerError(f"{name} is {number} at step {step}; lower the learning rate or check the data")
            self._points.append((name, step, number, moment))
            self._last[name] = number
        if len(self._points) >= FLUSH_POINTS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was logged so far."""
        self._registry.log(self.run_id, self._points)
        self._points, self._flushed = [], time.monotonic()

    def seed_everything(self) -> None:
        """Seed Python, NumPy and PyTorch."""
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)
        import torch  # even if the trainer only imports it later: its first weights must come from this seed

        torch.manual_seed(self.seed)
