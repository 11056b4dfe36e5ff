"""Inputs and outputs of an ONNX graph of anybody, before anything runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.errors import ExportError
from mlops_assets.models.export import uploaded_onnx
from mlops_assets.models.onnx.graph import require_valid

if TYPE_CHECKING:
    import onnx


def read_graph(path: Path) -> tuple[onnx.ModelProto | None, list[str]]:
    """Return a model with the shapes of its tensors, and what no record makes up for.

    Args:
        path: of a file of anybody; None is returned for one that is not a valid graph, or refers to
            other files or operators.
    """
    from onnx import shape_inference

    try:
        model = uploaded_onnx.read_self_contained(path)
        problems = _graph_problems(model)
        if not problems:
            require_valid(model)
            model = shape_inference.infer_shapes(model)
    except ExportError as error:
        return None, [str(error)]
    return model, problems


def _graph_problems(model: onnx.ModelProto) -> list[str]:
    """Return what no record makes up for: several inputs, an unknown opset, a fixed batch."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    problems = [
        f"opset {entry.version} is newer than {newest}, the newest known here; export with an older"
        " one"
        for entry in model.opset_import
        if entry.domain in ("", "ai.onnx") and entry.version > newest
    ]
    inputs = inputs_of(model)
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        problems.append(
            f"the ONNX file has {len(inputs)} inputs ({names}); give one that has all bands"
        )
        return problems
    dims = dims_of(inputs[0])
    if not inputs[0].type.HasField("tensor_type"):
        problems.append(f"the input {inputs[0].name} of the ONNX file is no tensor")
    elif dims and dims[0] is not None:
        problems.append(
            f"the input {inputs[0].name} of the ONNX file takes batches of {dims[0]} only; export"
            " it with a dynamic batch axis"
        )
    return problems


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs of a graph, without weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [entry for entry in model.graph.input if entry.name not in constants]


def dims_of(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the sizes of a tensor's axes, None where any is taken; None without a shape."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in kind.shape.dim
    ]


def type_of(value: onnx.ValueInfoProto) -> str:
    """Return the type of a tensor's values, as NumPy and MLM name it."""
    from onnx import helper

    kind = value.type.tensor_type.elem_type
    try:
        return str(helper.tensor_dtype_to_np_dtype(kind).name)
    except KeyError:
        return f"type {kind}"


def shape_text(sizes: Sequence[int | None]) -> str:
    """Return a shape for messages."""
    return f"({', '.join('any' if size in (None, -1) else str(size) for size in sizes)})"
