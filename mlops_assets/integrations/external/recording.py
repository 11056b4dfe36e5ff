"""An external run in the registry: started, resumed, ended, and its model published.

Every function here may be called from another process than the one before; nothing is kept in
memory.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Conflict, NameRefused, NotFound, SpecificationError
from mlops_assets.integrations.external.origin import Origin
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.publish import (
    Artefact,
    FinishedRun,
    code_document,
    publish_trained,
    publish_version,
)
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.signature import data_for
from mlops_assets.models.specification import EXTERNAL_TRAINER, ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion, Registry, Run
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.store import now
from mlops_assets.storage import FileStat
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

SOURCE = "external"


@dataclass(frozen=True)
class ExternalRunRequest:
    """The run that a caller asks to have recorded.

    Attributes:
        model: name of its model.
        data: the data version, by version, tag, or the newest of the dataset.
        parameters: of the training, as JSON values.
        seed: of the random numbers.
        origin: its code, machine and packages.
        run_id: a UUID; that of an interrupted run continues it, None starts a new one.
        tags: labels of the run.
        declared: attributes as in YAML, of a model that the project does not declare.
    """

    model: str
    data: Reference
    parameters: JsonObject
    seed: int
    origin: Origin
    run_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class OnnxMade:
    """A model in an ONNX file, with its author's framework's outputs for the parity samples.

    Attributes:
        path: the ONNX file.
        outputs: name → array of shape (n, …), for the n samples of the parity check.
    """

    path: Path
    outputs: Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class NativeMade:
    """A model of a framework that has an adapter."""

    model: object


def specification_for(
    declared: ModelSpecification | None, model: str, dataset: str, attributes: Mapping[str, object]
) -> ModelSpecification:
    """Return a model as the project declares it, else as the caller declares it.

    Args:
        declared: the model as the project declares it, if it does.
        model: name of the model.
        dataset: name of its dataset.
        attributes: as in YAML, of a model that the project does not declare.

    Raises:
        SpecificationError: it is declared otherwise, or the caller's attributes are invalid.
    """
    if declared is not None:
        if attributes:
            raise SpecificationError(
                f"{model} is declared in the project: leave out {', '.join(sorted(attributes))}"
            )
        if declared.dataset != dataset:
            raise SpecificationError(
                f"{model} is declared on the dataset {declared.dataset}, not on {dataset}"
            )
        return declared
    try:
        return ModelSpecification.model_validate(
            {"trainer": EXTERNAL_TRAINER, **attributes, "name": model, "dataset": dataset}
        )
    except ValidationError as error:
        listed = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SpecificationError(
            f"{model} is not declared in the project, and the attributes given are invalid:"
            f" {listed}; give at least its task, and all attributes as in YAML"
        ) from error


def parity_samples(
    store: Store, specification: ModelSpecification, version: str
) -> NDArray[np.float32]:
    """Return the raw test samples on which an ONNX file is compared with its author's framework."""
    X, _ = data_for(store, specification, version, raw=True).arrays(
        "test", limit=specification.parity.samples
    )
    return X


def begin(store: Store, specification: ModelSpecification, request: ExternalRunRequest) -> Run:
    """Record that an external run has started, or continues.

    A run of the same id continues if it is of the same model, data, parameters and seed, and has
    not succeeded; what it logged is kept.

    Raises:
        NotFound: there is no such data version.
        SpecificationError: the data does not suit the model.
        Conflict: there is another run of this id, or it has succeeded.
        NameRefused: the id is not a UUID.
        Forbidden: the principal may not start runs; nothing was written.
    """
    store.registry.principal.require(Role.SCIENTIST, "start run")
    run_id = str(uuid.uuid4()) if request.run_id is None else _checked_id(request.run_id)
    data = data_for(store, specification, request.data.what)
    with store.registry.storing():
        return _begun(store, specification, data, request, run_id)


