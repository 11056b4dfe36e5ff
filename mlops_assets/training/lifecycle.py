"""The life of a model version: trained, exported, evaluated. Each stage publishes its files whole or not at all."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mlops_assets.datasets.documents import json_bytes
from mlops_assets.datasets.training_data import TrainingData
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.errors import MlopsError, NotFound, ParityError, TrainerError
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.published import read_published
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.training import provenance
from mlops_assets.training.evaluation import Evaluation, OnnxModel, decide, evaluate
from mlops_assets.training.frameworks import framework_named, framework_of
from mlops_assets.training.native import load_native, save_native
from mlops_assets.training.onnx_graph import with_scaling
from mlops_assets.training.parity import ParityReport, compare
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.signature import raw_data, scaling_of, signature_of
from mlops_assets.training.specification import ModelSpecification
from mlops_assets.training.trainers import load_trainer

log = logging.getLogger(__name__)
_RUN_NAMESPACE = uuid.UUID("6f0b8f0e-52c6-4a6e-9d0e-3c2a6b6a7c11")


@dataclass(frozen=True)
class Store:
    """Where a project keeps everything: its workspace and its registry, and who is acting."""

    workspace: Workspace
    registry: Registry
    user: str


def model_folder(row: ModelVersion) -> str:
    """Return where a model version lies in the workspace."""
    return f"models/{row.model}/{row.version}"


def published_path(store: Store, key: str) -> Path:
    """Return a local path of a published file whose bytes are still those that were published.

    Raises:
        StorageError: it was never published, or is missing.
        IntegrityError: its bytes have changed.
    """
    content = read_published(store.workspace, store.registry, key)
    return store.workspace.local_path(key, sha256_of(content))


def run_identifier(orchestration_run: str | None, model: str, data_version: str) -> str:
    """Return a run's id; within one orchestrated run it is always the same, so that a retried step is the same run."""
    if orchestration_run is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_RUN_NAMESPACE, f"{orchestration_run}/{model}/{data_version}"))


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


def version_for(
    registry: Registry, model: str, data_version: str, orchestration_runs: Sequence[str] = ()
) -> ModelVersion:
    """Return the model version a later stage works on.

    That of its own orchestrated run, else of the run it is a re-execution of (in the order given), else the data
    version's latest: two runs on one partition never mix.

    Raises:
        NotFound: the model was never trained on this data version.
    """
    versions = {row.run_id: row for row in registry.model_versions(model, data_version=data_version)}
    for orchestration_run in orchestration_runs:
        found = versions.get(run_identifier(orchestration_run, model, data_version))
        if found is not None:
            return found
    if not versions:
        raise NotFound(f"{model} has not been trained on {data_version}; run 'mlops train {model}@{data_version}'")
    return next(reversed(versions.values()))


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


def _native_files(store: Store, row: ModelVersion) -> list[str]:
    prefix = f"{model_folder(row)}/native/"
    return [f.path for f in store.registry.files(f"model:{row.model}@{row.version}") if f.path.startswith(prefix)]


def export(store: Store, specification: ModelSpecification, row: ModelVersion) -> ParityReport:
    """Export a model version to ONNX and publish the file, if it gives what the trained model gives.

    Raises:
        ExportError: the model cannot be expressed in ONNX.
        ParityError: the ONNX model differs; the report is the error's argument, and nothing is published.
    """
    import onnx

    framework, scaling = framework_named(row.framework), scaling_of(row)
    native = {PurePosixPath(key).name: published_path(store, key) for key in _native_files(store, row)}
    model = load_native(native, framework)
    data = raw_data(store.workspace, store.registry, row)
    X, _ = data.arrays("test", limit=specification.parity.samples)
    with tempfile.TemporaryDirectory(prefix="mlops-onnx-") as scratch:
        path = Path(scratch) / "model.onnx"
        framework.export(model, data.sample_shape, row.task, path)
        proto = onnx.load(path)
        if scaling is not None:
            proto = with_scaling(proto, scaling, data.sample_shape)
        facts = {
            "model": row.model, "version": row.version, "task": row.task, "run_id": row.run_id,
            "data_version": data.reference, "data_digest": row.data_digest, "classes": "\n".join(data.class_names),
            "code_version": store.registry.run(row.run_id).code_version,
        }  # fmt: skip
        onnx.helper.set_model_props(proto, {f"mlops.{key}": value for key, value in facts.items()})
        path.write_bytes(proto.SerializeToString())
        scaled = X if scaling is None else scaling.apply(X)
        report = compare(framework, model, OnnxModel(path), X, row.task, specification.parity, scaled)
        if not report.passed:
            raise ParityError(report.description + "; loosen 'parity' only if you know why they differ")
        files = [
            store.workspace.put(f"{model_folder(row)}/model.onnx", path),
            store.workspace.put(f"{model_folder(row)}/parity.json", json_bytes(report.document())),
        ]
    store.registry.advance(row, "exported", files)
    return report


def evaluate_version(store: Store, specification: ModelSpecification, row: ModelVersion) -> tuple[Evaluation, bytes]:
    """Measure the ONNX model on the test split and publish metrics, figure and model card.

    Returns:
        The evaluation, and its figure as PNG.

    Raises:
        StorageError: the model version has no ONNX file yet.
    """
    from mlops_assets.training import figures
    from mlops_assets.training.card import model_card

    data = raw_data(store.workspace, store.registry, row)
    folder = model_folder(row)
    model = OnnxModel(published_path(store, f"{folder}/model.onnx"))
    parts = [(y, decide(model.predict(X))) for X, y in data.batches("test")]
    truth, predicted = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    evaluation = evaluate(truth, predicted, row.task, data.class_names)
    title = f"{row.model}@{row.version}"
    if evaluation.confusion is None:
        name, figure = "scatter", figures.scatter(truth, predicted, title)
    else:
        name, figure = "confusion_matrix", figures.confusion_matrix(evaluation.confusion, data.class_names, title)
    document = {
        "split": "test",
        "samples": len(truth),
        "data_version": data.reference,
        "metrics": evaluation.metrics,
        "per_class": evaluation.per_class.to_dict(orient="records"),
        "confusion_matrix": None if evaluation.confusion is None else evaluation.confusion.tolist(),
    }
    card = model_card(specification, row, store.registry.run(row.run_id), data.frozen, evaluation)
    files = [
        store.workspace.put(f"{folder}/metrics.json", json_bytes(document)),
        store.workspace.put(f"{folder}/figures/{name}.png", figure),
        store.workspace.put(f"{folder}/model-card.md", card.encode()),
    ]
    store.registry.advance(row, "evaluated", files, evaluation.metrics)
    return evaluation, figure
