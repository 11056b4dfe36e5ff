"""The record of a run, whatever is missing or damaged."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from mlops_assets.errors import NotFound
from mlops_assets.hub.views.runs.record import MAX_ERROR, run_document, run_record
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def test_a_run_with_next_to_nothing_has_a_record(store: Store) -> None:
    row = new_run("run-1", metrics={"nan": math.nan}, parameters={"a": {"b": [1]}}, tags={"t": "1"})
    store.registry.start_run(row)
    store.registry.tag_run("run-1", "u", "2")
    store.registry.note_run("run-1", "<b>text</b>")
    store.registry.finish_run("run-1", "failed", "x" * 10 + "y" * MAX_ERROR)
    found = run_record(store, "run")
    assert (found.metrics, found.parameters) == ({"nan": "NaN"}, {"a.b": "[1]"})
    assert [(tag.name, tag.removable) for tag in found.tags] == [("t", False), ("u", True)]
    assert [note.text for note in found.notes] == ["<b>text</b>"]
    assert found.error == "y" * MAX_ERROR and found.environment is None
    assert not (found.has_points or found.has_log or found.has_documents)
    json.dumps(asdict(found), allow_nan=False, default=str)
    assert "user_tags" not in run_document(store, "run-1")
    with pytest.raises(NotFound):
        run_record(store, "other")


def test_a_damaged_environment_hides_nothing_else(store: Store) -> None:
    row = lifecycle(store, model_specification())
    found = run_record(store, row.run_id)
    assert found.environment is not None and found.environment_problem == ""
    assert found.has_documents and found.model_version == row.version
    digest = store.registry.run(row.run_id).environment
    assert digest is not None
    Path(store.workspace.root / f"objects/sha256/{digest[:2]}/{digest[2:]}").write_bytes(b"{}")
    damaged = run_record(store, row.run_id)
    assert damaged.environment is None and "has changed" in damaged.environment_problem
    assert damaged.metrics == found.metrics
