"""Labels sent to a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from mlops_assets.identity.bearer import Bearers
from mlops_assets.identity.tokens import create_token
from mlops_assets.monitoring.truth import routes
from mlops_assets.monitoring.truth.add import TruthReport
from mlops_assets.monitoring.truth.routes import MAX_BODY, truth_routes
from mlops_assets.monitoring.truth.stored import read_truth
from mlops_assets.principals import Role
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.sessions.repository import ModelRepository
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.truth.logged import published_and_logged
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.serving.request_log.served import DAY

LABELS = [{"id": "a", "label": "land"}, {"id": "gone", "label": "land"}]


@contextmanager
def asked(store: Store, bearers: Bearers | None = None) -> Iterator[httpx.Client]:
    settings = ServerSettings(bearers=bearers, extra_routes=truth_routes())
    app = create_server_app(store, ModelRepository(store, []), None, settings)
    with served(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_labels_are_added_in_the_name_of_the_caller(store: Store) -> None:
    published_and_logged(store)
    tokens = {
        role: create_token(store.registry, role, [role], timedelta(days=1))[1]
        for role in (Role.VIEWER, Role.SCIENTIST)
    }
    with asked(store, Bearers(store.registry, None, None)) as client:
        statuses = [
            client.post(
                "/v2/models/crops/truth", json=LABELS, headers={"Authorization": f"Bearer {token}"}
            ).status_code
            for token in tokens.values()
        ]
        assert client.post("/v2/models/crops/truth", json=LABELS).status_code == 401
    assert statuses == [403, 200]
    truth = read_truth(store, "crops", DAY)
    assert truth is not None and truth.requests.tolist() == ["a"]


def test_the_response_counts(store: Store) -> None:
    published_and_logged(store)
    with asked(store) as client:
        found = client.post(f"/v2/models/crops/truth?day={DAY}", json=LABELS).json()
    assert (found["added"], found["unknown"], found["unknown_ids"]) == (1, 1, ["gone"])
    assert found["days"] == {DAY: 1}


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("crops", b"{}", 400, "must be a list"),
        ("crops", b"[1]", 400, "label 1 is not an object"),
        ("crops", b"[[[", 400, "not valid JSON"),
        ("crops", b"[" * 100_000 + b"]" * 100_000, 400, "nested more than"),
        ("crops", b"[]", 400, "no column 'id'"),
        (
            "crops",
            json.dumps([{"id": "a", "label": ["land"]}]).encode(),
            400,
            "a list or an object",
        ),
        ("crops", json.dumps([{"id": "a", "label": "lake"}]).encode(), 400, "'lake' is not one of"),
        ("crops", b'[{"id": "a", "label": NaN}]', 400, "not valid JSON"),
        ("crops", b" " * (MAX_BODY + 1), 413, "larger than"),
        ("crops?day=..", json.dumps(LABELS).encode(), 400, "YYYY-MM-DD"),
        ("nothing", json.dumps(LABELS).encode(), 404, "no version"),
        ("a%2Fb", json.dumps(LABELS).encode(), 404, "no such path"),
    ],
)
def test_a_body_that_is_refused(
    store: Store, path: str, content: bytes, status: int, message: str
) -> None:
    published_and_logged(store)
    model, _, query = path.partition("?")
    with asked(store) as client:
        response = client.post(f"/v2/models/{model}/truth?{query}", content=content)
    assert response.status_code == status
    assert message in response.json()["error"]
    assert read_truth(store, "crops", DAY) is None


def test_labels_are_added_one_request_after_the_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty at once took gigabytes, and all threads of the other paths."""
    running, most, lock = [0], [0], threading.Lock()
    entered, leave = threading.Event(), threading.Event()

    def add(*_: object) -> TruthReport:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        entered.set()
        leave.wait(60)
        with lock:
            running[0] -= 1
        return TruthReport("crops")

    monkeypatch.setattr(routes, "_add", add)
    at_once = routes.WAITING + 2
    with asked(store) as client, ThreadPoolExecutor(at_once) as pool:
        url = f"{client.base_url}/v2/models/crops/truth"
        asking = [pool.submit(httpx.post, url, json=LABELS, timeout=60) for _ in range(at_once)]
        assert entered.wait(60)
        while not any(each.done() for each in asking):
            pass
        assert client.post("/v2/repository/index").status_code == 200
        leave.set()
        statuses = sorted(each.result().status_code for each in asking)
    assert statuses == [200] * (at_once - 1) + [503] and most == [1]
