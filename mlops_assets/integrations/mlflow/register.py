"""Model versions and aliases mirrored to the model registry of an MLflow server.

The ONNX file that was published is what is logged there, byte for byte; it is never exported anew.
"""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from mlops_assets.integrations.mlflow import mapping
from mlops_assets.integrations.mlflow.client import is_missing
from mlops_assets.models.signing.verify import require_signature
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

_REFUSED_ALIAS = re.compile(r"latest|[vV]\d+|.*[^\w\-].*")  # by MLflow


def register_version(
    store: Store, client: MlflowClient, row: ModelVersion, experiment: str, mlflow_run: str
) -> str:
    """Log a version's ONNX model and register it, unless it is there; return its number in MLflow.

    MLflow's clients load it without this platform, so a signature is demanded here where one is
    required.

    Args:
        store: has the model.
        client: of the server.
        row: a version that has its ONNX file.
        experiment: id of the experiment.
        mlflow_run: the run it is a product of.

    Raises:
        SignatureRefused: a signature is required, and none of it is accepted.
    """
    require_signature(store, row)
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    (file,) = store.registry.files_at(key)
    number = registered_number(client, row, file.sha256)
    if number is not None:
        return number
    tags = {
        mapping.VERSION: row.version,
        mapping.RUN_ID: row.run_id,
        mapping.SHA256: file.sha256,
        "mlops.data_version": f"{row.dataset}@{row.data_version}",
        "mlops.data_digest": row.data_digest,
    }
    logged = client.create_logged_model(experiment, row.version.replace(".", "_"), mlflow_run, tags)
    with scratch_folder("mlflow") as scratch:
        folder = scratch / "model"
        write_model_folder(
            published_path(store.workspace, store.registry, key),
            folder,
            Model(run_id=mlflow_run, model_id=logged.model_id),
        )
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(mlflow_run, [LoggedModelOutput(logged.model_id, 0)])
    _ensure_registered_model(client, row.model)
    source = f"models:/{logged.model_id}"
    made = client.create_model_version(
        row.model, source, mlflow_run, tags, await_creation_for=0, model_id=logged.model_id
    )
    return str(made.version)


def registered_number(
    client: MlflowClient, row: ModelVersion, sha256: str | None = None
) -> str | None:
    """Return the number that a model version has in MLflow, the last if it was exported anew.

    None if it has none.
    """
    where = f"name = '{row.model}' AND tags.`{mapping.VERSION}` = '{row.version}'"
    found = client.search_model_versions(where, max_results=100)
    numbers = [
        int(version.version)
        for version in found
        if sha256 in (None, version.tags.get(mapping.SHA256))
    ]
    return str(max(numbers)) if numbers else None


def mirror_aliases(store: Store, client: MlflowClient, model: str) -> list[str]:
    """Set the aliases of a model as they are here; return a line for each that could not be."""
    problems: list[str] = []
    wanted: dict[str, str] = {}
    for alias, version in sorted(store.registry.aliases(model).items()):
        (row,) = store.registry.model_versions(model, version=version)
        number = registered_number(client, row)
        if number is None:
            problems.append(
                f"{alias}: {model}@{version} is not in MLflow; run 'mlops mlflow sync {model}'"
            )
        elif _REFUSED_ALIAS.fullmatch(alias):
            problems.append(f"{alias}: MLflow does not accept an alias of this name")
        else:
            wanted[alias] = number
    if not wanted:
        return problems
    there = {
        alias: str(number) for alias, number in client.get_registered_model(model).aliases.items()
    }
    for alias, number in wanted.items():
        if there.get(alias) != number:
            client.set_registered_model_alias(model, alias, number)
    return problems


def _ensure_registered_model(client: MlflowClient, model: str) -> None:
    try:
        client.get_registered_model(model)
    except MlflowException as error:
        if not is_missing(error):
            raise
        client.create_registered_model(model)


def write_model_folder(path: Path, folder: Path, described: Model) -> None:
    """Write a folder in MLflow's model format that holds an ONNX file as it is.

    Args:
        path: the ONNX file.
        folder: a new or empty folder.
        described: what MLflow is to know of the model beside its signature.
    """
    proto = onnx.load(path)
    inputs = Schema([_spec(value) for value in proto.graph.input])
    outputs = Schema([_spec(value) for value in proto.graph.output])
    with warnings.catch_warnings():  # MLflow's own types warn of themselves when they are imported
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        mlflow.onnx.save_model(
            proto,
            str(folder),
            mlflow_model=described,
            signature=ModelSignature(inputs, outputs),
            pip_requirements=[f"onnx=={onnx.__version__}", "onnxruntime"],
            save_as_external_data=False,
        )
    shutil.copyfile(path, folder / "model.onnx")


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    return TensorSpec(
        np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape, value.name
    )
