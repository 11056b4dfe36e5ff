"""Models over HTTP: what is read, downloaded and decided, by whom, and on which state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.hub.rest.models.models import SANDBOX
from mlops_assets.identity.tokens import create_token
from mlops_assets.models.promotion import promote
from mlops_assets.paths import model_folder, monitoring_key, monitoring_owner
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import caller, hub
from mlops_assets_tests.monitoring.monitored import monitored, version_day
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

PROJECT = """
from mlops_assets_tests.components.project import definitions

defs = definitions(name="crops", gates=[{"metric": "accuracy", "min": 0.5}])
"""


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return lifecycle(store, model_specification(), recorded=True, depth=4)


@pytest.fixture
def url(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "reading.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))
    with hub(store, module="reading") as found:
        yield found


def token(store: Store, name: str, *roles: Role) -> str:
    return create_token(store.registry, name, roles, timedelta(days=1))[1]


@pytest.fixture
def ann(store: Store, url: str) -> Iterator[httpx.Client]:
    """An approver who is a scientist, too."""
    with caller(url, token(store, "ann", Role.APPROVER, Role.SCIENTIST)) as client:
        yield client


def got(client: httpx.Client, path: str, status: int = 200) -> Any:
    answer = client.get(path)
    assert answer.status_code == status, (path, answer.text)
    return answer.json()


def test_what_pages_show_is_read_over_http(
    store: Store, ann: httpx.Client, row: ModelVersion
) -> None:
    promote(store, row, [], reason="first season")
    monitored(store, "02", version_day(row.version, max_outside="failed"))
    (listed,) = got(ann, "models")
    assert listed == got(ann, "models/crops")
    assert listed["production"]["version"] == row.version
    assert listed["monitored_day"] == "2026-11-02"
    (own,) = got(ann, "models/crops/versions?sort=-accuracy")["rows"]
    assert (own["version"], own["aliases"]) == (row.version, ["production"])
    (event,) = got(ann, "models/crops/history")["events"]
    assert (event["who"], event["reason"]) == ("tester", "first season")
    (day,) = got(ann, "models/crops/monitoring?days=3")
    assert day["versions"][0]["rules"][0]["verdict"] == "failed"
    assert got(ann, "models/crops/maps") == got(ann, "models/crops/deployments") == []
    view = got(ann, "models/crops/production")
    assert (view["version"], view["asked"]) == (row.version, "production")
    assert view["rights"]["approve"] is None
    nodes = got(ann, f"models/crops/{row.version}/chain")["nodes"]
    assert [node["kind"] for node in nodes] == ["data", "run", "code", "model", "record"]
    verified = ann.post(f"models/crops/{row.version}/verify")
    assert {node["state"] for node in verified.json()["nodes"]} == {"verified"}
    assert set(got(ann, "models/crops/production/snippets")) == {
        *("predict", "serve", "onnxruntime", "pystac"),
    }


def test_files_are_verified_and_none_is_laid_out_but_pictures(
    store: Store, ann: httpx.Client, row: ModelVersion
) -> None:
    path = f"models/crops/{row.version}/files"
    for listed in got(ann, path):
        answer = ann.get(f"{path}/{listed['name']}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["etag"] == f'"{listed["sha256"]}"'
        assert len(answer.content) == listed["size"]
        is_picture = listed["name"].endswith(".png")
        how = "inline" if is_picture else "attachment"
        assert answer.headers["content-disposition"].startswith(how)
        assert "html" not in answer.headers["content-type"]
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    for other in ("../../../../registry.db", "registry.db", "%2e%2e/x", "model.onnx/"):
        assert ann.get(f"{path}/{other}").status_code == 404
    onnx = store.workspace.root / model_folder("crops", row.version) / "model.onnx"
    onnx.chmod(0o644)
    onnx.write_bytes(onnx.read_bytes() + b"x")
    damaged = ann.get(f"{path}/model.onnx")
    assert damaged.status_code == 500 and "not as it was published" in damaged.json()["detail"]


def test_the_card_is_a_page_in_which_nothing_runs(
    store: Store, ann: httpx.Client, url: str
) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    row = lifecycle(store, model_specification(description=hostile), recorded=True)
    answer = ann.get(f"models/crops/{row.version}/card")
    assert answer.status_code == 200 and "<h1>" in answer.text
    assert "<script" not in answer.text and "<img src=x" not in answer.text
    assert answer.headers["content-security-policy"] == SANDBOX["Content-Security-Policy"]


def test_what_a_caller_may_not_see_is_not_there(store: Store, url: str, row: ModelVersion) -> None:
    key = monitoring_key("crops", "2026-11-02", "report.html")
    store.registry.add_files(
        monitoring_owner("crops", "2026-11-02"), [store.workspace.put(key, b"<p>all versions")]
    )
    store.registry.promote(row, [])
    store.registry.set_visibility(row, Visibility.PRIVATE)
    with caller(url, token(store, "vic", Role.VIEWER)) as client:
        (only,) = got(client, "models")
        assert (only["name"], only["declared"], only["versions"]) == ("crops", True, 0)
        for name in (row.version, "production"):
            for part in ("", "/chain", "/files", "/files/model.onnx", "/card", "/snippets"):
                got(client, f"models/crops/{name}{part}", 404)
            assert client.post(f"models/crops/{name}/verify").status_code == 404
        got(client, "models/crops/monitoring/2026-11-02/report", 404)
    with caller(url, token(store, "olga", Role.OPERATOR)) as client:
        assert client.get("models/crops/monitoring/2026-11-02/report").status_code == 200


def test_production_is_rolled_back_unless_it_has_moved_since(
    store: Store, ann: httpx.Client, row: ModelVersion
) -> None:
    nothing = ann.post("models/crops/rollback", json={})
    assert nothing.status_code == 404 and "no previous version" in nothing.json()["detail"]
    newer = lifecycle(store, model_specification(), recorded=True, depth=2)
    promote(store, row, [])
    promote(store, newer, [])
    refused = ann.post("models/crops/rollback", json={"production": row.version})
    assert refused.status_code == 409 and newer.version in refused.json()["detail"]
    made = ann.post(
        "models/crops/rollback", json={"production": newer.version, "reason": "it fails on snow"}
    )
    assert made.status_code == 200, made.text
    assert (made.json()["version"], made.json()["moved_by"]) == (row.version, "ann")
    assert store.registry.aliases("crops")["production"] == row.version


def test_a_version_is_deprecated_and_reinstated(
    store: Store, ann: httpx.Client, row: ModelVersion
) -> None:
    promote(store, row, [])
    path = f"models/crops/{row.version}"
    refused = ann.post(f"{path}/deprecate", json={"reason": "too old"})
    assert refused.status_code == 422 and "in production" in refused.json()["detail"]
    made = ann.post(f"{path}/deprecate", json={"reason": "too old", "force": True}).json()
    assert (made["decision"], made["decided_by"]) == ("deprecated", "ann")
    moved = ann.post(f"{path}/promote", json={"alias": "best"})
    assert moved.status_code == 422 and "deprecated (too old)" in moved.json()["detail"]
    again = ann.post(f"{path}/reinstate", json={"reason": "seen again"}).json()
    assert again["decision"] == "reinstated"
    assert store.registry.deprecated_versions("crops") == {}


def test_only_the_creator_or_an_operator_sets_the_visibility(
    store: Store, url: str, ann: httpx.Client, row: ModelVersion
) -> None:
    path = f"models/crops/{row.version}/visibility"
    assert ann.post(path, json={"visibility": "published"}).status_code == 403
    assert ann.post(path, json={"visibility": "everyone"}).status_code == 422
    with caller(url, token(store, "olga", Role.OPERATOR, Role.SCIENTIST)) as client:
        made = client.post(path, json={"visibility": "private", "reason": "draft"})
    assert made.status_code == 200, made.text
    assert (made.json()["visibility"], made.json()["previous"]) == ("private", "workspace")
    assert ann.get(f"models/crops/{row.version}").status_code == 404


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("approve", {"reason": "seen"}),
        ("reject", {"reason": "snow"}),
        ("promote", {"alias": "candidate"}),
        ("deprecate", {"reason": "old"}),
    ],
)
def test_a_decision_on_a_state_that_has_changed_is_refused(
    act: str, body: dict[str, Any], store: Store, ann: httpx.Client, row: ModelVersion
) -> None:
    path = f"models/crops/{row.version}"
    seen = got(ann, path)["state"]
    store.registry.promote(row, [], "baseline")
    refused = ann.post(f"{path}/{act}", json={**body, "seen": seen})
    assert refused.status_code == 409
    assert f"baseline is {row.version}, moved by tester" in refused.json()["detail"]
    assert store.registry.decisions("crops") == []
    made = ann.post(f"{path}/{act}", json={**body, "seen": got(ann, path)["state"]})
    assert made.status_code == 200, made.text


@pytest.mark.parametrize(
    "path",
    [
        "models/wheat",
        "models/crops/v9-00000000",
        "models/crops/v9-00000000/chain",
        "models/crops/v9-00000000/card",
        "models/crops/monitoring/2026-11-02/report",
        "models/crops/v9-00000000/maps/a/applicability.png",
    ],
)
def test_what_does_not_exist_is_not_found(path: str, ann: httpx.Client) -> None:
    assert got(ann, path, 404)["status"] == 404


def test_names_that_cannot_be_are_refused(ann: httpx.Client) -> None:
    for path in ("models/a%20b", "models/crops/a%7Cb", "models/crops/..%2f/card", "models/é"):
        assert ann.get(path).status_code in (404, 422), path


def test_a_model_without_versions_has_empty_pages(ann: httpx.Client) -> None:
    assert got(ann, "models/crops")["newest"] is None
    assert got(ann, "models/crops/versions")["rows"] == []
    assert got(ann, "models/crops/history")["total"] == 0
    assert got(ann, "models/crops/monitoring") == []
