"""The receptive field of a network whose output is a map: how far around a pixel it looks.

It is read from the graph, from a pixel of the output back to the input, through what each operation
reads. Weights may be zero, so a pixel may depend on less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

# each value of the result depends on values at its own place only
_POINTWISE = frozenset(
    {
        *("Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "Div", "Dropout", "Elu"),
        *("Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu"),
        *("Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal"),
        *("Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Sub"),
        *("Sum", "Tanh", "ThresholdedRelu", "Where"),
    }
)
# these join the values of one axis, which must not be of pixels
_ALONG_AXIS = frozenset({"Concat", "LogSoftmax", "Softmax"})
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
# pixels that an interpolation reads on either side of a place between two of them
_INTERPOLATED = {"linear": 1, "cubic": 2}
# neighbouring output pixels, of which the one that sees most counts; more than networks shrink by
_PIXELS = 256
_PLACES = np.arange(_PIXELS)

T = TypeVar("T")
Indices = NDArray[np.int64]
_Constants = Mapping[str, "onnx.TensorProto"]


@dataclass(frozen=True)
class _Side:
    """The pixels that are needed along one axis of a tensor, for each pixel of the output.

    Attributes:
        axis: the axis of the tensor.
        first: indices of the first ones; they may lie beyond the edge.
        last: indices of the last ones.
    """

    axis: int
    first: Indices
    last: Indices

    def joined(self, other: _Side) -> _Side:
        if self.axis != other.axis:
            raise _Unknown
        return _Side(
            self.axis, np.minimum(self.first, other.first), np.maximum(self.last, other.last)
        )

    @property
    def extent(self) -> int:
        return int((self.last - self.first).max()) + 1


_Sides = tuple[_Side, _Side]


class _Unknown(Exception):
    """The graph has an operation whose reach is not known."""


@dataclass(frozen=True)
class Reach:
    """The pixels around a place that its output depends on, whatever the place.

    Attributes:
        radius: the largest distance, in rows or columns.
        stride: the network treats places that are a multiple of this apart alike.
    """

    radius: int
    stride: int


def receptive_field(graph: onnx.GraphProto) -> tuple[int, int] | None:
    """Return the receptive field of the first output of a graph that is a map.

    Args:
        graph: with one input of shape (batch, bands, height, width).

    Returns:
        Height and width in pixels; None if the input is something else, no output has pixels, or an
        operation mixes pixels in a way that is not known here, as a mean over the whole window.
    """
    found = _traced(graph)
    return None if found is None else (found[0][0].extent, found[0][1].extent)


def reach(graph: onnx.GraphProto) -> Reach | None:
    """Return how far around a pixel the first output of a graph that is a map looks.

    Args:
        graph: see `receptive_field`.

    Returns:
        None where `receptive_field` is None.
    """
    found = _traced(graph)
    if found is None:
        return None
    sides, stride = found
    radius = max(int(np.abs(end - _PLACES).max()) for own in sides for end in (own.first, own.last))
    return Reach(radius, stride)


def _traced(graph: onnx.GraphProto) -> tuple[_Sides, int] | None:
    """Return what each pixel of the map needs of the input, and the stride of the network."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]
    maps = [entry.name for entry in graph.output if _rank(entry) == 4]
    if len(inputs) != 1 or _rank(inputs[0]) != 4 or not maps:
        return None
    computed = {inputs[0].name}  # from the input
    for node in graph.node:
        if node.op_type == "Constant":
            for entry in node.attribute:
                if entry.name == "value":
                    constants[node.output[0]] = entry.t
        elif not computed.isdisjoint(node.input):
            computed |= set(node.output)
    needed: dict[str, _Sides] = {maps[0]: (_Side(2, _PLACES, _PLACES), _Side(3, _PLACES, _PLACES))}
    try:
        for node in reversed(graph.node):
            found = [needed[name] for name in node.output if name in needed]
            if not found:
                continue
            own = _read_by(node, found[0], constants)
            for name in computed.intersection(node.input):
                known = needed.get(name, own)
                needed[name] = (known[0].joined(own[0]), known[1].joined(own[1]))
        sides = needed.pop(inputs[0].name)
        inner = [_period(side) for pair in needed.values() for side in pair]
        return sides, math.lcm(*inner, *map(_period, sides))
    except (_Unknown, KeyError):
        return None


