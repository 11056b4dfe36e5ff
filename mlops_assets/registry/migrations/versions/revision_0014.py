"""Notes and tags of users on runs, and sessions of browsers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Upgrade from a registry without sessions of browsers."""
    document = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("runs", sa.Column("user_tags", document, nullable=False, server_default="{}"))
    op.create_table(
        "run_notes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("noted", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noted_by", sa.String(255), nullable=False),
    )
    op.create_index("ix_run_notes_run_id", "run_notes", ["run_id"])
    op.create_table(
        "sign_ins",
        sa.Column("state", sa.String(64), primary_key=True),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(255), nullable=False),
        sa.Column("verifier", sa.String(255), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "browser_sessions",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("roles", document, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_browser_sessions_name", "browser_sessions", ["name"])
