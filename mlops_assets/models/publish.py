"""Publication of the model version of a run: its files, then the row.

A model version is visible only once its row exists.

Running trainers is the business of `training`, and external runs that of `integrations.external`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.models.frameworks import ModelDescription, framework_of
from mlops_assets.models.native import save_native
from mlops_assets.models.run_documents import run_documents, series_of
from mlops_assets.models.signature import signature_of
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import RunFacts, add_facts
from mlops_assets.registry.store import now
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


@dataclass(frozen=True)
class FinishedRun:
    """A run that has produced a model, which is not published yet.

    Attributes:
        run: its row in the registry.
        data: the samples that the model takes, selected and scaled.
        figures: name → PNG.
        facts: returns the measurements of the run so far; called once the artefact is written,
            which is a phase of the run.
    """

    run: Run
    data: TrainingData
    figures: Mapping[str, bytes]
    facts: Callable[[], RunFacts]


@dataclass(frozen=True)
class Artefact:
    """A model in its native form, ready to be written.

    Attributes:
        framework: name of the framework adapter, or `onnx`.
        description: architecture and number of parameters.
        save: writes the files below a folder of the workspace and returns them.
    """

    framework: str
    description: ModelDescription
    save: Callable[[str], list[FileStat]]


def publish_trained(
    store: Store,
    specification: ModelSpecification,
    finished: FinishedRun,
    model: object,
    saving: AbstractContextManager[None] | None = None,
) -> ModelVersion:
    """Publish a trained model, and with it the success of its run.

    Args:
        store: workspace and registry to publish to.
        specification: the model as declared.
        finished: its run.
        model: of any framework that has an adapter.
        saving: entered while the native artefact is written.

    Returns:
        The row of the model version.

    Raises:
        TrainerError: no adapter takes the model, or its outputs do not suit the task.
        ExportError: it cannot be written natively, or does not read back equal.
    """
    framework = framework_of(model, finished.run.trainer)

    def save(folder: str) -> list[FileStat]:
        with saving or nullcontext():
            return save_native(store.workspace, framework, model, finished.data, folder)

    artefact = Artefact(framework.name, framework.describe(model), save)
    return publish_version(store, specification, finished, artefact)


def publish_version(
    store: Store,
    specification: ModelSpecification,
    finished: FinishedRun,
    artefact: Artefact,
) -> ModelVersion:
    """Publish a model version of any origin, and with it the success of its run.

    Args:
        store: workspace and registry to publish to.
        specification: the model as declared.
        finished: its run.
        artefact: the model in its native form.

    Returns:
        The row of the model version.
    """
    run = finished.run
    row = ModelVersion(
        model=specification.name,
        version=f"{run.data_version}-{run.run_id[:8]}",
        run_id=run.run_id,
        dataset=run.dataset,
        data_version=run.data_version,
        data_digest=run.data_digest,
        task=specification.task,
        framework=artefact.framework,
        signature=signature_of(finished.data, artefact.description).document(),
        stage="trained",
        metrics={},
        created=now(),
    )
    folder = model_folder(row.model, row.version)
    put = store.workspace.put
    files = artefact.save(f"{folder}/native")
    points = store.registry.points(run.run_id)
    curves = _curves(series_of(points), f"{row.model}@{row.version}")
    drawn = {**finished.figures, **curves}
    files += [put(f"{folder}/figures/{name}.png", png) for name, png in drawn.items()]
    files.append(put(f"{folder}/parameters.json", json_bytes(run.parameters)))
    if run.environment is not None:
        files.append(put(f"{folder}/environment.json", store.workspace.get_object(run.environment)))
    end = now()
    facts = finished.facts()
    ended = patiently(lambda: store.registry.run(run.run_id))
    ended.status = "succeeded"
    ended.finished = end
    ended.model_version = row.version
    add_facts(ended, facts)
    documents = run_documents(ended, points, row)
    files += [put(key, content) for key, content in documents.items()]
    patiently(lambda: store.registry.publish_model_version(row, files, end, facts))
    return row


def _curves(series: dict[str, list[tuple[int, float]]], title: str) -> dict[str, bytes]:
    # Matplotlib takes a second to import
    if not series:
        return {}
    from mlops_assets.models.evaluation.figures import learning_curves

    curves = learning_curves(series, title)
    return {"learning_curves": curves} if curves else {}


def code_document(store: Store, version: str, changes: str | None) -> dict[str, str]:
    """Return the code state of a run, with its uncommitted changes stored as an object.

    Args:
        store: workspace that keeps the patch.
        version: as `provenance.code_version` returns it.
        changes: the patch of uncommitted changes, if there are any.

    Returns:
        `commit`, if the code is in a repository, and `diff`, the sha256 of the patch.
    """
    found: dict[str, str] = {}
    if not version.startswith("source."):
        found["commit"] = version.partition("+")[0]
    if changes is not None:
        found["diff"] = store_changes(store, changes)
    return found


def store_changes(store: Store, changes: str) -> str:
    """Store the patch of uncommitted changes as an object; return its sha256 (hex).

    Args:
        store: workspace that keeps it.
        changes: the patch.
    """
    return store.workspace.put_object(patch_bytes(changes)).sha256


def patch_bytes(changes: str) -> bytes:
    """Return a patch as it is stored; git may have quoted bytes that are not text."""
    return changes.encode(errors="surrogateescape")
