"""Decisions on model versions over HTTP: who may, what is refused, what Dagster has of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.identity.tokens import create_token
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.hub.rest.test_openapi import operations, require_documented
from mlops_assets_tests.hub.serving import caller, hub
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

PROJECT = """
from mlops_assets_tests.components.project import definitions

defs = definitions(
    name="crops",
    gates=[{"metric": "accuracy", "min": 0.5}],
    approval={"required": True, "own_work": False},
)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose model `crops` needs approval."""
    (tmp_path / "deciding.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return lifecycle(store, model_specification(), recorded=True, depth=4)


@pytest.fixture
def url(store: Store, project: None) -> Iterator[str]:
    with hub(store, module="deciding") as found:
        yield found


def token(store: Store, name: str, *roles: Role) -> str:
    return create_token(store.registry, name, roles, timedelta(days=1))[1]


def test_an_approver_approves_and_promotes_and_dagster_has_both(
    store: Store, url: str, row: ModelVersion
) -> None:
    path = f"models/crops/{row.version}"
    with caller(url, token(store, "ann", Role.APPROVER)) as client:
        documented = operations(client.get("openapi.json").json())

        def post(act: str, status: int, **body: Any) -> Any:
            answer = client.post(f"{path}/{act}", json=body)
            assert answer.status_code == status, answer.text
            document = client.get("openapi.json").json()
            require_documented(document, documented[f"{act}Version"][2], answer)
            return answer.json()

        assert "waits for approval" in post("promote", 422)["detail"]
        approved = post("approve", 200, reason="seen in the field")
        assert (approved["decided_by"], approved["notes"]) == ("ann", [])
        moved = post("promote", 200, reason="season starts")
        assert (moved["alias"], moved["version"], moved["moved_by"]) == (
            *("production", row.version, "ann"),
        )
        rejected = post("reject", 200, reason="snow")
        assert rejected["decision"] == "rejected" and rejected["promoted"] is None
    assert store.registry.aliases("crops") == {"production": row.version}
    assert [made.decided_by for made in store.registry.decisions("crops", row.version)] == [
        *("ann", "ann"),
    ]
    home = store.workspace.root / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (event,) = instance.fetch_materializations(
            dg.AssetKey(["crops", "production"]), limit=5
        ).records
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["promoted_by"].value == "ann"
        key = dg.AssetCheckKey(dg.AssetKey(["crops", "record"]), "approved")
        checks = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        passed = []
        for check in checks:
            assert check.event is not None and check.event.dagster_event is not None
            passed.append(check.event.dagster_event.asset_check_evaluation_data.passed)
        assert passed == [False, True]


@pytest.mark.parametrize("act", ["approve", "reject", "promote"])
def test_who_is_not_an_approver_is_refused_before_anything_runs(
    act: str, store: Store, url: str, row: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.models.promotion.check_gates", None)
    with caller(url, token(store, "bob", Role.SCIENTIST)) as client:
        answer = client.post(f"models/crops/{row.version}/{act}", json={"reason": "mine"})
    assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
    assert store.registry.decisions("crops", row.version) == []
    assert store.registry.aliases("crops") == {}


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        ("crops/v1-00000000/approve", {"reason": "a"}, 404, "is not known"),
        ("crops/{version}/approve", {}, 422, "reason"),
        ("crops/{version}/approve", {"reason": " "}, 422, "give a reason"),
        ("crops/{version}/approve", {"reason": "x" * 2001}, 422, "at most 2000 characters"),
        ("crops/{version}/promote", {"alias": "a|b"}, 422, "cannot be used"),
        ("crops/{version}/promote", {"alias": "previous"}, 422, "is kept for what was"),
        ("crops/{version}/promote", {"alias": "Production"}, 422, "only in case"),
        ("crops/{version}/promote", {"gates": []}, 422, "gates"),
        ("crops/baseline/approve", {"reason": "a"}, 422, "is an alias, which may move"),
        ("other/{version}/approve", {"reason": "a"}, 404, "does not declare the model other"),
    ],
)
def test_a_decision_that_cannot_be_made_is_refused(
    path: str,
    body: dict[str, Any],
    status: int,
    problem: str,
    store: Store,
    url: str,
    row: ModelVersion,
) -> None:
    store.registry.promote(row, [], "baseline")
    other = lifecycle(store, model_specification("other"), recorded=True, depth=2)
    version = other.version if path.startswith("other") else row.version
    with caller(url, token(store, "ann", Role.APPROVER)) as client:
        answer = client.post(f"models/{path.format(version=version)}", json=body)
    assert answer.status_code == status and problem in answer.json()["detail"], answer.text
    assert store.registry.decisions("crops") == []
