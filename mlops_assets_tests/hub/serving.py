"""The hub as a server on loopback, in a thread of the test's own process."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.external.publisher import Job, publish_sent
from mlops_assets.integrations.external.http_backend import open_client
from mlops_assets.store import Store
from mlops_assets_tests.servers.asgi import served

TOKEN = "a-token-that-cannot-be-guessed"
START: dict[str, Any] = {
    "model": "crops",
    "data": "fields@v1",
    "declared": {"task": "classification"},
}


@contextmanager
def hub(
    store: Store, publish: Callable[[Job], None] = publish_sent, **settings: Any
) -> Iterator[str]:
    """Serve the hub of a workspace; yield its address.

    Uploads are published in this process unless another function is given.
    """
    hub_settings = HubSettings(store.workspace.root / "dagster", TOKEN, **settings)
    with served(create_app(store, hub_settings, publish)) as url:
        yield url


@contextmanager
def caller(url: str, token: str = TOKEN) -> Iterator[httpx.Client]:
    """A caller of the API, with an HTTP client."""
    with open_client(url, token) as client:
        yield client


def digest(content: bytes) -> dict[str, str]:
    """The header with the checksum of a body."""
    return {
        "Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    }


def put(client: httpx.Client, path: str, content: bytes) -> httpx.Response:
    """Send a file with its checksum."""
    return client.put(path, content=content, headers=digest(content))


def finished(client: httpx.Client, run_id: str, **fields: Any) -> dict[str, Any]:
    """Finish a run and wait until its model is published, or is not."""
    answer = client.post(f"runs/{run_id}/finish", json={"status": "succeeded", **fields})
    assert answer.status_code in (200, 202), answer.text
    document = answer.json()
    while document["publication"] == "busy":
        time.sleep(0.05)
        document = client.get(f"runs/{run_id}").json()
    assert isinstance(document, dict)
    return document
