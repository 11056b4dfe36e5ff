"""The ONNX graph of a network with a further output: the features that its last layer takes.

The applicability of a network is measured in the space of these features. Weights, input and other
outputs stay as they are. Models without hidden layers (trees, linear models) have no such features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import ExportError
from mlops_assets.models.onnx.graph import require_valid
from mlops_assets.models.onnx.parts import DOMAINS, nodes, tensors
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    import onnx

FEATURES = "features"  # name of the output
FEATURES_FILE = "features.onnx"  # beside model.onnx
# by the axis of features in the input of the layer
_FEATURES_SECOND = ("Conv", "ConvTranspose")
_FEATURES_LAST = ("Gemm", "MatMul")
# with weights, but not layers of a network, or with weights that are not numbers of their own
_OTHER_LAYERS = ("Linear", "SVM", "TreeEnsemble", "QLinear", "Einsum", "GRU", "LSTM", "RNN")
# most cells of a window, times (features + 64): comparing so many with 2,000 references takes about
# a tenth of the time of a network of 1 GFLOP a window; measured, see docs/decisions/0050
_CELLS = 10_000
_BESIDE_FEATURES = 64


@dataclass(frozen=True)
class Features:
    """The output `features` of a graph.

    It has shape (batch, count), or for models on windows (batch, count, rows, columns) of cells.

    Attributes:
        count: number of features.
        cell: side of a cell in pixels, over which features are averaged; None where samples are not
            windows.
    """

    count: int
    cell: int | None

    def document(self) -> JsonObject:
        """Return this as JSON values."""
        return asdict(self)


def features_graph(model: Path, target: Path, X: NDArray[np.float32]) -> Features:
    """Write an ONNX file that gives the outputs of another one, and its features.

    Features are what the last layer with weights takes, on the way from the input to the scores or
    the value. Those of windows are averaged over cells, as large as keep the cost of an
    applicability map low; those of images and patches over all of their pixels.

    Args:
        model: the ONNX file, which stays as it is.
        target: of the new file; nothing is written if there are no features.
        X: samples on which both files must give equal outputs, raw, float32 of (n, *sample_shape);
            at least one.

    Raises:
        ExportError: the model has no such features; the message has the reason.
    """
    import onnx

    proto = onnx.load(model, load_external_data=False)
    layer = _last_layer(_checked(proto))
    source = layer.input[0]
    raw = _output_shapes(proto, source, X[: min(3, len(X))])
    found, added = _reduced(layer, raw, X.shape[1:])
    proto.graph.node.extend(added)
    sizes: list[str | int] = ["batch", found.count]
    if found.cell is not None:
        side = X.shape[2] // found.cell
        sizes += [side, side]
    proto.graph.output.append(
        onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, sizes)
    )
    require_valid(proto)
    target.write_bytes(proto.SerializeToString())
    try:
        _require_equal(OnnxModel(model), OnnxModel(target), X)
    except ExportError:
        target.unlink()
        raise
    return found


def cell_of(features: Path) -> int | None:
    """Return the side of a cell in pixels in an ONNX file with features of windows; None otherwise.

    Args:
        features: as `features_graph` has written it.
    """
    import onnx

    graph = onnx.load(features, load_external_data=False).graph
    (output,) = (own for own in graph.output if own.name == FEATURES)
    sides = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    size = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    return size[-1] // sides[-1] if len(sides) == 4 else None


def head_graph(model: Path, target: Path) -> bool:
    """Write an ONNX file of the last layer of a model and what follows it.

    It gives the outputs of the model for features.

    Args:
        model: the ONNX file, which stays as it is.
        target: of the new file; nothing is written if there is no such layer.

    Returns:
        Whether the layer is a convolution and takes features as (n, count, 1, 1), not (n, count).

    Raises:
        ExportError: the outputs depend on more than the features of one pixel or sample.
    """
    import onnx

    proto = onnx.load(model, load_external_data=False)
    layer = _last_layer(_checked(proto))
    source = layer.input[0]
    convolves = layer.op_type in _FEATURES_SECOND
    kernel = [side for own in layer.attribute if own.name == "kernel_shape" for side in own.ints]
    if not kernel:
        # exporters may leave it to the weights
        kernel = [
            side
            for own in proto.graph.initializer
            if own.name == layer.input[1]
            for side in own.dims[2:]
        ]
    if convolves and (not kernel or any(side != 1 for side in kernel)):
        raise ExportError("its last layer takes more than one pixel")
    needed = {output.name for output in proto.graph.output}
    kept: list[onnx.NodeProto] = []
    # nodes come after those that they take values from
    for node in reversed(proto.graph.node):
        if needed.intersection(node.output) and source not in node.output:
            kept.insert(0, node)
            needed.update(node.input)
    if needed.intersection(entry.name for entry in proto.graph.input):
        raise ExportError("its outputs depend on its input past the last layer, too")
    kept.insert(0, onnx.helper.make_node("Identity", ["input"], [source], name="take_features"))
    del proto.graph.node[:], proto.graph.input[:], proto.graph.value_info[:]
    proto.graph.node.extend(kept)
    proto.graph.input.append(
        onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, None)
    )
    weights = [own for own in proto.graph.initializer if own.name in needed]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(weights)
    target.write_bytes(proto.SerializeToString())
    return convolves


def as_samples(features: NDArray[np.number]) -> NDArray[np.float32]:
    """Return features as one row a sample or cell.

    Args:
        features: an output `features`, (n, count) or (n, count, rows, columns).

    Returns:
        (n, count), or (n * rows * columns, count), window by window and row by row.
    """
    return np.ascontiguousarray(
        np.moveaxis(features, 1, -1).reshape(-1, features.shape[1]), dtype=np.float32
    )


def _checked(proto: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph of a model.

    Raises:
        ExportError: it needs other files or operators, takes several inputs, or has branches.
    """
    from onnx import TensorProto

    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors(proto.graph)):
        raise ExportError("its weights are in other files")
    foreign = sorted({node.domain for node in nodes(proto.graph)} - set(DOMAINS))
    if foreign or len(proto.functions):
        raise ExportError(f"it has custom operators of {', '.join(foreign) or 'its own'}")
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [entry.name for entry in proto.graph.input if entry.name not in weights]
    if len(inputs) != 1:
        raise ExportError(f"it has {len(inputs)} inputs, where one is expected")
    names = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    if FEATURES in names:
        raise ExportError(f"its graph has a value called {FEATURES!r} already")
    return proto.graph


