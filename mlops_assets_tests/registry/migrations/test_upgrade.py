"""A registry that an older release has written is taken along whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from mlops_assets.errors import StorageError
from mlops_assets.names import Reference
from mlops_assets.registry import Registry, Run
from mlops_assets.registry.engine import open_engine
from mlops_assets.registry.log.replay import differences, entries_of, replay
from mlops_assets.registry.migrations import upgrade
from mlops_assets.registry.records.registrations import Key, State, withdraw
from mlops_assets.registry.runs import RunFacts
from mlops_assets.registry.schema import (
    RECORD_INDEXES,
    SCHEMA_REVISION,
    SEARCHED_PROPERTIES,
    Base,
    SchemaRevision,
)
from mlops_assets_tests.registry.rows import data_version

# Schema version 1 as the release before wrote it; TIME, DOCUMENT and SERIAL are each database's
# own.
VERSION_1 = """
CREATE TABLE aliases (model VARCHAR(255) NOT NULL, alias VARCHAR(255) NOT NULL,
    version VARCHAR(255) NOT NULL, since TIME NOT NULL,
    PRIMARY KEY (model, alias));
CREATE TABLE data_versions (dataset VARCHAR(255) NOT NULL, version VARCHAR(255) NOT NULL,
    number INTEGER NOT NULL, digest VARCHAR(64) NOT NULL, created TIME NOT NULL,
    created_by VARCHAR(255) NOT NULL, files INTEGER NOT NULL, samples INTEGER NOT NULL,
    size BIGINT NOT NULL, specification JSON NOT NULL, counts JSON NOT NULL,
    PRIMARY KEY (dataset, version), UNIQUE (dataset, digest), UNIQUE (dataset, number));
CREATE TABLE files (path VARCHAR(512) NOT NULL, owner VARCHAR(255) NOT NULL,
    sha256 VARCHAR(64) NOT NULL, size BIGINT NOT NULL,
    PRIMARY KEY (path));
CREATE INDEX ix_files_owner ON files (owner);
CREATE TABLE meta (key VARCHAR(255) NOT NULL, value VARCHAR(255) NOT NULL, PRIMARY KEY (key));
CREATE TABLE model_versions (model VARCHAR(255) NOT NULL, version VARCHAR(255) NOT NULL,
    run_id VARCHAR(36) NOT NULL, dataset VARCHAR(255) NOT NULL, data_version VARCHAR(255) NOT NULL,
    data_digest VARCHAR(64) NOT NULL, task VARCHAR(255) NOT NULL, framework VARCHAR(255) NOT NULL,
    signature JSON NOT NULL, stage VARCHAR(255) NOT NULL, metrics JSON NOT NULL,
    created TIME NOT NULL,
    PRIMARY KEY (model, version), UNIQUE (run_id));