def _begun(
    store: Store,
    specification: ModelSpecification,
    data: TrainingData,
    request: ExternalRunRequest,
    run_id: str,
) -> Run:
    """Record that a run has started or continues, with the objects that it names."""
    origin = request.origin
    run = Run(
        run_id=run_id,
        model=specification.name,
        dataset=specification.dataset,
        data_version=data.committed.row.version,
        data_digest=data.committed.row.digest,
        status="running",
        parameters=dict(request.parameters),
        seed=request.seed,
        trainer=origin.trainer,
        code_version=origin.code_version,
        hardware=origin.hardware,
        metrics={},
        started=now(),
        host=origin.host,
        pid=origin.pid,
        source=SOURCE,
        tags=dict(request.tags),
        created_by=origin.created_by,
        code=code_document(store, origin.code_version, origin.changes),
        environment=_stored_environment(store, origin.environment),
    )
    found = next(iter(store.registry.runs(run_id=run_id)), None)
    if found is None:
        store.registry.start_run(run)
        return run
    names = ("source", "model", "data_digest", "parameters", "seed")
    differing = [name for name in names if getattr(found, name) != getattr(run, name)]
    if differing:
        raise Conflict(
            f"run {run_id} is another run: it differs in {', '.join(differing)}; choose another id"
        )
    first = store.registry.next_seq(run_id)
    if found.status == "running" and first == 0:
        return found  # the first answer was lost, and nothing was logged
    taken_over = ("host", "pid", "hardware", "environment", "code", "code_version", "trainer")
    return store.registry.resume_run(
        run_id, first, **{name: getattr(run, name) for name in taken_over}
    )


def running(registry: Registry, run_id: str) -> Run:
    """Return an external run that has not ended.

    Raises:
        NotFound: there is no such run.
        Conflict: it has ended.
    """
    run = external(registry, run_id)
    if run.status != "running":
        raise Conflict(
            f"run {run_id} has {run.status}; start it again with its id to continue, or start"
            " another"
        )
    return run


def external(registry: Registry, run_id: str) -> Run:
    """Return an external run by its whole id.

    Raises:
        NotFound: there is no such run.
    """
    found = registry.runs(run_id=run_id, source=SOURCE)
    if not found:
        raise NotFound(f"no external run has the id {run_id!r}; see 'mlops run list'")
    return found[0]


def end(store: Store, run_id: str, status: str, error: str | None, facts: RunFacts) -> None:
    """Record that a run ended without a model: `failed` or `canceled`."""
    end_run(store, run_id, status, error, facts)


def publish(
    store: Store,
    specification: ModelSpecification,
    run: Run,
    made: NativeMade | OnnxMade,
    figures: Mapping[str, bytes],
    facts: RunFacts,
) -> ModelVersion:
    """Publish the model of a run, and with it the run's success.

    Raises:
        TrainerError: no adapter supports the model, or its outputs do not suit the task.
        ExportError: it cannot be written safely, does not read back equal, or is an ONNX file
            without the contract.
    """
    if isinstance(made, OnnxMade):
        return _publish_onnx(store, specification, run, made, figures, facts)
    data = data_for(store, specification, run.data_version)
    finished = FinishedRun(run, data, figures, lambda: facts)
    return publish_trained(store, specification, finished, made.model)


def _publish_onnx(
    store: Store,
    specification: ModelSpecification,
    run: Run,
    made: OnnxMade,
    figures: Mapping[str, bytes],
    facts: RunFacts,
) -> ModelVersion:
    """Publish an ONNX file unchanged, with the outputs of its original that came with it."""
    data = data_for(store, specification, run.data_version, raw=True)
    classes = len(data.class_names)
    model = uploaded_onnx.read_sent(made.path, data.sample_shape, specification.task, classes)
    X, _ = data.arrays("test", limit=specification.parity.samples)
    outputs = uploaded_onnx.checked_outputs(made.outputs, len(X))

    def save(folder: str) -> list[FileStat]:
        with scratch_folder("native") as native:
            shutil.copyfile(made.path, native / uploaded_onnx.FILE)
            for name, values in outputs.items():
                np.save(native / f"{name}.npy", values, allow_pickle=False)
            return [
                store.workspace.put(f"{folder}/{path.name}", path)
                for path in sorted(native.iterdir())
            ]

    artefact = Artefact(uploaded_onnx.FRAMEWORK, uploaded_onnx.describe_sent(model), save)
    finished = FinishedRun(run, data, figures, lambda: facts)
    return publish_version(store, specification, finished, artefact)


def _stored_environment(store: Store, environment: JsonObject) -> str | None:
    return store.workspace.put_object(json_bytes(environment)).sha256 if environment else None


def _checked_id(run_id: str) -> str:
    try:
        if str(uuid.UUID(run_id)) == run_id:
            return run_id
    except ValueError:
        pass
    raise NameRefused(f"run id {run_id!r} is not a UUID in lower case; make one with uuid.uuid4()")
