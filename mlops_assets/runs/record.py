"""The record of a run as JSON values, and its log.

Commands print it, pages of the hub show it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.errors import NotFound
from mlops_assets.paths import run_log_key
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import read_published, unmeasured_classes
from mlops_assets.runs.environment import recorded_environment
from mlops_assets.store import Store


def describe(run: Run) -> dict[str, object]:
    """Return a run as a row of listings."""
    names = (
        "run_id",
        "model",
        "dataset",
        "data_version",
        "status",
        "parameters",
        "seed",
        "metrics",
        "all_tags",
        "model_version",
        "source",
        "created_by",
        "started",
        "finished",
        "seconds",
        "attempts",
        "usage",
        "error",
    )
    return {name.removeprefix("all_"): getattr(run, name) for name in names}


def details(store: Store, run: Run) -> dict[str, object]:
    """Return the details of a run that listings leave out, as JSON values."""
    series = store.registry.series(run.run_id)
    checkpoints = store.registry.checkpoints(run.run_id)
    environment = recorded_environment(store, run)
    names = (
        "data_digest",
        "trainer",
        "code_version",
        "code",
        "hardware",
        "phases",
        "orchestration_run",
        "host",
        "pid",
    )
    columns: dict[str, object] = {name: getattr(run, name) for name in names}
    return columns | {
        "unmeasured_classes": unmeasured_of(store, run),
        "environment": {"digest": run.environment, "packages": environment},
        "checkpoints": [
            {"step": row.step, "size": row.size, "created": row.created} for row in checkpoints
        ],
        "series": {name: _summary(points) for name, points in series.items()},
        "notes": [
            {"text": note.text, "noted": note.noted, "noted_by": note.noted_by}
            for note in store.registry.notes(run.run_id)
        ],
        "has_log": bool(store.registry.files_at(run_log_key(run.run_id))),
    }


def log_of(store: Store, run: Run) -> str:
    """Return the output of a run.

    Raises:
        NotFound: none was kept.
    """
    if not store.registry.files_at(run_log_key(run.run_id)):
        why = "it printed nothing, or is external"
        if run.status == "running":
            why = "it is still running"
        raise NotFound(
            f"run {run.run_id[:8]} has no log: {why}; see 'mlops run show {run.run_id[:8]}'"
        )
    return read_published(store.workspace, store.registry, run_log_key(run.run_id)).decode(
        errors="replace"
    )


def unmeasured_of(store: Store, run: Run) -> list[str]:
    """Return the classes without a metric of a run's model version."""
    return unmeasured_classes(store.workspace, store.registry, run.model, run.model_version or "")


def _summary(points: Sequence[tuple[int, float]]) -> dict[str, object]:
    values = [value for _, value in points]
    return {
        "points": len(points),
        "first": values[0],
        "last": values[-1],
        "min": min(values),
        "max": max(values),
        "last_step": points[-1][0],
    }
