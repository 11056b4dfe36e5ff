"""NPY files as images, without unpickling; a header that many files share is parsed once."""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import require_finite
from mlops_assets.datasets.versions.contents import FileRow

_HEAD = 128  # bytes of the header that NumPy writes for a plain array; longer ones are read whole
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
        raise ValueError(
            f"cannot be read as an array: {error}; save a whole numeric array with numpy.save"
        ) from error
    return array.reshape(_image_shape(array.shape, array.dtype))


def npy_facts(local: Path) -> FileRow:
    """Return height, width, count and dtype of an array, as a manifest row has them.

    Raises:
        ValueError: it is truncated, not an array of real numbers of such a shape, or has values
            that are infinite or NaN.
    """
    header = _plain_header(local)
    if header is None or header[1].kind == "f":
        array = open_npy(local)
        require_finite(array, None)
        header = array.shape, array.dtype
    (count, height, width), dtype = header
    return {"height": height, "width": width, "count": count, "dtype": dtype.name}


def _plain_header(local: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]] | None:
    """Return shape and type of a file of format 1.0 that is as long as its header has it.

    None where NumPy must parse the header.
    """
    try:
        with local.open("rb") as stream:
            head = stream.read(_HEAD)
            size = os.fstat(stream.fileno()).st_size
        end = 10 + int.from_bytes(head[8:10], "little")
        if head[:8] != b"\x93NUMPY\x01\x00" or end > len(head):
            return None
        shape, dtype = _parsed(head[:end])
    except _REFUSED:
        return None
    if dtype.hasobject or size != end + dtype.itemsize * int(np.prod(shape)):
        return None
    return _image_shape(shape, dtype), dtype


@lru_cache(maxsize=256)
def _parsed(head: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    stream = io.BytesIO(head)
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype


def _image_shape(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> tuple[int, ...]:
    whole = (1, *shape) if len(shape) == 2 else shape
    if len(whole) != 3 or dtype.kind not in "uif" or 0 in whole:
        remedy = "; save their amplitude (numpy.abs), or their real and imaginary part as two bands"
        raise ValueError(
            f"is an array of {dtype} of shape {shape}; images are numbers of shape (bands, rows,"
            f" columns){remedy if dtype.kind == 'c' else ''}"
        )
    return whole
