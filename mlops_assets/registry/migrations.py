"""Bringing the tables of an older release to the present ones, in the transaction that finds them old.

One function a schema version; tables that are only new need none, as opening the registry makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import JSON, Connection, func, inspect, select, text, update

from mlops_assets.registry.schema import Base, Run

if TYPE_CHECKING:
    from alembic.operations import Operations


def migrate(connection: Connection, found: int) -> None:
    """Take the tables from schema version `found` to the present one."""
    from alembic.migration import MigrationContext  # slow to import, and rarely needed
    from alembic.operations import Operations

    operations = Operations(MigrationContext.configure(connection))
    for version, step in sorted(_STEPS.items()):
        if version > found:
            step(connection, operations)


def _to_2(connection: Connection, operations: Operations) -> None:
    """More facts about runs; series become points that are numbered within their run."""
    known = {column["name"] for column in inspect(connection).get_columns("runs")}
    for column in Run.__table__.columns:
        if column.name not in known:
            operations.add_column("runs", column._copy())
    if connection.dialect.name == "postgresql":
        for table in Base.metadata.tables.values():
            for column in table.columns:
                if isinstance(column.type, JSON):
                    name = column.name
                    operations.alter_column(table.name, name, type_=column.type, postgresql_using=f"{name}::jsonb")
    operations.create_index("ix_runs_started", "runs", ["started"])
    _mend_numbers(connection)
    finished = select(Run.run_id, Run.started, Run.finished).where(Run.finished.is_not(None))
    for run_id, started, end in connection.execute(finished).all():
        seconds = (end - started).total_seconds() if end else None
        connection.execute(update(Run).where(Run.run_id == run_id).values(seconds=seconds))
    # julianday, as unixepoch has no fractions before SQLite 3.42
    sqlite, postgresql = "(julianday(logged) - 2440587.5) * 86400.0", "extract(epoch from logged)"
    epoch = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        text(
            "INSERT INTO points (run_id, seq, name, step, value, logged) SELECT run_id, "
            f"row_number() OVER (PARTITION BY run_id ORDER BY id) - 1, name, step, value, {epoch} FROM series"  # nosec B608
        )
    )
    operations.drop_table("series")


def _mend_numbers(connection: Connection) -> None:
    """Write documents of runs again that hold NaN, which SQLite took and cannot look into; see `engine`."""
    if connection.dialect.name == "sqlite":
        for column in (Run.parameters, Run.metrics):
            found = connection.execute(select(Run.run_id, column).where(func.json_valid(column) == 0)).all()
            for run_id, document in found:
                connection.execute(update(Run).where(Run.run_id == run_id).values({column: document}))


_STEPS: dict[int, Callable[[Connection, Operations], None]] = {2: _to_2}
