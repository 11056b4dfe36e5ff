"""The reference of a model version, made from its training data and published beside it."""

from __future__ import annotations

import logging

import numpy as np

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Forbidden, IntegrityError, MlopsError
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.models.reference.bands import feature_names
from mlops_assets.models.reference.document import (
    PredictionCounts,
    ReferenceDocument,
    Referred,
)
from mlops_assets.models.reference.samples import read_compared
from mlops_assets.models.reference.separation import MAX_SAMPLES
from mlops_assets.models.reference.statistics import Bins
from mlops_assets.models.reference.training import (
    Compared,
    TrainingReference,
    counts_of,
    feature_of,
    sorted_finite,
    values_of,
    values_parquet,
)
from mlops_assets.models.signature import raw_data
from mlops_assets.paths import model_folder, model_owner, reference_key
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

    The same version and data give the same bytes.

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
    found = _made(store, row)
    key = reference_key(row.model, row.version)
    if isinstance(found, str):
        document, files = ReferenceDocument(unknown=found), {}
    else:
        document = ReferenceDocument(referred=found.referred)
        parquet = values_parquet(found.names, found.values)
        files = {reference_key(row.model, row.version, VALUES): parquet}
    contents = {**files, key: json_bytes(document.model_dump(mode="json"))}
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(contents)
        store.registry.add_files(model_owner(row.model, row.version), publishing.files)
    return found


def find_reference(store: Store, row: ModelVersion) -> TrainingReference | str:
    """Return the reference of a model version; make it if it has none.

    Versions of earlier releases have none. What is made is published if the principal may publish.

    Args:
        store: workspace and registry.
        row: the exported model version.

    Returns:
        The reference; or why there is none: the model was imported, or its training data cannot be
        read.

    Raises:
        IntegrityError: the published reference is not as it was published.
    """
    document = read_document(store, row)
    if document is not None:
        if document.referred is None:
            return document.unknown or "it is not known"
        key = f"{model_folder(row.model, row.version)}/model.onnx"
        onnx = store.registry.files_at(key)
        if onnx and onnx[0].sha256 == document.referred.onnx:
            return _read(store, row, document.referred)
    try:
        return publish_reference(store, row)
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


def _read(store: Store, row: ModelVersion, referred: Referred) -> TrainingReference:
    parquet = read_published(
        store.workspace, store.registry, reference_key(row.model, row.version, VALUES)
    )
    if sha256_of(parquet) != referred.values:
        raise IntegrityError(
            f"{reference_key(row.model, row.version, VALUES)} is not the file that the reference"
            f" states; materialise {row.model}/record again"
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
        test = read_compared(data, "test", model, MAX_SAMPLES)
        names = feature_names(data.features, len(data.sample_shape) > 1)
        predictions = _predictions(training, test, data.class_names)
        parquet = values_parquet(names, training.values)
        referred = Referred(
            onnx=sha256_of(path),
            values=sha256_of(parquet),
            samples=len(training.values),
            total=len(data.committed.split("train")),
            features=[
                feature_of(name, training.values[:, place]) for place, name in enumerate(names)
            ],
            predictions=predictions,
            test=None,
        )
        found = TrainingReference(referred, training.values)
        if not len(test.values):
            return found
        measured = referred.model_copy(update={"test": found.drift(test)})
        return TrainingReference(measured, training.values)


def _predictions(
    training: Compared, test: Compared, class_names: list[str]
) -> PredictionCounts | None:
    """Return how predictions are distributed; None if the model gives none a sample."""
    if training.predictions is None:
        return None
    if class_names:
        empty = PredictionCounts(kind="classes", train=[0] * len(class_names), test=[])
    else:
        bins = Bins.of(sorted_finite(training.predictions.astype(np.float64)))
        empty = PredictionCounts(kind="numbers", edges=bins.edges.tolist(), train=[], test=[])
    counted = {"train": counts_of(training.predictions, empty).tolist()}
    if test.predictions is not None:
        counted["test"] = counts_of(test.predictions, empty).tolist()
    return empty.model_copy(update=counted)
