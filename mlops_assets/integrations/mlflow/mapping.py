"""Mapping of our runs to MLflow: allowed names, texts of limited length, states, tags.

Nothing here sends requests to a server, or needs MLflow.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeGuard

from mlops_assets.registry import ModelVersion, Run

FORMAT = 1  # of what is mirrored; a mirror of another format is brought up to date
# characters
MAX_NAME = 250
MAX_PARAMETER = 6000
MAX_TAG = 5000
STATES = {
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "canceled": "KILLED",
    "pruned": "KILLED",
}
# keys of tags
RUN_ID = "mlops.run_id"
ATTEMPT = "mlops.attempt"
POINTS = "mlops.points"
MIRRORED = "mlops.mirrored"
VERSION = "mlops.version"
SHA256 = "mlops.onnx_sha256"
_OWN = ("mlops.", "mlflow.")


def allowed_names(names: Iterable[str]) -> dict[str, str]:
    """Return name → name that MLflow accepts.

    Letters, digits, `_-. :/`, no empty or dotted part between slashes.

    Two names never become one: the second gets a part of its hash.
    """
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (_allowed(name) != name, name)):
        allowed = _allowed(name)
        if allowed in found.values():
            allowed = f"{allowed[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        found[name] = allowed
    return found


def parameter_text(value: object) -> str:
    """Return a parameter as text.

    Anything but text becomes JSON, and a text that is too long is cut off.
    """
    return _cut(
        value if isinstance(value, str) else json.dumps(value, sort_keys=True), MAX_PARAMETER
    )


def milliseconds(moment: datetime) -> int:
    """Return a point in time as MLflow has it, in milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)


def attempt(run: Run) -> str:
    """Return the identity of an attempt of a run.

    A resumed run has logged some of its points anew.
    """
    return f"{run.attempts} {run.started.isoformat()}"


def state(run: Run, row: ModelVersion | None) -> str:
    """Return a short digest of everything that is mirrored of a run.

    An equal one needs no request.
    """
    version = [row.version, row.stage, row.metrics] if row else None
    mirrored = [
        FORMAT,
        attempt(run),
        run.status,
        run.finished and run.finished.isoformat(),
        run.metrics,
        run.tags,
        run.error,
        version,
    ]
    return hashlib.sha256(json.dumps(mirrored, sort_keys=True).encode()).hexdigest()[:16]


def run_tags(run: Run) -> dict[str, str]:
    """Return the tags of a mirrored run: its origin, its author, and the user's own."""
    ours = {
        RUN_ID: run.run_id,
        ATTEMPT: attempt(run),
        "mlops.status": run.status,
        "mlops.source": run.source,
        "mlops.data_version": f"{run.dataset}@{run.data_version}",
        "mlops.data_digest": run.data_digest,
        "mlops.code_version": run.code_version,
        "mlops.trainer": run.trainer,
        "mlops.seed": str(run.seed),
        "mlops.error": run.error,
        VERSION: run.model_version,
        "mlflow.user": run.created_by,
        "mlflow.source.name": run.trainer,
        "mlflow.source.git.commit": run.code.get("commit"),
    }
    own = {
        name: parameter_text(value) for name, value in run.tags.items() if not name.startswith(_OWN)
    }
    names = allowed_names(own)
    return {
        **{names[name]: _cut(text, MAX_TAG) for name, text in own.items()},
        **{name: _cut(text, MAX_TAG) for name, text in ours.items() if text},
    }


def final_metrics(run: Run, row: ModelVersion | None, series: Iterable[str]) -> dict[str, float]:
    """Return the metrics that were measured once.

    They are `test/NAME` of the ONNX model on the test split, and all values that are not a series.
    """
    measured = row.metrics if row else {}
    once = {
        name: value
        for name, value in run.metrics.items()
        if name not in measured and name not in series
    }
    return {
        name: float(value) for name, value in (once | _on_test(measured)).items() if _finite(value)
    }


def _on_test(metrics: Mapping[str, object]) -> dict[str, object]:
    return {f"test/{name}": value for name, value in metrics.items()}


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _allowed(name: str) -> str:
    parts = [
        part for part in re.sub(r"[^/\w.\- :]", "_", name).split("/") if part not in ("", ".", "..")
    ]
    return "/".join(parts)[:MAX_NAME].rstrip("/") or "_"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
