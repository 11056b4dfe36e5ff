"""The HTTP API: requests that it accepts, and requests that it refuses."""

from __future__ import annotations

import io
import json
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from mlops_assets.errors import SettingsError, StorageError
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.external.publisher import Job, publish_apart
from mlops_assets.hub.rest.schemas import MAX_POINTS
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import START, TOKEN, caller, digest, finished, hub, put
from mlops_assets_tests.models.export.onnx_files import (
    hungry_classifier,
    linear_classifier,
    scores_of,
)

LIMIT = 1 << 20


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    with hub(store, max_file=LIMIT) as url, caller(url) as found:
        yield found


def started(client: httpx.Client, **fields: Any) -> str:
    answer = client.post("runs", json={**START, **fields})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["run_id"])


def refused(answer: httpx.Response, status: int, *texts: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    for text in texts:
        assert text in document["detail"]


def npy(values: np.ndarray[Any, Any], pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=pickled)
    return buffer.getvalue()


def send_onnx(client: httpx.Client, run_id: str, path: Path) -> None:
    linear_classifier(path)
    X = np.load(io.BytesIO(client.get(f"runs/{run_id}/samples").content), allow_pickle=False)
    assert put(client, f"runs/{run_id}/model.onnx", path.read_bytes()).status_code == 200
    assert (
        put(client, f"runs/{run_id}/outputs/scores.npy", npy(scores_of(path, X))).status_code == 200
    )


def test_a_run_by_hand_from_start_to_record(
    client: httpx.Client, store: Store, tmp_path: Path
) -> None:
    answer = client.post(
        "runs", json={**START, "parameters": {"epochs": 2}, "tags": {"site": "hpc"}}
    )
    assert answer.status_code == 201
    links, run_id = answer.json()["links"], answer.json()["run_id"]
    # no host: the caller's header Host is not believed
    assert links["points"] == f"/api/v1/runs/{run_id}/points"
    points = [[seq, "loss", seq, 1 / (seq + 1), 1e9 + seq] for seq in range(10_000)]
    for _ in range(2):  # a batch that is sent again counts once
        assert client.post(f"runs/{run_id}/points", json={"points": points}).json() == {
            "received": 10_000
        }
    send_onnx(client, run_id, tmp_path / "model.onnx")
    refused(
        client.post(f"runs/{run_id}/finish", json={"status": "succeeded", "points": 10_001}),
        409,
        "10000 of 10001",
    )
    document = finished(
        client,
        run_id,
        points=10_000,
        seconds=12.5,
        phases={"fit": 11.0},
        usage={"cpu_seconds": 9.0},
    )
    assert [stage["name"] for stage in document["outcome"]["stages"]] == [
        "train",
        "export",
        "applicability",
        "evaluate",
        "record",
    ]
    run = store.registry.run(run_id)
    assert (run.status, run.seconds, run.phases["fit"], run.usage["cpu_seconds"]) == (
        "succeeded",
        12.5,
        11.0,
        9.0,
    )
    assert run.metrics["loss"] == 1 / 10_000
    assert run.tags == {"site": "hpc"}
    again = client.post(f"runs/{run_id}/finish", json={"status": "succeeded"})
    assert (again.status_code, again.json()["publication"]) == (200, "done")
    refused(
        client.post(f"runs/{run_id}/finish", json={"status": "failed"}),
        409,
        "has succeeded already",
    )
    refused(put(client, f"runs/{run_id}/model.onnx", b"x"), 409, "has succeeded")
    refused(client.post(f"runs/{run_id}/points", json={"points": []}), 409, "has succeeded")


@pytest.mark.parametrize("token", ["", "wrong", "a-token-that-cannot-be-guesseD", "ä" * 20])
def test_requests_without_a_valid_token_are_refused(store: Store, token: str) -> None:
    with hub(store) as url:
        for method, path in (
            ("POST", "/api/v1/runs"),
            ("GET", "/api/v1/runs/x"),
            ("PUT", "/api/v1/runs/x/model.onnx"),
            ("GET", "/api/v1/openapi.json"),
            ("GET", "/other"),
        ):
            headers = {b"Authorization": f"Bearer {token}".encode()} if token else {}
            answer = httpx.request(method, url + path, headers=headers, content=b"x" * 100)
            refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        scheme = httpx.get(
            url + "/api/v1/runs/x",
            headers={"Authorization": "Basic a-token-that-cannot-be-guessed"},
        )
        refused(scheme, 401)
    assert store.registry.runs() == []


def test_links_come_from_the_settings_and_never_from_the_caller(store: Store) -> None:
    lies = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
    }
    for base in (None, "https://hub.example.org/mlops"):
        with hub(store, base_url=base) as url, caller(url) as client:
            answer = client.post("runs", json=START, headers=lies)
            assert answer.json()["links"]["self"] == (
                f"{base or ''}/api/v1/runs/{answer.json()['run_id']}"
            )
            assert "evil" not in f"{answer.text} {answer.headers}"
            moved = client.get(f"runs/{answer.json()['run_id']}/", headers=lies)
            refused(moved, 404)
            assert "evil" not in f"{moved.text} {moved.headers}"


