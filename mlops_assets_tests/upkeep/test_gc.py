"""What garbage collection takes, and what it leaves."""

from __future__ import annotations

import os
from datetime import timedelta
from unittest.mock import patch

import pytest
from sqlalchemy import select

from mlops_assets.datasets.commit import commit as commit_module
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.errors import Conflict, Forbidden, StorageError
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import (
    OBJECTS,
    checkpoints_folder,
    parts_folder,
    step_values_folder,
    version_folder,
)
from mlops_assets.prediction.parts import Parts
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Checkpoint
from mlops_assets.registry.schema import LandedIdentity, PackedObject
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets.upkeep.gc import collect
from mlops_assets.upkeep.rules import Kind, Rules
from mlops_assets.upkeep.tally import Tally, keys_digest
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.registry.rows import new_run
from mlops_assets_tests.training.example_trainers import (
    HERE,
    model_specification,
    training_request,
)

AT_ONCE = Rules(*[timedelta(0)] * 5)


def collected(
    store: Store,
    rules: Rules = AT_ONCE,
    delete: bool = True,
    running: tuple[str, ...] | None = (),
) -> dict[Kind, Tally]:
    """The files of each kind that were found, of the kinds that there are."""
    found = collect(store, rules, running, delete, wait=0.1)
    return {tally.kind: tally for tally in found if tally.files}


def age(store: Store, folder: str, days: float) -> None:
    """Let the files of a folder be written days ago."""
    for path in (store.workspace.root / folder).rglob("*"):
        written = path.stat().st_mtime - days * 86_400
        os.utime(path, (written, written))


def land_many(store: Store, files: int = 40) -> None:
    """Land so many small tables that a commit packs them."""
    landing = store.workspace.root / "landing/fields"
    landing.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        crops_table(40, seed=number).to_csv(landing / f"{number}.csv", index=False)


def test_what_a_life_has_recorded_is_needed(store: Store) -> None:
    land_many(store)
    commit(store.workspace, store.registry, table_specification())
    specification = model_specification(trainer=f"{HERE}:patient")
    train(store, training_request(specification, parameters={"steps": 5}))
    assert any(store.workspace.list("objects/packs"))
    found = collected(store)
    assert found.keys() == {Kind.CHECKPOINTS}  # of a run that has succeeded
    assert found[Kind.CHECKPOINTS].files == 2
    assert verify_all(store).problems == []
    # a run from elsewhere, which names no object
    store.registry.start_run(new_run("b" * 36, code={"source": "mine", "diff": "Z" * 64}))
    assert collected(store) == {}


def test_orphans_go_with_all_that_recognises_them_and_the_log_has_it(store: Store) -> None:
    land_many(store)
    specification = table_specification()
    with (
        patch.object(commit_module, "publish", side_effect=StorageError("killed")),
        pytest.raises(StorageError, match="killed"),
    ):
        commit(store.workspace, store.registry, specification)
    with store.registry.reading() as session:
        assert session.scalars(select(PackedObject)).first() is not None
        assert session.scalars(select(LandedIdentity)).first() is not None
    orphan = store.workspace.put_object(b"orphan")
    store.workspace.put(f"{OBJECTS}/zz/not-ours", b"?")
    counted = collected(store, delete=False)
    assert store.workspace.exists(orphan.path)
    found = collected(store)
    assert {kind: tally.files for kind, tally in found.items()} == {
        kind: tally.files for kind, tally in counted.items()
    }
    assert found.keys() == {Kind.OBJECTS, Kind.PACKS}
    assert not store.workspace.exists(orphan.path)
    assert list(store.workspace.list("objects/packs")) == []
    with store.registry.reading() as session:
        assert session.scalars(select(PackedObject)).first() is None
        assert session.scalars(select(LandedIdentity)).first() is None
    store.workspace.get(f"{OBJECTS}/zz/not-ours")
    store.workspace.remove(f"{OBJECTS}/zz/not-ours")
    stated = {row.kind: row for row in store.registry.removals()}
    assert {kind: row.files for kind, row in stated.items()} == {
        kind: tally.files for kind, tally in found.items()
    }
    assert stated["objects"].sha256 == keys_digest([orphan.path])
    assert stated["objects"].removed_by == "tester"
    assert verify_all(store).problems == []
    commit(store.workspace, store.registry, specification)
    assert verify_all(store).problems == []
    assert collected(store) == {}


def test_young_objects_and_those_of_others_are_left(store: Store) -> None:
    orphan = store.workspace.put_object(b"orphan")
    assert collected(store, Rules()) == {}
    age(store, OBJECTS, 2)
    with store.registry.storing(), pytest.raises(Conflict, match="storing objects"):
        collected(store, Rules())
    assert store.workspace.exists(orphan.path)
    scientist = Principal("ann", frozenset({Role.SCIENTIST}))
    with pytest.raises(Forbidden):
        collected(store.acting(scientist), Rules(), delete=False)
    assert collected(store, Rules())[Kind.OBJECTS].files == 1