class _Walk:
    """The way through a graph from the output of its decisions back to the input."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        weights = {tensor.name for tensor in graph.initializer}
        self.made_by = {name: node for node in graph.node for name in node.output if name}
        self.computed = {entry.name for entry in graph.input} - weights  # from the input
        for node in graph.node:
            if not self.computed.isdisjoint(node.input):
                self.computed |= set(node.output)

    def back(self, name: str) -> Iterator[onnx.NodeProto]:
        """Yield the layers that a value is computed from, without those before other layers."""
        waiting, seen = [name], set()
        while waiting:
            node = self.made_by.get(waiting.pop(0))
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            if self.is_layer(node):
                yield node
            else:
                waiting += [own for own in node.input if own in self.computed]

    def is_layer(self, node: onnx.NodeProto) -> bool:
        """Return whether a node joins computed values with weights.

        Raises:
            ExportError: its input is not one row of numbers a sample, so it has no features.
        """
        inputs = [name for name in node.input if name in self.computed]
        if not inputs:
            return False
        kind = node.op_type
        if kind.startswith(_OTHER_LAYERS) or any(own.HasField("g") for own in node.attribute):
            raise ExportError(f"its last layer is {kind}, whose input is not a network's features")
        if kind not in (*_FEATURES_SECOND, *_FEATURES_LAST) or node.input[1] in self.computed:
            # attention multiplies computed values
            return False
        if node.input[0] not in self.computed or any(
            own.name == "transA" and own.i for own in node.attribute
        ):
            raise ExportError(f"its last layer is {kind} with features in the first axis")
        return True


def _last_layer(graph: onnx.GraphProto) -> onnx.NodeProto:
    """Return the layer that the decisions of a model are computed from.

    Raises:
        ExportError: there is none, or there are several, or it takes the model's input itself.
    """
    outputs = [entry.name for entry in graph.output]
    wanted = next((name for name in ("scores", "value") if name in outputs), outputs[0])
    walk = _Walk(graph)
    layers = list(walk.back(wanted))
    if not layers:
        raise ExportError("it has no layer with weights")
    if len({layer.input[0] for layer in layers}) > 1:
        listed = ", ".join(layer.name or layer.op_type for layer in layers)
        raise ExportError(f"several layers are its last ones, with inputs of their own: {listed}")
    if not any(walk.back(layers[0].input[0])):
        raise ExportError("it has one layer only, so its features are its predictors")
    return layers[0]


def _output_shapes(
    proto: onnx.ModelProto, name: str, X: NDArray[np.float32]
) -> tuple[tuple[int, ...], int]:
    """Return the shape of a value within a model for some samples, and the rank of its decisions.

    Raises:
        ExportError: onnxruntime does not give it, or it is not of floats.
    """
    import onnx
    import onnxruntime

    seen = onnx.ModelProto()
    seen.CopyFrom(proto)
    given = {entry.name for entry in seen.graph.output}
    if name not in given:
        seen.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            seen.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        wanted = next((own for own in ("scores", "value") if own in given), None)
        wanted = wanted or proto.graph.output[0].name
        values, decided = session.run([name, wanted], {session.get_inputs()[0].name: X})
    # the errors of onnxruntime have no common class
    except Exception as error:
        raise ExportError(f"onnxruntime does not give the input of its last layer: {error}") from (
            error
        )
    if values.dtype != np.float32 or not values.ndim or len(values) != len(X):
        raise ExportError(
            f"the input of its last layer is {values.dtype} of shape {values.shape} for"
            f" {len(X)} samples, not float32 with one entry a sample"
        )
    return values.shape, decided.ndim


def _reduced(
    layer: onnx.NodeProto, raw: tuple[tuple[int, ...], int], sample_shape: tuple[int, ...]
) -> tuple[Features, list[onnx.NodeProto]]:
    """Return the nodes that make features of the input of a layer.

    Args:
        layer: the last one.
        raw: shape of its input, and the rank of the decisions: 4 of maps.
        sample_shape: of the model.

    Raises:
        ExportError: a map is computed from an input that has no pixels.
    """
    from onnx import helper

    shape, decided = raw
    added: list[onnx.NodeProto] = []
    source = layer.input[0]

    def add(kind: str, **attributes: int | list[int]) -> None:
        nonlocal source
        result = f"{FEATURES}/{kind}"
        node = helper.make_node(kind, [source], [result], name=result)
        node.attribute.extend(helper.make_attribute(*own) for own in attributes.items())
        added.append(node)
        source = result

    if layer.op_type in _FEATURES_LAST and len(shape) > 2:
        last = len(shape) - 1
        add("Transpose", perm=[0, last, *range(1, last)])
        shape = (shape[0], shape[last], *shape[1:last])
    cell = None
    if decided == 4:
        cell, side = _cell(shape, sample_shape)
        if side > 1:
            add("AveragePool", kernel_shape=[side, side], strides=[side, side])
    elif len(shape) > 2:
        add("GlobalAveragePool")
        add("Flatten", axis=1)
    added.append(helper.make_node("Identity", [source], [FEATURES], name="give_features"))
    return Features(shape[1], cell), added


def _cell(shape: tuple[int, ...], sample_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the side of a cell in pixels of a window, and in values of the last layer's input.

    Raises:
        ExportError: these values do not lie on a grid over the window.
    """
    size = sample_shape[-1]
    if len(shape) != 4 or shape[2] != shape[3] or size % shape[2]:
        raise ExportError(
            f"the input of its last layer, of shape {shape}, is not a grid over windows of"
            f" {size} x {size} pixels"
        )
    most = max(1, math.isqrt(_CELLS // (shape[1] + _BESIDE_FEATURES)))
    side = next(
        own for own in range(1, shape[2] + 1) if shape[2] % own == 0 and shape[2] // own <= most
    )
    return side * size // shape[2], side


def _require_equal(model: OnnxModel, other: OnnxModel, X: NDArray[np.float32]) -> None:
    """Check that two models give equal outputs, bit by bit.

    Raises:
        ExportError: they do not.
    """
    found = other.predict(X)
    for name, expected in model.predict(X).items():
        if not np.array_equal(found[name], expected, equal_nan=expected.dtype.kind == "f"):
            raise ExportError(
                f"onnxruntime gives other {name} where the input of its last layer is an output"
            )
