"""Columns that tables of schema version 2 lack if an early release of it made them.

The revision is Alembic's from here on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Upgrade from schema version 2, and from what was version 1 before."""
    found = sa.inspect(op.get_bind())
    for table in ("data_versions", "files"):
        sizes = [column["type"] for column in found.get_columns(table) if column["name"] == "size"]
        if not isinstance(sizes[0], sa.BigInteger):
            with op.batch_alter_table(table) as batch:  # SQLite makes the table anew
                batch.alter_column("size", type_=sa.BigInteger())
    op.create_index("ix_runs_started", "runs", ["started"], if_not_exists=True)
    op.create_table(
        "landed_files",
        sa.Column("source", sa.String(512), primary_key=True),
        sa.Column("path", sa.String(1024), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stamp", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "staged",
        sa.Column("path", sa.String(512), primary_key=True),
        sa.Column("content", sa.String(255), nullable=False),
        if_not_exists=True,
    )
    # releases before this one read the number, and say that they are too old
    op.execute("DELETE FROM meta WHERE key = 'schema_version'")
    op.execute("INSERT INTO meta (key, value) VALUES ('schema_version', '3')")
