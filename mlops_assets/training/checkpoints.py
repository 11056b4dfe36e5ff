"""Checkpoints of runs.

One safetensors file has the trainer's state and the random states, without pickle.
"""

from __future__ import annotations

import base64
import json
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.errors import IntegrityError, StorageError, TrainerError
from mlops_assets.paths import checkpoints_folder
from mlops_assets.registry import Checkpoint, Registry
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace
from mlops_assets.text.json_values import Json
from mlops_assets.training.seeds import torch_loaded

if TYPE_CHECKING:
    import torch

# the newest, and the one before it in case the newest is damaged
KEPT = 2
# of the safetensors metadata
_KEY = "mlops.state"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RestoredCheckpoint:
    """The state that a trainer has saved after a step.

    Attributes:
        step: the last step that was done.
        state: as the trainer gave it; tensors are on the CPU.
    """

    step: int
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(
        self, workspace: Workspace, registry: Registry, run_id: str, directory: Path, resumed: bool
    ) -> None:
        """Open the checkpoints of a run.

        Args:
            workspace: stores the files, under `runs/<run id>/checkpoints`.
            registry: records them.
            run_id: the run.
            directory: a scratch folder.
            resumed: whether the run continues an earlier attempt.
        """
        self._workspace = workspace
        self._registry = registry
        self._run_id = run_id
        self._directory = directory
        self._resumed = resumed

    def save(self, state: Mapping[str, object], step: int, seq: int) -> None:
        """Store a state, and remove all but the last two. See `TrainingRun.checkpoint`.

        Args:
            state: what the trainer needs to continue.
            step: the last step that is done.
            seq: number of the next point that the run will log.

        Raises:
            TrainerError: the state has a value of a kind that cannot be stored.
        """
        path = self._directory / f".checkpoint-{step}.safetensors"
        _write({"state": dict(state), "random": _random_states()}, path)
        key = f"{checkpoints_folder(self._run_id)}/{step}.safetensors"
        file = self._workspace.put(key, path)
        path.unlink()
        self._registry.add_checkpoint(
            Checkpoint(
                run_id=self._run_id,
                step=step,
                seq=seq,
                path=key,
                sha256=file.sha256,
                size=file.size,
                created=now(),
            )
        )
        self._remove_old()

    def remove_leftovers(self) -> None:
        """Remove files of saves that were killed, and checkpoints that cannot be resumed from."""
        self._remove_old()
        known = {row.path for row in self._registry.checkpoints(self._run_id)}
        for key in set(self._workspace.list(checkpoints_folder(self._run_id))) - known:
            self._workspace.remove(key)

    def _remove_old(self) -> None:
        if old := self._registry.checkpoints(self._run_id)[KEPT:]:
            self._registry.forget_checkpoints(self._run_id, [row.step for row in old])
        for row in old:
            self._workspace.remove(row.path)

    def restore(self) -> RestoredCheckpoint | None:
        """Return the newest undamaged checkpoint and restore the random states.

        See `TrainingRun.restore`.
        """
        row = self.newest() if self._resumed else None
        if row is None:
            return None
        document = _read(self._workspace.local_path(row.path, row.sha256))
        _set_random_states(document["random"])
        return RestoredCheckpoint(row.step, document["state"])

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose bytes are those that were stored.

        Damaged ones are skipped.
        """
        for row in self._registry.checkpoints(self._run_id):
            try:
                if self._workspace.stat(row.path).sha256 == row.sha256:
                    return row
                log.warning(
                    "checkpoint %s has changed since it was stored; using the one before it",
                    row.path,
                )
            except (StorageError, IntegrityError) as error:
                log.warning(
                    "checkpoint %s cannot be read (%s); using the one before it", row.path, error
                )
        return None


def _random_states() -> dict[str, object]:
    version, numbers, following = random.getstate()
    found: dict[str, object] = {
        "python": [version, np.array(numbers, dtype=np.uint32), following],
        "numpy": list(np.random.get_state()),
    }
    if not torch_loaded():
        return found
    import torch

    found["torch"] = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["cuda"] = list(torch.cuda.get_rng_state_all())
    return found


def _set_random_states(states: dict[str, Any]) -> None:
    version, numbers, following = states["python"]
    random.setstate((version, tuple(numbers.tolist()), following))
    np.random.set_state(tuple(states["numpy"]))
    if "torch" not in states:
        return
    import torch

    torch.set_rng_state(states["torch"])
    if (
        "cuda" in states
        and torch.cuda.is_available()
        and len(states["cuda"]) == torch.cuda.device_count()
    ):
        torch.cuda.set_rng_state_all(states["cuda"])


def _write(document: Mapping[str, object], path: Path) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    outline = _outline(document, "", tensors)
    save_file(tensors, path, {_KEY: json.dumps(outline)})


def _read(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        document: dict[str, Any] = _filled(json.loads(file.metadata()[_KEY]), tensors)
    return document


def _outline(value: object, where: str, tensors: dict[str, torch.Tensor]) -> Json:
    """Return a value as JSON, with its tensors moved to `tensors`.

    A value that JSON lacks is a list that begins with its kind.

    Raises:
        TrainerError: it is of a kind that cannot be stored.
    """
    import torch

    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return _outline(value.item(), where, tensors)
    # a subclass too
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return [
            "map",
            [
                [_outline(k, where, tensors), _outline(v, f"{where}.{k}", tensors)]
                for k, v in value.items()
            ],
        ]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [
            kind,
            [_outline(part, f"{where}[{index}]", tensors) for index, part in enumerate(value)],
        ]
    if isinstance(value, bytes):
        return ["bytes", base64.b64encode(value).decode()]
    name = str(len(tensors))
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return ["tensor", name]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        tensors[name] = (
            torch.frombuffer(bytearray(value.tobytes()), dtype=torch.uint8)
            if value.size
            else torch.empty(0)
        )
        return ["array", name, value.dtype.str, list(value.shape)]
    raise TrainerError(
        f"checkpoint{where.replace('.state', '', 1)} is a {type(value).__name__}; use"
        " dictionaries, lists, tensors, arrays, numbers and texts, e.g. a state_dict()"
    )


def _filled(outline: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return the value of an outline that was read back."""
    if not isinstance(outline, list):
        return outline
    kind = outline[0]
    content = outline[1]
    if kind == "map":
        return {_filled(key, tensors): _filled(value, tensors) for key, value in content}
    if kind in ("list", "tuple"):
        parts = [_filled(part, tensors) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tensor":
        return tensors[content]
    values = np.frombuffer(tensors[content].numpy().tobytes(), dtype=np.dtype(outline[2]))
    return values.reshape(outline[3]).copy()
