"""The chained log: whatever changes the registry is in it, and what is not in it is found.

On both databases.
"""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, UniqueConstraint, delete, select, update

from mlops_assets.paths import Owner
from mlops_assets.principals import local
from mlops_assets.registry import Checkpoint, DataVersion, ModelVersion, Registry, Run, Token
from mlops_assets.registry.log.chain import AUDITED
from mlops_assets.registry.log.mirror import mirrored
from mlops_assets.registry.log.replay import Replayed, differences, entries_of, guarded, replay
from mlops_assets.registry.log.verify import verify_log
from mlops_assets.registry.model_documents import Signature
from mlops_assets.registry.promotion.outbox import PROMOTED
from mlops_assets.registry.records.external import send_collection, send_items
from mlops_assets.registry.records.registrations import (
    Arrived,
    Key,
    State,
    begin,
    fail,
    succeed,
    withdraw,
)
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.schema import Base, LogEntry, Point, RegistrationAttempt
from mlops_assets.registry.session import now
from mlops_assets.storage import FileStat, Workspace
from mlops_assets_tests.discovery.external import external_collection, external_item
from mlops_assets_tests.registry.rows import deployment, failed_rule, git_delivery, map_row, removal

LOG_TABLE = Base.metadata.tables[LogEntry.__tablename__]
POINT_TABLE = Base.metadata.tables[Point.__tablename__]
POINTS = [(seq, "loss", seq, 1 / (seq + 1), 1.7e9 + seq) for seq in range(20)]
DOCUMENT = {"grün": [1, 1.0, 1e23, -0.0, None, True], "nested": {"10": "x", "9": 2**60}}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_database")())
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    """A registry with at least two rows in every audited table."""
    opened = Registry(url)
    write_history(opened.acting(local("ann")))
    yield opened
    opened.close()


def run(run_id: str, **changes: Any) -> Run:
    """A run that continues."""
    row: dict[str, Any] = {
        "run_id": run_id,
        "model": "crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": "1" * 64,
        "status": "running",
        "parameters": DOCUMENT | {"missing": math.nan},
        "seed": 0,
        "trainer": "t",
        "code_version": "c",
        "hardware": {},
        "metrics": {},
        "started": now(),
        "host": "h",
        "pid": 1,
    }
    return Run(**row | changes)


