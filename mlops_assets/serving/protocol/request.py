"""An inference request: its JSON, and the binary tensors that may follow it.

The binary tensor extension is Triton's: `Inference-Header-Content-Length` is the length of the
JSON, and tensors follow in the order of the inputs that have `binary_data_size`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.protocol.tensors import (
    check_datatype,
    check_shape,
    from_bytes,
    from_json,
    shown,
)
from mlops_assets.serving.sessions.interface import TensorSpec

HEADER_LENGTH = "inference-header-content-length"
MAX_ID = 255  # characters
# lists, objects and names of their values: each takes 60 bytes of memory or more, and two or three
# of a body
MAX_NODES = 1_000_000
_NODES = (b"[", b"{", b":")


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that a caller asks for.

    Attributes:
        name: of the output.
        binary: whether it is sent as bytes.
    """

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A request that fits its model.

    Attributes:
        id: that the caller has given, or a new one.
        inputs: all of the model's inputs, by name.
        outputs: that are wanted, in this order.
    """

    id: str
    inputs: dict[str, NDArray[np.generic]]
    outputs: tuple[RequestedOutput, ...]


def read_request(
    body: bytes,
    header_length: str | None,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    finite: bool,
) -> InferenceRequest:
    """Return a request, checked against what a model takes and gives.

    Args:
        body: of the HTTP request.
        header_length: value of `Inference-Header-Content-Length`; None if it was not sent.
        inputs: that the model takes.
        outputs: that the model gives.
        finite: whether NaN and infinities in binary tensors are refused; JSON has none.

    Raises:
        RequestRefused: it is invalid, or does not fit the model.
    """
    length = len(body) if header_length is None else _header_length(header_length, len(body))
    document = _document(body if length == len(body) else memoryview(body)[:length])
    parameters = _parameters("the request", document)
    return InferenceRequest(
        id=_identifier(document.get("id")),
        inputs=_inputs(document.get("inputs"), inputs, memoryview(body)[length:], finite),
        outputs=_outputs(
            document.get("outputs"),
            outputs,
            _flag("the request", parameters, "binary_data_output", False),
        ),
    )


def read_document(body: bytes) -> dict[str, object]:
    """Return the object that a body holds; that of an empty body is empty.

    Raises:
        RequestRefused: it is not a JSON object.
    """
    return _document(body) if body.strip() else {}


def _header_length(text: str, size: int) -> int:
    valid = text.isascii() and text.isdecimal() and len(text) <= 19
    if not valid or not 0 < int(text) <= size:
        raise RequestRefused(
            f"the header Inference-Header-Content-Length is {shown(text)}: write the bytes of the"
            f" JSON at the start of the body, which has {size} bytes"
        )
    return int(text)


def _document(content: bytes | memoryview) -> dict[str, object]:
    head = content if isinstance(content, bytes) else bytes(content)
    if len(head) > 2 * MAX_NODES and sum(map(head.count, _NODES)) > MAX_NODES:
        raise RequestRefused(
            f"the body has more than {MAX_NODES} lists and colons; write 'data' flat, in row-major"
            " order, or send binary tensors"
        )
    try:
        document = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise RequestRefused("the body is not a JSON object; it needs 'inputs'")
    return document


def _identifier(value: object) -> str:
    if value is None or value == "":
        return str(uuid.uuid4())
    if not isinstance(value, str) or len(value) > MAX_ID or not value.isprintable():
        raise RequestRefused(
            f"'id' is {shown(value)}: write a string of at most {MAX_ID} printable characters, or"
            " leave it out"
        )
    return value


def _inputs(
    found: object, specs: tuple[TensorSpec, ...], binary: memoryview, finite: bool
) -> dict[str, NDArray[np.generic]]:
    taken = {spec.name: spec for spec in specs}
    tensors: dict[str, NDArray[np.generic]] = {}
    offset = 0
    for entry in _entries(found, "inputs"):
        name = entry.get("name")
        spec = taken.get(name) if isinstance(name, str) else None
        if spec is None:
            raise RequestRefused(
                f"inputs: the model has no input {shown(name)}; it takes {_names(specs)}"
            )
        if spec.name in tensors:
            raise RequestRefused(f"inputs: {spec.name!r} is there twice; send each input once")
        shape = check_shape(spec, entry.get("shape"))
        dtype = check_datatype(spec, entry.get("datatype"))
        size = _parameters(f"inputs: {spec.name!r}", entry).get("binary_data_size")
        if size is None:
            tensors[spec.name] = from_json(spec, shape, dtype, entry.get("data"))
            continue
        if "data" in entry:
            raise RequestRefused(
                f"inputs: {spec.name!r} has both 'data' and 'binary_data_size'; send one"
            )
        left = len(binary) - offset
        if type(size) is not int or not 0 <= size <= left:
            raise RequestRefused(
                f"inputs: {spec.name!r} has the binary_data_size {shown(size)}, and {left} bytes"
                " are left after the JSON and the inputs before it; check"
                " Inference-Header-Content-Length, too"
            )
        tensors[spec.name] = from_bytes(spec, shape, dtype, binary[offset : offset + size], finite)
        offset += size
    missing = [spec for spec in specs if spec.name not in tensors]
    if missing:
        raise RequestRefused(f"inputs: {_names(missing)} missing; the model takes {_names(specs)}")
    if offset != len(binary):
        raise RequestRefused(
            f"{len(binary) - offset} bytes are left after the last binary input; check"
            " 'binary_data_size' and Inference-Header-Content-Length"
        )
    return tensors


def _outputs(
    found: object, specs: tuple[TensorSpec, ...], binary: bool
) -> tuple[RequestedOutput, ...]:
    if found is None or found == []:
        return tuple(RequestedOutput(spec.name, binary) for spec in specs)
    given = {spec.name for spec in specs}
    wanted: dict[str, RequestedOutput] = {}
    for entry in _entries(found, "outputs"):
        name = entry.get("name")
        if not isinstance(name, str) or name not in given:
            raise RequestRefused(
                f"outputs: the model has no output {shown(name)}; it gives {_names(specs)}"
            )
        if name in wanted:
            raise RequestRefused(f"outputs: {name!r} is there twice; ask for each output once")
        where = f"outputs: {name!r}"
        parameters = _parameters(where, entry)
        if parameters.get("classification"):
            raise RequestRefused(
                f"{where}: the classification extension is not supported; leave it out, and take"
                " the names of classes from the model's metadata"
            )
        wanted[name] = RequestedOutput(name, _flag(where, parameters, "binary_data", binary))
    return tuple(wanted.values())


def _entries(found: object, field: str) -> list[dict[str, object]]:
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise RequestRefused(f"the body needs {field!r}, a list of objects with 'name'")
    return found


def _parameters(where: str, entry: dict[str, object]) -> dict[str, object]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestRefused(f"{where} has 'parameters' that are not an object")
    if "shared_memory_region" in parameters:
        raise RequestRefused(f"{where} asks for shared memory, which is not supported; send data")
    return parameters


def _flag(where: str, parameters: dict[str, object], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestRefused(f"{where} has the {name} {shown(value)}; write true or false")
    return value


def _names(specs: tuple[TensorSpec, ...] | list[TensorSpec]) -> str:
    return ", ".join(repr(spec.name) for spec in specs[:20])
