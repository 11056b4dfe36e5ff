"""A real MLflow server as a fixture: SQLite, artifacts through the server.

It lives in an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mlops_assets_tests.servers.faults import FaultyProxy
from mlops_assets_tests.servers.processes import HOST, serving
from mlops_assets_tests.services import require_mlflow


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that all tests of a session share; each takes names of its own."""
    program, folder = str(require_mlflow()), tmp_path_factory.mktemp("mlflow")
    command = [
        program,
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--workers",
        "1",
        "--host",
        HOST,
        "--port",
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serving(
        lambda port: [*command, str(port)], folder / "log", {**os.environ, **quiet}, 200
    ) as port:
        yield f"http://{HOST}:{port}"


@pytest.fixture
def faulty_mlflow(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """The server behind a proxy with faults on demand; requests are not repeated."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with FaultyProxy(mlflow_server) as proxy:
        yield proxy