def _period(side: _Side) -> int:
    """Return after how many places of the output the pixels that are needed repeat.

    Raises:
        _Unknown: they do not within those that are looked at.
    """
    for period in range(1, _PIXELS // 2 + 1):
        moves = [own[period:] - own[:-period] for own in (side.first, side.last)]
        if all((move == move[0]).all() for move in moves):
            return period
    raise _Unknown


def _rank(entry: onnx.ValueInfoProto) -> int:
    return len(entry.type.tensor_type.shape.dim)


def _read_by(node: onnx.NodeProto, sides: _Sides, constants: _Constants) -> _Sides:
    """Return the pixels that a node reads for pixels of its result.

    Raises:
        _Unknown: its operation is not among those known here.
    """
    kind = node.op_type
    if kind in _POINTWISE:
        return sides
    if kind in _ALONG_AXIS:
        # from the end, axes count differently in tensors of other ranks; all here have four
        if _attribute(node, "axis", lambda own: own.i, -1) % 4 in (side.axis for side in sides):
            raise _Unknown
        return sides
    if kind == "Transpose":
        order = _integers(node, "perm", [3, 2, 1, 0])
        return _each(sides, lambda side, _: replace(side, axis=order[side.axis]))
    if kind == "Pad":
        before = _constant(node, 1, constants)
        return _each(sides, lambda side, _: _moved(side, 1, -int(before[side.axis])))
    if kind == "Resize":
        scales = _constant(node, 2, constants)
        return _each(sides, lambda side, _: _resized(side, scales[side.axis], node))
    if kind not in ("Conv", "ConvTranspose", *_POOLS) or (sides[0].axis, sides[1].axis) != (2, 3):
        raise _Unknown
    kernel = _integers(node, "kernel_shape", [])
    kernel = kernel or list(constants[node.input[1]].dims[2:])
    read = _spread if kind == "ConvTranspose" else _convolved
    return _each(sides, lambda side, place: read(side, _Window.of(node, kernel, place)))


@dataclass(frozen=True)
class _Window:
    """A kernel along one axis: the pixels it spans after its first, stride, and padding before."""

    reach: int
    stride: int
    before: int

    @classmethod
    def of(cls, node: onnx.NodeProto, kernel: Sequence[int], place: int) -> _Window:
        """Return the kernel of a node along the first or second axis of pixels."""
        reach = (kernel[place] - 1) * _integers(node, "dilations", [1, 1])[place]
        same = _text(node, "auto_pad") in ("SAME_UPPER", "SAME_LOWER")
        before = reach // 2 if same else _integers(node, "pads", [0, 0])[place]
        return cls(reach, _integers(node, "strides", [1, 1])[place], before)


def _convolved(side: _Side, window: _Window) -> _Side:
    found = _moved(side, window.stride, -window.before)
    return replace(found, last=found.last + window.reach)


def _spread(side: _Side, window: _Window) -> _Side:
    """Of a transposed convolution: pixel `o` takes each `i` with `o = stride * i - before + k`."""
    first = -((window.reach - window.before - side.first) // window.stride)
    return replace(side, first=first, last=(side.last + window.before) // window.stride)


def _resized(side: _Side, scale: float, node: onnx.NodeProto) -> _Side:
    if scale == 1:
        return side
    mode = _text(node, "mode") or "nearest"
    if mode == "nearest" and scale > 1 and scale.is_integer():
        return replace(side, first=side.first // int(scale), last=side.last // int(scale))
    corners = _text(node, "coordinate_transformation_mode") or "half_pixel"
    if mode not in _INTERPOLATED or corners not in ("half_pixel", "pytorch_half_pixel"):
        raise _Unknown
    reach = _INTERPOLATED[mode]
    first, last = (np.floor((place + 0.5) / scale - 0.5) for place in (side.first, side.last))
    return replace(
        side, first=(first - reach + 1).astype(np.int64), last=(last + reach).astype(np.int64)
    )


def _moved(side: _Side, stride: int, offset: int) -> _Side:
    return replace(side, first=side.first * stride + offset, last=side.last * stride + offset)


def _attribute(
    node: onnx.NodeProto, name: str, value: Callable[[onnx.AttributeProto], T], default: T
) -> T:
    found = [value(entry) for entry in node.attribute if entry.name == name]
    return found[0] if found else default


def _integers(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    return _attribute(node, name, lambda own: list(own.ints), default)


def _text(node: onnx.NodeProto, name: str) -> str:
    return _attribute(node, name, lambda own: own.s.decode(), "")


def _constant(node: onnx.NodeProto, position: int, constants: _Constants) -> list[float]:
    """Return the values of an input that is constant, one an axis.

    Raises:
        _Unknown: it is computed, or not given.
    """
    from onnx import numpy_helper

    name = node.input[position] if len(node.input) > position else ""
    if name not in constants or len(found := numpy_helper.to_array(constants[name]).ravel()) < 4:
        raise _Unknown
    return [float(value) for value in found]


def _each(sides: _Sides, read: Callable[[_Side, int], _Side]) -> _Sides:
    return read(sides[0], 0), read(sides[1], 1)
