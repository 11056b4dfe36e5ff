"""Backups, and what is restored from them after everything was lost."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from mlops_assets.errors import Conflict, Forbidden, IntegrityError, NotFound, StorageError
from mlops_assets.models.promotion import promote
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import (
    BACKUPS,
    RESTORING,
    backup_blob_key,
    backup_key,
    model_item_key,
    segments_folder,
)
from mlops_assets.principals import Principal, Role, Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.registry.schema import SCHEMA_REVISION
from mlops_assets.stac.mlm.facts import ModelDeclaration
from mlops_assets.stac.models import write_model_record
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.storage.workspace import AT_ONCE
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets.upkeep.backup import create, wanted
from mlops_assets.upkeep.backup import lines as lines_of_backups
from mlops_assets.upkeep.backup.create import create_backup
from mlops_assets.upkeep.backup.documents import BackupDocument, BackupPlace, Blob
from mlops_assets.upkeep.backup.lines import TABLES, rows_of
from mlops_assets.upkeep.backup.restore import restore_backup
from mlops_assets.upkeep.backup.verify import files_of, verify_backup
from mlops_assets_tests.faults.life import STEPS, land
from mlops_assets_tests.faults.life import state as recorded
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.training.example_trainers import model_specification, training_request

LIFE = (
    "commit v1",
    "tag",
    "assess v1",
    "record v1",
    "train on v1",
    "train patiently",
    "export",
    "evaluate",
    "record the model",
    "promote",
    "predict",
)
OPERATOR = local("tester")


def opened(workspace: str, registry: str, cache: Path) -> Store:
    return Store(Workspace(workspace, cache), Registry(registry).acting(OPERATOR))


def local_store(root: Path) -> Store:
    return opened(root.as_uri(), f"sqlite:///{root / 'registry.db'}", root / "cache")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a life, with a private version, a token, and requests not yet published."""
    root = tmp_path_factory.mktemp("life") / "workspace"
    root.mkdir()
    land(root, "a", 0)
    store = local_store(root)
    for name in LIFE:
        STEPS[name](store)
    store.registry.note_run(store.registry.runs()[0].run_id, "of spring")
    store.workspace.put(f"{segments_folder('crops', '2026-11-30')}/1.bin", b"requests")
    set_visibility(store, store.registry.model_versions("crops")[0], Visibility.PRIVATE, "draft")
    store.registry.close()
    return root