CREATE INDEX ix_model_versions_data_version ON model_versions (data_version);
CREATE TABLE promotions (id SERIAL NOT NULL, model VARCHAR(255) NOT NULL,
    alias VARCHAR(255) NOT NULL, version VARCHAR(255) NOT NULL, previous VARCHAR(255),
    moved TIME NOT NULL, moved_by VARCHAR(255) NOT NULL, gates JSON NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX ix_promotions_model ON promotions (model);
CREATE TABLE runs (run_id VARCHAR(36) NOT NULL, model VARCHAR(255) NOT NULL,
    dataset VARCHAR(255) NOT NULL, data_version VARCHAR(255) NOT NULL,
    data_digest VARCHAR(64) NOT NULL, status VARCHAR(255) NOT NULL, parameters JSON NOT NULL,
    seed INTEGER NOT NULL, trainer VARCHAR(255) NOT NULL, code_version VARCHAR(255) NOT NULL,
    hardware JSON NOT NULL, metrics JSON NOT NULL, started TIME NOT NULL, finished TIME, error TEXT,
    host VARCHAR(255) NOT NULL, pid INTEGER NOT NULL, orchestration_run VARCHAR(255),
    model_version VARCHAR(255),
    PRIMARY KEY (run_id));
CREATE INDEX ix_runs_model ON runs (model);
CREATE INDEX ix_runs_orchestration_run ON runs (orchestration_run);
CREATE TABLE series (id SERIAL NOT NULL, run_id VARCHAR(36) NOT NULL, name VARCHAR(255) NOT NULL,
    step INTEGER NOT NULL, value FLOAT NOT NULL, logged TIME NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX series_by_run ON series (run_id, name);
CREATE TABLE tags (dataset VARCHAR(255) NOT NULL, tag VARCHAR(255) NOT NULL,
    version VARCHAR(255) NOT NULL,
    PRIMARY KEY (dataset, tag));
INSERT INTO meta VALUES ('schema_version', '1');
INSERT INTO data_versions VALUES ('fields', 'v1', 1, 'd', '2026-10-01 08:00:00.000000', 'ann', 1,
    10, 3, '{"name": "fields"}', '{"train": 10}');
INSERT INTO tags VALUES ('fields', 'harvest', 'v1');
INSERT INTO model_versions VALUES ('crops', 'v1-0c9f2a3b', 'done', 'fields', 'v1', 'd',
    'classification', 'scikit-learn', '{"view": "row"}', 'recorded', '{"accuracy": 0.75}',
    '2026-10-01 09:00:00.000000');
INSERT INTO aliases VALUES ('crops', 'production', 'v1-0c9f2a3b', '2026-10-01 10:00:00.000000');
INSERT INTO promotions (model, alias, version, previous, moved, moved_by, gates) VALUES ('crops',
    'production', 'v1-0c9f2a3b', NULL, '2026-10-01 10:00:00.000000', 'ann',
    '[{"metric": "accuracy"}]');
INSERT INTO files VALUES ('models/crops/v1-0c9f2a3b/model.onnx', 'model:crops@v1-0c9f2a3b', 'a', 3);
"""
LANDED_FILES = """
CREATE TABLE landed_files (source VARCHAR(512) NOT NULL, path VARCHAR(1024) NOT NULL,
    size BIGINT NOT NULL, stamp VARCHAR(255) NOT NULL, sha256 VARCHAR(64) NOT NULL,
    PRIMARY KEY (source, path));
"""
STARTED_INDEX = "CREATE INDEX ix_runs_started ON runs (started);\n"
STAGED = (
    "CREATE TABLE staged (path VARCHAR(512) NOT NULL, content VARCHAR(255) NOT NULL, PRIMARY KEY"
    " (path));\n"
)
# what schema version 2 has in place of what version 1 had
CHANGES_OF_2 = {
    "JSON": "DOCUMENT",
    "model_version VARCHAR(255),\n    PRIMARY KEY (run_id)": (
        "model_version VARCHAR(255), source VARCHAR(255) DEFAULT 'platform' NOT NULL, tags DOCUMENT"
        " DEFAULT '{}' NOT NULL, created_by VARCHAR(255), seconds DOUBLE PRECISION, phases DOCUMENT"
        " DEFAULT '{}' NOT NULL, usage DOCUMENT DEFAULT '{}' NOT NULL, code DOCUMENT DEFAULT '{}'"
        " NOT NULL, environment VARCHAR(64), attempts INTEGER DEFAULT '1' NOT NULL, PRIMARY KEY"
        " (run_id)"
    ),
    VERSION_1[VERSION_1.index("CREATE TABLE series") : VERSION_1.index("CREATE TABLE tags")]: (
        """
CREATE TABLE points (run_id VARCHAR(36) NOT NULL, seq INTEGER NOT NULL, name VARCHAR(255) NOT NULL,
    step BIGINT NOT NULL, value FLOAT(53) NOT NULL, logged FLOAT(53) NOT NULL,
    PRIMARY KEY (run_id, seq));
CREATE TABLE checkpoints (run_id VARCHAR(36) NOT NULL, step BIGINT NOT NULL, seq INTEGER NOT NULL,
    path VARCHAR(512) NOT NULL, sha256 VARCHAR(64) NOT NULL, size BIGINT NOT NULL,
    created TIME NOT NULL,
    PRIMARY KEY (run_id, step));
"""
    ),
    "('schema_version', '1')": "('schema_version', '2')",
}
KINDS = {
    "sqlite": {
        " TIME": " DATETIME",
        "SERIAL": "INTEGER",
        "DOCUMENT": "JSON",
        "DOUBLE PRECISION": "DOUBLE",
    },
    "postgresql": {" TIME": " TIMESTAMP WITH TIME ZONE", "DOCUMENT": "JSONB"},
}


def _changed(script: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in script or changes is not CHANGES_OF_2
        script = script.replace(old, new)
    return script


VERSION_2 = _changed(VERSION_1, CHANGES_OF_2) + LANDED_FILES
# every schema that a release has made, by the commit that brought it
EARLIER = {
    "9c9b056": VERSION_1.replace("size BIGINT", "size INTEGER"),
    "5608015": VERSION_1 + LANDED_FILES,
    "6665223": VERSION_2,
    "10eaccd": VERSION_2 + STARTED_INDEX,
    "e82feec": VERSION_2 + STARTED_INDEX + STAGED,
}
STARTED = datetime(2026, 10, 1, 8, 30, 0, 250_000, tzinfo=UTC)
TAKEN = {"done": timedelta(minutes=25, seconds=30.5), "failed": timedelta(seconds=2), "going": None}
STEPS = 1_000


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_database")())
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def url(empty_url: str) -> str:
    """A database with the tables of schema version 1, and a history in them."""
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        _execute(connection, VERSION_1)
        _add_runs(connection)
    engine.dispose()
    return empty_url


def _execute(connection: Connection, script: str) -> None:
    for statement in _changed(script, KINDS[connection.dialect.name]).split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)


def _add_runs(connection: Any) -> None:
    insert = text(
        "INSERT INTO runs VALUES (:run_id, 'crops', 'fields', 'v1', 'd', :status, :parameters, 7,"
        " 'm:train', 'c0ffee', :hardware, :metrics, :started, :finished, :error, 'node', 42,"
        " 'dagster-run', :model_version)"
    )
    for run_id, taken in TAKEN.items():
        connection.execute(
            insert,
            {
                "run_id": run_id,
                "status": {"done": "succeeded", "failed": "failed", "going": "running"}[run_id],
                "parameters": json.dumps(
                    {"depth": 4, "nested": {"grün": [1, None]}} | _more(connection, run_id)
                ),
                "hardware": json.dumps({"cpus": 2}),
                "metrics": json.dumps({"accuracy": 0.75} if run_id == "done" else {}),
                "started": _written(connection, STARTED),
                "finished": None if taken is None else _written(connection, STARTED + taken),
                "error": "out of luck" if run_id == "failed" else None,
                "model_version": "v1-0c9f2a3b" if run_id == "done" else None,
            },
        )
    points = text(
        "INSERT INTO series (run_id, name, step, value, logged) VALUES (:r, :n, :s, :v, :t)"
    )
    rows = [
        {
            "r": run_id,
            "n": name,
            "s": step,
            "v": value,
            "t": _written(connection, STARTED + timedelta(seconds=step)),
        }
        for step in range(STEPS)
        for run_id in ("done", "going")
        for name, value in (("loss", 1 / (step + 1)), ("accuracy", step / STEPS))
    ]
    connection.execute(points, rows)


def _more(connection: Any, run_id: str) -> dict[str, Any]:
    """A parameter that only SQLite took."""
    return (
        {"missing": float("nan")}
        if run_id == "failed" and connection.dialect.name == "sqlite"
        else {}
    )


def _written(connection: Any, when: datetime) -> Any:
    return (
        when if connection.dialect.name == "postgresql" else when.strftime("%Y-%m-%d %H:%M:%S.%f")
    )


@pytest.fixture
def registry(url: str) -> Any:
    opened = Registry(url)
    yield opened
    opened.close()


def test_runs_are_upgraded_with_the_columns_of_a_newer_release(registry: Registry) -> None:
    runs = {run.run_id: run for run in registry.runs("crops")}
    assert {run_id: run.seconds for run_id, run in runs.items()} == {
        "done": pytest.approx(1530.5),
        "failed": pytest.approx(2.0),
        "going": None,
    }
    done = runs["done"]
    assert (done.status, done.seed, done.trainer, done.code_version, done.model_version) == (
        "succeeded",
        7,
        "m:train",
        "c0ffee",
        "v1-0c9f2a3b",
    )
    assert (done.parameters, done.metrics) == (
        {"depth": 4, "nested": {"grün": [1, None]}},
        {"accuracy": 0.75},
    )
    assert (done.started, done.hardware, done.orchestration_run) == (
        STARTED,
        {"cpus": 2},
        "dagster-run",
    )
    assert (runs["failed"].error, runs["going"].finished) == ("out of luck", None)
    for run in runs.values():
        assert (run.source, run.tags, run.phases, run.usage, run.code) == (
            "platform",
            {},
            {},
            {},
            {},
        )
        assert (run.attempts, run.environment, run.created_by) == (1, None, None)


def test_parameters_that_are_not_a_number_can_be_searched_afterwards(registry: Registry) -> None:
    kept = registry.run("failed").parameters.get("missing")
    assert kept == ("NaN" if registry.url.startswith("sqlite") else None)
    with registry.reading() as session:
        depths = session.scalars(
            select(Run.parameters["depth"].as_integer()).order_by(Run.run_id)
        ).all()
    assert depths == [4, 4, 4]


def test_series_become_points_in_the_order_logged(registry: Registry) -> None:
    expected = {
        "loss": [(step, 1 / (step + 1)) for step in range(STEPS)],
        "accuracy": [(step, step / STEPS) for step in range(STEPS)],
    }
    assert registry.series("done") == expected
    assert registry.series("going") == expected
    assert registry.series("failed") == {}
    with registry.reading() as session:
        rows = session.execute(
            text("SELECT seq, logged FROM points WHERE run_id = 'done' ORDER BY seq")
        ).all()
    assert [seq for seq, _ in rows] == list(range(2 * STEPS))
    assert [logged for _, logged in rows[::2]] == pytest.approx(
        [STARTED.timestamp() + step for step in range(STEPS)], abs=1e-3, rel=0
    )


def test_a_run_that_was_going_on_can_go_on(registry: Registry) -> None:
    registry.log("going", [(2 * STEPS, "loss", STEPS, 0.5, STARTED.timestamp())])
    assert registry.series("going")["loss"][-1] == (STEPS, 0.5)
    registry.finish_run(
        "going", "failed", "killed", facts=RunFacts(phases={"fit": 1.0}, seconds=2.0)
    )
    assert (registry.run("going").phases, registry.run("going").seconds) == ({"fit": 1.0}, 2.0)


def test_everything_else_is_there(registry: Registry) -> None:
    data = registry.data_version(Reference("fields", "harvest"))
    assert (data.version, data.specification, data.counts) == (
        "v1",
        {"name": "fields"},
        {"train": 10},
    )
    row = registry.model_version(Reference("crops", "production"))
    assert (row.version, row.metrics, row.signature) == (
        "v1-0c9f2a3b",
        {"accuracy": 0.75},
        {"view": "row"},
    )
    assert [promotion.gates for promotion in registry.promotions("crops")] == [
        [{"metric": "accuracy"}]
    ]
    assert [file.path for file in registry.files()] == ["models/crops/v1-0c9f2a3b/model.onnx"]


def test_afterwards_the_tables_are_those_of_a_new_registry(
    registry: Registry, url: str, tmp_path: Path
) -> None:
    engine = create_engine(url)
    try:
        assert _tables(engine) == {
            table.name: sorted(column.name for column in table.columns)
            for table in Base.metadata.tables.values()
        }
        documents = {
            (table.name, column["name"]): str(column["type"])
            for table in Base.metadata.tables.values()
            for column in inspect(engine).get_columns(table.name)
            if "JSON" in str(column["type"])
        }
        assert {index["name"] for index in inspect(engine).get_indexes("runs")} == {
            index.name for index in Base.metadata.tables["runs"].indexes
        }
        expected = "JSONB" if engine.dialect.name == "postgresql" else "JSON"
        assert set(documents.values()) == {expected}
        assert ("runs", "parameters") in documents
    finally:
        engine.dispose()
    again = Registry(url)  # finds the present version, and changes nothing
    assert len(again.series("done")["loss"]) == STEPS
    again.start_run(
        Run(
            run_id="new",
            model="crops",
            dataset="fields",
            data_version="v1",
            data_digest="d",
            status="running",
            parameters={},
            seed=0,
            trainer="t",
            code_version="c",
            hardware={},
            metrics={},
            started=STARTED,
            host="h",
            pid=1,
            tags={"season": "2026"},
        )
    )
    assert again.run("new").tags == {"season": "2026"}
    again.close()


def _tables(engine: Engine) -> dict[str, list[str]]:
    found = inspect(engine)
    return {
        name: sorted(column["name"] for column in found.get_columns(name))
        for name in found.get_table_names()
        if not _is_of_extents(name)
    }


def _is_of_extents(name: str | None) -> bool:
    """Whether a table is one that SQLite's R*Tree consists of."""
    return str(name).startswith("stac_items_extent")


def test_the_log_begins_with_what_was_found(registry: Registry) -> None:
    with registry.reading() as session:
        expected = replay(entries_of(session.connection()))
        assert list(differences(session.connection(), expected)) == expected.problems == []
    assert expected.adopted is not None
    assert set(expected.points) == {"done", "failed"}
    assert set(expected.rows["aliases"]) == {("crops", "production")}


def _undeclared(dialect: str) -> set[str]:
    """The names of the indexes and triggers that SQLAlchemy cannot declare."""
    made = (re.match(r'CREATE (?:VIRTUAL )?\w+ "?([\w:]+)', sql) for sql in RECORD_INDEXES[dialect])
    return {found[1] for found in made if found}


def _names(connection: Connection) -> set[str]:
    """The names of everything in a database."""
    catalogue = {"sqlite": "name FROM sqlite_master", "postgresql": "indexname FROM pg_indexes"}
    return set(connection.scalars(text(f"SELECT {catalogue[connection.dialect.name]}")))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.parametrize("schema", [None, *EARLIER])
def test_every_registry_has_the_tables_that_the_release_states(
    schema: str | None, empty_url: str
) -> None:
    engine = open_engine(empty_url)
    if schema is not None:
        with engine.begin() as connection:
            _execute(connection, EARLIER[schema])
    Registry(empty_url).close()
    with engine.connect() as connection:
        undeclared = _undeclared(connection.dialect.name)
        options = {
            "include_name": lambda name, *_: name not in undeclared and not _is_of_extents(name)
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        assert undeclared <= _names(connection)
        assert connection.scalar(select(SchemaRevision.version_num)) == SCHEMA_REVISION
        assert list(differences(connection, replay(entries_of(connection)))) == []
    engine.dispose()
    opened = Registry(empty_url)
    assert [row.created_by for row in opened.data_versions("fields")] == (
        [] if schema is None else ["ann"]
    )
    opened.close()


def test_the_revision_is_the_newest_there_is() -> None:
    folder = Path(upgrade.__file__).parent
    assert ScriptDirectory(str(folder)).get_heads() == [SCHEMA_REVISION]


def test_a_registry_of_this_release_is_opened_without_alembic(tmp_path: Path) -> None:
    script = (
        f"from mlops_assets.registry import Registry; Registry('sqlite:///{tmp_path}/registry.db');"
        " import sys; print('alembic' in sys.modules)"
    )
    for _ in range(2):  # it is made, then opened
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"


def test_processes_that_open_an_old_registry_at_once_upgrade_it_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Registry, [url] * 4))
    assert len(opened[0].series("done")["loss"]) == STEPS
    for registry in opened:
        registry.close()


def test_a_migration_that_fails_half_way_leaves_the_old_registry(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    def power_cut(*_: Any, **__: Any) -> None:
        raise StorageError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Operations, "drop_table", power_cut)
        with pytest.raises(StorageError, match="power cut"):
            Registry(url)
    engine = open_engine(url)
    assert "series" in inspect(engine).get_table_names()
    assert "points" not in inspect(engine).get_table_names()
    engine.dispose()
    opened = Registry(url)
    assert len(opened.series("done")["loss"]) == STEPS
    opened.close()


def test_a_registry_of_no_release_is_refused(url: str) -> None:
    Registry(url).close()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE registry_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(StorageError, match=r"has a schema of no release: .*'0001'"):
        Registry(url)


@pytest.mark.parametrize("table", ["meta", "registry_version"])
def test_a_registry_of_a_newer_release_is_refused(url: str, table: str) -> None:
    if table == "registry_version":
        Registry(url).close()
    engine = open_engine(url)
    with engine.begin() as connection:
        column = {"meta": "value", "registry_version": "version_num"}[table]
        connection.execute(text(f"UPDATE {table} SET {column} = '99'"))
    engine.dispose()
    with pytest.raises(StorageError, match="has schema 99"):
        Registry(url)


def test_older_releases_refuse_a_registry_of_this_one(url: str) -> None:
    opened = Registry(url)
    with opened.reading() as session:
        assert session.scalars(
            text("SELECT value FROM meta WHERE key = 'schema_version'")
        ).all() == ["3"]
    opened.close()


def test_a_registry_without_registrations_gets_their_tables(empty_url: str) -> None:
    before = Registry(empty_url)
    before.publish_data_version(data_version(), [])
    with before._engine.begin() as connection:
        indexes = _definitions(connection)
        later = ("decisions", "webhooks", "webhook_messages", "maps", "deployments", "alarms")
        hub = ("run_notes", "sign_ins", "browser_sessions")
        upkeep = ("removals", "git_deliveries")
        for table in ("registrations", "registration_attempts", *later, *hub, *upkeep):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN user_tags")
        connection.exec_driver_sql("ALTER TABLE promotions DROP COLUMN reason")
        _make_indexes_of_0008(connection)
        connection.exec_driver_sql("UPDATE registry_version SET version_num = '0008'")
    before.close()
    opened = Registry(empty_url)
    withdraw(opened, Key("eo_api", "fields", "v1"), State.DELETED, "wrong labels", "https://eo")
    with opened.reading() as session:
        expected = replay(entries_of(session.connection()))
        assert list(differences(session.connection(), expected)) == expected.problems == []
        assert _definitions(session.connection()) == indexes
    assert [row.version for row in opened.data_versions()] == ["v1"]
    opened.close()


def _make_indexes_of_0008(connection: Connection) -> None:
    connection.exec_driver_sql("DROP INDEX ix_model_versions_created")
    connection.exec_driver_sql("DROP INDEX ix_stac_items_visibility")
    connection.exec_driver_sql(
        "CREATE INDEX ix_stac_items_visibility ON stac_items (collection, visibility)"
    )
    if connection.dialect.name == "postgresql":
        for name in SEARCHED_PROPERTIES:
            connection.exec_driver_sql(f'DROP INDEX "ix_stac_items_{name}"')
            connection.exec_driver_sql(
                f'CREATE INDEX "ix_stac_items_{name}" ON stac_items'
                f" (jsonb_extract_path(properties, '{name}'))"
            )


def _definitions(connection: Connection) -> set[tuple[str, str]]:
    """The indexes of a database by their names, as statements."""
    catalogue = {
        "sqlite": "name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    }
    rows = connection.execute(text(f"SELECT {catalogue[connection.dialect.name]}"))
    return {(name, definition) for name, definition in rows}
