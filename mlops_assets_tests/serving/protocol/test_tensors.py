"""Tensors of any datatype, shape and value come through JSON and bytes as they were."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.protocol.answer import write_answer
from mlops_assets.serving.protocol.datatypes import DTYPES, datatype_of
from mlops_assets.serving.protocol.request import read_request
from mlops_assets.serving.sessions.interface import TensorSpec
from mlops_assets_tests.serving.models import session

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def tensors(draw: st.DrawFn) -> NDArray[Any]:
    """A tensor of a datatype of the protocol, finite."""
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if dtype.kind == "O":
        return draw(arrays.arrays(np.object_, shape, elements=TEXTS))
    elements = arrays.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    found: NDArray[Any] = draw(arrays.arrays(dtype, shape, elements=elements))
    return found


@settings(max_examples=300, deadline=None)
@given(tensors(), st.booleans(), st.booleans(), st.booleans())
def test_a_tensor_comes_back_as_it_was(
    tensor: NDArray[Any], binary_in: bool, binary_out: bool, flat: bool
) -> None:
    """What the server writes is read again as a request."""
    datatype = datatype_of(tensor.dtype)
    specs = (TensorSpec("t", datatype, tuple(-1 for _ in tensor.shape)),)
    entry: dict[str, object] = {"name": "t", "datatype": datatype, "shape": tensor.shape}
    body = b""
    if binary_in:
        body = _bytes(tensor)
        entry["parameters"] = {"binary_data_size": len(body)}
    else:
        entry["data"] = (tensor.ravel() if flat else tensor).tolist()
    for _ in range(2):
        parameters = {"binary_data_output": binary_out}
        head = json.dumps({"inputs": [entry], "parameters": parameters}).encode()
        read = read_request(head + body, str(len(head)), specs, specs, finite=True)
        found = read.inputs["t"]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert found.tolist() == tensor.tolist()
        answer = write_answer(session("m", specs=(specs, specs)).served, read, {"t": found})
        length = dict(answer.headers).get(b"inference-header-content-length")
        end = int(length) if length else len(answer.body)
        (entry,) = json.loads(answer.body[:end])["outputs"]
        body = answer.body[end:]
        assert bool(body) == binary_out


def _bytes(tensor: NDArray[Any]) -> bytes:
    if tensor.dtype.kind != "O":
        return tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
    encoded = [text.encode() for text in tensor.ravel()]
    return b"".join(len(each).to_bytes(4, "little") + each for each in encoded)


def read_values(datatype: str, values: list[Any]) -> NDArray[Any]:
    specs = (TensorSpec("t", datatype, (-1,)),)
    entry = {"name": "t", "datatype": datatype, "shape": [len(values)], "data": values}
    body = json.dumps({"inputs": [entry]}).encode()
    return read_request(body, None, specs, specs, finite=True).inputs["t"]


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"BYTES", "BOOL"}))
def test_numbers_out_of_range_and_of_other_types_are_refused(datatype: str) -> None:
    dtype: np.dtype[Any] = DTYPES[datatype]
    wrong: list[object] = [True, "1", None, {}, [1]]
    if dtype.kind == "f":
        largest: float = float(np.finfo(dtype).max)
        wrong += [] if dtype.itemsize == 8 else [2 * largest, -2 * largest]
        assert read_values(datatype, [largest, 1, 0]).tolist() == [largest, 1.0, 0.0]
    else:
        limits = np.iinfo(dtype)
        wrong += [1.0, int(limits.max) + 1, int(limits.min) - 1, 10**30]
        extremes = [int(limits.max), int(limits.min)]
        assert read_values(datatype, extremes).tolist() == extremes
    for value in wrong:
        for values in ([value], [1, value]):
            with pytest.raises(RequestRefused, match="'t'"):
                read_values(datatype, values)


def test_booleans_and_texts_are_not_converted() -> None:
    for datatype, wrong in (("BOOL", [0, 1.0, "true", None]), ("BYTES", [1, True, None, ["a"]])):
        for value in wrong:
            with pytest.raises(RequestRefused, match=datatype):
                read_values(datatype, [value])


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", b"\x00\x02"),
        ("BYTES", b"\x01\x00\x00\x00a"),
        ("BYTES", b"\x01\x00\x00\x00a\xff\xff\xff\xff"),
        ("BYTES", b"\x01\x00\x00\x00a\x01\x00\x00\x00bc"),
        ("BYTES", b"\x01\x00\x00\x00a\x01\x00\x00\x00\xff"),
        ("FP16", b"\x00\x7e\x00\x00"),
    ],
)
def test_bytes_that_are_not_values_are_refused(datatype: str, data: bytes) -> None:
    specs = (TensorSpec("t", datatype, (2,)),)
    parameters = {"binary_data_size": len(data)}
    entry = {"name": "t", "datatype": datatype, "shape": [2], "parameters": parameters}
    head = json.dumps({"inputs": [entry]}).encode()
    with pytest.raises(RequestRefused, match="'t'"):
        read_request(head + data, str(len(head)), specs, specs, finite=True)