@pytest.fixture
def lived(template: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    root = tmp_path / "lived"
    shutil.copytree(template, root)
    return local_store(root)


def dumped(store: Store) -> dict[str, list[dict[str, object]]]:
    """All rows of a registry that a backup has."""
    with store.registry.snapshot() as connection:
        return {name: list(rows_of(connection, table)) for name, table in TABLES.items()}


def restored(
    place: str, workspace: str, registry: str, cache: Path, name: str | None = None
) -> Store:
    """Restore a backup, verify it, and open it."""
    restore_backup(BackupPlace(place, cache), Workspace(workspace, cache), registry, OPERATOR, name)
    store = opened(workspace, registry, cache)
    assert verify_all(store).problems == []
    return store


def test_after_everything_is_lost_a_bucket_and_postgresql_have_it_again_and_back(
    lived: Store, s3: Bucket, new_database: Callable[..., str], tmp_path: Path
) -> None:
    place = f"{s3.url}/backups"
    before, rows = recorded(lived), dumped(lived)
    made = create_backup(lived, place)
    assert verify_backup(BackupPlace(place, tmp_path / "cache")).problems == ()
    lived.registry.close()
    shutil.rmtree(lived.workspace.root)
    store = restored(place, f"{s3.url}/restored", new_database(), tmp_path / "cache")
    assert recorded(store) == before
    assert dumped(store) == rows
    assert store.registry.newest_entry() == made.document.head
    assert store.workspace.exists(f"{segments_folder('crops', '2026-11-30')}/1.bin")
    assert not store.workspace.exists(RESTORING)
    # the life continues, and with it the log
    request = training_request(model_specification("crops", dataset="scenes", inputs="patch"))
    row = train(store, request)
    promote(store, store.registry.model_versions("crops")[0], [], alias="candidate")
    store.registry.note_run(row.run_id, "after the fire")
    assert verify_all(store).problems == []
    assert len(store.registry.log_texts(1, 10_000)) > made.document.tables["log"].rows
    rows = dumped(store)
    back = (tmp_path / "folder").as_uri()
    create_backup(store, back, "the-second")
    root = tmp_path / "again"
    again = restored(back, root.as_uri(), f"sqlite:///{root / 'registry.db'}", root / "cache")
    assert dumped(again) == rows
    again.registry.close()
    store.registry.close()


def test_a_second_backup_copies_only_what_is_new(lived: Store, tmp_path: Path) -> None:
    place = (tmp_path / "backups").as_uri()
    first = create_backup(lived, place, "first")
    again = create_backup(lived, place, "again")
    assert first.copied > 50
    assert again.copied == 0
    assert again.document.files == first.document.files
    lived.registry.note_run(lived.registry.runs()[0].run_id, "new")
    third = create_backup(lived, place)
    assert third.copied == 2  # tables: notes, and the log
    assert BackupPlace(place, tmp_path).read(None).name == third.document.name
    root = tmp_path / "restored"
    store = restored(place, root.as_uri(), f"sqlite:///{root}/registry.db", root / "cache", "first")
    assert store.registry.newest_entry() == first.document.head
    store.registry.close()


def killed_at(number: int) -> Callable[..., object]:
    """A `put` of a workspace whose process is killed before the one of this number."""
    put, done = Workspace.put, iter(range(number))

    def killing(self: Workspace, key: str, content: bytes | Path) -> object:
        if next(done, None) is None:
            raise KeyboardInterrupt
        return put(self, key, content)

    return killing


@pytest.mark.parametrize("number", [0, 1, 7, 40])
def test_a_killed_backup_is_none_and_the_next_one_continues(
    number: int, lived: Store, tmp_path: Path
) -> None:
    place = (tmp_path / "backups").as_uri()
    with patch.object(Workspace, "put", killed_at(number)), pytest.raises(KeyboardInterrupt):
        create_backup(lived, place)
    opened_place = BackupPlace(place, tmp_path / "cache")
    assert opened_place.names() == []
    with pytest.raises(NotFound, match="has no backup"):
        opened_place.read(None)
    there = sum(1 for _ in opened_place.blobs())
    made = create_backup(lived, place)
    assert verify_backup(opened_place).problems == ()
    assert sum(1 for _ in opened_place.blobs()) == there + made.copied


@pytest.mark.parametrize("number", [0, 1, 7, 40, -1])
def test_a_killed_restore_is_continued(number: int, lived: Store, tmp_path: Path) -> None:
    place = (tmp_path / "backups").as_uri()
    create_backup(lived, place, "first")
    lived.registry.note_run(lived.registry.runs()[0].run_id, "new")
    create_backup(lived, place, "second")
    root = tmp_path / "restored"
    url = f"sqlite:///{root}/registry.db"
    killed = (
        patch.object(Workspace, "remove", side_effect=KeyboardInterrupt)  # all is done but the mark
        if number < 0
        else patch.object(Workspace, "put", killed_at(number))
    )
    opened_place = BackupPlace(place, tmp_path / "cache")
    workspace = Workspace(root.as_uri())
    with killed, pytest.raises(KeyboardInterrupt):
        restore_backup(opened_place, workspace, url, OPERATOR, "first")
    if number > 0:
        with pytest.raises(Conflict, match="being restored from backup first"):
            restore_backup(opened_place, workspace, url, OPERATOR, "second")
    store = restored(place, root.as_uri(), url, root / "cache", "first")
    assert not store.workspace.exists(RESTORING)
    assert dumped(store) != dumped(lived)
    store.registry.close()


def test_files_that_are_replaced_meanwhile_are_those_that_the_registry_states(
    lived: Store, tmp_path: Path
) -> None:
    place = (tmp_path / "backups").as_uri()
    title = iter(["Crops of spring", "Crops of summer"])
    listed = wanted.recorded

    def replacing(store: Store, connection: object) -> object:
        found = list(listed(store, connection))  # type: ignore[arg-type]
        if (new := next(title, None)) is not None:
            row = lived.registry.model_versions("crops")[0]
            write_model_record(lived.workspace, lived.registry, row, ModelDeclaration(new))
        return found

    with patch.object(create, "recorded", replacing):
        create_backup(lived, place)
    root = tmp_path / "restored"
    store = restored(place, root.as_uri(), f"sqlite:///{root}/registry.db", root / "cache")
    item = store.workspace.get(model_item_key("crops", row_version(store), private=True))
    assert b"Crops of summer" in item
    store.registry.close()


def row_version(store: Store) -> str:
    return store.registry.model_versions("crops")[0].version


def test_a_checkpoint_that_was_replaced_meanwhile_is_left_out(lived: Store, tmp_path: Path) -> None:
    run = next(run for run in lived.registry.runs() if lived.registry.checkpoints(run.run_id))
    lived.workspace.remove(lived.registry.checkpoints(run.run_id)[0].path)
    made = create_backup(lived, (tmp_path / "backups").as_uri())
    assert "1 checkpoint(s)" in made.document.notes[0]
    root = tmp_path / "restored"
    place = (tmp_path / "backups").as_uri()
    restored(place, root.as_uri(), f"sqlite:///{root}/registry.db", root / "cache").registry.close()


def test_a_damaged_file_is_not_backed_up(lived: Store, tmp_path: Path) -> None:
    key = "datasets/scenes/v1/version.json"
    lived.workspace.put(key, b"{}")
    with pytest.raises(IntegrityError, match=key):
        create_backup(lived, (tmp_path / "backups").as_uri())
    assert BackupPlace((tmp_path / "backups").as_uri(), tmp_path).names() == []


def test_damage_to_a_backup_is_found(lived: Store, tmp_path: Path) -> None:
    url = (tmp_path / "backups").as_uri()
    document = create_backup(lived, url, "first").document
    place = BackupPlace(url, tmp_path / "cache")
    blob = backup_blob_key(document.tables["runs"].sha256)
    content = place.store.get(blob)
    place.store.put(blob, content[:-1] + b"?")
    found = verify_backup(place)
    assert found.problems == (f"{blob} is not as it was written; remove it, and back up again",)
    root = tmp_path / "restored"
    with pytest.raises(IntegrityError, match="is not as it was written"):
        restored(url, root.as_uri(), f"sqlite:///{root}/registry.db", root / "cache")
    place.store.remove(blob)
    assert "is missing" in verify_backup(place).problems[0]
    assert create_backup(lived, url).copied == 1
    changed = json.loads(place.store.get(backup_key("first"))) | {"created_by": "eve"}
    place.store.put(backup_key("first"), json.dumps(changed).encode())
    with pytest.raises(IntegrityError, match="is not as it was written"):
        place.read("first")
    place.store.put(f"{BACKUPS}/half.json", b'{"format": 1')
    with pytest.raises(IntegrityError, match="not the document of a backup"):
        place.read("half")


def forged(place: BackupPlace, lines: bytes) -> None:
    """A backup of a stranger, which is consistent in itself, with these lines as its files."""
    store = place.store
    content = gzip.compress(lines)
    blob = Blob(sha256=hashlib.sha256(content).hexdigest(), size=len(content), rows=1)
    store.put(backup_blob_key(blob.sha256), content)
    moment = datetime(2026, 11, 30, tzinfo=UTC)
    document = BackupDocument(
        name="forged",
        created=moment,
        created_by="eve",
        release="9",
        schema_revision=SCHEMA_REVISION,
        workspace="file:///eve",
        head=None,
        tables={},
        files=blob,
        size=1,
    )
    store.put(backup_key("forged"), document.content())


@pytest.mark.parametrize(
    "key",
    [
        "../outside",
        "runs/../../outside",
        "{root}/outside",
        "dagster/delegation.key",  # by which runs act for anybody
        "registry.db",
        "landing/scenes/a.tif",
        RESTORING,
    ],
)
def test_a_backup_of_a_stranger_writes_nothing_beside_the_files_of_backups(
    key: str, tmp_path: Path
) -> None:
    place = BackupPlace((tmp_path / "backups").as_uri(), tmp_path / "cache")
    large = b"x" * (AT_ONCE + 1)  # which a folder takes by another way
    sha256 = hashlib.sha256(large).hexdigest()
    place.store.put(backup_blob_key(sha256), large)
    line = {"key": key.format(root=tmp_path), "sha256": sha256, "size": len(large)}
    forged(place, json.dumps(line).encode())
    assert "which no backup has" in verify_backup(place).problems[0]
    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = f"sqlite:///{tmp_path}/new.db"
    with pytest.raises(IntegrityError, match="which no backup has"):
        restore_backup(place, workspace, registry, OPERATOR)
    assert list(workspace.list("")) == [RESTORING]
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("lines", [b"[]", b'{"key": "runs/a"}', b'{"key": 1}', b"{", b'"' * 500])
def test_lists_that_are_none_are_refused(
    lines: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines_of_backups, "MAX_LINE", 400)
    place = BackupPlace((tmp_path / "backups").as_uri(), tmp_path / "cache")
    forged(place, lines)
    with pytest.raises(IntegrityError, match=r"of the backup cannot be read|which no backup has"):
        list(files_of(place, place.read("forged"), tmp_path))


def test_what_would_be_overwritten_or_lost_is_refused(lived: Store, tmp_path: Path) -> None:
    url = (tmp_path / "backups").as_uri()
    link = tmp_path / "link"
    link.symlink_to(lived.workspace.root)
    for inside in (lived.workspace.url, link.as_uri(), f"{url}/../lived/landing"):
        with pytest.raises(StorageError, match="is in the workspace"):
            create_backup(lived, f"{inside}/backups")
    scientist = Principal("ann", frozenset({Role.SCIENTIST}))
    with pytest.raises(Forbidden):
        create_backup(lived.acting(scientist), url)
    create_backup(lived, url, "first")
    with pytest.raises(Conflict, match="has a backup 'first' already"):
        create_backup(lived, url, "first")
    place = BackupPlace(url, tmp_path / "cache")
    with pytest.raises(NotFound, match="has no backup 'second'; it has first"):
        place.read("second")
    empty = Workspace((tmp_path / "empty").as_uri())
    with pytest.raises(Forbidden):
        restore_backup(place, empty, "sqlite://", scientist)
    with pytest.raises(Conflict, match="is not empty: it has"):
        restore_backup(place, lived.workspace, f"sqlite:///{tmp_path}/new.db", OPERATOR)
    with pytest.raises(Conflict, match="has rows already"):
        restore_backup(place, empty, lived.registry.url, OPERATOR)
    assert [key for key in empty.list("") if key != RESTORING] == []