def write_history(registry: Registry) -> None:
    """Change the registry in every way that there is."""
    for number in (1, 2):
        row = DataVersion(
            dataset="fields",
            version=f"v{number}",
            number=number,
            digest=f"{number}" * 64,
            created=now(),
            created_by="ann",
            files=1,
            samples=10,
            size=3,
            specification=DOCUMENT,
            counts={"train": 10},
        )
        registry.publish_data_version(
            row, [FileStat(f"datasets/fields/v{number}/version.json", "a" * 64, 3)]
        )
        registry.tag("fields", f"v{number}", f"harvest-{number}")
    registry.set_webhooks({"team": [PROMOTED], "archive": [PROMOTED]})
    for number in (1, 2):
        run_id = f"run-{number}"
        registry.start_run(run(run_id))
        registry.log(run_id, POINTS)
        for step in (1, 2, 3):
            kept = Checkpoint(
                run_id=run_id,
                step=step,
                seq=step,
                path=f"c/{step}",
                sha256="b" * 64,
                size=1,
                created=now(),
            )
            registry.add_checkpoint(kept)
        registry.forget_checkpoints(run_id, [1])
        registry.resume_run(run_id, 10, host="elsewhere", pid=2)
        registry.log(run_id, POINTS[10:])
        version = ModelVersion(
            model="crops",
            version=f"v1-{number}",
            run_id=run_id,
            dataset="fields",
            data_version="v1",
            data_digest="1" * 64,
            task="classification",
            framework="pytorch",
            signature=DOCUMENT,
            stage="trained",
            metrics={},
            created=now(),
        )
        registry.publish_model_version(
            version,
            [FileStat(f"models/crops/{number}/m", "a" * 64, 3)],
            facts=RunFacts({"loss": 0.5}, {"fit": 1.0}, seconds=2.5),
        )
        registry.advance(
            version, "exported", [FileStat(f"models/crops/{number}/m", "b" * 64, 4)], seconds=0.5
        )
        registry.advance(version, "evaluated", [], {"accuracy": 1.0, "worst": math.inf})
        registry.promote(version, [{"metric": "accuracy", "passed": True}])
        registry.decide(version, "deprecated", "a better one", {"model.onnx": "b" * 64})
        for digest in ("a", "b"):  # made, and made again of other scenes
            file = FileStat(f"predictions/crops/v1-{number}/scene.tif", digest * 64, 4)
            registry.publish_map(
                map_row(f"v1-{number}", digest=digest * 64),
                PublishedRecords({Owner(f"prediction:crops@v1-{number}"): [file]}, []),
            )
        registry.record_deployment(deployment(f"v1-{number}"))
        alarm = registry.raise_alarm(failed_rule(f"v1-{number}", f"2026-11-{number:02}"))
        registry.note_issue(alarm, "https://example.org/issues/1")
        registry.note_retraining(alarm, "dagster-run", "v2")
        registry.close_alarm(alarm, "2026-11-30")
    registry.start_run(run("failed"))
    registry.start_run(run("failed", seed=1))
    registry.finish_run("failed", "failed", "out of luck\n" * 100, facts=RunFacts(seconds=1))
    registry.put_run(
        run("elsewhere", status="succeeded", finished=now(), source="mlflow"), POINTS[:5]
    )
    registry.put_run(
        run("elsewhere", status="succeeded", finished=now(), source="mlflow", seed=7), POINTS[:6]
    )
    registry.put_run(run("elsewhere", status="succeeded", source="mlflow", seed=8), None)
    registry.log("failed", POINTS[:2])  # by a process that was cut off for a while
    for number in (1, 2):
        registry.note_run("failed", f"<b>größer</b> {number}")
        registry.tag_run("failed", f"tag {number}", "<i>")
    registry.tag_run("failed", "tag 1", None)
    registry.start_run(run("going"))
    registry.log("going", POINTS)
    registry.add_records(
        PublishedRecords({Owner("record:a"): [FileStat("catalog/a.json", "c" * 64, 3)]}, [])
    )
    send_collection(registry, external_collection(), replace=False)
    send_items(registry, "sent", [external_item()], replace=False)
    for number in (1, 2):
        key = Key("eo_api", "fields", f"v{number}")
        attempt = RegistrationAttempt(
            catalogue="eo_api",
            name="fields",
            version=f"v{number}",
            basis="e" * 64,
            failures=1,
            tried=now(),
            retry=now(),
        )
        begin(registry, key, attempt, "https://eo")
        fail(registry, key, "it is full", now(), now())
        arrived = Arrived(State.REGISTERED, "https://eo", "e" * 64, "f" * 64)
        succeed(registry, key, arrived)
        withdraw(registry, key, State.DELETED, "wrong labels", "https://eo")
    registry.remember_landed("file:///landing", [("a.tif", 1, "then", "0" * 64)])
    for number in (1, 2):
        token = Token(
            id=f"{number}" * 12,
            name="ben",
            roles=["scientist", "viewer"],
            sha256="d" * 64,
            created=now(),
            created_by="ann",
            expires=now() + timedelta(days=number),
        )
        registry.add_token(token)
        registry.add_git_delivery(git_delivery(f"{number}" * 64))
        registry.record_removal(removal())
    registry.revoke_tokens("2" * 12)


def replayed(connection: Connection) -> Replayed:
    """Replay the log that a registry has."""
    return replay(entries_of(connection))


def found(connection: Connection) -> list[str]:
    """Everything that is wrong with a registry, by its log."""
    expected = replayed(connection)
    return [*expected.problems, *differences(connection, expected)]


