"""CloudEvents of KServe's inference logger, over HTTP, and deletion over HTTP."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from mlops_assets.monitoring.truth.add import add_truth
from mlops_assets.monitoring.truth.label_table import read_entries
from mlops_assets.monitoring.truth.stored import read_truth
from mlops_assets.registry import Deployment
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.kserve.cloud_events import (
    EventPairs,
    InferenceEvent,
    PairLimits,
)
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.writer import RequestLogWriter, WriterLimits
from mlops_assets.serving.routes.request_log import log_routes
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.serving.specification import RequestLog
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import DAY, patches, publish

KIND = "org.kubeflow.serving.inference."
X = patches(2)
REQUEST = {
    "inputs": [
        {"name": "input", "datatype": "FP32", "shape": [2, 2, 3, 3], "data": X.ravel().tolist()}
    ]
}
RESPONSE = {
    "model_name": "crops",
    "model_version": "1",
    "outputs": [
        {"name": "scores", "datatype": "FP32", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]},
        {"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 1]},
    ],
}


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    """A server for which `crop_service` is deployed."""
    publish(store)
    made = Deployment(
        service="crop_service",
        model="crops",
        version="v1-1",
        engine="kserve",
        action="deployed",
        sha256="3" * 64,
        details={},
        reason="approved",
    )
    store.registry.record_deployment(made)
    writer = RequestLogWriter(
        store.workspace, {"crops": RequestLog()}, WriterLimits(flush_seconds=3600)
    )
    app = create_server_app(
        store,
        ModelRepository(store, []),
        writer,
        ServerSettings(max_body=1 << 20, extra_routes=log_routes(writer)),
    )
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.app_state["flush"] = writer.flush
        yield client


def _headers(part: str, **changes: str) -> dict[str, str]:
    """As KServe's agent sends them."""
    attributes = {
        "specversion": "1.0",
        "id": "request-1",
        "source": "http://localhost:9081/",
        "type": f"{KIND}{part}",
        "time": f"{DAY}T10:00:0{0 if part == 'request' else 1}.25Z",
        "inferenceservicename": "crop-service",
        "namespace": "default",
        "component": "predictor",
        "endpoint": "",
        "metadata": "null",
        "annotations": '{"mlops.model":"crops","mlops.model_version":"v1-1"}',
    } | changes
    return {f"ce-{name}": value for name, value in attributes.items() if value != "-"} | {
        "content-type": "application/json"
    }


def _structured(part: str, data: object, encoded: bool = False) -> tuple[dict[str, str], bytes]:
    headers = _headers(part)
    event: dict[str, object] = {
        name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")
    }
    if encoded:
        event["data_base64"] = base64.b64encode(json.dumps(data).encode()).decode()
    else:
        event["data"] = data
    return {"content-type": "application/cloudevents+json; charset=UTF-8"}, json.dumps(
        event
    ).encode()


@pytest.mark.parametrize("mode", ["binary", "structured", "base64", "response first"])
def test_a_request_and_its_response_are_logged(client: TestClient, store: Store, mode: str) -> None:
    parts = [("request", REQUEST), ("response", RESPONSE)]
    if mode == "response first":
        parts.reverse()
    for part, data in parts:
        headers, body = _headers(part), json.dumps(data).encode()
        if mode in ("structured", "base64"):
            headers, body = _structured(part, data, mode == "base64")
        response = client.post("/v2/log/cloudevents", content=body, headers=headers)
        # KServe's agent reports any other status
        assert response.status_code == 200, response.text
    client.app_state["flush"]()
    compact_day(store, "crops", DAY)
    (found,) = read_day(store, "crops", DAY)
    assert found.requests.tolist() == ["request-1", "request-1"]
    assert found.values is not None and found.labels is not None
    np.testing.assert_array_equal(found.values, X)
    assert found.labels.tolist() == [0, 1]
    assert found.latency_ms.tolist() == [1000.0, 1000.0]


def test_binary_tensors_need_the_length_of_their_header(client: TestClient, store: Store) -> None:
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "input",
                    "datatype": "FP32",
                    "shape": [2, 2, 3, 3],
                    "parameters": {"binary_data_size": X.nbytes},
                }
            ]
        }
    ).encode()
    length = {"Inference-Header-Content-Length": [str(len(head))]}
    for metadata, status in (("null", 400), (json.dumps(length), 200)):
        body = head + X.tobytes()
        headers = _headers("request", metadata=metadata)
        client.post("/v2/log/cloudevents", content=body, headers=headers)
        body = json.dumps(RESPONSE).encode()
        response = client.post("/v2/log/cloudevents", content=body, headers=_headers("response"))
        assert response.status_code == status, response.text
        assert status == 200 or "metadataHeaders" in response.json()["error"]


