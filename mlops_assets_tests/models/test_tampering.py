"""Tampering with a workspace.

Whatever is changed, deleted or added, in the registry or in files, is found and named.

Table-driven from the schema, so that a column that is added later is covered. Everything is done to
the files of one SQLite registry and one workspace, which are put back.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, select, update
from sqlalchemy.exc import IntegrityError

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.recall.verify import verify as verify_dataset
from mlops_assets.identity.tokens import create_token
from mlops_assets.models.promotion import promote
from mlops_assets.models.verify import verify_all, verify_reference
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.registry import Checkpoint
from mlops_assets.registry.log.chain import AUDITED, canonical
from mlops_assets.registry.log.heads import head_of, head_problems, verify_kept_head
from mlops_assets.registry.log.verify import VerifiedLog
from mlops_assets.registry.records.external import send_collection
from mlops_assets.registry.records.registrations import Key, State, withdraw
from mlops_assets.registry.schema import ModelVersion
from mlops_assets.registry.session import now
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.discovery.external import external_collection
from mlops_assets_tests.models.test_verify import open_store
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.registry.log.test_chain import (
    LOG_TABLE,
    add_row,
    change_column,
    delete_row,
    other_value,
    run,
)
from mlops_assets_tests.registry.rows import deployment, failed_rule, git_delivery, removal
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

GARBAGE = ("{", b"\xff\x00", 2**62)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A workspace with rows in every audited table."""
    root = tmp_path_factory.mktemp("tampered") / "workspace"
    opened = open_store(root)
    write_scene(root / "landing/scenes", size=24, crs="EPSG:32630")
    commit(opened.workspace, opened.registry, scenes_specification())
    opened.registry.tag("scenes", "v1", "harvest")
    token, _ = create_token(opened.registry, "ann", [Role.SCIENTIST], timedelta(days=1))
    opened.registry.revoke_tokens(token.id)
    opened.registry.start_run(run("failed"))
    opened.registry.log("failed", [(0, "loss", 0, 0.5, 0.0)])
    checkpoint = Checkpoint(
        run_id="failed", step=1, seq=1, path="c", sha256="b" * 64, size=1, created=now()
    )
    opened.registry.add_checkpoint(checkpoint)
    opened.registry.finish_run("failed", "failed", "out of luck")
    opened.registry.note_run("failed", "the disk was full")
    opened.registry.tag_run("failed", "cause", "disk")
    row = lifecycle(opened, model_specification("cover", dataset="scenes"), recorded=True)
    opened.registry.set_webhooks({"team": ["model.promoted"]})
    opened.registry.decide(row, "approved", "measured", {"model.onnx": "c" * 64})
    promote(opened, opened.registry.model_version(Reference("cover")), [])
    send_collection(opened.registry, external_collection(), replace=False)
    withdraw(opened.registry, Key("eo_api", "scenes", "v1"), State.DEPRECATED, "old", "https://eo")
    opened.registry.record_deployment(deployment(row.version, model="cover"))
    opened.registry.add_git_delivery(git_delivery("a" * 64))
    opened.registry.record_removal(removal())
    opened.registry.raise_alarm(failed_rule(row.version, "2026-11-02", model="cover"))
    map_scene(opened, row, root / "landing/scenes/images/a.tif", "a")
    shutil.rmtree(opened.workspace.cache)
    assert verify_all(opened).problems == []
    yield opened
    opened.registry.close()


@pytest.fixture
def put_back(store: Store) -> Iterator[Callable[[], None]]:
    """Put the tables back as they were; done at the end, too."""
    kept, own = sqlite3.connect(":memory:"), sqlite3.connect(store.workspace.root / "registry.db")
    own.backup(kept)
    yield lambda: kept.backup(own)
    kept.backup(own)
    own.close()
    kept.close()


@pytest.fixture
def connection(store: Store, put_back: Callable[[], None]) -> Iterator[Connection]:
    """A connection behind the registry's back, in which every statement counts at once."""
    engine = create_engine(store.registry.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Iterator[Path]:
    """The folder of the mirror, which is put back."""
    path = store.workspace.root / "log"
    shutil.copytree(path, tmp_path / "log")
    yield path
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "log", path)


