"""Verdicts of gates in `mlops model list` and `show`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.lifecycle import Outcome, do_stage
from mlops_assets.models.promotion import promote
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

GATES = [
    {"metric": "accuracy", "min": 0.1},
    {"metric": "accuracy", "not_worse_than": "production", "tolerance": 0.02},
]


def recorded(store: Store, depth: int) -> ModelVersion:
    specification = model_specification(gates=GATES)
    row = lifecycle(store, specification, depth=depth)
    do_stage("record", store, specification, row, Outcome(row.model, row.version), Unheard())
    return row


def test_list_and_show_have_the_verdict_in_words(
    store: Store,
    land_table: Callable[..., Commit],
    mlops: Mlops,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    land_table()
    first = recorded(store, 4)
    promote(store, store.registry.model_versions("crops")[0], [])
    monkeypatch.setattr("mlops_assets.models.gates.check.MIN_UNITS", 10_000)
    second = recorded(store, 1)
    listed = mlops("model", "list", "--json").json
    assert {row["version"]: row["gates"] for row in listed} == {
        first.version: "passed",
        second.version: "cannot tell",
    }
    reference = f"crops@{second.version}"
    shown = mlops("model", "show", reference, "--json").json
    assert shown["gates"]["verdict"] == "cannot tell"
    assert shown["gates"]["gates"][1]["evidence"]["other"] == first.version
    assert "cannot tell" in mlops("model", "list").out
    text = " ".join(mlops("model", "show", reference).out.split())
    assert "CANNOT TELL at" in text and "more test units needed" in text
