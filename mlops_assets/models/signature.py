"""The inputs and outputs of a model.

They are written once, when it is trained, and read by every later stage.

`features` and `shape` are what its ONNX file takes, raw; scaling is inside of that file. With
`apply_scale` it takes physical values, by scale and offset of each scene, which only the scene
tells. Nothing here runs models.
"""

from __future__ import annotations

from typing import Any

from mlops_assets.datasets.loading.scaling import Scaling
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store


def signature_of(data: TrainingData, description: ModelDescription) -> dict[str, Any]:
    """Return the signature of a model, as JSON values.

    Args:
        data: what it was trained on.
        description: architecture and number of parameters.
    """
    return {
        "view": data.view,
        "shape": list(data.sample_shape),
        "features": data.features,
        "source_features": data.source_features,
        "scaling": (
            None if data.scaling is None else [dict(entry) for entry in data.scaling.entries]
        ),
        "classes": data.committed.classes if data.class_names else None,
        **({"apply_scale": True} if data.committed.is_scaled else {}),
        "architecture": description.architecture,
        "parameters": description.parameters,
    }


def scaling_of(row: ModelVersion) -> Scaling | None:
    """Return the scaling of the trained model's samples.

    The figures are those of its data version.
    """
    entries = row.signature.get("scaling")
    return Scaling(tuple(entries)) if entries else None


def data_for(
    store: Store, specification: ModelSpecification, version: str | None, raw: bool = False
) -> TrainingData:
    """Return the data a model is trained on, selected and scaled as declared.

    As its ONNX file takes it if `raw`.

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
    return TrainingData(committed, row.task, row.signature["view"], row.signature["features"])
