"""Probes of a hub: open to whoever asks, and free of what the hub is connected to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable

import httpx
import pytest

from mlops_assets.errors import StorageUnreachable
from mlops_assets.hub.operations import readiness
from mlops_assets.hub.operations.readiness import ReadinessProbe
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import hub


def test_a_probe_needs_no_token_and_no_host_of_ours(store: Store) -> None:
    with hub(store) as url:
        for path in ("/health/live", "/health/ready"):
            response = httpx.get(url + path, headers={"Host": "10.42.0.7:3000"})
            assert response.status_code == 200, response.text
            assert "set-cookie" not in response.headers
        assert response.json() == {"ready": True, "registry": "ok", "workspace": "ok"}
        # nothing but the probes is open
        assert httpx.get(f"{url}/health/other").status_code == 401
        assert httpx.post(f"{url}/health/ready").status_code == 401


def test_an_open_hub_answers_probes_under_the_address_of_a_pod_and_nothing_else(
    store: Store,
) -> None:
    with hub(store, local=store.registry.principal) as url:
        pod = {"Host": "10.42.0.7:3000"}
        assert httpx.get(f"{url}/health/live", headers=pod).status_code == 200
        assert httpx.get(f"{url}/metrics", headers=pod).status_code == 403
        assert httpx.get(f"{url}/metrics").status_code == 200


def test_a_hub_without_its_workspace_is_not_ready_and_names_no_path(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)
    with hub(store) as url:
        shutil.rmtree(store.workspace.root)
        response = httpx.get(f"{url}/health/ready")
        assert response.status_code == 503
        assert response.json()["workspace"] == "is missing; see the log of the hub"
        assert str(store.workspace.root) not in response.text
        assert httpx.get(f"{url}/health/live").status_code == 200


def raising(error: Exception) -> Callable[[], str]:
    def check() -> str:
        raise error

    return check


def test_reasons_hide_what_errors_name_and_the_log_has_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probe = ReadinessProbe(
        {
            "registry": raising(StorageUnreachable("postgresql://db.internal is down")),
            "workspace": raising(RuntimeError("s3://bucket")),
        }
    )
    assert probe.read().parts == {
        "registry": "is unreachable; see the log of the hub",
        "workspace": "cannot be used; see the log of the hub",
    }
    assert "db.internal" in caplog.text
    probe.close()


def test_a_part_that_hangs_is_reported_and_is_not_asked_again_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)
    released, asked = threading.Event(), []

    def hangs() -> str:
        asked.append(1)
        released.wait(30)
        return "ok"

    probe = ReadinessProbe({"registry": hangs, "workspace": lambda: "ok"})
    for _ in range(3):
        parts = probe.read().parts
        assert parts == {"registry": "does not answer within 0.05 s", "workspace": "ok"}
    assert len(asked) == 1
    released.set()
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 30.0)
    assert probe.read().is_ready
    probe.close()


def test_a_request_gets_the_identifier_of_its_proxy_or_one_of_its_own(store: Store) -> None:
    with hub(store) as url:
        live = f"{url}/health/live"
        sent = "0123456789abcdef"
        assert httpx.get(live, headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent
        first, second = (httpx.get(live).headers["X-Request-ID"] for _ in range(2))
        assert first != second
        forged = httpx.get(live, headers={"X-Request-ID": "a b {}"}).headers["X-Request-ID"]
        assert forged != "a b {}"
