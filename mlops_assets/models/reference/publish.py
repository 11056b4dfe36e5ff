"""The reference of a model version, made from its training data and published beside it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Forbidden, IntegrityError, MlopsError
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.reference.bands import feature_names
from mlops_assets.models.reference.document import ReferenceDocument
from mlops_assets.models.reference.samples import read_compared
from mlops_assets.models.reference.separation import MAX_SAMPLES
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import TrainingReference, values_of, values_parquet
from mlops_assets.models.signature import raw_data
from mlops_assets.paths import model_folder, model_owner, reference_key, signature_of_key
from mlops_assets.progress import step
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import published_path, read_published
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store

VALUES = "reference.parquet"

log = logging.getLogger(__name__)


def publish_reference(store: Store, row: ModelVersion) -> TrainingReference | str:
    """Make the reference of an exported model version from its training data, and publish it.

    The same version and data give the same bytes. A version that is signed keeps its files: what it
    was signed without is made, and not published.

    Args:
        store: workspace and registry.
        row: the exported model version.

    Returns:
        The reference; or why there is none, as of imported models without their training data,
        which is published as well.

    Raises:
        ExportError: the ONNX model does not run on its data.
        Forbidden: the principal may not publish.
        IntegrityError: a file of the model or of its data is not as it was published.
        StorageError: the model version has no ONNX file yet, or a file cannot be read.
    """
    owner = model_owner(row.model, row.version)
    if any(signature_of_key(file.path) for file in store.registry.files(owner)):
        document = read_document(store, row)
        if document is None:
            return _made(store, row)
        if _is_current(store, row, document):
            return _restored(store, row, document)
    found = _made(store, row)
    files: dict[str, bytes | Path] = {}
    document = ReferenceDocument(unknown=found if isinstance(found, str) else None)
    if not isinstance(found, str):
        document = ReferenceDocument(referred=found.referred)
        parquet = values_parquet(found.names, found.values)
        files = {reference_key(row.model, row.version, VALUES): parquet}
    files[reference_key(row.model, row.version)] = json_bytes(document.model_dump(mode="json"))
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(files)
        store.registry.add_files(owner, publishing.files)
    return found


def find_reference(store: Store, row: ModelVersion) -> TrainingReference | str:
    """Return the reference of a model version; make it if it has none.

    Versions of earlier releases have none. What is made is published, and linked from the Item of
    the version, if the principal may publish.

    Args:
        store: workspace and registry.
        row: the exported model version.

    Returns:
        The reference; or why there is none: the model was imported, or its training data cannot be
        read.

    Raises:
        IntegrityError: the published reference is not as it was published.
    """
    from mlops_assets.stac.models import record_reference

    document = read_document(store, row)
    if document is not None and _is_current(store, row, document):
        return _restored(store, row, document)
    try:
        found = publish_reference(store, row)
        if row.stage == "recorded":
            record_reference(store.workspace, store.registry, row)
        return found
    except Forbidden:
        return _made(store, row)
    except MlopsError as error:
        log.warning("%s@%s has no reference: %s", row.model, row.version, error)
        return str(error)


def reference_of(store: Store, row: ModelVersion) -> TrainingReference | None:
    """Return the reference of a model version, see `find_reference`; None if there is none."""
    found = find_reference(store, row)
    return None if isinstance(found, str) else found


def read_document(store: Store, row: ModelVersion) -> ReferenceDocument | None:
    """Return the published document of a reference; None if there is none.

    Raises:
        IntegrityError: it is not as it was published.
    """
    key = reference_key(row.model, row.version)
    if not store.registry.files_at(key):
        return None
    content = read_published(store.workspace, store.registry, key)
    return ReferenceDocument.model_validate_json(content)


def _is_current(store: Store, row: ModelVersion, document: ReferenceDocument) -> bool:
    """Return whether a published reference is that of the ONNX file that is published."""
    if document.referred is None:
        return True
    onnx = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    return [file.sha256 for file in onnx] == [document.referred.onnx]


def _restored(
    store: Store, row: ModelVersion, document: ReferenceDocument
) -> TrainingReference | str:
    """Return the reference that was published, or why there is none."""
    referred = document.referred
    if referred is None:
        return document.unknown or "it is not known"
    key = reference_key(row.model, row.version, VALUES)
    parquet = read_published(store.workspace, store.registry, key)
    if sha256_of(parquet) != referred.values:
        raise IntegrityError(
            f"{key} is not the file that the reference states; materialise {row.model}/record again"
        )
    return TrainingReference(referred, values_of(parquet))


def _made(store: Store, row: ModelVersion) -> TrainingReference | str:
    """Return the reference of a version; or why there is none."""
    if imported := store.registry.run_of(row).imported:
        if there := imported.get("trained_on"):
            return f"it was trained in another workspace, on {there} there, which is not read"
        return "it was imported, and what it was trained on is not known"
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    path = published_path(store.workspace, store.registry, key)
    data = raw_data(store.workspace, store.registry, row)
    with step(f"summarising the training values of {row.model}@{row.version}"):
        model = OnnxModel(path)
        training = read_compared(data, "train", model)
        if not len(training.values):
            return "it has no training sample"
        names = feature_names(data.features, len(data.sample_shape) > 1)
        test = read_compared(data, "test", model, MAX_SAMPLES)
        found = summarise(names, training, test, data.class_names)
    stated = {
        "onnx": sha256_of(path),
        "values": sha256_of(values_parquet(found.names, found.values)),
        "total": len(data.committed.split("train")),
    }
    return replace(found, referred=found.referred.model_copy(update=stated))