def test_whatever_changes_the_registry_is_in_its_log(registry: Registry) -> None:
    with registry.reading() as session:
        expected = replayed(session.connection())
        assert found(session.connection()) == []
    assert {name for name, rows in expected.rows.items() if len(rows) < 2} == set()
    assert set(expected.points) == {"run-1", "run-2", "failed", "elsewhere"}
    assert expected.adopted is None


def test_an_entry_has_principal_and_action_and_follows_the_one_before(registry: Registry) -> None:
    registry.acting(local("eve")).tag("fields", "v1", "first")
    with registry.reading() as session:
        rows = list(entries_of(session.connection()))
    before, (seq, _, text) = rows[-2:]
    entry = json.loads(text)
    assert (
        (entry["seq"], entry["previous"]) == (seq, before[1]) == (before[0] + 1, entry["previous"])
    )
    assert (entry["principal"], entry["action"]) == ("eve", "tag data version")
    assert entry["changes"] == [["tags", ["fields", "first"], {"version": "v1"}]]
    assert datetime.now(UTC) - datetime.fromisoformat(entry["time"]) < timedelta(minutes=10)


def test_what_changes_nothing_has_no_entry(registry: Registry) -> None:
    with registry.reading() as session:
        before = replayed(session.connection()).seq
    registry.tag("fields", "v1", "harvest-1")
    registry.add_files(Owner("catalog"), [])
    registry.log("going", [(99, "loss", 99, 0.5, 0.0)])
    registry.remember_landed("file:///landing", [("b.tif", 1, "then", "0" * 64)])
    with registry.reading() as session:
        assert replayed(session.connection()).seq == before


def test_a_transaction_that_fails_has_no_entry(registry: Registry) -> None:
    with registry.reading() as session:
        before = replayed(session.connection()).seq
    with pytest.raises(RuntimeError), registry.transaction("fail") as session:
        session.add(run("lost"))
        session.flush()
        raise RuntimeError
    with registry.reading() as session:
        assert (replayed(session.connection()).seq, found(session.connection())) == (before, [])


def test_rows_are_not_changed_past_the_log(registry: Registry) -> None:
    for statement in (update(Run).values(seed=1), delete(Checkpoint)):
        with (
            pytest.raises(TypeError, match="objects of the session"),
            registry.transaction("cheat") as session,
        ):
            session.execute(statement)


def test_processes_that_append_at_once_leave_one_chain(registry: Registry) -> None:
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        own = Registry(registry.url)
        ready.wait(60)
        for step in range(5):
            own.start_run(run(f"{number}-{step}"))
        own.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with registry.reading() as session:
        assert found(session.connection()) == []


def test_what_is_written_while_the_registry_is_verified_is_no_tampering(
    registry: Registry, tmp_path: Path
) -> None:
    workspace = Workspace((tmp_path / "workspace").as_uri())
    mirrored_there = registry.mirrored(workspace)
    mirrored_there.start_run(run("first"))
    done = threading.Event()

    def write(number: int) -> None:
        own = Registry(registry.url).mirrored(workspace)
        for step in itertools.count():
            if done.is_set():
                break
            own.start_run(run(f"{number}-{step}"))
            own.log(f"{number}-{step}", POINTS)
            own.finish_run(f"{number}-{step}", "failed", "out of luck")
        own.close()

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, number) for number in range(3)]
        problems = [verify_log(workspace, mirrored_there).problems for _ in range(6)]
        done.set()
        for each in writing:
            each.result()
    assert problems == [[]] * 6
    assert verify_log(workspace, mirrored_there).problems == []


# tampering: everything below is done to the tables only

COLUMNS = [(table.name, column.name) for table in AUDITED.values() for column in table.columns]


def other_value(column: Column[Any], value: Any) -> Any:
    """A value that a column may have, and does not have."""
    if isinstance(value, dict):
        return {**value, "tampered": 1}
    if isinstance(value, list):
        return [*value, "tampered"]
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, str):
        return ("0" if value[:1] != "0" else "1") + value[1:]
    if isinstance(value, int | float):
        return value + 1000
    made: dict[type, Any] = {datetime: now(), str: "x", int: 1, float: 0.5}
    return made[column.type.python_type]


