"""The OpenAPI document: valid, complete, and what the API does."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import validate

from mlops_assets.hub.external.routes import PNG, router
from mlops_assets.store import Store
from mlops_assets_tests.hub.external.test_routes import npy
from mlops_assets_tests.hub.serving import START, TOKEN, caller, digest, finished, hub
from mlops_assets_tests.models.export.onnx_files import linear_classifier, scores_of

# of runs of other machines; a HEAD request is documented by the GET of its path
EXTERNAL = {
    route.operation_id
    for route in router.routes
    if isinstance(route, APIRoute) and route.operation_id
}
BASE = "https://hub.example.org/mlops"


@dataclass(frozen=True)
class Call:
    """A request to an operation, and the status of the response; `run` stands for a run's path."""

    path: str
    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, client: httpx.Client, method: str, run: str) -> httpx.Response:
        headers = {**digest(self.content), **self.headers} if method == "put" else self.headers
        path = self.path.format(run=run)
        return client.request(method, path, content=self.content, headers=headers)


def body(**fields: object) -> bytes:
    """Return a JSON document."""
    return json.dumps(fields).encode()


BAD_DIGEST = {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}
BAD: dict[str, Call] = {
    "startRun": Call("runs", body(model="crops"), 422),
    "getRun": Call("runs/00000000-0000-4000-8000-000000000000", status=404),
    "logPoints": Call("{run}/points", b"{", 400),
    "getSamples": Call("runs/00000000-0000-4000-8000-000000000000/samples", status=404),
    "putOnnxModel": Call("{run}/model.onnx", b"x", 400, BAD_DIGEST),
    "putNativeFile": Call("{run}/native/.hidden", b"x", 422),
    "putOutputs": Call("{run}/outputs/other.npy", b"x", 404),
    "putFigure": Call("{run}/figures/a.png", b"<svg/>", 422),
    "finishRun": Call("{run}/finish", body(status="running"), 422),
}


@pytest.fixture
def document(store: Store) -> dict[str, Any]:
    with hub(store, base_url=BASE) as url, caller(url) as client:
        answer = client.get("openapi.json")
    assert answer.status_code == 200
    found = answer.json()
    assert isinstance(found, dict)
    return found


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Each operation by its id: method, path, documentation."""
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


BODILESS = {"verifyVersion", "stopRun", "resumeRun", "cancelLaunched"}


def test_the_document_is_valid_and_complete(document: dict[str, Any]) -> None:
    validate(document)
    assert document["servers"] == [{"url": BASE}]
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"}
    }
    found = operations(document)
    assert set(found) >= EXTERNAL
    for name, (method, _, operation) in found.items():
        assert operation["summary"] and operation["description"], name
        assert ("requestBody" in operation) == (method != "get" and name not in BODILESS), name
        for status, response in operation["responses"].items():
            problem = status == "default" or int(status) >= 400
            assert ("application/problem+json" in response.get("content", {})) == problem, (
                name,
                status,
            )


def test_each_operation_responds_as_documented(
    store: Store, document: dict[str, Any], tmp_path: Path
) -> None:
    documented = operations(document)
    path = tmp_path / "model.onnx"
    linear_classifier(path)
    with hub(store) as url, caller(url) as client:
        run = f"runs/{client.post('runs', json=START).json()['run_id']}"
        X = np.load(io.BytesIO(client.get(f"{run}/samples").content), allow_pickle=False)
        good = {
            "startRun": Call("runs", body(**START), 201),
            "getRun": Call("{run}"),
            "logPoints": Call("{run}/points", body(points=[[0, "loss", 0, 0.5, 1e9]])),
            "getSamples": Call("{run}/samples"),
            "putOnnxModel": Call("{run}/model.onnx", path.read_bytes()),
            "putOutputs": Call("{run}/outputs/scores.npy", npy(scores_of(path, X))),
            "putFigure": Call("{run}/figures/loss.png", PNG),
            "finishRun": Call("{run}/finish", body(status="succeeded", points=1), 202),
        }
        other = f"runs/{client.post('runs', json=START).json()['run_id']}"
        native = Call("{run}/native/model.safetensors", b"x")
        # the responses of other routes are in their own tests
        assert {*good, "putNativeFile"} == set(BAD) == EXTERNAL
        for calls, target in ((BAD, run), ({"putNativeFile": native}, other), (good, run)):
            for name, call in calls.items():
                method, _, operation = documented[name]
                answer = call.send(client, method, target)
                assert answer.status_code == call.status, (name, answer.text)
                require_documented(document, operation, answer)
        assert finished(client, run.removeprefix("runs/"), points=1)["publication"] == "done"
        require_documented(document, documented["getRun"][2], client.get(run))


def require_documented(
    document: dict[str, Any], operation: dict[str, Any], answer: httpx.Response
) -> None:
    """Require that a response has a documented status, media type and schema."""
    content = operation["responses"][str(answer.status_code)]["content"]
    media_type = answer.headers["content-type"]
    assert set(content) == {media_type}
    if media_type != "application/octet-stream":
        schema = {**content[media_type]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_each_operation_needs_a_token_and_there_is_no_page_for_browsers(
    store: Store, document: dict[str, Any]
) -> None:
    with hub(store) as url:
        for method, path, operation in operations(document).values():
            answer = httpx.request(method, url + path)
            assert answer.status_code == 401
            require_documented(document, operation, answer)
        for page in ("/docs", "/redoc", "/api/v1/docs", "/api/v1/redoc", "/openapi.json", "/runs"):
            answer = httpx.get(url + page, headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 404
