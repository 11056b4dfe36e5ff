"""One training run.

The trainer is run on a data version, and its model is published whole or not at all.

It happens in this process. A step of Dagster starts a process for it; see `process.supervisor`.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import MlopsError, TrainerError, TrialPruned
from mlops_assets.models.parameters import document
from mlops_assets.models.publish import FinishedRun, code_document, publish_trained
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.store import now
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store, run_identifier
from mlops_assets.training import provenance
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.metric_writer import PointWriter
from mlops_assets.training.process.out_of_memory import explained_memory
from mlops_assets.training.process.resource_usage import Usage
from mlops_assets.training.resume import checkpoint_note, close_abandoned_runs, start_or_resume
from mlops_assets.training.run import TrainingRun, Watcher
from mlops_assets.training.seeding import seed_everything
from mlops_assets.training.trainers import Trainer, load_trainer


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

    An unfinished run of the same id that has a checkpoint continues from there, if it had the same
    parameters, seed, data and code; else it is begun anew.

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
        Forbidden: whoever acts may not start runs; nothing was written.
    """
    store.registry.principal.require(Role.SCIENTIST, "start run")
    trainer, params, data = _prepared(store, specification, data_version, parameters)
    code_version, changes = provenance.code_state(trainer.file)
    run_id = run_id or run_identifier(orchestration_run, specification.name, data_version)
    close_abandoned_runs(store, specification.name)
    with scratch_folder("run") as scratch:
        wanted = Run(
            run_id=run_id,
            model=specification.name,
            dataset=data.committed.row.dataset,
            data_version=data_version,
            data_digest=data.committed.row.digest,
            status="running",
            parameters=document(params),
            seed=seed,
            trainer=specification.trainer,
            code_version=code_version,
            hardware=provenance.hardware(),
            metrics={},
            started=now(),
            host=socket.gethostname(),
            pid=os.getpid(),
            orchestration_run=orchestration_run,
            tags=dict(tags or {}),
            created_by=store.user,
            environment=store.workspace.put_object(json_bytes(provenance.environment())).sha256,
            code=code_document(store, code_version, changes),
        )
        run, first_seq = start_or_resume(store, wanted, scratch)
        checkpoints = Checkpoints(
            store.workspace, store.registry, run_id, scratch, resumed=run.attempts > 1
        )
        checkpoints.remove_leftovers()
        points = PointWriter(store.registry, run_id, first_seq)
        handle = TrainingRun(
            run_id,
            seed,
            scratch,
            points,
            checkpoints,
            specification.compute.gpus,
            0,
            world_size,
            watchers,
        )
        return _fit(
            store,
            specification,
            data,
            run,
            handle,
            points,
            lambda: trainer.function(data, params, handle),
        )


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
    with scratch_folder("run") as scratch:
        checkpoints = Checkpoints(store.workspace, store.registry, run_id, scratch, resumed=True)
        handle = TrainingRun(
            run_id, seed, scratch, None, checkpoints, specification.compute.gpus, *ranks
        )
        seed_everything(seed)
        trainer.function(data, params, handle)


def _prepared(
    store: Store, specification: ModelSpecification, data_version: str, parameters: dict[str, Any]
) -> tuple[Trainer, BaseModel, TrainingData]:
    trainer = load_trainer(specification.trainer)
    params = trainer.parameters(parameters)
    return trainer, params, data_for(store, specification, data_version)


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

    def facts() -> RunFacts:
        seconds = time.monotonic() - started
        return RunFacts(handle.metrics, handle.phases, usage.document(), seconds)

    def ended(status: str, error: str) -> None:
        end_run(store, run.run_id, status, error, facts())

    try:
        with usage:
            seed_everything(run.seed)
            try:
                with handle.phase("fit"), explained_memory(run.parameters, handle.device):
                    model = fit()
            finally:  # what was logged before a failure says most about it
                points.close()
            saving = handle.phase("save")
            finished = FinishedRun(run, data, handle.figures, facts)
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
            f"trainer {specification.trainer} failed on {data.reference}: {type(error).__name__}:"
            f" {error}; see 'mlops run show {run.run_id[:8]}' for the"
            f" traceback{checkpoint_note(store.registry, run.run_id)}"
        ) from error
    except (
        BaseException
    ) as error:  # an interrupt must be recorded too, and then do what it was going to do
        ended(
            "canceled",
            f"{type(error).__name__}: stopped from"
            f" outside{checkpoint_note(store.registry, run.run_id)}",
        )
        raise
