"""Checkpoints, which a run can be resumed from.

One safetensors file has the trainer's state and the random states, without pickle.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlops_assets.errors import IntegrityError, StorageError, TrainerError
from mlops_assets.paths import checkpoints_folder
from mlops_assets.registry import Checkpoint as CheckpointRow
from mlops_assets.registry import Registry
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace

KEPT = 2  # the newest, and the one before it in case the newest is damaged
_KEY = "mlops.state"  # of the safetensors metadata

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step, as the trainer gave it; tensors are on the CPU."""

    step: int
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(
        self, workspace: Workspace, registry: Registry, run_id: str, directory: Path, resumed: bool
    ) -> None:
        """Open the checkpoints of a run.

        Args:
            workspace: where the files lie, under `runs/<run id>/checkpoints`.
            registry: knows them.
            run_id: the run.
            directory: a scratch folder.
            resumed: whether the run continues an earlier attempt.
        """
        self._workspace, self._registry, self._run_id = workspace, registry, run_id
        self._directory, self._resumed = directory, resumed

    def save(self, state: Mapping[str, Any], step: int, seq: int) -> None:
        """Store a state; older ones than the last two are removed. See `TrainingRun.checkpoint`."""
        path = self._directory / f".checkpoint-{step}.safetensors"
        _write({"state": dict(state), "random": _random_states()}, path)
        key = f"{checkpoints_folder(self._run_id)}/{step}.safetensors"
        file = self._workspace.put(key, path)
        path.unlink()
        self._registry.add_checkpoint(
            CheckpointRow(
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

    def restore(self) -> Checkpoint | None:
        """Return the newest whole checkpoint and put the random states back.

        See `TrainingRun.restore`.
        """
        row = self.newest() if self._resumed else None
        if row is None:
            return None
        document = _read(self._workspace.local_path(row.path, row.sha256))
        _put_back(document["random"])
        return Checkpoint(row.step, document["state"])

    def newest(self) -> CheckpointRow | None:
        """Return the newest checkpoint whose bytes are those that were stored.

        Damaged ones are passed over.
        """
        for row in self._registry.checkpoints(self._run_id):
            try:
                if self._workspace.stat(row.path).sha256 == row.sha256:
                    return row
                log.warning(
                    "checkpoint %s is not as it was stored; taking the one before it", row.path
                )
            except (StorageError, IntegrityError) as error:
                log.warning(
                    "checkpoint %s cannot be read (%s); taking the one before it", row.path, error
                )
        return None


def _random_states() -> dict[str, Any]:
    version, numbers, following = random.getstate()
    found: dict[str, Any] = {
        "python": [version, np.array(numbers, dtype=np.uint32), following],
        "numpy": list(np.random.get_state()),
    }
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return found
    found["torch"] = torch.get_rng_state()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["cuda"] = list(torch.cuda.get_rng_state_all())
    return found


def _put_back(states: dict[str, Any]) -> None:
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


def _write(document: dict[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, Any] = {}
    outline = _outline(document, "", tensors)
    save_file(tensors, path, {_KEY: json.dumps(outline)})


def _read(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        document: dict[str, Any] = _filled(json.loads(file.metadata()[_KEY]), tensors)
    return document


def _outline(value: Any, where: str, tensors: dict[str, Any]) -> Any:
    """Return a value as JSON, with its tensors put aside.

    What JSON lacks is a list that begins with its kind.

    Raises:
        TrainerError: it is of a kind that is not kept.
    """
    import torch

    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    if isinstance(value, np.generic):
        return _outline(value.item(), where, tensors)
    if isinstance(value, int | float):  # of a subclass
        return int(value) if isinstance(value, int) else float(value)
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
        f"checkpoint{where.replace('.state', '', 1)} is a {type(value).__name__}; give"
        " dictionaries, lists, tensors, arrays, numbers and texts, e.g. a state_dict()"
    )


def _filled(outline: Any, tensors: dict[str, Any]) -> Any:
    if not isinstance(outline, list):
        return outline
    kind, content = outline[0], outline[1]
    if kind == "map":
        return {_filled(key, tensors): _filled(value, tensors) for key, value in content}
    if kind in ("list", "tuple"):
        parts = [_filled(part, tensors) for part in content]
        return parts if kind == "list" else tuple(parts)
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tensor":
        return tensors[content]
    dtype, shape = np.dtype(outline[2]), outline[3]
    return np.frombuffer(tensors[content].numpy().tobytes(), dtype=dtype).reshape(shape).copy()
