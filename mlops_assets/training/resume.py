"""The start of a run, the continuation of an interrupted one, and the end of abandoned ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_assets.errors import Conflict
from mlops_assets.models.parameters import document
from mlops_assets.models.run_documents import end_run
from mlops_assets.names import Reference
from mlops_assets.registry import Registry, Run
from mlops_assets.registry.patience import patiently
from mlops_assets.store import Store
from mlops_assets.training import provenance
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.request import TrainingRequest
from mlops_assets.training.trainers import load_trainer

# two runs that are equal in these do the same work: one can continue from a checkpoint of the other
WORK = ("model", "data_digest", "parameters", "seed", "trainer", "code_version")
# the lock of runs that start; cannot be the name of a dataset, which has a lock of its own
STARTING = "runs that start"


def start_or_resume(
    store: Store, wanted: Run, scratch: Path, objects: Sequence[bytes] = ()
) -> tuple[Run, int]:
    """Record that a run starts, or continues from its newest checkpoint.

    Args:
        store: the project's storage.
        wanted: the run as it would start now.
        scratch: a scratch folder.
        objects: contents of those that the run names; they are in the workspace, and might be
            removed as unneeded before the run names them.

    Returns:
        The run, and the number of the first point that it will log.

    Raises:
        Conflict: it has succeeded, is running in another process, or was to be resumed and would
            not do the same work.
    """

    def start() -> tuple[Run, int]:
        with store.registry.storing():
            for content in objects:
                store.workspace.put_object(content)
            # two processes may want to start the same one at once
            with store.registry.lock(STARTING):
                return _start_or_resume(store, wanted, scratch)

    return patiently(start)


def _start_or_resume(store: Store, wanted: Run, scratch: Path) -> tuple[Run, int]:
    registry = store.registry
    found = next(iter(registry.runs(run_id=wanted.run_id)), None)
    if found is None:
        registry.start_run(wanted)
        return wanted, 0
    if found.status == "running" and found.pid != wanted.pid and _may_run(found, wanted):
        raise Conflict(
            f"run {found.run_id} is still running in process {found.pid} of {found.host}; "
            "cancel it before it is resumed"
        )
    other = [name for name in WORK if getattr(found, name) != getattr(wanted, name)]
    if other and found.orchestration_run != wanted.orchestration_run:
        raise Conflict(
            f"run {found.run_id[:8]} cannot continue, as it had another {' and '.join(other)};"
            " start a new run instead"
        )
    checkpoints = Checkpoints(store.workspace, registry, wanted.run_id, scratch, resumed=True)
    newest = None if other else checkpoints.newest()
    if newest is None:
        registry.start_run(wanted)
        return wanted, 0
    names = ("host", "pid", "orchestration_run", "hardware", "environment")
    changes = {name: getattr(wanted, name) for name in names}
    return registry.resume_run(wanted.run_id, newest.seq, **changes), newest.seq


def _may_run(found: Run, wanted: Run) -> bool:
    """Return whether the process of a run may still be at work.

    A step of Dagster is started again on another machine only after that of its pod is gone.
    """
    if found.host != wanted.host and found.orchestration_run is not None:
        return found.orchestration_run != wanted.orchestration_run
    return provenance.process_alive(found.host, found.pid)


def resumable_run(
    store: Store, request: TrainingRequest, orchestration_runs: Sequence[str]
) -> str | None:
    """Return the id of an unfinished run of these orchestrated runs that can be resumed.

    It has a checkpoint, and would do the same work.

    Args:
        store: the project's storage.
        request: what to train.
        orchestration_runs: ids of Dagster runs.

    Raises:
        TrainerError: the parameters are invalid.
    """
    specification = request.specification
    trainer = load_trainer(specification.trainer)
    typed = document(trainer.parameters(request.parameters))
    unfinished = [
        run
        for orchestration_run in orchestration_runs
        for run in store.registry.runs(
            specification.name,
            data_version=request.data_version,
            orchestration_run=orchestration_run,
        )
        if run.status in ("failed", "canceled") and store.registry.checkpoints(run.run_id)
    ]
    if not unfinished:
        return None
    committed = store.registry.data_version(Reference(specification.dataset, request.data_version))
    wanted = {
        "model": specification.name,
        "data_digest": committed.digest,
        "seed": request.seed,
        "trainer": specification.trainer,
        "parameters": typed,
        "code_version": provenance.code_version(trainer.file),
    }
    alike = (
        run.run_id for run in unfinished if all(getattr(run, name) == wanted[name] for name in WORK)
    )
    return next(alike, None)


def close_abandoned_runs(store: Store, model: str | None = None) -> list[str]:
    """Mark runs as failed whose process exited unexpectedly (killed, power cut).

    Args:
        store: the project's storage.
        model: only runs of this model.

    Returns:
        The ids of these runs.
    """
    gone = [
        run.run_id
        for run in store.registry.runs(model, status="running", source="platform")
        if not provenance.process_alive(run.host, run.pid)
    ]
    for run_id in gone:
        error = "the process exited unexpectedly (killed, or out of memory); run it again"
        end_run(store, run_id, "failed", error + checkpoint_note(store.registry, run_id))
    return gone


def checkpoint_note(registry: Registry, run_id: str) -> str:
    """Return the part of an error message about the newest checkpoint; empty if there is none."""
    found = registry.checkpoints(run_id)
    if not found:
        return ""
    return (
        f"; the checkpoint of step {found[0].step} is kept, 'mlops run resume {run_id[:8]}'"
        " continues from there"
    )
