"""Assets of a model version's Item: its files, the module of its trainer and the container.

The Item itself is made in `models`.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from mlops_assets.datasets.io.media_types import SIGSTORE, media_type
from mlops_assets.paths import object_key
from mlops_assets.stac.catalog import asset
from mlops_assets.stac.mlm.facts import ModelFacts
from mlops_assets.storage import FileStat

_TITLES = {
    "model.onnx": "ONNX model",
    "features.onnx": "The ONNX model with the input of its last layer as a further output",
    "model-card.md": "Model card",
    "model-card.html": "Model card as a page, with its figures",
    "metrics.json": "Metrics on the test split, with intervals and per class",
    "parity.json": "Comparison of the ONNX model with the trained model",
    "applicability.json": "Area of applicability: threshold, weights, expected error",
    "applicability.parquet": "Area of applicability: reference points",
    "reference.json": "Distribution of training values and predictions, to measure drift by",
    "reference.parquet": "Training values that drift is measured by",
    "parameters.json": "Parameters of the trainer",
    "environment.json": "Python and packages of the training run",
    "run.json": "The training run",
    "points.parquet": "Metrics logged during training",
    "shared.json": "Model version in another workspace that it is used from",
}


def code_assets(facts: ModelFacts, key: str) -> dict[str, dict[str, object]]:
    """Return the module of the trainer and the container, where the run has recorded them."""
    run = facts.run
    found: dict[str, dict[str, object]] = {}
    if sha256 := run.code.get("source"):
        file = FileStat(object_key(sha256), sha256, int(run.code["source_size"]))
        fields = {
            "mlops:repository": run.code.get("repository"),
            "mlops:commit": run.code.get("commit"),
            "mlops:code_version": run.code_version,
        }
        found["source_code"] = asset(
            key,
            file,
            "text/x-python",
            ["code", "mlm:source_code"],
            title=f"Module of the trainer {run.trainer}",
            **{"mlm:entrypoint": run.trainer, **fields},
        )
    if image := run.code.get("container"):
        found["container"] = {
            "href": image,
            "type": "application/vnd.oci.image.index.v1+json",
            "roles": ["mlm:training-runtime", "mlm:container"],
            "title": "Container that the training ran in",
        }
    return found


def is_signature(path: str) -> bool:
    """Return whether a published file of a model version is a bundle of a signature of it."""
    return path.endswith(".sigstore.json")


def is_reference(path: str) -> bool:
    """Return whether a published file of a model version is of what its drift is measured by."""
    return PurePosixPath(path).stem == "reference"


def asset_name(path: str) -> str:
    """Return the name of the asset of a published file of a model version."""
    file = PurePosixPath(path)
    if file.name == "model.onnx":  # an external model's native artefact is called so, too
        return "native_model_onnx" if file.parent.name == "native" else "model"
    if is_signature(path):
        name, kind = file.name.removesuffix(".sigstore.json"), "signature"
        if name.endswith(".provenance"):
            name, kind = name.removesuffix(".provenance"), "provenance"
        return f"{kind}_{name}"
    return file.name.replace(".", "_")


def model_asset(key: str, file: FileStat) -> dict[str, object]:
    """Return the asset of a published file of a model version.

    Args:
        key: of the record.
        file: the file.
    """
    path = PurePosixPath(file.path)
    media = media_type(file.path)
    title = _TITLES.get(path.name, path.name)
    if path.name == "model.onnx" and path.parent.name != "native":
        return asset(key, file, media, ["mlm:model"], title=title, **{"mlm:artifact_type": "onnx"})
    if is_signature(file.path):
        provenance = path.name.endswith(".provenance.sigstore.json")
        title = "Signed statement of its provenance" if provenance else "Signature of its files"
        return asset(key, file, SIGSTORE, ["metadata", "signature"], title=title)
    roles = {"native": ["mlm:weights"], "figures": ["graphic"]}.get(path.parent.name, ["metadata"])
    return asset(key, file, media, roles, title=title)
