"""What an Open Inference Protocol server must answer, over HTTP on loopback.

The cases are those of `../shared/serving/conformance.md`, and more of their kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import psutil
import pytest

from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.store import Store
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.serving.models import (
    VERSION,
    MemoryLog,
    MemoryRepository,
    run_cnn,
    session,
)

INFER = "/v2/models/cnn/infer"
PATCH = np.random.default_rng(3).random((1, 4, 32, 32)).astype(np.float32)
SIZE = PATCH.size
MAX_BODY = 2 << 20


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(store: Store, log: MemoryLog) -> Iterator[httpx.Client]:
    repository = MemoryRepository(session("cnn"), session("other"))
    settings = ServerSettings(max_body=MAX_BODY, finite=False)
    with (
        served(create_server_app(store, repository, log, settings)) as url,
        httpx.Client(base_url=url, timeout=60) as found,
    ):
        yield found


def tensor(**changes: object) -> dict[str, object]:
    """The input of `cnn`; `changes` replace fields, and None drops one."""
    fields: dict[str, object] = {
        "name": "input",
        "datatype": "FP32",
        "shape": list(PATCH.shape),
        "data": PATCH.ravel().tolist(),
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def request(*inputs: object, **fields: object) -> bytes:
    return json.dumps({"inputs": list(inputs or [tensor()]), **fields}).encode()


def binary(
    data: bytes | None = None, size: int | None = None, length: str | None = None
) -> tuple[bytes, dict[str, str]]:
    """A body with a binary tensor, and its header."""
    data = PATCH.tobytes() if data is None else data
    parameters = {"binary_data_size": PATCH.nbytes if size is None else size}
    head = request(
        tensor(data=None, parameters=parameters), parameters={"binary_data_output": True}
    )
    return head + data, {"Inference-Header-Content-Length": length or str(len(head))}


def refused(response: httpx.Response, status: int, *words: str) -> None:
    """Check that a request was refused with a message that has some words."""
    document = response.json()
    assert (response.status_code, set(document)) == (status, {"error"}), response.text
    assert all(word in document["error"] for word in words), document


def is_answered(client: httpx.Client) -> bool:
    """Return whether the server still answers as ONNX Runtime does."""
    answer = client.post(INFER, content=request())
    expected = run_cnn({"input": PATCH})["output"]
    (output,) = answer.json()["outputs"]
    return bool(np.array_equal(np.float32(output["data"]), expected.ravel()))


def test_health_and_metadata_name_what_is_served(client: httpx.Client) -> None:
    for path in (
        "health/live",
        "health/ready",
        "models/cnn/ready",
        f"models/cnn/versions/{VERSION}/ready",
    ):
        assert client.get(f"/v2/{path}").status_code == 200
    server = client.get("/v2").json()
    assert server == client.get("/v2/").json()
    assert server["extensions"] == ["binary_tensor_data", "model_repository"]
    model = client.get("/v2/models/cnn").json()
    assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4, 32, 32]}]
    assert model["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 10]}]
    assert (model["name"], model["versions"], model["platform"]) == (
        "cnn",
        [VERSION],
        "onnxruntime_onnx",
    )
    assert model["properties"] == {"classes": '["a","b"]', "data_version": "v1", "unit": "1"}


def test_json_binary_and_versions_give_what_onnx_runtime_gives(
    client: httpx.Client, log: MemoryLog
) -> None:
    expected = run_cnn({"input": PATCH})["output"]
    flat = client.post(INFER, content=request(id="42")).json()
    assert (flat["id"], flat["model_name"], flat["model_version"]) == ("42", "cnn", VERSION)
    nested = client.post(INFER, content=request(tensor(data=PATCH.tolist()))).json()
    of_version = client.post(
        f"/v2/models/cnn/versions/{VERSION}/infer", content=request(outputs=[{"name": "output"}])
    ).json()
    of_alias = client.post("/v2/models/cnn/versions/production/infer", content=request()).json()
    assert len({flat["id"], nested["id"], of_version["id"], of_alias["id"]}) == 4
    for answer in (flat, nested, of_version, of_alias):
        assert answer["outputs"] == [
            {
                "name": "output",
                "datatype": "FP32",
                "shape": [1, 10],
                "data": pytest.approx(expected.ravel().tolist(), abs=1e-7),
            }
        ]
    content, headers = binary()
    response = client.post(INFER, content=content, headers=headers)
    length = int(response.headers["Inference-Header-Content-Length"])
    head = json.loads(response.content[:length])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": expected.nbytes}
    assert response.content[length:] == expected.tobytes()
    logged = log.exchanges[0]
    assert (logged.id, logged.caller, logged.served.version) == ("42", "tester", VERSION)
    assert np.array_equal(logged.inputs["input"], PATCH)
    assert np.array_equal(logged.outputs["output"], expected)


def test_a_model_that_is_unloaded_is_unavailable_until_it_is_loaded(client: httpx.Client) -> None:
    def state() -> str:
        listed = client.post("/v2/repository/index", content=b"{}").json()
        return str(next(each["state"] for each in listed if each["name"] == "cnn"))

    assert state() == "READY"
    assert client.post("/v2/repository/models/cnn/unload").status_code == 200
    assert state() == "UNAVAILABLE"
    assert [
        e["name"] for e in client.post("/v2/repository/index", json={"ready": True}).json()
    ] == ["other"]
    refused(client.get("/v2/models/cnn/ready"), 503, "unloaded")
    answer = client.post(INFER, content=request())
    refused(answer, 503, "load it")
    assert answer.headers["retry-after"] == "1"
    assert client.get("/v2/health/ready").status_code == 503
    assert client.post("/v2/models/other/infer", content=request()).status_code == 200
    assert client.post("/v2/repository/models/cnn/load", json={"parameters": {}}).status_code == 200
    assert state() == "READY" and is_answered(client)
    refused(
        client.post("/v2/repository/models/cnn/load", json={"parameters": {"config": "{}"}}),
        400,
        "cannot be sent",
    )


# what is refused, by its reason: body, and a word of the message
REFUSED: dict[str, tuple[bytes, str]] = {
    "cut JSON": (b"{", "JSON"),
    "no input list": (b"{}", "'inputs'"),
    "a list": (b"[]", "object"),
    "empty": (b"", "JSON"),
    "not UTF-8": (b'{"id": "\xff"}', "JSON"),
    "deep": (b"[" * 100_000, "JSON"),
    "deep data": (b'{"inputs":[{"data":' + b"[" * 100_000, "JSON"),
    "NaN": (request(tensor(data=[float("nan")] * SIZE)), "JSON"),
    "infinity": (request().replace(b"0.", b"1e999", 1), "JSON"),
    "null": (request(tensor(data=[None] * SIZE)), "null"),
    "wrong name": (request(tensor(name="image")), "'input'"),
    "name of another type": (request(tensor(name=["input"])), "'input'"),
    "missing input": (request().replace(b'"name": "input"', b'"name": "inpud"'), "'input'"),
    "no inputs": (b'{"inputs": []}', "missing"),
    "input twice": (request(tensor(), tensor()), "twice"),
    "inputs of texts": (b'{"inputs": ["input"]}', "list of objects"),
    "wrong shape": (request(tensor(shape=[1, 3, 32, 32])), "axis 1"),
    "other shape than data": (request(tensor(shape=[2, 4, 32, 32])), "8192"),
    "rank": (request(tensor(shape=[4, 32, 32])), "3 axes"),
    "rank of 100,000": (request(tensor(shape=[1] * 100_000)), "100000 axes"),
    "enormous": (request(tensor(shape=[10**12, 4, 32, 32])), "4096000000000000"),
    "beyond 64 bits": (request(tensor(shape=[10**30, 4, 32, 32])), "shape"),
    "negative": (request(tensor(shape=[-1, 4, 32, 32])), "axis 0"),
    "zero": (request(tensor(shape=[0, 4, 32, 32], data=[])), "axis 0"),
    "shape of floats": (request(tensor(shape=[1.0, 4, 32, 32])), "integers"),
    "shape of Booleans": (request(tensor(shape=[True, 4, 32, 32])), "integers"),
    "no shape": (request(tensor(shape=None)), "shape"),
    "text": (request(tensor(data=["1.5"] * SIZE)), "string"),
    "Boolean": (request(tensor(data=[True] + [0.5] * (SIZE - 1))), "Boolean"),
    "object": (request(tensor(data=[{}] * SIZE)), "object"),
    "no data": (request(tensor(data=None)), "'data'"),
    "data of another type": (request(tensor(data="0.5")), "list"),
    "ragged": (request(tensor(data=[[[[1.0] * 32] * 32] * 3 + [[[1.0] * 31] * 32]])), "axis"),
    "nested otherwise": (request(tensor(data=[PATCH.ravel().tolist()])), "axis 1"),
    "beyond FP32": (request(tensor(data=[1e300] * SIZE)), "out of range"),
    "unknown datatype": (request(tensor(datatype="BF16")), "FP32"),
    "other datatype": (request(tensor(datatype="INT64", data=[1] * SIZE)), "FP32"),
    "no datatype": (request(tensor(datatype=None)), "FP32"),
    "unknown output": (request(outputs=[{"name": "logits"}]), "'output'"),
    "output twice": (request(outputs=[{"name": "output"}] * 2), "twice"),
    "outputs of another type": (request(outputs={"name": "output"}), "'outputs'"),
    "id of another type": (request(id=42), "'id'"),
    "long id": (request(id="x" * 10_000), "'id'"),
    "id with a line break": (request(id="a\nb"), "'id'"),
    "parameters of another type": (request(parameters=[1]), "'parameters'"),
    "binary output of another type": (request(parameters={"binary_data_output": 1}), "true"),
    "classification": (
        request(outputs=[{"name": "output", "parameters": {"classification": 3}}]),
        "classification",
    ),
    "shared memory": (
        request(tensor(parameters={"shared_memory_region": "a"})),
        "shared memory",
    ),
    "both kinds of data": (request(tensor(parameters={"binary_data_size": 4})), "both"),
    "binary without bytes": (
        request(tensor(data=None, parameters={"binary_data_size": PATCH.nbytes})),
        "0 bytes are left",
    ),
}


def test_requests_that_do_not_fit_are_refused_and_the_server_lives(client: httpx.Client) -> None:
    """One server gets all of them, as one after the other would find what the last has left."""
    before = psutil.Process().memory_info().rss
    wrong = {}
    for reason, (body, word) in REFUSED.items():
        response = client.post(INFER, content=body)
        if response.status_code != 400 or word not in response.json()["error"]:
            wrong[reason] = (response.status_code, response.text[:300])
    assert wrong == {}
    assert psutil.Process().memory_info().rss - before < 256 << 20
    assert is_answered(client)


BINARY: dict[str, tuple[tuple[bytes, dict[str, str]], str]] = {
    "cut by 100 bytes": (binary(PATCH.tobytes()[:-100]), "are left"),
    "too long": (binary(PATCH.tobytes() + b"x" * 100), "100 bytes are left"),
    "size of half": (binary(size=PATCH.nbytes // 2), "takes 16384"),
    "negative size": (binary(size=-4), "-4"),
    "enormous size": (binary(size=10**18), "are left"),
    "header of text": (binary(length="abc"), "abc"),
    "negative header": (binary(length="-1"), "-1"),
    "header of zero": (binary(length="0"), "'0'"),
    "header beyond the body": (binary(length="99999999"), "has"),
    "header beyond 64 bits": (binary(length="9" * 400), "Content-Length"),
    "header within the JSON": (binary(length="10"), "JSON"),
    "header beyond the JSON": (binary(length=str(len(binary()[0]) - 4)), "JSON"),
}


def test_binary_bodies_whose_lengths_disagree_are_refused(client: httpx.Client) -> None:
    wrong = {}
    for reason, ((body, headers), word) in BINARY.items():
        response = client.post(INFER, content=body, headers=headers)
        if response.status_code != 400 or word not in response.json()["error"]:
            wrong[reason] = (response.status_code, response.text[:300])
    assert wrong == {}
    assert is_answered(client)


def test_what_is_not_served_is_404_and_a_wrong_method_405(client: httpx.Client) -> None:
    for path in ("models/no", "models/no/ready", "models/cnn/versions/v9-00000000"):
        refused(client.get(f"/v2/{path}"), 404, "is not served here")
    for path in ("models/no/infer", "models/cnn/versions/v9-00000000/infer"):
        refused(client.post(f"/v2/{path}", content=request()), 404, "is not served here")
    refused(client.post("/v2/repository/models/no/load"), 404, "is not served here")
    refused(client.get("/v2/model"), 404, "no such path")
    answer = client.get(INFER)
    refused(answer, 405, "GET")
    assert answer.headers["allow"] == "POST"


def test_non_finite_values_follow_the_policy_and_are_null_in_json(store: Store) -> None:
    """NaN is how rasters have missing values: a model may take it, if the server lets it."""
    patch = PATCH.copy()
    patch[0, 0, 0, 0] = np.nan
    content, headers = binary(patch.tobytes())
    # of the same length
    content = content.replace(b": true", b":false", 1)
    for finite in (False, True):
        app = create_server_app(
            store, MemoryRepository(session("cnn")), None, ServerSettings(finite=finite)
        )
        with served(app) as url:
            response = httpx.post(url + INFER, content=content, headers=headers)
        if finite:
            refused(response, 400, "NaN")
        else:
            assert response.json()["outputs"][0]["data"] == [None] * 10


def test_bodies_beyond_the_limit_are_refused_before_they_are_read(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65_536

    refused(client.post(INFER, content=b" " * (MAX_BODY + 1)), 413, str(MAX_BODY))
    with pytest.raises((httpx.WriteError, httpx.ReadError, AssertionError)):
        # the server answers while the client still sends, and ends the connection
        refused(client.post(INFER, content=endless()), 413, str(MAX_BODY))
        raise AssertionError
    refused(
        client.post(INFER, content=request(), headers={"Content-Encoding": "gzip"}),
        415,
        "compressed",
    )
    refused(client.post("/v2/repository/index", content=b" " * 100_000), 413, "65536")
    assert is_answered(client)
