"""Datatypes of the Open Inference Protocol, and the NumPy dtypes that hold them.

BF16 is not among them, as NumPy has none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# https://github.com/kserve/open-inference-protocol, "Tensor Data Types"; texts are `object`
DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(dtype: np.dtype[np.generic]) -> str:
    """Return the protocol's name of a dtype; texts of any kind are `BYTES`.

    Args:
        dtype: of an array that a model takes or gives.

    Raises:
        ValueError: the protocol has no such type.
    """
    if dtype.kind in "OSU":
        return "BYTES"
    try:
        return _NAMES[dtype.newbyteorder("=")]
    except KeyError:
        raise ValueError(f"the Open Inference Protocol has no datatype for {dtype}") from None
