"""An ONNX file of anybody with the platform's input and outputs.

Its own nodes stay as they are; scaling, orders of axes, bands and classes are put before and after
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.integrations.mlm.compare import Adaptation
from mlops_assets.integrations.mlm.scaling import BandScaling
from mlops_assets.integrations.mlm.tensors import dims_of, inputs_of
from mlops_assets.models.onnx.graph import OPSET, conform

if TYPE_CHECKING:
    import onnx

_PREFIX = "import/"


def adapt(model: onnx.ModelProto, how: Adaptation, sample_shape: tuple[int, ...]) -> None:
    """Give a model the platform's input and outputs, in place, and check it.

    Args:
        model: as it was read.
        how: what is put before and after its nodes.
        sample_shape: shape of one sample, bands first.

    Raises:
        ExportError: it is not a valid graph.
    """
    from onnx import TensorProto, helper

    if not any(entry.domain == "" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))
    graph = model.graph
    (old,) = inputs_of(model)
    front = _Chain(graph, f"{_PREFIX}input", "front")
    if how.bands is not None:
        front.add("Gather", np.array(how.bands, dtype=np.int64), axis=1)
    _scale(front, how.scaling, len(sample_shape) - 1)
    if how.axes is not None:
        front.add("Transpose", perm=list(how.axes))
    if how.data_type != TensorProto.FLOAT:
        front.add("Cast", to=how.data_type)
    front.end(old.name)
    for position, node in enumerate(front.nodes):
        graph.node.insert(position, node)
    del graph.input[:]
    graph.input.append(
        helper.make_tensor_value_info(
            f"{_PREFIX}input", TensorProto.FLOAT, ["batch", *sample_shape]
        )
    )
    output = _adapt_output(model, how)
    del graph.output[:]
    graph.output.append(output)
    conform(model, sample_shape, {output.name: how.gives})


def _adapt_output(model: onnx.ModelProto, how: Adaptation) -> onnx.ValueInfoProto:
    """Add the nodes after the output that is evaluated, and return what they give."""
    from onnx import TensorProto, helper

    graph = model.graph
    old = next(entry for entry in graph.output if entry.name == how.output)
    kind = old.type.tensor_type.elem_type
    dims = dims_of(old) or [None] * how.output_rank
    back = _Chain(graph, old.name, "back")
    if how.output_axes is not None:
        back.add("Transpose", perm=list(how.output_axes))
        dims = [dims[axis] for axis in how.output_axes]
    if how.gives == "label":
        wanted = TensorProto.INT64
    elif kind in (TensorProto.FLOAT, TensorProto.DOUBLE):
        wanted = kind
    else:
        wanted = TensorProto.FLOAT
    if kind != wanted:
        back.add("Cast", to=wanted)
    if isinstance(how.classes, Mapping):
        back.add("Gather", _table(how.classes), axis=0, swapped=True)
    elif how.classes is not None:
        back.add("Gather", np.array(how.classes, dtype=np.int64), axis=1)
    back.end(f"{_PREFIX}output")
    graph.node.extend(back.nodes)
    return helper.make_tensor_value_info(f"{_PREFIX}output", wanted, ["batch", *dims[1:]])


def _scale(chain: _Chain, scaling: Sequence[BandScaling], pixels: int) -> None:
    """Add scaling in float32: subtraction, division and clipping, as far as a band has them."""
    if not scaling:
        return

    def figures(values: Sequence[float]) -> NDArray[np.float32]:
        return np.array(values, dtype=np.float32).reshape(1, -1, *(1 for _ in range(pixels)))

    for operation, name, neutral in (
        ("Sub", "offset", 0.0),
        ("Div", "divisor", 1.0),
        ("Max", "low", -np.inf),
        ("Min", "high", np.inf),
    ):
        values = [float(getattr(entry, name)) for entry in scaling]
        if any(value != neutral for value in values):
            chain.add(operation, figures(values))


def _table(indices: Mapping[int, int]) -> NDArray[np.int64]:
    """Return value → index, -1 where no class has the value."""
    table = np.full(max(indices) + 1, -1, dtype=np.int64)
    table[list(indices)] = list(indices.values())
    return table


class _Chain:
    """Nodes that each take what the one before gives."""

    def __init__(self, graph: onnx.GraphProto, start: str, name: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._graph = graph
        self._last = start
        self._name = name

    def add(
        self,
        operation: str,
        constant: NDArray[np.generic] | None = None,
        swapped: bool = False,
        **attributes: int | list[int],
    ) -> None:
        """Add a node; `swapped` has its constant before what the last one gave."""
        from onnx import helper, numpy_helper

        name = f"{_PREFIX}{self._name}_{len(self.nodes)}_{operation}"
        given = [self._last]
        if constant is not None:
            self._graph.initializer.append(numpy_helper.from_array(constant, f"{name}_constant"))
            given.insert(0 if swapped else 1, f"{name}_constant")
        node = helper.make_node(operation, given, [name], name=name)
        node.attribute.extend(helper.make_attribute(*entry) for entry in attributes.items())
        self.nodes.append(node)
        self._last = name

    def end(self, target: str) -> None:
        """Give what the last node gives the name that the rest of the graph has for it."""
        from onnx import helper

        name = f"{_PREFIX}{self._name}_end"
        self.nodes.append(helper.make_node("Identity", [self._last], [target], name=name))
