"""The answer to an inference request: JSON, and binary tensors after it where they are wanted.

NaN and infinities are not numbers of JSON: they are `null` there, and kept in binary tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from mlops_assets.serving.protocol.datatypes import datatype_of
from mlops_assets.serving.protocol.request import HEADER_LENGTH, InferenceRequest
from mlops_assets.serving.protocol.tensors import to_bytes
from mlops_assets.serving.sessions.interface import ServedVersion

_JSON = ((b"content-type", b"application/json"),)
_BINARY = (b"content-type", b"application/octet-stream")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to be sent.

    Attributes:
        body: all bytes.
        headers: of HTTP, as ASGI has them.
    """

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def write_answer(
    served: ServedVersion,
    request: InferenceRequest,
    outputs: Mapping[str, NDArray[np.generic]],
) -> Answer:
    """Return the answer to a request.

    Args:
        served: the version that has answered.
        request: the request.
        outputs: tensors, by name.
    """
    entries: list[dict[str, object]] = []
    parts: list[bytes] = []
    for wanted in request.outputs:
        array = outputs[wanted.name]
        entry: dict[str, object] = {
            "name": wanted.name,
            "datatype": datatype_of(array.dtype),
            "shape": array.shape,
        }
        if wanted.binary:
            parts.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = _values(array)
        entries.append(entry)
    head = orjson.dumps(
        {
            "model_name": served.name,
            "model_version": served.version,
            "id": request.id,
            "outputs": entries,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    if not parts:
        return Answer(head, _JSON)
    length = (HEADER_LENGTH.encode(), str(len(head)).encode())
    return Answer(b"".join([head, *parts]), (_BINARY, length))


def _values(array: NDArray[np.generic]) -> NDArray[np.generic] | Sequence[object]:
    """Return values in row-major order, as orjson writes them."""
    if array.dtype.kind in "OSU":
        return [
            each.decode(errors="replace") if isinstance(each, bytes) else str(each)
            for each in array.ravel().tolist()
        ]
    return np.ascontiguousarray(array).ravel()
