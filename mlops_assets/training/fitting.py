"""One training run: the trainer is run on a data version, and what it returns is published whole or not at all."""

from __future__ import annotations

import os
import socket
import tempfile
import traceback
from pathlib import Path
from typing import Any

from mlops_assets.datasets.documents import json_bytes
from mlops_assets.datasets.training_data import TrainingData
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.errors import MlopsError, TrainerError
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.store import now
from mlops_assets.training import provenance
from mlops_assets.training.frameworks import framework_of
from mlops_assets.training.native import save_native
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.signature import signature_of
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.store import Store, model_folder, run_identifier
from mlops_assets.training.trainers import load_trainer


def train(
    store: Store,
    specification: ModelSpecification,
    data_version: str,
    parameters: dict[str, Any],
    seed: int,
    orchestration_run: str | None = None,
) -> ModelVersion:
    """Run a trainer on a data version and publish the model version.

    Raises:
        TrainerError: the parameters are refused, the trainer fails, or it returns no known model.
        ExportError: the model cannot be written natively, or does not read back equal.
        SpecificationError: the data does not suit the model's task or inputs.
    """
    trainer = load_trainer(specification.trainer)
    params = trainer.parameters(parameters)
    frozen = FrozenDataset.open(store.workspace, store.registry, Reference(specification.dataset, data_version))
    data = TrainingData(frozen, specification.task, specification.inputs, specification.bands, specification.scaling)
    close_abandoned_runs(store.registry, specification.name)
    run = Run(
        run_id=run_identifier(orchestration_run, specification.name, data_version),
        model=specification.name,
        dataset=frozen.row.dataset,
        data_version=data_version,
        data_digest=frozen.row.digest,
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
    )
    store.registry.start_run(run)
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-run-") as scratch:
            handle = TrainingRun(store.registry, run.run_id, seed, Path(scratch), specification.compute.gpus)
            handle.seed_everything()
            try:
                model = trainer.function(data, params, handle)
            finally:  # what was logged before a failure says most about it
                handle.flush()
            return _publish_trained(store, specification, data, run, handle, model)
    except MlopsError as error:
        store.registry.finish_run(run.run_id, "failed", str(error))
        raise
    except (Exception, SystemExit) as error:
        store.registry.finish_run(run.run_id, "failed", traceback.format_exc())
        raise TrainerError(
            f"trainer {specification.trainer} failed on {data.reference}: {type(error).__name__}: {error}; "
            f"see 'mlops runs show {run.run_id[:8]}' for the traceback"
        ) from error
    except BaseException as error:  # an interrupt must be recorded too, and then do what it was going to do
        store.registry.finish_run(run.run_id, "canceled", f"{type(error).__name__}: stopped from outside")
        raise


def close_abandoned_runs(registry: Registry, model: str | None = None) -> list[str]:
    """Mark runs as failed whose process is gone without a word (killed, power cut); return their ids."""
    gone = [r.run_id for r in registry.runs(model, status="running") if not provenance.process_alive(r.host, r.pid)]
    for run_id in gone:
        registry.finish_run(
            run_id, "failed", "the process ended without a word (killed, or out of memory); run it again"
        )
    return gone


def _publish_trained(
    store: Store,
    specification: ModelSpecification,
    data: TrainingData,
    run: Run,
    handle: TrainingRun,
    model: Any,
) -> ModelVersion:
    from mlops_assets.training import figures

    framework = framework_of(model, specification.trainer)
    row = ModelVersion(
        model=specification.name,
        version=f"{run.data_version}-{run.run_id[:8]}",
        run_id=run.run_id,
        dataset=run.dataset,
        data_version=run.data_version,
        data_digest=run.data_digest,
        task=specification.task,
        framework=framework.name,
        signature=signature_of(data, framework.describe(model)),
        stage="trained",
        metrics={},
        created=now(),
    )
    folder = model_folder(row)
    files = save_native(store.workspace, framework, model, data, f"{folder}/native")
    series = store.registry.series(run.run_id)
    curves = figures.learning_curves(series, f"{row.model}@{row.version}")
    if curves:
        files.append(store.workspace.put(f"{folder}/figures/learning_curves.png", curves))
    files.append(store.workspace.put(f"{folder}/parameters.json", json_bytes(run.parameters)))
    files.append(store.workspace.put(f"{folder}/environment.json", json_bytes(provenance.environment())))
    document = {**run_facts(run), "status": "succeeded", "model_version": row.version, "series": series,
                "signature": row.signature}  # fmt: skip
    files.append(store.workspace.put(f"runs/{run.run_id}/run.json", json_bytes(document)))
    store.registry.publish_model_version(row, files, handle.metrics)
    return row


def run_facts(run: Run) -> dict[str, Any]:
    """Return what of a run never changes, as JSON values."""
    names = ("run_id", "model", "dataset", "data_version", "data_digest", "parameters", "seed", "trainer",
             "code_version", "hardware", "orchestration_run")  # fmt: skip
    return {name: getattr(run, name) for name in names} | {"started": run.started.isoformat()}