def test_bodies_are_refused_before_they_are_read(store: Store) -> None:
    with hub(store, max_file=LIMIT) as url, caller(url) as client:
        run_id = started(client)
        parts = urlsplit(url)
        for path, token, headers, status in (
            ("/api/v1/runs", "wrong", f"Content-Length: {1 << 40}", 401),
            ("/api/v1/runs", "wrong", "Transfer-Encoding: chunked", 401),
            ("/api/v1/runs", TOKEN, f"Content-Length: {1 << 40}", 413),
            ("/api/v1/runs", TOKEN, "Content-Encoding: gzip\r\nContent-Length: 100", 415),
            (f"/api/v1/runs/{run_id}/model.onnx", TOKEN, f"Content-Length: {LIMIT + 1}", 413),
            (
                f"/api/v1/runs/{run_id}/native/a",
                TOKEN,
                "Content-Encoding: br\r\nContent-Length: 100",
                415,
            ),
            ("/api/v1/runs/x", TOKEN, f"Content-Length: {1 << 40}", 404),
        ):
            method = "POST" if path == "/api/v1/runs" else "PUT"
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer"
                f" {token}\r\n{headers}\r\n\r\n"
            )
            with socket.create_connection((parts.hostname, parts.port), timeout=20) as peer:
                peer.sendall(head.encode())  # and no body
                assert peer.recv(1 << 16).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("path", ["", "/samples"])
def test_a_head_request_returns_the_headers_of_a_resource(client: httpx.Client, path: str) -> None:
    url = f"runs/{started(client)}{path}"
    answer = client.head(url)
    assert answer.status_code == 200
    assert not answer.content
    expected = client.get(url).headers
    for name in ("content-type", "content-length"):
        assert answer.headers[name] == expected[name]


