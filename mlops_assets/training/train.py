"""The training of a model version: run a trainer on a data version, and publish its model.

The model is published whole or not at all. The trainer runs in this process; a step of Dagster
starts a process for it, see `process.supervisor`.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import MlopsError, TrainerError, TrialPruned
from mlops_assets.models.parameters import document
from mlops_assets.models.publish import FinishedRun, code_document, patch_bytes, publish_trained
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.store import now
from mlops_assets.settings import container_image
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.training import provenance
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.metric_writer import PointWriter
from mlops_assets.training.process.out_of_memory import explained_memory
from mlops_assets.training.process.resource_usage import Usage
from mlops_assets.training.request import Pruning, TrainingRequest
from mlops_assets.training.resume import checkpoint_note, close_abandoned_runs, start_or_resume
from mlops_assets.training.run import Execution, TrainingRun, Watcher
from mlops_assets.training.seeds import seed_everything
from mlops_assets.training.trainers import Trainer, load_trainer


@dataclass(frozen=True)
class _Work:
    """A loaded trainer with typed parameters and its data."""

    trainer: Trainer
    parameters: BaseModel
    data: TrainingData

    def fit(self, run: TrainingRun) -> object:
        """Run the trainer and return its model."""
        return self.trainer.function(self.data, self.parameters, run)


def train(
    store: Store,
    request: TrainingRequest,
    *,
    watchers: tuple[Watcher, ...] = (),
    world_size: int = 1,
) -> ModelVersion:
    """Run a trainer on a data version and publish the model version.

    An unfinished run of the same id that has a checkpoint continues from there, if it had the same
    parameters, seed, data and code; otherwise it starts again.

    Args:
        store: the project's storage.
        request: what to train.
        watchers: called with the metrics and the step of each `TrainingRun.log`.
        world_size: processes that train together; this one is their first, the others run
            `train_rank`.

    Returns:
        The published model version, at stage `trained`.

    Raises:
        TrainerError: the parameters are invalid, the trainer fails, or it returns no known model.
        ExportError: the model cannot be written natively, or does not read back equal.
        SpecificationError: the data does not suit the model's task or inputs.
        Forbidden: the caller may not start runs; nothing was written.
    """
    store.registry.principal.require(Role.SCIENTIST, "start run")
    specification = request.specification
    work = _prepare(store, request)
    close_abandoned_runs(store, specification.name)
    if request.pruning is not None:
        watchers = (*watchers, _pruner(store, specification.name, request.pruning))
    with scratch_folder("run") as scratch:
        wanted, objects = _new_run(store, request, work)
        run, first_seq = start_or_resume(store, wanted, scratch, objects)
        # a retried step is the same run
        if request.note and not store.registry.notes(run.run_id):
            store.registry.note_run(run.run_id, request.note)
        checkpoints = Checkpoints(
            store.workspace, store.registry, run.run_id, scratch, resumed=run.attempts > 1
        )
        checkpoints.remove_leftovers()
        points = PointWriter(store.registry, run.run_id, first_seq)
        execution = Execution(specification.compute.gpus, 0, world_size, watchers)
        handle = TrainingRun(run.run_id, run.seed, scratch, points, checkpoints, execution)
        return _fit(store, specification, work, run, handle, points)


def train_rank(store: Store, request: TrainingRequest, rank: int, world_size: int) -> None:
    """Run a trainer beside `train` in another process: it logs and publishes nothing.

    Args:
        store: the project's storage.
        request: what to train; the first process has started the run of its id.
        rank: rank of this process.
        world_size: processes that train together.

    Raises:
        TrainerError: the parameters are invalid.
    """
    work = _prepare(store, request)
    run_id = request.run_id
    with scratch_folder("run") as scratch:
        checkpoints = Checkpoints(store.workspace, store.registry, run_id, scratch, resumed=True)
        execution = Execution(request.specification.compute.gpus, rank, world_size)
        handle = TrainingRun(run_id, request.seed, scratch, None, checkpoints, execution)
        seed_everything(request.seed, work.trainer.framework)
        work.fit(handle)


def _prepare(store: Store, request: TrainingRequest) -> _Work:
    specification = request.specification
    trainer = load_trainer(specification.trainer)
    parameters = trainer.parameters(request.parameters)
    return _Work(trainer, parameters, data_for(store, specification, request.data_version))


def _new_run(store: Store, request: TrainingRequest, work: _Work) -> tuple[Run, list[bytes]]:
    """Return the row of a run that starts now in this process, and the objects that it names."""
    code_version, changes = provenance.code_state(work.trainer.file)
    committed = work.data.committed.row
    packages = json_bytes(provenance.environment())
    environment = store.workspace.put_object(packages)
    source, module = _source(store, work.trainer.file)
    run = Run(
        run_id=request.run_id,
        model=request.specification.name,
        dataset=committed.dataset,
        data_version=request.data_version,
        data_digest=committed.digest,
        status="running",
        parameters=document(work.parameters),
        seed=request.seed,
        trainer=request.specification.trainer,
        code_version=code_version,
        hardware=provenance.hardware(work.trainer.framework),
        metrics={},
        started=now(),
        host=socket.gethostname(),
        pid=os.getpid(),
        orchestration_run=request.orchestration_run,
        tags=request.tags,
        created_by=store.user,
        environment=environment.sha256,
        code=code_document(store, code_version, changes) | source,
    )
    patch = [] if changes is None else [patch_bytes(changes)]
    return run, [packages, *module, *patch]


def _source(store: Store, trainer: Path) -> tuple[dict[str, str], list[bytes]]:
    """Return where the trainer's code is from, and its module, which is stored as an object."""
    contents: list[bytes] = []
    found = {
        "repository": provenance.repository_url(trainer.resolve().parent),
        "container": container_image(),
    }
    if trainer.is_file():
        contents.append(trainer.read_bytes())
        module = store.workspace.put_object(contents[0])
        found |= {"source": module.sha256, "source_size": str(module.size)}
    return {name: value for name, value in found.items() if value is not None}, contents


