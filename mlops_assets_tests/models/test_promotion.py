"""Gates, moving `production`, and moving it back.

On model versions whose files are small and no models.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import GateFailure, IntegrityError, NameRefused, NotFound
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import gates_description
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.models.specification import Gate
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import data_version, model_version, new_run


def registered(
    store: Store, version: str, stage: str = "recorded", /, **metrics: float
) -> ModelVersion:
    """A model version `crops@version` with these metrics."""
    if not store.registry.data_versions("fields"):
        store.registry.publish_data_version(data_version(digest="0" * 64), [])
    store.registry.start_run(new_run(f"run-{version}"))
    row = model_version(version, f"run-{version}")
    store.registry.publish_model_version(row, [])
    folder = f"models/crops/{version}"
    contents = {"model.onnx": b"onnx", "metrics.json": json_bytes({"metrics": metrics})}
    files = [store.workspace.put(f"{folder}/{name}", content) for name, content in contents.items()]
    record = store.workspace.put(f"catalog/models/crops/{version}.json", b"{}")
    store.registry.add_files(Owner(f"record:crops@{version}"), [record])
    return store.registry.advance(row, stage, files, metrics)


def state(store: Store) -> tuple[dict[str, str], int]:
    """Return the targets of the aliases, and the number of moves."""
    return store.registry.aliases("crops"), len(store.registry.promotions("crops"))


@pytest.mark.parametrize(
    ("gate", "metrics", "passed"),
    [
        ({"metric": "accuracy", "min": 0.9}, {"accuracy": 0.9}, True),
        ({"metric": "accuracy", "min": 0.9}, {"accuracy": 0.8999}, False),
        ({"metric": "rmse", "max": 2}, {"rmse": 2}, True),
        ({"metric": "rmse", "max": 2}, {"rmse": 2.001}, False),
        ({"metric": "bias", "min": -1, "max": 1}, {"bias": 0.5}, True),
        ({"metric": "bias", "min": -1, "max": 1}, {"bias": -1.5}, False),
        ({"metric": "accuracy", "min": 0}, {"kappa": 1}, False),
        ({"metric": "accuracy", "not_worse_than": "production"}, {"kappa": 1}, False),
        ({"metric": "accuracy", "min": 0}, {"accuracy": float("nan")}, False),
        ({"metric": "rmse", "not_worse_than": "production"}, {"rmse": float("nan")}, False),
    ],
    ids=[
        "at min",
        "below min",
        "at max",
        "above max",
        "between",
        "outside",
        "not measured",
        "nothing to hold",
        "NaN",
        "NaN and nothing to compare with",
    ],
)
def test_a_gate_passes_by_its_rule(
    gate: dict[str, Any], metrics: dict[str, float], passed: bool, store: Store
) -> None:
    outcomes = check_gates(store, registered(store, "v1-a", **metrics), [Gate(**gate)])
    assert all(outcome.passed for outcome in outcomes) is passed
    assert len(outcomes) == (2 if {"min", "max"} <= gate.keys() else 1)


def test_not_worse_than_passes_where_there_is_nothing_to_compare_with(store: Store) -> None:
    gates = [Gate(metric="accuracy", not_worse_than="production")]
    first = registered(store, "v1-a", accuracy=0.1)
    assert promote(store, first, gates).previous is None
    (itself,) = check_gates(store, first, gates)
    assert itself.passed and itself.reason == "it is production itself"


def test_promotion_moves_production_and_keeps_the_history(store: Store) -> None:
    old, new = registered(store, "v1-old", accuracy=0.8), registered(store, "v1-new", accuracy=0.9)
    promote(store.acting(local("ann")), old, [])
    moved = promote(store.acting(local("bob")), new, [Gate(metric="accuracy", min=0.85)])
    assert (moved.version, moved.previous, moved.moved_by) == ("v1-new", "v1-old", "bob")
    assert moved.gates == [{"gate": "accuracy ≥ 0.85", "passed": True, "value": 0.9, "limit": 0.85}]
    assert state(store)[0] == {"production": "v1-new", "previous": "v1-old"}
    assert [(p.version, p.moved_by) for p in store.registry.promotions("crops")] == [
        ("v1-old", "ann"),
        ("v1-new", "bob"),
    ]
    assert store.registry.model_version(Reference("crops", "production")).version == "v1-new"


def test_another_alias_leaves_production_alone(store: Store) -> None:
    promote(store, registered(store, "v1-a"), [])
    promote(store, registered(store, "v1-b"), [], alias="candidate")
    assert state(store)[0] == {"production": "v1-a", "candidate": "v1-b"}


def test_promoting_again_does_not_lose_the_previous_version(store: Store) -> None:
    old, new = registered(store, "v1-old"), registered(store, "v1-new")
    for row in (old, new, new):
        promote(store, row, [])
    assert state(store)[0] == {"production": "v1-new", "previous": "v1-old"}


def test_one_failing_gate_moves_nothing(store: Store) -> None:
    promote(store, registered(store, "v1-old", accuracy=0.9, kappa=0.9), [])
    row, before = registered(store, "v1-new", accuracy=0.95, kappa=0.1), state(store)
    gates = [Gate(metric="accuracy", min=0.9), Gate(metric="kappa", min=0.2)]
    with pytest.raises(GateFailure, match=r"kappa ≥ 0\.2: FAILED at 0\.1000"):
        promote(store, row, gates)
    assert state(store) == before


@pytest.mark.parametrize("stage", ["trained", "exported", "evaluated"])
def test_a_version_that_is_not_recorded_stays_out(stage: str, store: Store) -> None:
    row = registered(store, "v1-a", stage, accuracy=1)
    with pytest.raises(GateFailure, match=f"crops@v1-a is only {stage}; .*mlops train crops@v1"):
        promote(store, row, [])
    assert state(store) == ({}, 0)


@pytest.mark.parametrize("alias", ["", "../production", "a|b"])
def test_an_alias_that_is_no_name_is_refused(alias: str, store: Store) -> None:
    with pytest.raises(NameRefused):
        promote(store, registered(store, "v1-a"), [], alias=alias)
    assert state(store) == ({}, 0)


def test_rollback_goes_back_and_forth(store: Store) -> None:
    for version in ("v1-old", "v1-new"):
        promote(store, registered(store, version), [])
    moved = rollback(store.acting(local("ann")), "crops")
    assert (moved.version, moved.moved_by, moved.gates[0]["gate"]) == ("v1-old", "ann", "rollback")
    assert state(store) == ({"production": "v1-old", "previous": "v1-new"}, 3)
    rollback(store, "crops")
    assert state(store)[0] == {"production": "v1-new", "previous": "v1-old"}


def test_rollback_needs_something_to_go_back_to(store: Store) -> None:
    promote(store, registered(store, "v1-a"), [])
    with pytest.raises(NotFound, match="crops has no previous version in production"):
        rollback(store, "crops")
    assert state(store) == ({"production": "v1-a"}, 1)


def test_outcomes_read_as_one_sentence(store: Store) -> None:
    row = registered(store, "v1-a", accuracy=0.5)
    gates = [Gate(metric="accuracy", min=0.9, max=1), Gate(metric="kappa", min=0.1)]
    assert (
        gates_description(check_gates(store, row, gates))
        == "accuracy ≥ 0.9: FAILED at 0.5000; accuracy ≤ 1: passed at 0.5000; kappa ≥ 0.1: FAILED,"
        " not measured"
    )
    assert gates_description([]) == "no gate is declared"


@pytest.mark.parametrize(
    "changed", ["model.onnx", "metrics.json", "record", "registry", "production"]
)
def test_what_is_not_as_it_was_published_is_not_promoted(changed: str, store: Store) -> None:
    better = [Gate(metric="accuracy", not_worse_than="production")]
    promote(store, registered(store, "v1-a", accuracy=0.9), [])
    registered(store, "v1-b", accuracy=0.5)
    keys = {
        "record": "catalog/models/crops/v1-b.json",
        "production": "models/crops/v1-a/metrics.json",
    }
    if changed == "registry":
        with store.registry._engine.begin() as connection:
            where = ModelVersion.version == "v1-b"
            connection.execute(update(ModelVersion).where(where).values(metrics={"accuracy": 0.99}))
    else:
        store.workspace.put(keys.get(changed, f"models/crops/v1-b/{changed}"), b"changed")
    before = state(store)
    with pytest.raises(IntegrityError, match="not as it was published, no alias was moved"):
        promote(store, store.registry.model_version(Reference("crops", "v1-b")), better)
    assert state(store) == before


def test_nothing_damaged_is_rolled_back_to(store: Store) -> None:
    for version in ("v1-a", "v1-b"):
        promote(store, registered(store, version), [])
    store.workspace.put("models/crops/v1-a/model.onnx", b"changed")
    with pytest.raises(IntegrityError, match=r"models/crops/v1-a/model\.onnx"):
        rollback(store, "crops")
    assert store.registry.aliases("crops") == {"production": "v1-b", "previous": "v1-a"}
