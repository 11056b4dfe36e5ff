"""The run that a trainer is called with: seed, device, logged metrics, and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.errors import TrainerError
from mlops_assets.names import check_key
from mlops_assets.registry.patience import patiently
from mlops_assets.training.checkpoints import Checkpoints, RestoredCheckpoint
from mlops_assets.training.metric_writer import PointWriter

Watcher = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Execution:
    """The resources and the watchers of one process of a run.

    Attributes:
        gpus: GPUs that the model asks for.
        rank: number of this process among `world_size`.
        world_size: processes that train together.
        watchers: called with the metrics and the step of each `TrainingRun.log`.
    """

    gpus: int = 0
    rank: int = 0
    world_size: int = 1
    watchers: tuple[Watcher, ...] = ()


class TrainingRun:
    """A training run, as the trainer that is called with it sees it.

    Attributes:
        run_id: identifier of the run.
        seed: seed of the run. Python and NumPy are seeded already, and so is PyTorch unless the
            trainer's module names another framework by `FRAMEWORK`.
        directory: a scratch folder, removed after the run.
        rank: number of this process among `world_size`, 0 if it is the only one; only rank 0 logs
            and saves checkpoints.
        world_size: processes that train together; `torch.distributed` is ready if there are
            several.
        figures: name → PNG, published with the model version.
        phases: name → duration in seconds.
    """

    def __init__(
        self,
        run_id: str,
        seed: int,
        directory: Path,
        points: PointWriter | None,
        checkpoints: Checkpoints,
        execution: Execution | None = None,
    ) -> None:
        """Make the handle of a started run.

        Args:
            run_id: identifier of the run.
            seed: seed of the run.
            directory: a scratch folder.
            points: writes what is logged; None on all ranks but 0.
            checkpoints: those of the run.
            execution: the devices, processes and watchers; one process on the CPU if not given.
        """
        execution = execution or Execution()
        self.run_id = run_id
        self.seed = seed
        self.directory = directory
        self.rank = execution.rank
        self.world_size = execution.world_size
        self.figures: dict[str, bytes] = {}
        self.phases: dict[str, float] = {}
        self._points = points
        self._checkpoints = checkpoints
        self._gpus = execution.gpus
        self._watchers = execution.watchers
        self._last: dict[str, float] = {}

    @property
    def device(self) -> str:
        """`cuda:N` if the model asks for a GPU and there is one, else `cpu`."""
        if not self._gpus:
            return "cpu"
        import torch

        if not torch.cuda.is_available():
            return "cpu"
        return f"cuda:{self.rank % torch.cuda.device_count()}"

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric logged."""
        return dict(self._last)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metric values at a step.

        Args:
            metrics: name → value; the last value of a metric is the run's own.
            step: number of the step or epoch, from 0.

        Raises:
            TrainerError: a value is NaN or infinite; the run stops here instead of training on.
            TrialPruned: the run is a trial of a sweep, and others are so much better that it may
                stop.
        """
        values = [(name, float(value)) for name, value in metrics.items()]
        if self._points is not None:
            self._points.add([pair for pair in values if math.isfinite(pair[1])], step)
        for name, number in values:
            if not math.isfinite(number):
                raise TrainerError(
                    f"{name} is {number} at step {step}; lower the learning rate or check the data"
                )
        self._last.update(values)
        for watcher in self._watchers:
            watcher(metrics, step)

    def summarize(self, metrics: Mapping[str, float]) -> None:
        """Set metrics of the returned model, where they are not those that were logged last.

        Args:
            metrics: name → value.
        """
        self._last.update((name, float(value)) for name, value in metrics.items())

    def checkpoint(self, state: Mapping[str, object], step: int) -> None:
        """Save a state that the run can be resumed from, with the random states.

        The last two checkpoints are kept.

        Args:
            state: dictionaries, lists and tuples of PyTorch tensors, NumPy arrays, numbers, texts,
                bytes and None, such as `{"model": model.state_dict(), "optimizer":
                optimizer.state_dict()}`.
            step: the last step that is done.

        Raises:
            TrainerError: the state has a value of another kind.
            StorageError: the checkpoint cannot be written.
        """
        if self._points is not None:
            # what was logged before a checkpoint belongs to it
            patiently(self._points.flush)
            self._checkpoints.save(state, step, self._points.seq)

    def restore(self) -> RestoredCheckpoint | None:
        """Return the newest checkpoint of an earlier attempt of this run.

        It restores the random states: call it after the model is built, right before the first
        step.

        Returns:
            The checkpoint, with its tensors on the CPU; None if there is none.
        """
        return self._checkpoints.restore()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record the duration of a part of the training in `phases`.

        Args:
            name: of the part, e.g. `data`; durations under one name add up.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - started

    def figure(self, name: str, png: bytes) -> None:
        """Publish a figure with the model version, as `figures/<name>.png`.

        Args:
            name: name of the file, without its suffix.
            png: content of the file.

        Raises:
            NameRefused: the name cannot be part of a path.
        """
        self.figures[check_key(name, "figure")] = png
