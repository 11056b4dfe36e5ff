"""More facts about runs; series become points that are numbered within their run; checkpoints."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = None

_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
_DOCUMENTS = {
    "data_versions": ("specification", "counts"),
    "runs": ("parameters", "hardware", "metrics"),
    "model_versions": ("signature", "metrics"),
    "promotions": ("gates",),
}


def upgrade() -> None:
    """Upgrade from schema version 1."""
    for column in (
        sa.Column("source", sa.String(255), nullable=False, server_default="platform"),
        sa.Column("tags", _DOCUMENT, nullable=False, server_default="{}"),
        sa.Column("created_by", sa.String(255)),
        sa.Column("seconds", sa.Double()),
        sa.Column("phases", _DOCUMENT, nullable=False, server_default="{}"),
        sa.Column("usage", _DOCUMENT, nullable=False, server_default="{}"),
        sa.Column("code", _DOCUMENT, nullable=False, server_default="{}"),
        sa.Column("environment", sa.String(64)),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"),
    ):
        op.add_column("runs", column)
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _DOCUMENTS.items():
            for name in columns:
                op.alter_column(table, name, type_=_DOCUMENT, postgresql_using=f"{name}::jsonb")
    else:
        _write_numbers_again()
    # a release that was killed while it upgraded has left these, empty
    op.create_table(
        "points",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("logged", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "checkpoints",
        sa.Column("run_id", sa.String(36), primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    _add_seconds()
    _number_points()


def _write_numbers_again() -> None:
    """Write documents of runs again that hold NaN or infinities.

    SQLite took them, but cannot query them.
    """
    connection = op.get_bind()
    for name in ("parameters", "metrics"):
        invalid = sa.text(
            f"SELECT run_id, {name} FROM runs WHERE NOT json_valid({name})"  # nosec B608
        )
        for run_id, document in connection.execute(invalid).all():
            written = json.dumps(json.loads(document, parse_constant=str))
            change = sa.text(
                f"UPDATE runs SET {name} = :document WHERE run_id = :run_id"  # nosec B608
            )
            connection.execute(change, {"document": written, "run_id": run_id})


def _add_seconds() -> None:
    time = sa.DateTime(timezone=True)
    runs = sa.table(
        "runs",
        sa.column("run_id"),
        sa.column("started", time),
        sa.column("finished", time),
        sa.column("seconds", sa.Float()),
    )
    connection = op.get_bind()
    finished = sa.select(runs.c.run_id, runs.c.started, runs.c.finished).where(
        runs.c.finished.is_not(None)
    )
    for run_id, start, end in connection.execute(finished).all():
        seconds = (end - start).total_seconds()
        connection.execute(runs.update().where(runs.c.run_id == run_id).values(seconds=seconds))


def _number_points() -> None:
    # julianday, as unixepoch has no fractions before SQLite 3.42
    epoch = "(julianday(logged) - 2440587.5) * 86400.0"
    if op.get_bind().dialect.name == "postgresql":
        epoch = "extract(epoch from logged)"
    op.execute(
        "INSERT INTO points (run_id, seq, name, step, value, logged) SELECT run_id, "
        f"row_number() OVER (PARTITION BY run_id ORDER BY id) - 1, name, step, value, {epoch} FROM"
        " series"  # nosec B608
    )
    op.drop_table("series")
