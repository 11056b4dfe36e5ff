"""Facts of an ONNX file that a record states: inputs, outputs, size of its weights.

The file is read as data; nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.stac.mlm.receptive_field import Reach, reach, receptive_field

if TYPE_CHECKING:
    import onnx

FREE = -1  # size of an axis that the graph leaves open, as MLM writes it
_SCORES = "mlops.scores"  # metadata that exporting writes


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph.

    Attributes:
        name: its name in the graph.
        data_type: type of its values, as NumPy names it.
        shape: size of each axis, `FREE` where any is taken; None if the graph does not state it.
    """

    name: str
    data_type: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class OnnxGraph:
    """The facts of an ONNX file.

    Attributes:
        inputs: without weights.
        outputs: in the order of the graph.
        weight_bytes: size of all constants of the graph: weights, trees, tables.
        scores: whether the output `scores` has `probabilities` or `logits`; None if unknown.
        receptive_field: height and width in pixels of what one output pixel depends on; None if
            unknown, or if the outputs are not maps.
        reach: how far around a pixel the network looks; None where `receptive_field` is.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weight_bytes: int
    scores: str | None
    receptive_field: tuple[int, int] | None
    reach: Reach | None


def read_graph(path: Path) -> OnnxGraph:
    """Read the facts of an ONNX file.

    Args:
        path: a file that was checked when it was exported or received.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxGraph(
        inputs=tuple(_tensor(entry) for entry in graph.input if entry.name not in weights),
        outputs=tuple(_tensor(entry) for entry in graph.output),
        weight_bytes=_constant_bytes(graph),
        scores=metadata.get(_SCORES),
        receptive_field=receptive_field(graph),
        reach=reach(graph),
    )


def _tensor(entry: onnx.ValueInfoProto) -> Tensor:
    from onnx import helper

    kind = entry.type.tensor_type
    shape = tuple(dim.dim_value or FREE for dim in kind.shape.dim)
    return Tensor(
        entry.name,
        helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
        shape if kind.HasField("shape") else None,
    )


def _constant_bytes(graph: onnx.GraphProto) -> int:
    """Return the size of initializers and of constants in attributes, of subgraphs too."""
    total = sum(map(_tensor_bytes, graph.initializer))
    for attribute in _attributes(graph):
        total += sum(map(_tensor_bytes, (attribute.t, *attribute.tensors)))
        total += 4 * len(attribute.floats) + 8 * len(attribute.ints)
        total += sum(len(text) for text in attribute.strings)
        total += sum(map(_constant_bytes, attribute.graphs))
        if attribute.HasField("g"):
            total += _constant_bytes(attribute.g)
    return total


def _attributes(graph: onnx.GraphProto) -> Iterator[onnx.AttributeProto]:
    for node in graph.node:
        yield from node.attribute


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    from onnx import TensorProto, helper

    if tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        return sum(len(text) for text in tensor.string_data)
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(np.prod(tensor.dims, dtype=np.int64)) * kind.itemsize
