"""NPY files as images, without unpickling; a header that many files share is parsed once."""

from __future__ import annotations

import io
import math
import os
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import require_finite
from mlops_assets.datasets.versions.contents import FileRow

_HEAD = 128  # bytes of the header that NumPy writes for a plain array; longer ones are read whole
_UNREADABLE = "cannot be read as an array: {}; save a whole numeric array with numpy.save"
_REFUSED = (
    ValueError,
    OSError,
    EOFError,
    TypeError,
    OverflowError,
    SyntaxError,
    TokenError,
    MemoryError,  # of Python's parser, for a header of thousands of characters
    RecursionError,
)


def open_npy(local: Path) -> NDArray[np.number]:
    """Open an array of shape (bands, height, width), or (height, width) of one band.

    Returns:
        The memory-mapped array, shape (bands, height, width), of the file's own type.

    Raises:
        ValueError: it is truncated, or not an array of real numbers of such a shape.
    """
    try:
        array: NDArray[np.number] = np.load(local, mmap_mode="r", allow_pickle=False)
    except _REFUSED as error:
        raise ValueError(_UNREADABLE.format(error)) from error
    return array.reshape(_image_shape(array.shape, array.dtype))


def npy_from(content: bytes) -> NDArray[np.number]:
    """Open an array that is in memory; see `open_npy`.

    Returns:
        The array, read-only, which shares the memory of `content`.

    Raises:
        ValueError: it is truncated, or not an array of real numbers of such a shape.
    """
    array: NDArray[np.number]
    try:
        header = _plain_header(content[:_HEAD], len(content))
        if header is None:
            array = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            array = np.frombuffer(content, header.dtype, offset=header.end)
            array = array.reshape(header.shape, order="F" if header.fortran else "C")
    except _REFUSED as error:
        raise ValueError(_UNREADABLE.format(error)) from error
    return array.reshape(_image_shape(array.shape, array.dtype))


def npy_facts(local: Path) -> FileRow:
    """Return height, width, count and dtype of an array, as a manifest row has them.

    Raises:
        ValueError: it is truncated, not an array of real numbers of such a shape, or has values
            that are infinite or NaN.
    """
    try:
        with local.open("rb") as stream:
            header = _plain_header(stream.read(_HEAD), os.fstat(stream.fileno()).st_size)
    except _REFUSED:
        header = None
    if header is None or header.dtype.kind == "f":
        array = open_npy(local)
        require_finite(array, None)
        shape, name = array.shape, _name(array.dtype)
    else:
        shape, name = _image_shape(header.shape, header.dtype), _name(header.dtype)
    count, height, width = shape
    return {"height": height, "width": width, "count": count, "dtype": name}


class _Header(NamedTuple):
    """A header of format 1.0: what the array is like, and the length of the header in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]
    end: int


def _plain_header(head: bytes, size: int) -> _Header | None:
    """Return the header of a file of format 1.0 that is as long as its header has it.

    None where NumPy must parse the header.

    Args:
        head: the first bytes of the file.
        size: of the file, in bytes.
    """
    end = 10 + int.from_bytes(head[8:10], "little")
    if head[:8] != b"\x93NUMPY\x01\x00" or end > len(head):
        return None
    try:
        header = _parsed(head[:end])
    except _REFUSED:
        return None
    length = end + header.dtype.itemsize * math.prod(header.shape)
    return None if header.dtype.hasobject or size != length else header


@lru_cache(maxsize=256)
def _parsed(head: bytes) -> _Header:
    stream = io.BytesIO(head)
    np.lib.format.read_magic(stream)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    return _Header(shape, fortran, dtype, len(head))


@lru_cache(maxsize=64)
def _name(dtype: np.dtype[np.generic]) -> str:
    return dtype.name  # which NumPy puts together each time


def _image_shape(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> tuple[int, ...]:
    whole = (1, *shape) if len(shape) == 2 else shape
    if len(whole) != 3 or dtype.kind not in "uif" or 0 in whole:
        remedy = "; save their amplitude (numpy.abs), or their real and imaginary part as two bands"
        raise ValueError(
            f"is an array of {dtype} of shape {shape}; images are numbers of shape (bands, rows,"
            f" columns){remedy if dtype.kind == 'c' else ''}"
        )
    return whole
