"""The signature of a model, from the data it is trained on, and that data again from a signature.

`features` and `shape` of a signature are what the ONNX file takes, raw; scaling is inside of that
file. With `apply_scale` it takes physical values, by the scale and offset of each scene, which are
known from the scene only. Nothing here runs models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from mlops_assets.datasets.loading.scaling import Scaling, ScalingObject
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    IntegrityError,
    NotFound,
    SpecificationError,
    StorageError,
    StorageUnreachable,
    TrainingDataUnreadable,
)
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.model_documents import OutputClass, Signature
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.text.listing import named


def signature_of(data: TrainingData, description: ModelDescription) -> Signature:
    """Return the signature of a model.

    Args:
        data: the samples it was trained on.
        description: architecture and number of parameters.
    """
    classes = [OutputClass(**entry) for entry in data.committed.classes or []]
    # most models take values as they are stored, and their signatures have no such field
    apply_scale = {"apply_scale": True} if data.committed.is_scaled else {}
    return Signature(
        view=data.view,
        shape=list(data.sample_shape),
        features=data.features,
        source_features=data.source_features,
        scaling=stored_scaling(data.scaling),
        classes=classes if data.class_names else None,
        architecture=description.architecture,
        parameters=description.parameters,
        **apply_scale,
    )


def scaling_of(row: ModelVersion) -> Scaling | None:
    """Return the scaling of the trained model's samples, with the figures of its data version."""
    return scaling_in(Signature.of(row))


def scaling_in(signature: Signature) -> Scaling | None:
    """Return the scaling that a signature states; None for raw values."""
    entries = signature.scaling
    return Scaling(tuple(cast("list[ScalingObject]", entries))) if entries else None


def stored_scaling(scaling: Scaling | None) -> list[dict[str, int | float | str]] | None:
    """Return the scaling of a signature, as the registry keeps it; None for raw values."""
    if scaling is None:
        return None
    return cast("list[dict[str, int | float | str]]", [dict(entry) for entry in scaling.entries])


def data_for(
    store: Store, specification: ModelSpecification, version: str | None, raw: bool = False
) -> TrainingData:
    """Return the data a model is trained on, selected and scaled as declared.

    Args:
        store: workspace and registry.
        specification: the model as declared.
        version: a version, tag or alias of its dataset; the latest if None.
        raw: leave the samples unscaled, as the ONNX file takes them.

    Raises:
        NotFound: there is no such data version.
        SpecificationError: the data does not suit the model.
    """
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(specification.dataset, version)
    )
    scaling = "none" if raw else specification.scaling
    return TrainingData(
        committed, specification.task, specification.inputs, specification.bands, scaling
    )


def raw_data(workspace: Workspace, registry: Registry, row: ModelVersion) -> TrainingData:
    """Return a model version's data as its ONNX file takes it: the bands of its signature, raw."""
    committed = CommittedDataset.open(workspace, registry, Reference(row.dataset, row.data_version))
    signature = Signature.of(row)
    return TrainingData(committed, row.task, signature.view, signature.features)


def fitting_data(
    name: str, task: str, signature: Signature, committed: CommittedDataset
) -> TrainingData:
    """Return a data version as the ONNX file of a model takes it, raw.

    Args:
        name: of the model, for messages.
        task: of the model.
        signature: of the model, which may have been trained on other data.
        committed: the data version.

    Raises:
        SpecificationError: its samples, bands, labels or classes are not those of the model.
    """
    try:
        data = TrainingData(committed, task, signature.view, signature.features)
    except SpecificationError as error:
        # without its remedy, which is to change a declaration
        raise SpecificationError(str(error).partition("; ")[0]) from error
    if data.sample_shape != tuple(signature.shape):
        raise SpecificationError(
            f"{name} takes samples of {_sides(signature.shape)}, those of {data.reference} are of"
            f" {_sides(data.sample_shape)}"
        )
    if committed.is_scaled != signature.apply_scale:
        taken, read = ("physical", "stored") if signature.apply_scale else ("stored", "physical")
        raise SpecificationError(f"{name} takes {taken} values, {data.reference} has {read} ones")
    classes = [entry.name for entry in signature.classes or []]
    if data.class_names != classes:
        raise SpecificationError(
            f"{name} predicts the classes {named(classes)}, in this order; {data.reference} has"
            f" {named(data.class_names)}"
        )
    return data


def _sides(shape: Sequence[int]) -> str:
    """Return the shape of a sample for messages: `4 x 32 x 32`."""
    return " x ".join(map(str, shape))


@contextmanager
def reading_training_data(row: ModelVersion, purpose: str = "") -> Iterator[None]:
    """Distinguish a model's data that cannot be read from other faults, such as a scene's.

    Args:
        row: the model version.
        purpose: of the data, as a clause of the message that begins with a comma.

    Raises:
        TrainingDataUnreadable: it cannot be read.
        StorageUnreachable: the workspace does not answer.
    """
    try:
        yield
    except StorageUnreachable:
        raise
    except (IntegrityError, NotFound, StorageError) as error:
        raise TrainingDataUnreadable(
            f"what {row.model}@{row.version} was trained on cannot be read{purpose}: {error}"
        ) from error