def found(store: Store) -> list[str]:
    """The problems that verifying everything finds.

    The model alone and the dataset alone find that something is wrong, too.
    """
    problems = verify_all(store).problems
    assert problems
    assert verify_reference(store, Reference("cover")).problems
    assert verify_dataset(store.workspace, store.registry, Reference("scenes")).damages
    return problems


# the registry only

COLUMNS = [(table.name, column.name) for table in AUDITED.values() for column in table.columns]


def test_there_is_a_row_in_every_audited_table(store: Store) -> None:
    with store.registry.snapshot() as reading:
        assert {
            name for name, table in AUDITED.items() if not reading.execute(select(table)).all()
        } == set()


def test_a_changed_column_is_found(
    store: Store, connection: Connection, put_back: Callable[[], None]
) -> None:
    wrong = {}
    for table, column in COLUMNS:
        change_column(connection, table, column)
        problems = verify_all(store).problems
        named = any(problem.startswith(f"{table} ") for problem in problems)
        if not named or any("cannot be verified" in problem for problem in problems):
            wrong[table, column] = problems
        put_back()
    assert wrong == {}


DERIVED = [
    ("data_versions", "files"),
    ("data_versions", "samples"),
    ("data_versions", "size"),
    ("data_versions", "number"),
    ("data_versions", "specification"),
    ("data_versions", "counts"),
    ("data_versions", "created_by"),
    ("data_versions", "created"),
    ("data_versions", "digest"),
    ("model_versions", "task"),
    ("model_versions", "framework"),
    ("model_versions", "signature"),
    ("model_versions", "stage"),
    ("model_versions", "metrics"),
    ("model_versions", "run_id"),
    ("model_versions", "dataset"),
    ("model_versions", "data_version"),
    ("model_versions", "data_digest"),
    ("aliases", "version"),
    ("tags", "version"),
    ("promotions", "version"),
    ("files", "sha256"),
]