def test_an_unexpected_error_is_a_problem_document(
    client: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise KeyError("a secret of the server")

    monkeypatch.setattr("mlops_assets.hub.external.runs.begin", fail)
    answer = client.post("runs", json=START)
    refused(answer, 500, "log")
    assert "secret" not in answer.text


def test_an_answer_has_no_password_of_the_server(
    client: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise StorageError("postgresql://me:c4n4ry@host/db does not answer")

    monkeypatch.setattr("mlops_assets.hub.external.runs.begin", fail)
    refused(client.post("runs", json=START), 503, "postgresql://me:***@host/db")


@pytest.mark.parametrize("token", [None, "", "short", "ä" * 20])
def test_the_server_does_not_start_without_a_token(
    store: Store, tmp_path: Path, token: str | None
) -> None:
    with pytest.raises(SettingsError, match="MLOPS_API_TOKEN"):
        create_app(store, HubSettings(tmp_path, token))


NO_STARTS: list[tuple[bytes, int, str]] = [
    (b"{", 400, "not valid JSON"),
    (b'{"a": ' * 100_000, 400, "not valid JSON"),
    (b'{"model": "\xff"}', 400, "not valid JSON"),
    (json.dumps({**START, "parameters": {"lr": float("nan")}}).encode(), 400, "NaN"),
    (json.dumps({**START, "parameters": {"note": "\x00"}}).encode(), 400, "NUL"),
    (json.dumps({**START, "parameters": {"\x00": "note"}}).encode(), 400, "NUL"),
    (json.dumps({**START, "parameters": {"note": "\ud800"}}).encode(), 400, "not valid JSON"),
    (b'{"model": "crops", "model": "other", "data": "fields"}', 400, "twice"),
    (
        json.dumps({**START, "parameters": {"deep": json.loads("[" * 40 + "]" * 40)}}).encode(),
        400,
        "more than 32 deep",
    ),
    (
        json.dumps({**START, "parameters": {"lr": 1}}).replace('"lr": 1', '"lr": 1e400').encode(),
        422,
        "too large",
    ),
    (json.dumps({**START, "parameters": {"n": 10**400}}).encode(), 422, "64 bits"),
    (json.dumps(START).encode()[:-1] + b', "seed": ' + b"9" * 5_000 + b"}", 400, "not valid JSON"),
    (json.dumps({**START, "colour": "red"}).encode(), 422, "colour"),
    (json.dumps({**START, "seed": -1}).encode(), 422, "seed"),
    (json.dumps({**START, "seed": 2**40}).encode(), 422, "seed"),
    (json.dumps({**START, "model": "../crops"}).encode(), 422, "cannot be used"),
    (json.dumps({**START, "data": "fields@../../v1"}).encode(), 422, "cannot be used"),
    (json.dumps({**START, "data": "fields@v7"}).encode(), 404, "v7"),
    (json.dumps({**START, "run_id": "../../etc"}).encode(), 422, "UUID"),
    (json.dumps({**START, "declared": {}}).encode(), 422, "task"),
    (json.dumps({**START, "model": "declared_crops"}).encode(), 422, "declared in the project"),
    (b" " * (9 << 20), 413, "larger than"),
    (b"[]", 422, "is invalid"),
]


def test_an_invalid_start_of_a_run_is_refused(client: httpx.Client, store: Store) -> None:
    for body, status, detail in NO_STARTS:
        refused(client.post("runs", content=body), status, detail)
    assert store.registry.runs() == []


def test_a_patch_may_name_the_escape_of_a_nul_character(client: httpx.Client, store: Store) -> None:
    patch = r"""-    return text\n+    return text.replace("\u0000", "")"""
    run = store.registry.run(started(client, code={"version": "1f0c9a2", "changes": patch}))
    assert run.code["diff"]


NO_POINTS: list[tuple[list[Any], str]] = [
    ([[0, "loss", 0, 1.0]], "points.0"),
    ([[-1, "loss", 0, 1.0, 0.0]], "points.0.0"),
    ([[0, "", 0, 1.0, 0.0]], "points.0.1"),
    ([[0, "l" * 300, 0, 1.0, 0.0]], "points.0.1"),
    ([[0, "loss", 2**63, 1.0, 0.0]], "points.0.2"),
    ([[0, "loss", 0, "much", 0.0]], "points.0.3"),
    ([[0, "loss", 0, 1e400, 0.0]], ""),
    ([[0, "loss", 0, 1.0, 0.0]] * (MAX_POINTS + 1), "at most"),
]


def test_a_request_with_an_invalid_point_is_refused_as_a_whole(
    client: httpx.Client, store: Store
) -> None:
    run_id = started(client)
    for points, detail in NO_POINTS:
        content = json.dumps({"points": points}).replace("Infinity", "1e999")
        refused(client.post(f"runs/{run_id}/points", content=content), 422, detail)
    assert store.registry.series(run_id) == {}


@pytest.mark.parametrize("kind", ["native", "figures"])
def test_a_name_that_leaves_the_folder_is_refused(
    client: httpx.Client, tmp_path: Path, kind: str
) -> None:
    run_id = started(client)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    names = [
        "../../x",
        "..%2F..%2Fx",
        "%2e%2e%2fx",
        "a/b",
        ".hidden",
        "a..b",
        "x" * 200,
        "a%00b",
        "a%0Ab",
        "%2Fetc",
    ]
    for name in names:
        suffix = ".png" if kind == "figures" else ""
        answer = put(client, f"runs/{run_id}/{kind}/{name}{suffix}", b"\x89PNG\r\n\x1a\n")
        assert answer.status_code in (404, 405, 422), answer.text
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in after - before if not path.name.startswith("registry.db")} == set()


def test_files_that_differ_from_their_description_leave_nothing(
    client: httpx.Client, store: Store
) -> None:
    run_id = started(client)
    base = f"runs/{run_id}"
    refused(client.put(f"{base}/model.onnx", content=b"x"), 400, "Content-Digest")
    refused(
        client.put(f"{base}/model.onnx", content=b"x", headers=digest(b"y")), 400, "send it again"
    )
    bad = {"Content-Digest": "sha-256=:" + "=" * 44 + ":"}
    refused(client.put(f"{base}/model.onnx", content=b"x", headers=bad), 400)
    refused(put(client, f"{base}/model.onnx", b"x" * (LIMIT + 1)), 413)
    chunked = iter([b"x" * LIMIT, b"x"])  # does not say beforehand how much it is
    refused(client.put(f"{base}/native/a", content=chunked, headers=digest(b"")), 413)
    refused(put(client, f"{base}/figures/a.png", b"<svg/>"), 422, "not a file of that kind")
    archive = put(client, f"{base}/outputs/scores.npy", b"PK\x03\x04")
    refused(archive, 422, "not a file of that kind")
    refused(put(client, f"{base}/outputs/other.npy", npy(np.zeros(3))), 404, "scores, label, value")
    refused(
        client.post(f"{base}/finish", json={"status": "succeeded"}), 422, "no model was uploaded"
    )
    refused(
        client.post(f"{base}/finish", json={"status": "succeeded", "framework": "pytorch"}),
        422,
        "no native",
    )
    refused(client.post(f"{base}/finish", json={"status": "running"}), 422, "status")
    files = [path for path in (store.workspace.cache / "external").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["specification.json"]
    assert store.registry.run(run_id).status == "running"


def test_outputs_that_hold_objects_are_never_unpickled(
    client: httpx.Client, store: Store, tmp_path: Path
) -> None:
    class Opened:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    run_id = started(client)
    send_onnx(client, run_id, tmp_path / "model.onnx")
    objects = np.array([Opened()], dtype=object)
    assert (
        put(client, f"runs/{run_id}/outputs/scores.npy", npy(objects, pickled=True)).status_code
        == 200
    )
    document = finished(client, run_id)
    assert document["status"] == "failed" and "Python objects" in document["failure"]["message"]
    assert not (tmp_path / "opened").exists()


def test_an_artefact_may_not_name_arbitrary_classes(
    client: httpx.Client, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    inner = {"class": "hostile:Net", "arguments": {}}
    described = {"class": "torch.nn.modules.container:Sequential", "children": [inner]}
    run_id = started(client)
    put(client, f"runs/{run_id}/native/architecture.json", json.dumps(described).encode())
    put(client, f"runs/{run_id}/native/model.safetensors", b"")
    document = finished(client, run_id, framework="pytorch")
    assert document["status"] == "failed" and "hostile:Net" in document["failure"]["message"]
    assert document["failure"]["error"] == "ExportError"
    assert not (tmp_path / "imported").exists() and "hostile" not in sys.modules


@pytest.mark.parametrize(
    ("framework", "message"), [("pytorch", "holds no PyTorch"), ("fortran", "no framework")]
)
def test_an_artefact_that_cannot_be_read_is_a_failed_run(
    client: httpx.Client, framework: str, message: str
) -> None:
    run_id = started(client)
    put(client, f"runs/{run_id}/native/model.safetensors", b"\xff" * 64)
    document = finished(client, run_id, framework=framework)
    assert document["status"] == "failed" and message in document["failure"]["message"]


def test_a_run_whose_client_is_gone_is_continued_or_ended_by_another(
    client: httpx.Client, store: Store, tmp_path: Path
) -> None:
    run_id = str(uuid.uuid4())
    assert client.post("runs", json={**START, "run_id": run_id}).status_code == 201
    # its answer was lost
    assert client.post("runs", json={**START, "run_id": run_id}).status_code == 200
    client.post(f"runs/{run_id}/points", json={"points": [[0, "loss", 0, 1.0, 1e9]]})
    assert client.get(f"runs/{run_id}").json()["status"] == "running"
    refused(
        client.post("runs", json={**START, "run_id": run_id, "seed": 1}), 409, "differs in seed"
    )
    answer = client.post("runs", json={**START, "run_id": run_id})
    assert (answer.json()["points"], answer.json()["attempts"]) == (1, 2)
    ended = client.post(
        f"runs/{run_id}/finish", json={"status": "canceled", "error": "its client is gone"}
    )
    assert (ended.status_code, ended.json()["status"]) == (200, "canceled")
    assert client.post(f"runs/{run_id}/finish", json={"status": "canceled"}).status_code == 200
    refused(client.post(f"runs/{run_id}/finish", json={"status": "succeeded"}), 409, "has canceled")
    assert client.post("runs", json={**START, "run_id": run_id}).json()["attempts"] == 3
    send_onnx(client, run_id, tmp_path / "model.onnx")
    assert finished(client, run_id)["status"] == "succeeded"


def test_runs_of_the_platform_cannot_be_touched(client: httpx.Client, store: Store) -> None:
    run_id = started(client)
    with store.registry.transaction("change") as session:
        from mlops_assets.registry import Run

        found = session.get(Run, run_id)
        assert found is not None
        found.source = "platform"
    for method, path in (("GET", ""), ("POST", "/finish"), ("PUT", "/model.onnx")):
        refused(
            client.request(method, f"runs/{run_id}{path}", json={"status": "failed"}),
            404,
            "no external run",
        )
    refused(client.post("runs", json={**START, "run_id": run_id}), 409, "differs in source")
    refused(client.get("runs/nothing"), 404)
    refused(client.get("elsewhere"), 404)
    refused(client.put("runs"), 405)


def test_a_server_that_is_stopped_publishes_when_it_is_asked_again(
    store: Store, tmp_path: Path
) -> None:
    def stopped(job: Job) -> None:
        raise SystemExit

    with hub(store, stopped) as url, caller(url) as client:
        run_id = started(client)
        send_onnx(client, run_id, tmp_path / "model.onnx")
        assert finished(client, run_id)["publication"] == "interrupted"
    with hub(store) as url, caller(url) as client:
        assert client.get(f"runs/{run_id}").json()["publication"] == "interrupted"
        assert finished(client, run_id)["outcome"]["stages"][-1]["name"] == "record"


@pytest.mark.usefixtures("forked_workers")
def test_a_publishing_process_that_exits_unexpectedly_is_a_failed_run(
    store: Store, tmp_path: Path
) -> None:
    with hub(store, publish_apart) as url, caller(url) as client:
        run_id = started(client)
        send_onnx(client, run_id, tmp_path / "model.onnx")
        staged = store.workspace.cache / "external" / run_id
        (staged / "figures" / "deep.png").mkdir(parents=True)  # a file it cannot read
        document = finished(client, run_id)
    assert (
        document["status"] == "failed"
        and "ended with 1 and no message" in document["failure"]["message"]
    )


def test_the_last_words_of_a_killed_publishing_process_are_in_the_failure(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abort = "import os; print('bad_alloc', flush=True); os.kill(os.getpid(), 6)"
    (tmp_path / "sitecustomize.py").write_text(f"{abort}\n")
    with hub(store, publish_apart) as url, caller(url) as client:
        run_id = started(client)
        send_onnx(client, run_id, tmp_path / "model.onnx")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        document = finished(client, run_id)
    assert document["status"] == "failed"
    assert document["failure"]["message"].endswith("was killed by SIGABRT: bad_alloc")


@pytest.mark.usefixtures("forked_workers")
def test_a_model_that_asks_for_most_of_the_memory_is_a_failed_stage(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    hungry_classifier(path, numbers=psutil.virtual_memory().total // 4)  # of 4 bytes each
    with hub(store, publish_apart) as url, caller(url) as client:
        run_id = started(client)
        X = np.load(io.BytesIO(client.get(f"runs/{run_id}/samples").content), allow_pickle=False)
        put(client, f"runs/{run_id}/model.onnx", path.read_bytes())
        put(client, f"runs/{run_id}/outputs/scores.npy", npy(np.zeros((len(X), 3), np.float32)))
        document = finished(client, run_id)
    (failed,) = [stage for stage in document["outcome"]["stages"] if not stage["passed"]]
    assert failed["error"] == "ExportError" and "ConstantOfShape" in failed["message"]
