"""ONNX models of an MLflow server, read and given the platform's names and shapes.

They are data until they are checked; nothing but ONNX is read, and nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow.artifacts
import numpy as np
import onnx
import onnxruntime
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.models import Model
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.integrations.mlflow.read_run import HISTORY
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.onnx import graph

_BATCH = 256


def model_places(client: MlflowClient, there: MlflowRun) -> Iterator[str]:
    """Yield the URIs of the models of a run, the last logged first, of any flavour."""
    outputs = list(there.outputs.model_outputs) if there.outputs else []
    for output in sorted(outputs, key=lambda output: -output.step):
        yield str(client.get_logged_model(output.model_id).artifact_location)
    for entry in reversed(_history(there)):
        if isinstance(entry, dict) and isinstance(entry.get("artifact_path"), str):
            yield f"{there.info.artifact_uri}/{entry['artifact_path']}"


def _history(there: MlflowRun) -> list[object]:
    """Return the models of a run as MLflow 1 and 2 list them."""
    try:
        found = json.loads(there.data.tags.get(HISTORY, "[]"))
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def fetched(place: str, tracking_uri: str, folder: Path) -> Path | None:
    """Fetch a model if it is an ONNX model; return the path of its file.

    Args:
        place: URI of the model's folder.
        tracking_uri: of the server.
        folder: an empty folder for it.

    Raises:
        ExportError: its description names a file outside of it.
    """
    uri = f"{place}/MLmodel"
    described = Model.load(
        mlflow.artifacts.download_artifacts(uri, dst_path=str(folder), tracking_uri=tracking_uri)
    )
    flavor = described.flavors.get("onnx")
    if flavor is None:
        return None
    whole = folder / "whole"
    whole.mkdir()
    at = Path(
        mlflow.artifacts.download_artifacts(place, dst_path=str(whole), tracking_uri=tracking_uri)
    )
    path = (at / str(flavor.get("data", "model.onnx"))).resolve()
    if not path.is_relative_to(whole.resolve()) or not path.is_file():
        raise ExportError(
            f"the model at {place} names a file that it does not have: {flavor.get('data')}"
        )
    return path


def adapted(
    path: Path,
    sample_shape: tuple[int, ...],
    task: str,
    classes: int,
    X: NDArray[np.float32],
    target: Path,
) -> dict[str, NDArray[np.generic]]:
    """Write an ONNX model with the platform's inputs and outputs, and run the original on samples.

    Return the outputs of the original.

    Args:
        path: the model as fetched.
        sample_shape: shape of one sample.
        task: classification, semantic-segmentation or regression.
        classes: number of classes.
        X: samples, float32 of (n, *sample_shape).
        target: the file to write.

    Returns:
        `scores`, `label` or `value`.

    Raises:
        ExportError: its inputs or outputs do not fit; the message names which.
    """
    try:
        model = onnx.load(path)  # with tensors in files beside it, as MLflow writes them
    # protobuf has errors of its own, which differ between its implementations
    except Exception as error:
        raise ExportError(f"it is not an ONNX file: {error}") from error
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in constants]
    flat = _flat(inputs, sample_shape)
    old, name = _output(model, task, classes)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    whole = model.SerializeToString()
    graph.conform(model, sample_shape, {old: name}, flat)
    target.write_bytes(model.SerializeToString())
    uploaded_onnx.read_sent(target, sample_shape, task, classes)  # before anything runs it
    values = _run(whole, inputs[0].name, old, X.reshape(len(X), -1) if flat else X)
    return {name: values if name == "scores" else values.reshape(len(X))}


def _run(model: bytes, source: str, output: str, X: NDArray[np.float32]) -> NDArray[np.generic]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        parts = [
            session.run([output], {source: X[i : i + _BATCH]})[0] for i in range(0, len(X), _BATCH)
        ]
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise ExportError(f"onnxruntime does not run it on samples {X.shape}: {error}") from error
    return np.concatenate(parts)


def _flat(inputs: list[onnx.ValueInfoProto], sample_shape: tuple[int, ...]) -> bool:
    """Return whether the model takes samples as rows; it must take them so, or as they are."""
    wanted = (
        f"one float32 input of (batch, {', '.join(map(str, sample_shape))}) with a dynamic batch"
        " axis"
    )
    if len(inputs) != 1:
        raise ExportError(f"it has {len(inputs)} inputs; the platform gives {wanted}")
    kind = inputs[0].type.tensor_type
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    found = (
        f"{inputs[0].name!r} ({', '.join('?' if size is None else str(size) for size in sizes)})"
    )
    if kind.elem_type != onnx.TensorProto.FLOAT or not sizes or sizes[0] is not None:
        raise ExportError(
            f"its input is {found} of {_type(kind.elem_type)}; the platform gives {wanted}"
        )
    for flat, shape in ((False, sample_shape), (True, (int(np.prod(sample_shape)),))):
        same = len(shape) == len(sizes) - 1
        if same and all(
            size in (None, given) for size, given in zip(sizes[1:], shape, strict=True)
        ):
            return flat
    raise ExportError(f"its input is {found}; the platform gives {wanted}")


def _output(model: onnx.ModelProto, task: str, classes: int) -> tuple[str, str]:
    """Return the most informative output, and its name here."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    for output in model.graph.output:
        kind = output.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        if kind.elem_type not in floats:
            continue
        if task == "regression" and (len(sizes) == 1 or sizes[1:] in ([1], [None])):
            return output.name, "value"
        if task != "regression" and len(sizes) > 1 and sizes[1] in (None, classes):
            return output.name, "scores"
    for output in model.graph.output:
        if task != "regression" and output.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            return output.name, "label"
    found = ", ".join(
        f"{output.name!r} of {_type(output.type.tensor_type.elem_type)}"
        for output in model.graph.output
    )
    needed = (
        "a float output of (batch)"
        if task == "regression"
        else f"a float output of (batch, {classes}, …)"
    )
    raise ExportError(f"it gives {found or 'nothing'}; {task} needs {needed}")


def _type(elem_type: int) -> str:
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()
