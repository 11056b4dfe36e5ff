"""Runs that the hub launches, over HTTP: what reaches the launcher, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from mlops_assets.errors import NotFound
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.hub.orchestration.launcher import (
    Launched,
    LaunchedState,
    NoLauncher,
    Sweep,
    TrainingRequest,
)
from mlops_assets.identity.tokens import create_token
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry import Run
from mlops_assets.store import Store
from mlops_assets_tests.hub.rest.test_openapi import operations, require_documented
from mlops_assets_tests.hub.serving import TOKEN, caller
from mlops_assets_tests.servers.asgi import served

START: dict[str, Any] = {"model": "declared_crops", "data": "fields@v1"}


@dataclass
class Noting(NoLauncher):
    """A launcher that notes what it is asked for, and by whom."""

    asked: list[tuple[str, str, object]] = field(default_factory=list)

    def train(self, store: Store, request: TrainingRequest) -> Launched:
        self.asked.append(("train", store.user, request))
        return Launched("1234", "queued")

    def cancel(self, store: Store, orchestration_run: str) -> None:
        self.asked.append(("cancel", store.user, orchestration_run))

    def state(self, store: Store, orchestration_run: str) -> LaunchedState:
        if orchestration_run != "1234":
            raise NotFound(f"Dagster has no run {orchestration_run!r}")
        return LaunchedState("CANCELED", [], [], job="declared_crops_lifecycle")

    def stop(self, store: Store, run: Run) -> None:
        raise AssertionError("there is no run")


@pytest.fixture
def launcher() -> Noting:
    return Noting()


@pytest.fixture
def client(store: Store, launcher: Noting) -> Iterator[Any]:
    settings = HubSettings(store.workspace.root / "dagster", TOKEN)
    token = create_token(store.registry, "ann", [Role.SCIENTIST], timedelta(days=1))[1]
    with (
        served(create_app(store, settings, launcher=launcher)) as url,
        caller(url, token) as client,
    ):
        yield client


def test_a_training_and_a_sweep_reach_the_launcher_as_of_the_caller(
    client: Any, launcher: Noting
) -> None:
    sweep = {"space": {"max_depth": {"choices": [2, 3]}}, "trials": 2}
    body = {**START, "parameters": {"n_estimators": 3}, "sweep": sweep, "note": "first"}
    answer = client.post("trainings", json=body)
    assert (answer.status_code, answer.json()["notice"]) == (202, "queued")
    assert answer.json()["links"] == {
        "state": "/api/v1/launched/1234",
        "dagster": "/dagster/runs/1234",
    }
    request = TrainingRequest(
        "declared_crops",
        Reference("fields", "v1"),
        {"n_estimators": 3},
        sweep=Sweep(2, space=sweep["space"]),  # type: ignore[arg-type]
        note="first",
    )
    assert launcher.asked == [("train", "ann", request)]
    document = client.get("openapi.json").json()
    documented = operations(document)
    require_documented(document, documented["startTraining"][2], answer)
    canceled = client.post("launched/1234/cancel")
    require_documented(document, documented["cancelLaunched"][2], canceled)
    assert launcher.asked[1:] == [("cancel", "ann", "1234")]


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "../fields"},
        {"seed": -1},
        {"unknown": 1},
        {"sweep": {"space": {}, "trials": 0}},
        {"sweep": {"space": {}, "timeout": float("inf")}},
        {"tags": {"": "empty"}},
        {"note": "x" * 10_001},
        {"tags": {str(number): "x" for number in range(101)}},
    ],
)
def test_what_is_not_a_training_reaches_no_launcher(
    client: Any, launcher: Noting, changes: dict[str, Any]
) -> None:
    content = str({**START, **changes}).replace("'", '"').replace("inf", "1e999")
    answer = client.post("trainings", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert not launcher.asked


def test_runs_that_there_are_not_are_not_found(client: Any) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for method, path in (
        ("GET", "launched/nope"),
        ("POST", f"runs/{unknown}/stop"),
        ("POST", f"runs/{unknown}/resume"),
    ):
        assert client.request(method, path).status_code == 404


def test_a_hub_without_dagster_says_how_to_get_it(store: Store) -> None:
    settings = HubSettings(store.workspace.root / "dagster", TOKEN)
    with served(create_app(store, settings)) as url, caller(url) as client:
        answer = client.post("trainings", json=START)
    assert (answer.status_code, answer.json()["error"]) == (503, "OrchestratorUnavailable")
    assert "mlops up" in answer.json()["detail"]