def test_documents_reveal_a_change_though_the_log_was_rewritten_too(
    store: Store,
    connection: Connection,
    put_back: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops_assets.models.verify.verify_log", lambda *_: VerifiedLog())
    assert verify_all(store).problems == []
    unseen = []
    for table, column in DERIVED:
        change_column(connection, table, column)
        if not verify_all(store).problems:
            unseen.append((table, column))
        put_back()
    assert unseen == []


@pytest.mark.parametrize(
    "column", ["parameters", "seed", "trainer", "code_version", "hardware", "data_digest", "model"]
)
def test_the_document_of_a_run_reveals_a_change_though_the_log_was_rewritten_too(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    monkeypatch.setattr("mlops_assets.models.verify.verify_log", lambda *_: VerifiedLog())
    of = AUDITED["runs"]
    row = connection.execute(select(of).where(of.c.status == "succeeded")).mappings().one()
    changed = {column: other_value(of.columns[column], row[column])}
    connection.execute(update(of).where(of.c.run_id == row["run_id"]).values(changed))
    assert any(column in problem for problem in verify_all(store).problems)


def test_points_are_compared_with_those_of_the_document(
    store: Store, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.models.verify.verify_log", lambda *_: VerifiedLog())
    connection.exec_driver_sql("UPDATE points SET value = value + 1 WHERE run_id != 'failed'")
    assert any(
        "points are not those of run.json" in problem for problem in verify_all(store).problems
    )


@pytest.mark.parametrize("table", AUDITED)
def test_a_deleted_row_is_found(store: Store, connection: Connection, table: str) -> None:
    delete_row(connection, table)
    problems = found(store)
    assert any(problem.startswith(f"{table} ") and "deleted" in problem for problem in problems)
    assert not any("Error" in problem for problem in problems)


@pytest.mark.parametrize("table", AUDITED)
def test_an_added_row_is_found(store: Store, connection: Connection, table: str) -> None:
    add_row(connection, table)
    problems = found(store)
    assert any(problem.startswith(f"{table} ") and "added" in problem for problem in problems)
    assert not any("Error" in problem for problem in problems)


@pytest.mark.slow
def test_whatever_is_in_a_column_verifying_comes_to_its_end(
    store: Store, connection: Connection, put_back: Callable[[], None]
) -> None:
    unnamed = []
    for (table, column), garbage in itertools.product(COLUMNS, GARBAGE):
        statement = (
            f'UPDATE {table} SET "{column}" = ? WHERE rowid = (SELECT max(rowid) FROM {table})'
        )
        try:
            connection.exec_driver_sql(statement, (garbage,))
        except IntegrityError:  # some columns are unique
            continue
        if not any(problem.startswith(f"{table} ") for problem in verify_all(store).problems):
            unnamed.append((table, column, garbage))
        put_back()
    assert unnamed == []


def test_a_dropped_table_is_found(store: Store, connection: Connection) -> None:
    connection.exec_driver_sql("DROP TABLE promotions")
    assert any("promotions" in problem for problem in verify_all(store).problems)


@pytest.mark.parametrize(
    ("table", "column"), [("runs", "usage"), ("model_versions", "metrics"), ("files", "size")]
)
def test_a_dropped_column_hides_nothing_else(
    store: Store, connection: Connection, table: str, column: str
) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
    delete_row(connection, "tags")
    for problems in (
        verify_all(store).problems,
        verify_reference(store, Reference("cover")).problems,
    ):
        assert any(f"table {table} cannot be verified" in problem for problem in problems)
        assert any(problem.startswith("tags ") for problem in problems)
    damages = verify_dataset(store.workspace, store.registry, Reference("scenes")).damages
    assert any(damage.detail.startswith("tags ") for damage in damages)


def test_points_that_cannot_be_read_hide_no_others(store: Store, connection: Connection) -> None:
    runs = [row.run_id for row in store.registry.runs()]
    for run_id, value in zip(runs, ("x", b"\xff"), strict=True):
        connection.exec_driver_sql("DELETE FROM points WHERE run_id = ?", (run_id,))
        connection.exec_driver_sql(
            "INSERT INTO points VALUES (?, 0, 'loss', 0, ?, 0)", (run_id, value)
        )
    connection.exec_driver_sql("INSERT INTO points VALUES ('nobody', 0, 'loss', 0, 0, 0)")
    problems = "\n".join(verify_all(store).problems)
    for run_id in (*runs, "nobody"):
        assert f"points of run {run_id} were" in problems
    assert "table points cannot be verified" not in problems


def test_content_that_is_staged_and_was_not_published_is_found(
    store: Store, connection: Connection
) -> None:
    path = store.registry.files()[0].path
    store.workspace.put("staged/evil", b"evil")
    connection.exec_driver_sql("INSERT INTO staged VALUES (?, ?)", (path, "staged/evil"))
    assert any(f"staged for {path}" in problem for problem in verify_all(store).problems)
    store.workspace.remove("staged/evil")
    assert verify_all(store).problems == []


def test_everything_is_listed_at_once(store: Store, connection: Connection) -> None:
    for table, column in (
        ("runs", "metrics"),
        ("model_versions", "stage"),
        ("aliases", "version"),
        ("tags", "version"),
    ):
        change_column(connection, table, column)
    delete_row(connection, "files")
    store.workspace.put("stray", b"")
    problems = "\n".join(found(store))
    for table in ("runs", "model_versions", "aliases", "tags", "files"):
        assert f"{table} " in problems


# the workspace only


def mirror(folder: Path) -> list[Path]:
    """The mirrored entries, oldest first."""
    return sorted(folder.iterdir())


def test_changed_entries_of_the_mirror_are_found(store: Store, folder: Path) -> None:
    for path in mirror(folder):
        path.write_text(path.read_text().replace("tester", "nobody"))
    problems = verify_all(store).problems
    assert [problem.split()[0] for problem in problems] == [
        f"log/{path.name}" for path in mirror(folder)
    ]


@pytest.mark.parametrize("which", ["the oldest", "the newest", "all"])
def test_removed_entries_of_the_mirror_are_found(which: str, store: Store, folder: Path) -> None:
    entries = mirror(folder)
    removed = {"the oldest": entries[:1], "the newest": entries[-1:], "all": entries}[which]
    for path in removed:
        path.unlink()
    assert [problem.split()[0] for problem in verify_all(store).problems] == [
        f"log/{path.name}" for path in removed
    ]


def test_added_entries_of_the_mirror_are_found(store: Store, folder: Path) -> None:
    newest = mirror(folder)[-1]
    added = folder / f"{int(newest.stem) + 1:010}.json"
    added.write_text(newest.read_text())
    (folder / "note.txt").write_text("")
    assert [problem.split()[0] for problem in verify_all(store).problems] == [
        f"log/{added.name}",
        "log/note.txt",
    ]


# the registry with its log, and both


def rewrite(connection: Connection) -> list[str]:
    """Change what a model was measured as, in the tables and in the log, whose chain is made anew.

    Return its texts.
    """
    lie = {"accuracy": 0.999}
    connection.execute(update(ModelVersion).values(metrics=lie))
    rows = connection.execute(select(LOG_TABLE).order_by(LOG_TABLE.c.seq)).all()
    previous, texts = "", []
    for seq, _, text in rows:
        entry = json.loads(text)
        entry["previous"] = previous
        for table, _, columns in entry["changes"]:
            if table == "model_versions" and "metrics" in (columns or {}):
                columns["metrics"] = lie
        texts.append(canonical(entry))
        previous = hashlib.sha256(texts[-1].encode()).hexdigest()
        connection.execute(
            update(LOG_TABLE).where(LOG_TABLE.c.seq == seq).values(entry=texts[-1], sha256=previous)
        )
    return texts


def test_a_log_that_was_rewritten_with_its_tables_is_found_by_the_mirror(
    store: Store, connection: Connection
) -> None:
    rewrite(connection)
    problems = found(store)
    assert not any(problem.startswith("model_versions ") for problem in problems)
    assert any(
        "is not entry 2 of the registry's log" in problem or "log/" in problem
        for problem in problems
    )


def test_what_was_rewritten_everywhere_is_found_by_a_head_kept_elsewhere(
    store: Store, connection: Connection, folder: Path, tmp_path: Path
) -> None:
    before, elsewhere = head_of(store.registry), (tmp_path / "elsewhere").as_uri()
    cache = tmp_path / "cache"
    assert verify_kept_head(elsewhere, cache, verify_all(store).log) == []
    for number, entry in enumerate(rewrite(connection), 1):
        (folder / f"{number:010}.json").write_text(entry)
    log = verify_all(store).log
    assert log.problems == []
    # metrics.json was not changed
    assert not any("log" in problem for problem in verify_all(store).problems)
    assert "were rewritten" in next(head_problems(before, log))
    (problem,) = verify_kept_head(elsewhere, cache, log)
    assert "were rewritten" in problem
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


@pytest.mark.parametrize("name", ["version.json", "samples.parquet", "manifest.parquet"])
@pytest.mark.parametrize("content", [b"\xff{", b"[]", b"{}"])
def test_documents_that_are_none_and_were_published_as_such_hide_nothing(
    store: Store, connection: Connection, name: str, content: bytes
) -> None:
    key = f"datasets/scenes/v1/{name}"
    kept = store.workspace.get(key)
    try:
        store.workspace.put(key, content)
        sha256 = hashlib.sha256(content).hexdigest()
        connection.exec_driver_sql("UPDATE files SET sha256 = ? WHERE path = ?", (sha256, key))
        delete_row(connection, "tags")
        assert any(problem.startswith("tags ") for problem in found(store))
    finally:
        store.workspace.put(key, kept)


def test_a_pipe_in_place_of_a_file_is_found_and_not_waited_for(
    store: Store, tmp_path: Path
) -> None:
    path = store.workspace.root / "datasets/scenes/v1/version.json"
    path.rename(tmp_path / "kept")
    os.mkfifo(path)
    try:
        assert any("version.json" in problem and "pipe" in problem for problem in found(store))
    finally:
        (tmp_path / "kept").replace(path)


def test_an_older_registry_is_found_by_the_mirror(store: Store, folder: Path) -> None:
    newest = mirror(folder)[-1]
    (folder / f"{int(newest.stem) + 1:010}.json").write_text("{}")
    assert any("the registry is an older one" in problem for problem in found(store))