def test_the_version_is_that_of_the_deployment_where_events_state_none(
    client: TestClient, store: Store
) -> None:
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    for service, when, status in (
        ("crop-service", later, 200),
        ("crop-service", "2020-01-01T00:00:00Z", 404),
        ("other", later, 404),
    ):
        changes = {"inferenceservicename": service, "annotations": "-", "time": when}
        for part, data in (("request", REQUEST), ("response", RESPONSE)):
            headers = _headers(part, **changes)
            response = client.post("/v2/log/cloudevents", json=data, headers=headers)
        assert response.status_code == status, response.text


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"id": "-"}, REQUEST, 400),
        ({"id": "x" * 256}, REQUEST, 400),
        ({"specversion": "0.3"}, REQUEST, 400),
        ({"type": "org.example"}, REQUEST, 400),
        ({"time": "yesterday"}, REQUEST, 400),
        ({"time": "0001-01-01T00:00:00+14:00"}, REQUEST, 400),
        ({"time": "2026-11-02T10:00:00"}, REQUEST, 400),
        ({"inferenceservicename": "-"}, REQUEST, 400),
        ({}, {"inputs": 1}, 400),
        ({}, {"inputs": [{"name": "input", "datatype": "FP32", "shape": [10**12]}]}, 400),
        ({}, {"instances": [[1, 2]]}, 400),
        ({}, b"[" * 100_000, 400),
        ({}, b"", 400),
        ({}, b"x" * (2 << 20), 413),
        ({"annotations": '{"mlops.model": "other", "mlops.model_version": "v1-1"}'}, REQUEST, 404),
        ({"annotations": '{"mlops.model": "../x", "mlops.model_version": "v1-1"}'}, REQUEST, 404),
    ],
)
def test_hostile_requests_are_refused(
    client: TestClient, headers: dict[str, str], body: Any, status: int
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    statuses = [
        client.post(
            "/v2/log/cloudevents", content=content, headers=_headers("request", **headers)
        ).status_code,
        client.post(
            "/v2/log/cloudevents",
            content=json.dumps(RESPONSE).encode(),
            headers=_headers("response", **headers),
        ).status_code,
    ]
    assert status in statuses and set(statuses) <= {200, status}


@pytest.mark.parametrize(
    "response",
    [
        [],
        {},
        {"outputs": {}},
        {"outputs": [1]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [3, 2], "data": [0] * 6}]},
        {"outputs": [{"name": "scores", "datatype": "FP32", "shape": [2, 2], "data": ["a"] * 4}]},
        {"outputs": [{"name": "scores", "datatype": "BYTES", "shape": [2, 2], "data": [0] * 4}]},
        {"outputs": [{"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 2]}]},
        {"outputs": [{"name": "label", "datatype": "INT64", "shape": [2], "data": [-1, 0]}]},
        {"predictions": [1, 1]},
    ],
)
def test_hostile_responses_are_refused(client: TestClient, response: Any) -> None:
    client.post("/v2/log/cloudevents", json=REQUEST, headers=_headers("request"))
    answer = client.post("/v2/log/cloudevents", json=response, headers=_headers("response"))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("structured", [b"[]", b"{", b'{"specversion": "1.0"}', b'{"id": []}'])
def test_hostile_structured_events_are_refused(client: TestClient, structured: bytes) -> None:
    for kind, status in (("", 400), ("-batch", 415)):
        headers = {"content-type": f"application/cloudevents{kind}+json"}
        answer = client.post("/v2/log/cloudevents", content=structured, headers=headers)
        assert answer.status_code == status


def test_data_that_is_nested_deeper_than_it_can_be_written_is_refused(client: TestClient) -> None:
    headers, body = _structured("request", {"inputs": "here"})
    nested = body.replace(b'"here"', b"[" * 300 + b"]" * 300)
    assert nested != body
    answer = client.post("/v2/log/cloudevents", content=nested, headers=headers)
    assert answer.status_code == 400, answer.text


def test_events_without_their_other_half_make_room() -> None:
    now = [0.0]
    pairs = EventPairs(PairLimits(bytes=100, events=5, seconds=10), lambda: now[0])

    def event(name: str, part: Any = "request", size: int = 1) -> InferenceEvent:
        return InferenceEvent(name, part, "s", 0.0, {}, {}, b"x" * size)

    assert pairs.add(event("a")) is None
    assert pairs.add(event("a")) is None  # sent again
    assert pairs.add(event("a", "response")) is not None
    assert pairs.add(event("a", "response")) is None
    for name in "bcdefg":
        pairs.add(event(name))
    assert pairs.expired == 2
    pairs.add(event("large", size=99))
    assert pairs.add(event("b", "response")) is None
    now[0] = 11.0
    pairs.add(event("late"))
    assert pairs.add(event("large", "response")) is None
    pairs.add(event("huge", size=1000))
    assert pairs.add(event("huge", "response")) is None


def test_a_request_is_deleted_over_http(client: TestClient, store: Store) -> None:
    for part, data in (("request", REQUEST), ("response", RESPONSE)):
        client.post("/v2/log/cloudevents", json=data, headers=_headers(part))
    client.app_state["flush"]()
    compact_day(store, "crops", DAY)
    add_truth(store, "crops", read_entries([{"id": "request-1", "row": 0, "label": "water"}], ""))
    path = "/v2/models/crops/requests/request-1"
    answer = client.delete(path, params={"reason": "asked for by its subject"})
    assert (answer.status_code, answer.json()) == (200, {"deleted": 2, "labels": 1})
    assert client.delete(path).status_code == 404
    assert client.delete("/v2/models/..%2Fx/requests/a").status_code in (400, 404)
    assert client.delete(path, params={"reason": ""}).status_code == 400
    assert read_day(store, "crops", DAY) == []
    assert read_truth(store, "crops", DAY) is None
