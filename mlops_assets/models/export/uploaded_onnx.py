"""An external ONNX file: its contract, and its comparison with its author's framework.

It is read as data and checked here before anything runs it. `export` compares it with the outputs
of the model it was made from; without these outputs it never passes parity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError, ParityError
from mlops_assets.models.export.parity import ParityReport, compare_outputs
from mlops_assets.models.frameworks import ModelDescription
from mlops_assets.models.onnx.graph import require_valid
from mlops_assets.models.onnx.parts import DOMAINS, nodes, tensors
from mlops_assets.models.onnx.session import OnnxModel, Outputs
from mlops_assets.models.specification import Parity

if TYPE_CHECKING:
    import onnx

FRAMEWORK = "onnx"  # of a model version whose native artefact is an ONNX file
FILE = "model.onnx"
OUTPUTS = ("scores", "label", "value")
MAX_PARTS = 1_000_000
_REMEDY = "see 'ONNX files' in docs/external-runs.md"


def read_sent(
    path: Path, sample_shape: tuple[int, ...], task: str, classes: int
) -> onnx.ModelProto:
    """Return an ONNX model that keeps the contract.

    Args:
        path: the file.
        sample_shape: shape of one sample as the data gives it, raw.
        task: the model's task.
        classes: number of classes; 0 for regression.

    Raises:
        ExportError: it is not ONNX, refers to other files or operators, or has other inputs or
            outputs.
    """
    model = read_self_contained(path)
    _require_input(model, sample_shape)
    _require_outputs(model, task, classes)
    require_valid(model)
    return model


def read_self_contained(path: Path) -> onnx.ModelProto:
    """Return an ONNX model of anybody, which needs no other file and no other operators.

    Args:
        path: the file.

    Raises:
        ExportError: it is not ONNX, or refers to other files or operators.
    """
    import onnx

    content = path.read_bytes()
    _require_few_parts(content, path.name)
    try:
        model = onnx.load_model_from_string(content)
    # the errors of protobuf differ between its implementations
    except Exception as error:
        raise ExportError(
            f"{path.name} is not an ONNX file: {error}; write it with onnx.save"
        ) from error
    _require_self_contained(model)
    return model


def describe_sent(model: onnx.ModelProto) -> ModelDescription:
    """Return the producer that an ONNX file names, and the count of numbers in its tensors."""
    producer = f"{model.producer_name} {model.producer_version}".strip()
    numbers = sum(int(np.prod(list(tensor.dims))) for tensor in tensors(model.graph))
    return ModelDescription(f"ONNX by {producer}" if producer else "ONNX", numbers)


def checked_outputs(
    outputs: Mapping[str, NDArray[np.generic]], samples: int
) -> dict[str, NDArray[np.generic]]:
    """Return outputs of the author's framework, if they have one row for each sample.

    Args:
        outputs: as the author has sent them, name → (n, …).
        samples: number of samples of the parity check.

    Raises:
        ExportError: they have other names, lengths or types.
    """
    for name, values in outputs.items():
        if name not in OUTPUTS:
            raise ExportError(f"outputs {name!r} are unknown; send {', '.join(OUTPUTS)}")
        if values.dtype.kind not in "fiu":
            raise ExportError(f"outputs {name!r} are of type {values.dtype}; send numbers")
        if not values.ndim or len(values) != samples:
            raise ExportError(
                f"outputs {name!r} have shape {values.shape} and not one row for each of the"
                f" {samples} samples; run the trained model on exactly the samples that 'samples'"
                " returns, in their order"
            )
    return dict(outputs)


def sent_outputs(native: Mapping[str, Path]) -> Outputs:
    """Return the outputs of the author's framework for the samples of the parity check.

    Args:
        native: native artefact, name → local path.

    Raises:
        ParityError: none were sent.
    """
    found: Outputs = {
        name: np.load(native[f"{name}.npy"], allow_pickle=False)
        for name in OUTPUTS
        if f"{name}.npy" in native
    }
    if not found:
        raise ParityError(
            "the ONNX file was sent without outputs of the model it was made from, so nothing"
            " proves that the two are equal; report the run again with outputs for its samples"
        )
    return found


def compare_sent(
    sent: Outputs,
    onnx_model: OnnxModel,
    X: NDArray[np.float32],
    task: str,
    limits: Parity,
) -> ParityReport:
    """Run an ONNX model and compare it with the outputs of the author's framework.

    Args:
        sent: outputs of the author's framework, as `sent_outputs` reads them.
        onnx_model: the file, as it is to be published.
        X: the samples of the parity check, float32, (n, *sample_shape), raw.
        task: the model's task.
        limits: the required closeness.

    Raises:
        ParityError: the outputs cannot be compared.
    """
    found = onnx_model.predict(X[:1])
    needed = [name for name in OUTPUTS if name in found and name != "label"] or ["label"]
    for name in needed:
        if name not in sent:
            raise ParityError(
                f"the ONNX model has the output {name}, but the outputs sent are"
                f" {', '.join(sent)}; send {name}"
            )
        if name != "value" and sent[name].shape[1:] != found[name].shape[1:]:
            raise ParityError(
                f"the {name} sent have shape {sent[name].shape}, those of the ONNX model (batch,"
                f" {', '.join(map(str, found[name].shape[1:]))}); send them in the same order of"
                " axes"
            )
    try:
        return compare_outputs(sent, onnx_model, X, task, limits)
    except (ValueError, IndexError) as error:
        raise ParityError(
            f"the ONNX model's outputs cannot be compared with those sent: {error}"
        ) from error


def _require_few_parts(content: bytes, name: str) -> None:
    """Check that an ONNX file does not have millions of parts.

    A part of two bytes takes a hundred times as much memory once it is read.

    Raises:
        ExportError: it has more than `MAX_PARTS`.
    """
    import onnx

    waiting = [(memoryview(content), onnx.ModelProto.DESCRIPTOR)]
    parts = 0
    while waiting:
        part, kind = waiting.pop()
        for number, value in _lengthy_fields(part):
            field = kind.fields_by_number.get(number)
            if field is not None and field.message_type is not None:
                parts += 1
                waiting.append((value, field.message_type))
            if parts > MAX_PARTS:
                raise ExportError(
                    f"{name} has more than {MAX_PARTS:,} nodes, attributes and tensors; send a"
                    " smaller model"
                )


def _lengthy_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of the fields of a protobuf message that have a length.

    An invalid message ends the iteration.
    """
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise IndexError

    with suppress(IndexError):
        while position < len(message):
            key = varint()
            kind = key & 7
            if kind == 0:
                varint()
            elif kind in (1, 5):
                position += 8 if kind == 1 else 4
            elif kind == 2:
                size = varint()
                yield key >> 3, message[position : position + size]
                position += size
            # a group, which ONNX does not have
            else:
                return


