"""Tensors of a request, checked against what a model takes, before memory is taken for them.

A shape is only a claim of the caller: no array is larger than the data that came with it.
"""

from __future__ import annotations

import array
import math
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.protocol.datatypes import DTYPES
from mlops_assets.serving.sessions.interface import TensorSpec

_SHOWN = 100  # characters of a caller's own text in a message
_LENGTH = 4  # bytes before each element of BYTES: its length, little endian
_TYPES: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}
_WANTED = {
    "b": "true or false",
    "i": "integers",
    "u": "integers from 0",
    "f": "numbers",
    "O": "strings",
}
_FOUND = {type(None): "null", dict: "an object", str: "a string", bool: "a Boolean", list: "a list"}


def shown(value: object) -> str:
    """Return a caller's own value for a message, cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def check_shape(spec: TensorSpec, shape: object) -> tuple[int, ...]:
    """Return the shape that a caller states for an input.

    Args:
        spec: the input, as the model takes it.
        shape: as the request has it.

    Raises:
        RequestRefused: it is not a shape, or not one that the model takes.
    """
    where = f"inputs: {spec.name!r}"
    if not isinstance(shape, list) or not all(type(size) is int for size in shape[:64]):
        raise RequestRefused(f"{where} needs 'shape', a list of integers: {_expected(spec)}")
    if len(shape) != len(spec.shape):
        raise RequestRefused(
            f"{where} has a shape of {len(shape)} axes, and the model takes {len(spec.shape)}:"
            f" {_expected(spec)}"
        )
    for axis, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
        if size < 1 or (wanted >= 0 and size != wanted):
            raise RequestRefused(
                f"{where} has the size {shown(size)} on axis {axis}: {_expected(spec)}"
            )
    return tuple(shape)


def check_datatype(spec: TensorSpec, datatype: object) -> np.dtype[np.generic]:
    """Return the dtype of an input.

    Args:
        spec: the input, as the model takes it.
        datatype: as the request has it.

    Raises:
        RequestRefused: the model takes another, which is not converted silently.
    """
    if datatype != spec.datatype:
        raise RequestRefused(
            f"inputs: {spec.name!r} has the datatype {shown(datatype)}, and the model takes"
            f" {spec.datatype}; convert the data"
        )
    return DTYPES[spec.datatype]


def from_json(
    spec: TensorSpec, shape: tuple[int, ...], dtype: np.dtype[np.generic], data: object
) -> NDArray[np.generic]:
    """Return a tensor that came as JSON.

    Args:
        spec: the input, as the model takes it.
        shape: that was checked.
        dtype: that was checked.
        data: flat in row-major order, or nested as the shape has it.

    Returns:
        An array of this dtype and shape.

    Raises:
        RequestRefused: shape and data disagree, or a value has another type or is out of range.
    """
    where = f"inputs: {spec.name!r}"
    if not isinstance(data, list):
        raise RequestRefused(f"{where} needs 'data', a list, or binary data")
    values = _flat(where, shape, data)
    if dtype.kind == "f":
        return _real_numbers(where, spec, dtype, values).reshape(shape)
    _check_types(where, spec, dtype, values)
    if dtype.kind == "O":
        texts = np.empty(len(values), dtype)
        texts[:] = values
        return texts.reshape(shape)
    try:
        return np.fromiter(values, dtype, len(values)).reshape(shape)
    except OverflowError:
        raise _out_of_range(where, spec) from None


def from_bytes(
    spec: TensorSpec,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    data: memoryview,
    finite: bool,
) -> NDArray[np.generic]:
    """Return a tensor that came as bytes, little endian, in row-major order.

    Args:
        spec: the input, as the model takes it.
        shape: that was checked.
        dtype: that was checked.
        data: all bytes of this tensor.
        finite: whether NaN and infinities are refused.

    Returns:
        An array of this dtype and shape, which shares the memory of `data` where it can.

    Raises:
        RequestRefused: shape and bytes disagree, or a value is refused.
    """
    where = f"inputs: {spec.name!r}"
    count = math.prod(shape)
    if dtype.kind == "O":
        return _texts(where, count, data).reshape(shape)
    if count * dtype.itemsize != len(data):
        raise RequestRefused(
            f"{where} has {len(data)} bytes of binary data, and {spec.datatype} of this shape takes"
            f" {count * dtype.itemsize}"
        )
    tensor = np.frombuffer(data, dtype.newbyteorder("<"))
    if not tensor.flags.aligned or not tensor.dtype.isnative:
        tensor = tensor.astype(dtype)
    if dtype.kind == "b" and (tensor.view(np.uint8) > 1).any():
        raise RequestRefused(f"{where} has other bytes than 0 and 1, and BOOL takes these")
    if finite and dtype.kind == "f" and not np.isfinite(tensor).all():
        raise RequestRefused(
            f"{where} has NaN or infinite values, which this server refuses; fill them"
        )
    return tensor.reshape(shape)


def to_bytes(tensor: NDArray[np.generic]) -> bytes:
    """Return a tensor as bytes, little endian, in row-major order; texts with their lengths."""
    if tensor.dtype.kind not in "OSU":
        return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = (
        each if isinstance(each, bytes) else str(each).encode() for each in tensor.ravel().tolist()
    )
    return b"".join(
        part for each in encoded for part in (len(each).to_bytes(_LENGTH, "little"), each)
    )


def _flat(where: str, shape: tuple[int, ...], data: list[object]) -> list[object]:
    """Return values in row-major order.

    Raises:
        RequestRefused: there are more or fewer than the shape has, or they are nested otherwise.
    """
    values = data
    if data and type(data[0]) is list:
        for axis, size in enumerate(shape):
            if axis:
                lists: list[list[object]] = values  # type: ignore[assignment]
                if set(map(type, values)) != {list} or set(map(len, lists)) != {size}:
                    raise RequestRefused(
                        f"{where} has nested 'data' that disagrees with its shape on axis {axis};"
                        " nest it as the shape has it, or write it flat"
                    )
                values = list(chain.from_iterable(lists))
            elif len(values) != size:
                raise RequestRefused(
                    f"{where} has {len(values)} lists in 'data', and its shape {size}"
                )
    elif len(values) != math.prod(shape):
        raise RequestRefused(
            f"{where} has {len(values)} values in 'data', and its shape takes"
            f" {shown(math.prod(shape))}"
        )
    return values


def _real_numbers(
    where: str, spec: TensorSpec, dtype: np.dtype[np.generic], values: list[object]
) -> NDArray[np.generic]:
    """Return numbers as an array.

    Looking at the type of each value would take longer than reading it: `array` refuses all but
    numbers and Booleans, and these are 0 or 1.

    Raises:
        RequestRefused: a value is something else, or is out of range.
    """
    try:
        # it reads a list in the time that np.fromiter takes, which reads strings as numbers, too
        read = array.array("f" if dtype.itemsize == 4 else "d", values)  # type: ignore[type-var]
    except TypeError:
        _check_types(where, spec, dtype, values)
        raise
    with np.errstate(over="ignore"):
        numbers = np.frombuffer(read, f"f{read.itemsize}").astype(dtype, copy=False)
    if ((numbers == 0) | (numbers == 1)).any():
        _check_types(where, spec, dtype, values)
    # numbers of JSON are finite
    if not np.isfinite(numbers).all():
        raise _out_of_range(where, spec)
    return numbers


def _check_types(
    where: str, spec: TensorSpec, dtype: np.dtype[np.generic], values: list[object]
) -> None:
    types = set(map(type, values))
    allowed = _TYPES[dtype.kind]
    if types <= allowed:
        return
    other = next(iter(types - allowed))
    numeric = "a number with a fraction" if dtype.kind in "iu" else "a number"
    raise RequestRefused(
        f"{where} has {_FOUND.get(other, numeric)} in 'data', and {spec.datatype} takes"
        f" {_WANTED[dtype.kind]}"
    )


def _texts(where: str, count: int, data: memoryview) -> NDArray[np.generic]:
    if count * _LENGTH > len(data):
        raise RequestRefused(
            f"{where} has {len(data)} bytes of binary data, too few for {shown(count)} strings"
        )
    texts = []
    offset = 0
    for _ in range(count):
        start = offset + _LENGTH
        offset = start + int.from_bytes(data[offset:start], "little")
        if offset > len(data):
            break
        try:
            texts.append(str(data[start:offset], "utf-8"))
        except UnicodeDecodeError:
            raise RequestRefused(f"{where} has a string that is not UTF-8") from None
    if len(texts) != count or offset != len(data):
        raise RequestRefused(
            f"{where} has binary data that is not {count} strings, each after its length of"
            f" {_LENGTH} bytes"
        )
    tensor = np.empty(count, np.object_)
    tensor[:] = texts
    return tensor


def _expected(spec: TensorSpec) -> str:
    return f"write {list(spec.shape)}, where -1 stands for any size from 1"


def _out_of_range(where: str, spec: TensorSpec) -> RequestRefused:
    return RequestRefused(f"{where} has a number in 'data' that is out of range of {spec.datatype}")
