"""What an image knows of the model version that it serves."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Document, Signature

MODEL_FOLDER = "model"
VERSION_FILE = "version.json"
ONNX = "model.onnx"


class ImageVersion(Document):
    """The model version of an image.

    Attributes:
        model: its name.
        version: of the model.
        alias: that the service deploys.
        sha256: of the ONNX file.
        run_id: of the training run.
        dataset: that it was trained on.
        data_version: of the dataset.
        data_digest: of the data version.
        task: classification, semantic segmentation or regression.
        framework: of its native artefact.
        signature: inputs and outputs.
        visibility: who may see it.
        created: when it was published.
    """

    model: str
    version: str
    alias: str
    sha256: str
    run_id: str
    dataset: str
    data_version: str
    data_digest: str
    task: str
    framework: str
    signature: Signature
    visibility: str
    created: datetime

    @classmethod
    def of(cls, row: ModelVersion, alias: str, sha256: str) -> Self:
        """Return what is known of a row of the registry."""
        return cls(
            model=row.model,
            version=row.version,
            alias=alias,
            sha256=sha256,
            run_id=row.run_id,
            dataset=row.dataset,
            data_version=row.data_version,
            data_digest=row.data_digest,
            task=row.task,
            framework=row.framework,
            signature=Signature.of(row),
            visibility=row.visibility,
            created=row.created,
        )
