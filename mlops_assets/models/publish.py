"""Publication of the model version of a run: its files, then the row.

Before the row is there, nobody sees it.

Running trainers is the business of `training`, and external runs that of `integrations.external`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.models.frameworks import framework_of
from mlops_assets.models.native import save_native
from mlops_assets.models.run_documents import run_documents, series_of
from mlops_assets.models.signature import signature_of
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import add_facts
from mlops_assets.registry.store import now
from mlops_assets.storage import FileStat, sha256_of
from mlops_assets.store import Store

# `metrics`, `phases`, `usage` and `seconds` of a run, as they are by then
Facts = Callable[[], dict[str, Any]]


def publish_trained(
    store: Store,
    specification: ModelSpecification,
    data: TrainingData,
    run: Run,
    model: Any,
    figures: Mapping[str, bytes],
    facts: Facts,
    saving: AbstractContextManager[None] | None = None,
) -> ModelVersion:
    """Publish a trained model, and with it the success of its run.

    Args:
        store: where to.
        specification: the model as declared.
        data: what it was trained on, selected and scaled.
        run: its run.
        model: of any framework that has an adapter.
        figures: name → PNG.
        facts: what is to be recorded of the run.
        saving: entered while the native artefact is written.

    Raises:
        TrainerError: it is not a model that an adapter knows, or its outputs do not suit the task.
        ExportError: it cannot be written natively, or does not read back equal.
    """
    framework = framework_of(model, run.trainer)

    def save(folder: str) -> list[FileStat]:
        with saving or nullcontext():
            return save_native(store.workspace, framework, model, data, folder)

    return publish_version(
        store,
        specification,
        data,
        run,
        framework.name,
        framework.describe(model),
        save,
        figures,
        facts,
    )


def publish_version(
    store: Store,
    specification: ModelSpecification,
    data: TrainingData,
    run: Run,
    framework: str,
    described: dict[str, Any],
    save: Callable[[str], list[FileStat]],
    figures: Mapping[str, bytes],
    facts: Facts,
) -> ModelVersion:
    """Publish a model version whatever it was made with, and with it the success of its run.

    Args:
        store: where to.
        specification: the model as declared.
        data: what it takes, selected and scaled.
        run: its run.
        framework: name of what made it.
        described: `architecture` and `parameters`.
        save: writes the native artefact below a folder of the workspace.
        figures: name → PNG.
        facts: what is to be recorded of the run.
    """
    row = ModelVersion(
        model=specification.name,
        version=f"{run.data_version}-{run.run_id[:8]}",
        run_id=run.run_id,
        dataset=run.dataset,
        data_version=run.data_version,
        data_digest=run.data_digest,
        task=specification.task,
        framework=framework,
        signature=signature_of(data, described),
        stage="trained",
        metrics={},
        created=now(),
    )
    folder, put = model_folder(row.model, row.version), store.workspace.put
    files = save(f"{folder}/native")
    points = store.registry.points(run.run_id)
    series = series_of(points)
    drawn = {**figures, **_curves(series, f"{row.model}@{row.version}")}
    files += [put(f"{folder}/figures/{name}.png", png) for name, png in drawn.items()]
    files.append(put(f"{folder}/parameters.json", json_bytes(run.parameters)))
    if run.environment is not None:
        files.append(put(f"{folder}/environment.json", store.workspace.get_object(run.environment)))
    finished, known = now(), facts()
    ended = patiently(lambda: store.registry.run(run.run_id))
    ended.status, ended.finished, ended.model_version = "succeeded", finished, row.version
    add_facts(ended, **known)
    documents = run_documents(ended, points, row)
    files += [put(key, content) for key, content in documents.items()]
    patiently(lambda: store.registry.publish_model_version(row, files, finished, **known))
    return row


def _curves(series: dict[str, list[tuple[int, float]]], title: str) -> dict[str, bytes]:
    if not series:  # what draws takes a second to import
        return {}
    from mlops_assets.models.evaluation.figures import learning_curves

    curves = learning_curves(series, title)
    return {"learning_curves": curves} if curves else {}


def code_document(store: Store, version: str, changes: str | None) -> dict[str, Any]:
    """Return what the code of a run was, with its changes kept as an object.

    Args:
        store: where to.
        version: as `provenance.code_version` gives it.
        changes: the patch of what was not committed.
    """
    found: dict[str, Any] = (
        {} if version.startswith("source.") else {"commit": version.partition("+")[0]}
    )
    if changes is not None:
        content = changes.encode(errors="surrogateescape")
        found["diff"] = sha256_of(content)
        store.workspace.put_object(content)
    return found