def _require_self_contained(model: onnx.ModelProto) -> None:
    from onnx import TensorProto

    foreign = sorted({entry.domain for entry in model.opset_import} - set(DOMAINS))
    foreign += sorted({node.domain for node in nodes(model.graph)} - {*DOMAINS, *foreign})
    if foreign or len(model.functions):
        named = ", ".join(foreign) or "functions of its own"
        raise ExportError(
            f"the ONNX file uses {named}; use operators of {' and '.join(DOMAINS[1:])} only,"
            f" {_REMEDY}"
        )
    for tensor in tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
            raise ExportError(
                f"tensor {tensor.name!r} of the ONNX file lies in another file; save the model with"
                " its data inside"
            )


def _require_input(model: onnx.ModelProto, sample_shape: tuple[int, ...]) -> None:
    from onnx import TensorProto

    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in constants]
    kind = inputs[0].type.tensor_type if len(inputs) == 1 else None
    wanted = (
        f"one input 'input', float32 of (batch, {', '.join(map(str, sample_shape))}) with a dynamic"
        " batch axis"
    )
    if (
        kind is None
        or inputs[0].name != "input"
        or kind.elem_type != TensorProto.FLOAT
        or not kind.HasField("shape")
    ):
        raise ExportError(
            f"the ONNX file has input {_listed(inputs)}; it must have {wanted}, {_REMEDY}"
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    if not sizes or sizes[0] is not None or tuple(sizes[1:]) != sample_shape:
        found = ", ".join("?" if size is None else str(size) for size in sizes)
        raise ExportError(f"the ONNX file's input has shape ({found}); it must have {wanted}")


def _require_outputs(model: onnx.ModelProto, task: str, classes: int) -> None:
    from onnx import TensorProto

    allowed = {"value"} if task == "regression" else {"scores", "label"}
    found = {entry.name: entry.type.tensor_type for entry in model.graph.output}
    if not found or set(found) - allowed:
        raise ExportError(
            f"the ONNX file has the outputs {', '.join(found) or 'none'}; for {task} it must have"
            f" {' or '.join(sorted(allowed))} and no other, {_REMEDY}"
        )
    numbers = (TensorProto.FLOAT, TensorProto.DOUBLE)
    integers = (TensorProto.INT64, TensorProto.INT32)
    for name, kind in found.items():
        if kind.elem_type not in (integers if name == "label" else numbers):
            raise ExportError(
                f"output {name!r} must be of type {'int64' if name == 'label' else 'float32'}"
            )
    dims = found["scores"].shape.dim if "scores" in found else []
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if len(sizes) > 1 and sizes[1] not in (None, classes):
        raise ExportError(
            f"the ONNX file returns {sizes[1]} scores a sample, and there are {classes} classes"
        )


def _listed(values: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(repr(value.name) for value in values) or "none"