def change_column(connection: Connection, table: str, column: str) -> None:
    """Give the last row of a table another value in one column."""
    of = AUDITED[table]
    keys = list(of.primary_key.columns)
    row = connection.execute(select(of).order_by(*keys)).mappings().all()[-1]
    where = [key == row[key.name] for key in keys]
    connection.execute(
        update(of).where(*where).values({column: other_value(of.columns[column], row[column])})
    )


def delete_row(connection: Connection, table: str) -> None:
    """Delete the first row of a table."""
    keys = list(AUDITED[table].primary_key.columns)
    row = connection.execute(select(*keys).order_by(*keys)).first()
    assert row is not None
    connection.execute(
        delete(AUDITED[table]).where(*(key == value for key, value in zip(keys, row, strict=True)))
    )


def add_row(connection: Connection, table: str) -> None:
    """Add a row to a table that is like its first, under keys of its own."""
    of = AUDITED[table]
    row = dict(
        connection.execute(select(of).order_by(*of.primary_key.columns)).mappings().first() or {}
    )
    changed = {column.name for column in of.columns if column.primary_key or column.unique}
    unique = [
        constraint for constraint in of.constraints if isinstance(constraint, UniqueConstraint)
    ]
    changed |= {column.name for constraint in unique for column in constraint.columns}
    connection.execute(
        of.insert().values(
            row | {name: other_value(of.columns[name], row[name]) for name in changed}
        )
    )


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]
)
def module_registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry that tests tamper with in transactions that are rolled back."""
    url = f"sqlite:///{tmp_path_factory.mktemp('tampered') / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    write_history(opened)
    yield opened
    opened.close()


@pytest.fixture
def connection(module_registry: Registry) -> Iterator[Connection]:
    """A transaction on it."""
    with module_registry._engine.connect() as opened:
        yield opened
        opened.rollback()


def test_a_changed_column_is_found(connection: Connection) -> None:
    wrong = {}
    for table, column in COLUMNS:
        with connection.begin_nested() as tampering:
            change_column(connection, table, column)
            problems = found(connection)
            tampering.rollback()
        if not problems or not all(
            table in problem for problem in problems if "points" not in problem
        ):
            wrong[table, column] = problems
    assert wrong == {}


@pytest.mark.parametrize("table", AUDITED)
def test_a_deleted_row_is_found(connection: Connection, table: str) -> None:
    delete_row(connection, table)
    assert any(table in problem and "deleted" in problem for problem in found(connection))


@pytest.mark.parametrize("table", AUDITED)
def test_an_added_row_is_found(connection: Connection, table: str) -> None:
    add_row(connection, table)
    (problem,) = found(connection)
    assert table in problem
    assert "added" in problem


@pytest.mark.parametrize("column", [column.name for column in POINT_TABLE.columns])
def test_a_changed_point_is_found(connection: Connection, column: str) -> None:
    row = (
        connection.execute(
            select(POINT_TABLE)
            .where(POINT_TABLE.c.run_id == "run-1")
            .order_by(POINT_TABLE.c.seq.desc())
        )
        .mappings()
        .first()
    )
    assert row is not None
    changed = {column: other_value(POINT_TABLE.columns[column], row[column])}
    connection.execute(
        update(POINT_TABLE)
        .where(POINT_TABLE.c.run_id == "run-1", POINT_TABLE.c.seq == row["seq"])
        .values(changed)
    )
    assert any("points of run run-1" in problem for problem in found(connection))


def test_integers_that_are_equal_as_float_are_distinguished(connection: Connection) -> None:
    of = AUDITED["runs"]
    changed = {**DOCUMENT, "nested": {"10": "x", "9": 2**60 + 1}}
    connection.execute(update(of).where(of.c.run_id == "run-1").values(parameters=changed))
    assert ["parameters" in problem for problem in found(connection)] == [True]


def test_deleted_and_added_points_are_found(connection: Connection) -> None:
    connection.execute(
        delete(POINT_TABLE).where(POINT_TABLE.c.run_id == "run-1", POINT_TABLE.c.seq == 3)
    )
    connection.execute(
        POINT_TABLE.insert().values(
            run_id="run-2", seq=99, name="loss", step=0, value=0.1, logged=0.0
        )
    )
    connection.execute(
        POINT_TABLE.insert().values(
            run_id="nobody", seq=0, name="loss", step=0, value=0.1, logged=0.0
        )
    )
    assert [problem.split(" was")[0].split(" were")[0] for problem in found(connection)] == [
        "the points of run run-1",
        "the points of run run-2",
        "points of run nobody",
    ]


@pytest.mark.parametrize("column", [column.name for column in LOG_TABLE.columns])
def test_a_changed_entry_is_found(connection: Connection, column: str) -> None:
    row = connection.execute(select(LOG_TABLE).where(LOG_TABLE.c.seq == 7)).mappings().one()
    connection.execute(
        update(LOG_TABLE)
        .where(LOG_TABLE.c.seq == 7)
        .values({column: other_value(LOG_TABLE.columns[column], row[column])})
    )
    assert any("of the log" in problem for problem in found(connection))


def test_a_deleted_entry_is_found(connection: Connection) -> None:
    connection.execute(delete(LOG_TABLE).where(LOG_TABLE.c.seq == 7))
    assert any("entry 7 of the log is missing" in problem for problem in found(connection))


def test_every_table_is_audited_or_stated_not_to_be() -> None:
    assert set(Base.metadata.tables) - set(AUDITED) == {
        "browser_sessions",
        "landed_files",
        "log",
        "meta",
        "packed_objects",
        "points",
        "registration_attempts",
        "registry_version",
        "sign_ins",
        "staged",
        "stac_collections",
        "stac_items",
    }


# the mirror


def test_entries_are_mirrored_as_they_are(tmp_path: Path) -> None:
    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    registry.start_run(run("before"))  # by a process that was killed before it mirrored this
    registry.start_run(run("before, too"))
    write_history(registry.mirrored(workspace))
    with registry.reading() as session:
        expected = [
            (f"log/{seq:010}.json", text.encode())
            for seq, _, text in entries_of(session.connection())
        ]
    assert [(key, workspace.get(key)) for key in mirrored(workspace)] == expected
    registry.close()


def test_a_workspace_that_cannot_be_written_stops_no_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.errors import StorageError

    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}").mirrored(workspace)
    registry.start_run(run("a"))

    def full(*_: Any) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "put", full)
        registry.start_run(run("b"))
    assert mirrored(workspace) == ["log/0000000001.json"]
    registry.start_run(run("c"))
    assert mirrored(workspace) == [f"log/{seq:010}.json" for seq in (1, 2, 3)]
    registry.close()


def test_entries_that_are_written_while_the_log_is_verified_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.registry.log import verify

    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}").mirrored(workspace)
    registry.start_run(run("a"))
    before = mirrored(workspace)
    for name in ("b", "c", "d"):
        registry.start_run(run(name))
    monkeypatch.setattr(verify, "mirrored", lambda _: before)
    assert verify.verify_log(workspace, registry).problems == []
    registry.close()


def test_the_newest_entry_is_mirrored_by_whoever_verifies(tmp_path: Path) -> None:
    workspace = Workspace((tmp_path / "workspace").as_uri())
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    registry.mirrored(workspace).start_run(run("a"))
    registry.start_run(run("b"))  # by a process that is killed at once
    assert verify_log(workspace, Registry(registry.url).mirrored(workspace)).problems == []
    assert mirrored(workspace) == ["log/0000000001.json", "log/0000000002.json"]
    registry.close()


def test_a_check_that_fails_is_one_problem_of_one_line() -> None:
    def check() -> list[str]:
        return [Signature.model_validate({}).architecture]

    (problem,) = guarded("crops@v1", check)
    assert problem.startswith("crops@v1 cannot be verified: ValidationError: ")
    assert "architecture Field required" in problem
    assert "\n" not in problem
