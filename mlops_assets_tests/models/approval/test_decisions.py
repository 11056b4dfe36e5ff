"""Approval, rejection and deprecation, and which promotions they allow.

On model versions whose files are small and no models.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import (
    DecisionRefused,
    Forbidden,
    GateFailure,
    IntegrityError,
    MlopsError,
    PromotionRefused,
)
from mlops_assets.models import promotion
from mlops_assets.models.approval.decisions import approve, deprecate, reject
from mlops_assets.models.approval.standing import approval_check
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.specification import Approval, Gate
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.schema import Run
from mlops_assets.store import Store
from mlops_assets_tests.models.test_promotion import registered, state

REQUIRED = Approval(required=True)
FOUR_EYES = Approval(required=True, own_work=False)


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return registered(store, "v1-a", accuracy=0.9)


def acting(store: Store, name: str, *roles: Role) -> Store:
    return store.acting(Principal(name, frozenset(roles)))


def trained(store: Store, row: ModelVersion, by: str | None) -> None:
    with store.registry._engine.begin() as connection:
        connection.execute(update(Run).where(Run.run_id == row.run_id).values(created_by=by))


def test_a_protected_alias_moves_only_to_an_approved_version(
    store: Store, row: ModelVersion
) -> None:
    with pytest.raises(
        PromotionRefused, match=r"crops@production is protected .*waits for approval"
    ):
        promote(store, row, [], approval=REQUIRED)
    assert state(store) == ({}, 0)
    promote(store, row, [], "candidate", REQUIRED)
    ann = acting(store, "ann", Role.APPROVER)
    made = approve(ann, row, REQUIRED, "the map of May is right")
    assert (made.decided_by, made.reason) == ("ann", "the map of May is right")
    sha256 = {file.path: file.sha256 for file in store.registry.files()}
    assert made.sha256 == {
        "model.onnx": sha256["models/crops/v1-a/model.onnx"],
        "metrics.json": sha256["models/crops/v1-a/metrics.json"],
        "record": sha256["catalog/models/crops/v1-a.json"],
    }
    assert promote(ann, row, [], approval=REQUIRED, reason="harvest").reason == "harvest"
    assert store.registry.aliases("crops") == {"candidate": "v1-a", "production": "v1-a"}


def test_no_models_run_for_a_promotion_that_people_forbid(
    store: Store, row: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "check_gates", None)
    with pytest.raises(PromotionRefused, match="waits for approval"):
        promote(
            store,
            row,
            [Gate(metric="accuracy", not_worse_than="production")],
            "production",
            REQUIRED,
        )


def test_a_rejection_withdraws_an_approval_and_moves_nothing(
    store: Store, row: ModelVersion
) -> None:
    approve(store, row, REQUIRED, "good")
    promote(store, row, [], approval=REQUIRED)
    before = state(store)
    reject(store, row, "clouds are taken for snow")
    assert state(store) == before
    with pytest.raises(PromotionRefused, match="was rejected by tester: clouds are taken for snow"):
        promote(store, row, [], approval=REQUIRED)
    approve(store, row, REQUIRED, "trained with clouds, as was found")
    promote(store, row, [], approval=REQUIRED)


@pytest.mark.parametrize("decide", [approve, reject, deprecate])
def test_only_an_approver_decides_and_says_why(
    decide: Callable[..., object], store: Store, row: ModelVersion
) -> None:
    arguments = (REQUIRED, "good") if decide is approve else ("good",)
    scientist = acting(store, "ann", *(set(Role) - {Role.APPROVER}))
    with pytest.raises(Forbidden, match="crops@v1-a: this needs the role approver"):
        decide(scientist, row, *arguments)
    with pytest.raises(DecisionRefused, match="give a reason"):
        decide(store, row, *arguments[:-1], " ")
    for reason, problem in (("x" * 2001, "2,001 characters"), ("a\x00b", "control characters")):
        with pytest.raises(DecisionRefused, match=problem):
            decide(store, row, *arguments[:-1], reason)
        with pytest.raises(DecisionRefused, match=problem):
            promote(store, row, [], reason=reason)
    assert store.registry.decisions("crops") == []


@pytest.mark.parametrize("by", ["tester", None])
def test_nobody_approves_their_own_work_where_that_is_declared(
    by: str | None, store: Store, row: ModelVersion
) -> None:
    trained(store, row, by)
    with pytest.raises(Forbidden, match=f"{by or 'unknown'}.*let another approver decide"):
        approve(store, row, FOUR_EYES, "good")
    assert store.registry.decisions("crops") == []


def test_an_approval_of_ones_own_work_under_another_declaration_does_not_count(
    store: Store, row: ModelVersion
) -> None:
    trained(store, row, "tester")
    approve(store, row, REQUIRED, "good")
    with pytest.raises(PromotionRefused, match="who may have trained it"):
        promote(store, row, [], approval=FOUR_EYES)
    approve(acting(store, "ann", Role.APPROVER), row, FOUR_EYES, "good")
    promote(store, row, [], approval=FOUR_EYES)


def test_an_approval_is_of_the_bytes_that_were_approved(store: Store, row: ModelVersion) -> None:
    approve(store, row, REQUIRED, "good")
    content = json_bytes({"metrics": {"accuracy": 0.95}})
    file = store.workspace.put("models/crops/v1-a/metrics.json", content)
    again = store.registry.advance(row, "evaluated", [file], {"accuracy": 0.95})
    with pytest.raises(PromotionRefused, match=r"metrics\.json was replaced since"):
        promote(store, again, [], approval=REQUIRED)
    assert not approval_check(store.registry, again, REQUIRED).passed


def test_what_is_not_as_it_was_published_or_not_recorded_is_not_approved(
    store: Store, row: ModelVersion
) -> None:
    with pytest.raises(GateFailure, match="is only evaluated"):
        approve(store, registered(store, "v1-b", "evaluated"), REQUIRED, "good")
    store.workspace.put("models/crops/v1-a/model.onnx", b"changed")
    with pytest.raises(IntegrityError, match=r"models/crops/v1-a/model\.onnx"):
        approve(store, row, REQUIRED, "good")
    assert store.registry.decisions("crops") == []


def test_rollback_goes_to_what_is_approved_and_not_deprecated(
    store: Store, row: ModelVersion
) -> None:
    promote(store, row, [])
    promote(store, registered(store, "v1-b"), [])
    with pytest.raises(PromotionRefused, match="crops@v1-a waits for approval"):
        rollback(store, "crops", REQUIRED)
    approve(store, row, REQUIRED, "good")
    deprecate(store, row, "its licence has ended")
    with pytest.raises(PromotionRefused, match=r"crops@v1-a is deprecated \(its licence has ended"):
        rollback(store, "crops")
    deprecate(store, row, "it has not", undo=True)
    assert rollback(store, "crops", REQUIRED, "b drifts").reason == "b drifts"
    assert store.registry.aliases("crops") == {"production": "v1-a", "previous": "v1-b"}


def test_a_version_in_production_is_deprecated_by_force_only(
    store: Store, row: ModelVersion
) -> None:
    promote(store, row, [])
    with pytest.raises(DecisionRefused, match="crops@v1-a is in production"):
        deprecate(store, row, "old")
    deprecate(store, row, "old", force=True)
    assert store.registry.aliases("crops") == {"production": "v1-a"}
    with pytest.raises(DecisionRefused, match="crops@v1-a is deprecated"):
        deprecate(store, row, "old")
    with pytest.raises(PromotionRefused, match="deprecated"):
        promote(store, row, [], "candidate")


def test_of_a_rejection_and_a_promotion_at_once_the_later_sees_the_earlier(
    store: Store, row: ModelVersion
) -> None:
    approve(store, row, REQUIRED, "good")
    start = threading.Barrier(5)

    def at_once(act: Callable[[], object]) -> MlopsError | None:
        start.wait()
        try:
            act()
        except PromotionRefused as error:
            return error
        return None

    acts: list[Callable[[], object]] = [lambda: promote(store, row, [], approval=REQUIRED)] * 4
    acts.insert(2, lambda: reject(store, row, "no"))
    with ThreadPoolExecutor(5) as pool:
        refused = [error for error in pool.map(at_once, acts) if error is not None]
    (rejection,) = [d for d in store.registry.decisions("crops") if d.decision == "rejected"]
    moved = store.registry.promotions("crops")
    assert all(promotion.moved < rejection.decided for promotion in moved)
    assert len(moved) + len(refused) == 4
