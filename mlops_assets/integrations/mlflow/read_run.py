"""Mapping of runs of MLflow to ours: a row of the registry and its points.

Nothing is written here; models are read by `models`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from mlops_assets.registry import DataVersion, Run
from mlops_assets.registry.runs import LoggedPoint

SOURCE = "mlflow"
STATE = "mlflow.state"  # tag of an imported run: digest of its state in MLflow
HISTORY = "mlflow.log-model.history"  # tag in which MLflow 1 and 2 list the models of a run
_FORMAT = 1  # of what is imported
_NAMESPACE = uuid.UUID("5e7d1f6e-7c0a-4f3b-9a53-0f4f8f0a8c1b")
_STATUS = {"FINISHED": "succeeded", "FAILED": "failed", "KILLED": "canceled"}  # others continue
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORDS = {"True": True, "true": True, "False": False, "false": False, "None": None, "null": None}


def run_id_of(mlflow_run: str) -> str:
    """Return the id that a run of MLflow has here: always the same."""
    return str(uuid.uuid5(_NAMESPACE, mlflow_run))


def state_of(there: MlflowRun, data: DataVersion, wanted: str) -> str:
    """Return a short digest of all that an import depends on; an equal one needs no second import.

    Args:
        there: the run of MLflow.
        data: the data version that it was trained on.
        wanted: the declaration of the model here.
    """
    imported = [
        _FORMAT,
        wanted,
        data.dataset,
        data.digest,
        there.info.status,
        there.info.end_time,
        there.data.params,
        there.data.tags,
        {name: repr(value) for name, value in there.data.metrics.items()},
        [output.model_id for output in there.outputs.model_outputs] if there.outputs else [],
    ]
    return hashlib.sha256(json.dumps(imported, sort_keys=True).encode()).hexdigest()[:16]


def run_of(there: MlflowRun, model: str, data: DataVersion, page: str) -> Run:
    """Return the row of a run for the registry.

    Args:
        there: the run of MLflow.
        model: name of the model here.
        data: the data version that it was trained on.
        page: URL of the run in MLflow's pages.
    """
    info = there.info
    tags = there.data.tags
    parameters = {name: parameter_of(text) for name, text in there.data.params.items()}
    commit = tags.get("mlflow.source.git.commit")
    status = _STATUS.get(info.status, "running")
    own = {name: text for name, text in tags.items() if name != HISTORY}
    seed = next((parameters[name] for name in ("seed", "random_state") if name in parameters), 0)
    return Run(
        run_id=run_id_of(info.run_id),
        model=model,
        dataset=data.dataset,
        data_version=data.version,
        data_digest=data.digest,
        status=status,
        parameters=parameters,
        seed=seed if type(seed) is int and 0 <= seed < 2**31 else 0,
        trainer=(tags.get("mlflow.source.name") or "unknown")[:255],
        code_version=(commit or "unknown")[:255],
        hardware={},
        metrics={name: value for name, value in there.data.metrics.items() if _usable(value)},
        started=_moment(info.start_time or 0),
        finished=_moment(info.end_time) if info.end_time and status != "running" else None,
        error=f"it has {info.status} in MLflow" if status in ("failed", "canceled") else None,
        host="mlflow",
        pid=0,
        source=SOURCE,
        tags={**own, "mlflow.run_id": info.run_id, "mlflow.url": page},
        created_by=info.user_id or None,
        seconds=(
            (info.end_time - info.start_time) / 1000 if info.end_time and info.start_time else None
        ),
        code={"commit": commit} if commit else {},
    )


def points_of(client: MlflowClient, there: MlflowRun) -> tuple[list[LoggedPoint], int]:
    """Return every point of a run in the order logged, and the count of non-finite ones omitted."""
    found = [
        point
        for name in there.data.metrics
        for point in client.get_metric_history(there.info.run_id, name)
    ]
    found.sort(key=lambda point: (point.timestamp, point.step, point.key))
    usable = [point for point in found if _usable(point.value)]
    points = [(seq, p.key, p.step, p.value, p.timestamp / 1000) for seq, p in enumerate(usable)]
    return points, len(found) - len(usable)


def parameter_of(text: str) -> bool | int | float | str | None:
    """Return a parameter as it most likely was before MLflow stored it as text.

    It is a number, a truth value, a text, or None.
    """
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMBER.fullmatch(text):
        return text
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    number = float(text)
    return number if _usable(number) else text


def _usable(value: float) -> bool:
    """Return whether a value is a finite number.

    MLflow keeps an infinite one as the largest that there is.
    """
    return abs(value) < sys.float_info.max


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
