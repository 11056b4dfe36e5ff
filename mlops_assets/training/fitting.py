"""One training run: the trainer is run on a data version, and what it returns is published whole or not at all.

It happens in this process. A step of Dagster starts a process for it; see `supervision`.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mlops_assets.datasets.documents import json_bytes
from mlops_assets.datasets.training_data import TrainingData
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.errors import Conflict, MlopsError, TrainerError, TrialPruned
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.store import now
from mlops_assets.training import provenance
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.out_of_memory import explained_memory
from mlops_assets.training.points import PointWriter, patiently
from mlops_assets.training.publishing import code_document, publish_trained
from mlops_assets.training.run import TrainingRun, Watcher
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.store import Store, run_identifier
from mlops_assets.training.trainers import Trainer, load_trainer
from mlops_assets.training.usage import Usage


def train(
    store: Store,
    specification: ModelSpecification,
    data_version: str,
    parameters: dict[str, Any],
    seed: int,
    orchestration_run: str | None = None,
    *,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    watchers: tuple[Watcher, ...] = (),
    world_size: int = 1,
) -> ModelVersion:
    """Run a trainer on a data version and publish the model version.

    An unfinished run of the same id that has a checkpoint goes on from there, if it had the same parameters, seed, data
    and code; else it is begun anew.

    Args:
        store: where everything lies.
        specification: the model.
        data_version: version of its dataset.
        parameters: of the trainer.
        seed: of the run.
        orchestration_run: id of the Dagster run it is a step of.
        run_id: its identifier; made from `orchestration_run` if not given.
        tags: what it is labelled with.
        watchers: called with everything that is logged.
        world_size: processes that train together; this one is their first, the others `follow`.

    Raises:
        TrainerError: the parameters are refused, the trainer fails, or it returns no known model.
        ExportError: the model cannot be written natively, or does not read back equal.
        SpecificationError: the data does not suit the model's task or inputs.
    """
    trainer, params, data = _prepared(store, specification, data_version, parameters)
    run_id = run_id or run_identifier(orchestration_run, specification.name, data_version)
    close_abandoned_runs(store.registry, specification.name)
    with tempfile.TemporaryDirectory(prefix="mlops-run-") as folder:
        scratch = Path(folder)
        wanted = Run(
            run_id=run_id,
            model=specification.name,
            dataset=data.frozen.row.dataset,
            data_version=data_version,
            data_digest=data.frozen.row.digest,
            status="running",
            parameters=params.model_dump(mode="json"),
            seed=seed,
            trainer=specification.trainer,
            code_version=provenance.code_version(trainer.file),
            hardware=provenance.hardware(),
            metrics={},
            started=now(),
            host=socket.gethostname(),
            pid=os.getpid(),
            orchestration_run=orchestration_run,
            tags=dict(tags or {}),
            created_by=store.user,
            environment=store.workspace.put_object(json_bytes(provenance.environment())).sha256,
            code=code_document(
                store, provenance.code_version(trainer.file), provenance.uncommitted_changes(trainer.file)
            ),
        )
        run, first_seq = _start(store, wanted, scratch)
        checkpoints = Checkpoints(store.workspace, store.registry, run_id, scratch, resumed=run.attempts > 1)
        points = PointWriter(store.registry, run_id, first_seq)
        handle = TrainingRun(
            run_id, seed, scratch, points, checkpoints, specification.compute.gpus, 0, world_size, watchers
        )
        return _fit(store, specification, data, run, handle, points, lambda: trainer.function(data, params, handle))


def follow(
    store: Store,
    specification: ModelSpecification,
    data_version: str,
    parameters: dict[str, Any],
    seed: int,
    run_id: str,
    ranks: tuple[int, int],
) -> None:
    """Run a trainer beside `train` in another process: it logs and publishes nothing.

    Args:
        store: where everything lies.
        specification: the model.
        data_version: version of its dataset.
        parameters: of the trainer.
        seed: of the run.
        run_id: the run, which the first process has started.
        ranks: rank of this process, and how many train together.

    Raises:
        TrainerError: the parameters are refused.
    """
    trainer, params, data = _prepared(store, specification, data_version, parameters)
    with tempfile.TemporaryDirectory(prefix="mlops-run-") as scratch:
        checkpoints = Checkpoints(store.workspace, store.registry, run_id, Path(scratch), resumed=True)
        handle = TrainingRun(run_id, seed, Path(scratch), None, checkpoints, specification.compute.gpus, *ranks)
        handle.seed_everything()
        trainer.function(data, params, handle)


def _prepared(
    store: Store, specification: ModelSpecification, data_version: str, parameters: dict[str, Any]
) -> tuple[Trainer, BaseModel, TrainingData]:
    trainer = load_trainer(specification.trainer)
    params = trainer.parameters(parameters)
    frozen = FrozenDataset.open(store.workspace, store.registry, Reference(specification.dataset, data_version))
    given = specification.task, specification.inputs, specification.bands, specification.scaling
    return trainer, params, TrainingData(frozen, *given)


def _fit(
    store: Store,
    specification: ModelSpecification,
    data: TrainingData,
    run: Run,
    handle: TrainingRun,
    points: PointWriter,
    fit: Any,
) -> ModelVersion:
    """Run the trainer and publish its model, or record why there is none."""
    started = time.monotonic()
    usage = Usage(specification.compute.gpus)

    def facts() -> dict[str, Any]:
        return {
            "metrics": handle.metrics, "phases": handle.phases, "usage": usage.document(),
            "seconds": time.monotonic() - started,
        }  # fmt: skip

    def ended(status: str, error: str) -> None:
        patiently(lambda: store.registry.finish_run(run.run_id, status, error, **facts()))

    try:
        with usage:
            handle.seed_everything()
            try:
                with handle.phase("fit"), explained_memory(run.parameters, handle.device):
                    model = fit()
            finally:  # what was logged before a failure says most about it
                points.close()
            return publish_trained(store, specification, data, run, handle, model, facts)
    except TrialPruned as error:
        ended("pruned", str(error))
        raise
    except MlopsError as error:
        message = f"{error}{_resumable(store.registry, run.run_id)}"
        ended("failed", message)
        raise type(error)(message) if type(error) is TrainerError else error from error
    except (Exception, SystemExit) as error:
        ended("failed", traceback.format_exc())
        raise TrainerError(
            f"trainer {specification.trainer} failed on {data.reference}: {type(error).__name__}: {error}; "
            f"see 'mlops runs show {run.run_id[:8]}' for the traceback{_resumable(store.registry, run.run_id)}"
        ) from error
    except BaseException as error:  # an interrupt must be recorded too, and then do what it was going to do
        ended("canceled", f"{type(error).__name__}: stopped from outside{_resumable(store.registry, run.run_id)}")
        raise


def close_abandoned_runs(registry: Registry, model: str | None = None) -> list[str]:
    """Mark runs as failed whose process is gone without a word (killed, power cut); return their ids."""
    gone = [
        run.run_id
        for run in registry.runs(model, status="running", source="platform")
        if not provenance.process_alive(run.host, run.pid)
    ]
    for run_id in gone:
        registry.finish_run(
            run_id,
            "failed",
            "the process ended without a word (killed, or out of memory); run it again" + _resumable(registry, run_id),
        )
    return gone


def same_work(run: Run, other: Run) -> bool:
    """Say whether two runs would do the same: a checkpoint of one is then good for the other."""
    names = ("model", "data_digest", "parameters", "seed", "trainer", "code_version")
    return all(getattr(run, name) == getattr(other, name) for name in names)


def _start(store: Store, wanted: Run, scratch: Path) -> tuple[Run, int]:
    """Record that a run starts, or goes on; return it, and the number of the first point it will log."""
    registry = store.registry
    found = next(iter(registry.runs(run_id=wanted.run_id)), None)
    if found is not None and same_work(found, wanted):
        if found.status == "running" and provenance.process_alive(found.host, found.pid) and found.pid != os.getpid():
            raise Conflict(
                f"run {found.run_id} goes on in process {found.pid} of {found.host}; cancel it before it is resumed"
            )
        newest = Checkpoints(store.workspace, registry, wanted.run_id, scratch, resumed=True).newest()
        if newest is not None:
            changes = {
                name: getattr(wanted, name) for name in ("host", "pid", "orchestration_run", "hardware", "environment")
            }
            return patiently(lambda: registry.resume_run(wanted.run_id, newest.seq, **changes)), newest.seq
    patiently(lambda: registry.start_run(wanted))
    return wanted, 0


def _resumable(registry: Registry, run_id: str) -> str:
    """Return what to tell of the newest checkpoint, if there is one."""
    found = registry.checkpoints(run_id)
    if not found:
        return ""
    return f"; the checkpoint of step {found[0].step} is kept, 'mlops runs resume {run_id[:8]}' goes on from there"
