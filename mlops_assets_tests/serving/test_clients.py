"""Clients of others against the server: Triton's, and schemathesis with the protocol's OpenAPI."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.sessions.interface import TensorSpec
from mlops_assets.store import Store
from mlops_assets_tests.conftest import require_shared_data
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.services import require_serving_clients
from mlops_assets_tests.serving.models import VERSION, MemoryRepository, run_cnn, session

pytestmark = pytest.mark.services

# every datatype that NumPy has, and texts, out as they came in
KINDS = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16",
    "FP32": "float32", "FP64": "float64", "BYTES": "object",
}  # fmt: skip
TRITON = """
import json, sys
import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException
url, kinds = sys.argv[1], json.loads(sys.argv[2])
client = http.InferenceServerClient(url)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("cnn") and client.is_model_ready("cnn", "VERSION")
assert not client.is_model_ready("cnn", "v9-00000000") and not client.is_model_ready("no")
assert client.get_server_metadata()["name"] == "mlops_assets"
assert client.get_model_metadata("cnn", "VERSION")["versions"] == ["VERSION"]
patch = np.random.default_rng(3).random((2, 4, 32, 32)).astype(np.float32)
answers = []
for binary_in in (True, False):
    for binary_out in (True, False):
        given = http.InferInput("input", list(patch.shape), "FP32")
        given.set_data_from_numpy(patch, binary_data=binary_in)
        wanted = [http.InferRequestedOutput("output", binary_data=binary_out)]
        for version in ("", "VERSION", "production"):
            found = client.infer("cnn", [given], version, wanted, "id-1")
            answers.append(found.as_numpy("output").tolist())
            assert found.get_response()["id"] == "id-1"
            assert found.get_response()["model_version"] == "VERSION"
for datatype, dtype in kinds.items():
    if dtype == "object":
        values = np.array([["", "Äcker"], ["a" * 300, "Weizen"]], dtype=np.object_)
    else:
        values = np.array([[0, 1], [1, 0]], dtype=dtype)
        if dtype.startswith(("int", "uint")):
            values[0] = np.iinfo(dtype).min, np.iinfo(dtype).max
    for binary in (True,) if datatype == "FP16" else (True, False):
        given = http.InferInput("x", list(values.shape), datatype)
        given.set_data_from_numpy(values, binary_data=binary)
        wanted = [http.InferRequestedOutput("y", binary_data=binary)]
        found = client.infer(f"echo_{datatype}", [given], outputs=wanted).as_numpy("y")
        if dtype == "object":
            texts = [v.decode() if isinstance(v, bytes) else v for v in found.ravel()]
            found = np.array(texts).reshape(found.shape)
        assert found.tolist() == values.tolist(), (datatype, binary, found)
assert {m["state"] for m in client.get_model_repository_index()} == {"READY"}
client.unload_model("cnn")
assert not client.is_model_ready("cnn")
try:
    client.infer("cnn", [given])
    raise SystemExit("an unloaded model has answered")
except InferenceServerException as error:
    assert error.status() == "503" and "load it" in error.message(), error
client.load_model("cnn")
assert client.is_model_ready("cnn")
print(json.dumps(answers))
""".replace("VERSION", VERSION)


def echo(datatype: str) -> Any:
    specs = ((TensorSpec("x", datatype, (-1, -1)),), (TensorSpec("y", datatype, (-1, -1)),))
    return session(f"echo_{datatype}", lambda inputs: {"y": np.asarray(inputs["x"])}, specs)


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    repository = MemoryRepository(session("cnn"), *map(echo, KINDS))
    with served(create_server_app(store, repository, None, ServerSettings())) as url:
        yield url


def run(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=folder, timeout=280
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_tritons_client_gets_what_onnx_runtime_gives(address: str, tmp_path: Path) -> None:
    python = require_serving_clients() / "python"
    host = address.removeprefix("http://")
    answers = json.loads(run([python, "-c", TRITON, host, json.dumps(KINDS)], tmp_path))
    patch = np.random.default_rng(3).random((2, 4, 32, 32)).astype(np.float32)
    expected = run_cnn({"input": patch})["output"]
    assert len(answers) == 12
    for answer in answers:
        np.testing.assert_allclose(answer, expected, rtol=1e-6)


def test_schemathesis_finds_neither_a_5xx_nor_an_answer_beyond_the_schema(
    address: str, tmp_path: Path
) -> None:
    """The protocol's document; its parameters are mostly what is served, to get past a 404."""
    program = require_serving_clients() / "schemathesis"
    text = require_shared_data("..", "serving", "open_inference_rest.yaml").read_text()
    document = yaml.safe_load(text.replace("${", "{"))
    names = {
        "MODEL_NAME": ["cnn", "echo_BYTES", "echo_FP64", "echo_BOOL", "echo_UINT64", "no"],
        "MODEL_VERSION": [VERSION, "production", "v9-00000000"],
    }
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            parameter["schema"]["enum"] = names[parameter["name"]]
    tensor = document["components"]["schemas"]["request_input"]["properties"]
    tensor["name"]["enum"] = ["input", "x", "image"]
    tensor["datatype"]["enum"] = [*KINDS, "BF16", ""]
    tensor["shape"] = {"type": "array", "items": {"type": "integer"}, "maxItems": 5}
    schema = tmp_path / "open_inference_rest.json"
    schema.write_text(json.dumps(document))
    run(
        [
            program, "run", schema, "--url", address, "--checks",
            "not_a_server_error,response_schema_conformance,content_type_conformance",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "150", "--seed", "11",
            "--generation-deterministic", "--suppress-health-check", "all", "--no-color",
        ],
        tmp_path,
    )  # fmt: skip
