"""The documents of an ended run in the workspace, whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.errors import Conflict, StorageError
from mlops_assets.models.run_documents import end_run
from mlops_assets.paths import Owner, run_document_key
from mlops_assets.registry.runs import LoggedPoint, RunFacts
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run
from mlops_assets_tests.training.example_trainers import require_documents

# in the order logged, not by name; floats that no decimal text of a few digits is equal to
POINTS: list[LoggedPoint] = [
    (seq, ("loss", "größe")[seq % 2], seq // 2, 0.1 + 0.2 * seq, 1_700_000_000.123_456 + seq / 3)
    for seq in range(7)
]


def test_a_run_that_ends_twice_has_the_documents_of_its_last_end(store: Store) -> None:
    store.registry.start_run(new_run(parameters={"rate": float("inf"), "net": {"depth": 3}}))
    store.registry.log("run-1", POINTS)
    end_run(
        store,
        "run-1",
        "canceled",
        "stopped",
        RunFacts(metrics={"loss": 0.5}, phases={"fit": 1.5}, seconds=2.0),
    )
    require_documents(store, "run-1")
    end_run(store, "run-1", "failed", "Traceback\n  …", RunFacts(seconds=1.0))
    assert (store.registry.run("run-1").status, store.registry.run("run-1").seconds) == (
        "failed",
        3.0,
    )
    require_documents(store, "run-1")


def test_a_run_that_is_resumed_has_no_documents_until_it_ends_again(store: Store) -> None:
    store.registry.start_run(new_run())
    store.registry.log("run-1", POINTS)
    end_run(store, "run-1", "failed", "out of luck")
    store.registry.resume_run("run-1", 3)
    assert store.registry.files(Owner("run:run-1")) == []
    end_run(store, "run-1", "pruned", "others are better")
    assert len(store.registry.points("run-1")) == 3
    require_documents(store, "run-1")


def test_a_full_disk_does_not_keep_a_run_from_ending(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Workspace, key: str, *_rest: Any) -> FileStat:
        raise StorageError(f"{key} could not be written: no space left on device")

    store.registry.start_run(new_run())
    store.registry.log("run-1", POINTS)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "_put", full)
        end_run(store, "run-1", "failed", "No space left on device", RunFacts({"loss": 1.0}))
    run = store.registry.run("run-1")
    assert (run.status, run.error, run.metrics) == (
        "failed",
        "No space left on device",
        {"loss": 1.0},
    )
    assert store.registry.files(Owner("run:run-1")) == []
    assert "the documents of run run-1 could not be written" in caplog.text


def test_a_run_that_has_succeeded_does_not_end_otherwise(store: Store) -> None:
    store.registry.start_run(new_run(status="succeeded"))
    with pytest.raises(Conflict, match="has succeeded already"):
        end_run(store, "run-1", "failed", "out of luck")
    assert not store.workspace.exists(run_document_key("run-1"))


def test_an_error_with_a_password_is_kept_without_it(store: Store) -> None:
    store.registry.start_run(new_run())
    end_run(store, "run-1", "failed", "no answer from postgresql://me:c4n4ry@host/db")
    assert store.registry.run("run-1").error == "no answer from postgresql://me:***@host/db"
    assert b"c4n4ry" not in b"".join(map(store.workspace.get, store.workspace.list("")))
    require_documents(store, "run-1")