def test_nothing_is_removed_while_it_is_unknown_what_a_version_names(store: Store) -> None:
    land_many(store, 2)
    commit(store.workspace, store.registry, table_specification())
    orphan = store.workspace.put_object(b"orphan")
    store.workspace.remove(f"{version_folder('fields', 'v1')}/manifest.parquet")
    with pytest.raises(StorageError, match="manifest"):
        collected(store)
    assert store.workspace.exists(orphan.path)


def test_a_single_object_in_place_of_a_damaged_pack_is_needed(store: Store) -> None:
    land_many(store)
    commit(store.workspace, store.registry, table_specification())
    packed = (store.workspace.root / "landing/fields/0.csv").read_bytes()
    single = store.workspace.put_object(packed)
    assert Kind.OBJECTS not in collected(store)
    assert store.workspace.exists(single.path)


def ended(store: Store, run_id: str, status: str, days: float, steps: int = 1) -> None:
    """Record a run that ended days ago, with a checkpoint."""
    run = new_run(run_id, status=status, finished=now() - timedelta(days=days))
    store.registry.start_run(run)
    for step in range(steps):
        file = store.workspace.put(f"{checkpoints_folder(run_id)}/{step}.safetensors", b"state")
        store.registry.add_checkpoint(
            Checkpoint(
                run_id=run_id,
                step=step,
                seq=0,
                path=file.path,
                sha256=file.sha256,
                size=file.size,
                created=now(),
            )
        )


def test_checkpoints_go_by_how_and_when_their_run_has_ended(store: Store) -> None:
    ended(store, "succeeded-old", "succeeded", 8)
    ended(store, "succeeded-new", "succeeded", 6)
    ended(store, "pruned-old", "pruned", 8)
    ended(store, "failed-old", "failed", 91)
    ended(store, "canceled-new", "canceled", 89)
    store.registry.start_run(new_run("running"))
    for run_id in ("running", "unknown"):
        store.workspace.put(f"{checkpoints_folder(run_id)}/1.safetensors", b"state")
    age(store, checkpoints_folder("unknown"), 91)
    found = collected(store, Rules())
    assert {key.split("/")[1] for key in found[Kind.CHECKPOINTS].examples} == {
        "succeeded-old",
        "pruned-old",
        "failed-old",
        "unknown",
    }
    left = {key.split("/")[1] for key in store.workspace.list("runs")}
    assert left == {"succeeded-new", "canceled-new", "running"}
    assert store.registry.checkpoints("failed-old") == []
    assert verify_all(store).problems == []


def test_a_run_that_was_resumed_since_keeps_its_checkpoints(store: Store) -> None:
    ended(store, "failed", "failed", 91)
    listed = store.registry.runs()
    store.registry.resume_run("failed", 0)
    with patch.object(type(store.registry), "runs", return_value=listed):
        assert collected(store, Rules()) == {}
    assert len(store.registry.checkpoints("failed")) == 1


def test_staged_files_are_in_the_log_before_they_are_removed(store: Store) -> None:
    staged = store.workspace.put("staged/abandoned", b"new")
    age(store, "staged", 31)
    killed = patch("mlops_assets.upkeep.unfinished.remove_abandoned", side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        collected(store, Rules())
    (row,) = store.registry.removals()
    assert (row.kind, row.files, row.sha256) == (Kind.STAGED, 1, keys_digest([staged.path]))


def test_unfinished_work_goes_when_nobody_has_continued_it_for_long(store: Store) -> None:
    for job in ("old", "continued"):
        store.workspace.put(f"{parts_folder(job)}/0.json", b"{}")
    for run in ("ended", "waiting", "young"):
        store.workspace.put(f"{step_values_folder(run)}/plan/jobs.json", b"[]")
    store.workspace.put("staged/abandoned", b"new")
    for folder in ("parts", "steps/ended", "steps/waiting", "staged"):
        age(store, folder, 31)
    Parts(store.workspace, "continued").touch()
    assert collected(store, Rules(), running=None).keys() == {Kind.PARTS, Kind.STAGED}
    assert collected(store, Rules(), running=("waiting",))[Kind.STEPS].files == 1
    left = {key.split("/")[1] for key in store.workspace.list("") if "/" in key}
    assert {"continued", "waiting", "young"} <= left
    assert left.isdisjoint({"old", "ended", "abandoned"})
    assert [row.kind for row in store.registry.removals()] == [
        Kind.PARTS,
        Kind.STAGED,
        Kind.STEPS,
    ]
    assert not (store.workspace.root / parts_folder("old")).exists()