def _pruner(store: Store, model: str, pruning: Pruning) -> Watcher:
    # Optuna is an extra, and only trials of sweeps need it
    from mlops_assets.training.sweeps.pruning import pruner

    return pruner(store.registry, model, pruning)


def _fit(
    store: Store,
    specification: ModelSpecification,
    work: _Work,
    run: Run,
    handle: TrainingRun,
    points: PointWriter,
) -> ModelVersion:
    """Run the trainer and publish its model, or record why there is none."""
    started = time.monotonic()
    usage = Usage(specification.compute.gpus)

    def facts() -> RunFacts:
        seconds = time.monotonic() - started
        return RunFacts(handle.metrics, handle.phases, usage.document(), seconds)

    def ended(status: str, error: str) -> None:
        end_run(store, run.run_id, status, error, facts())

    try:
        with usage:
            seed_everything(run.seed, work.trainer.framework)
            try:
                with handle.phase("fit"), explained_memory(run.parameters, handle.device):
                    model = work.fit(handle)
            finally:
                # what was logged before a failure explains it best
                points.close()
            saving = handle.phase("save")
            finished = FinishedRun(run, work.data, handle.figures, facts)
            return publish_trained(store, specification, finished, model, saving)
    except TrialPruned as error:
        ended("pruned", str(error))
        raise
    except MlopsError as error:
        message = f"{error}{checkpoint_note(store.registry, run.run_id)}"
        ended("failed", message)
        raise type(error)(message) if type(error) is TrainerError else error from error
    except (Exception, SystemExit) as error:
        ended("failed", traceback.format_exc())
        raise TrainerError(
            f"trainer {specification.trainer} failed on {work.data.reference}:"
            f" {type(error).__name__}: {error}; see 'mlops run show {run.run_id[:8]}' for the"
            f" traceback{checkpoint_note(store.registry, run.run_id)}"
        ) from error
    except BaseException as error:
        # an interrupt must be recorded too, and then take its course
        ended(
            "canceled",
            f"{type(error).__name__}: stopped from"
            f" outside{checkpoint_note(store.registry, run.run_id)}",
        )
        raise
