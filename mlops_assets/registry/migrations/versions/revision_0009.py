"""Registrations of versions with the catalogues of others, and the attempts to register them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEY = ("catalogue", "name", "version")


def upgrade() -> None:
    """Upgrade from a registry whose versions were registered nowhere."""
    op.create_table(
        "registrations",
        *(sa.Column(name, sa.String(255), primary_key=True) for name in _KEY),
        sa.Column("state", sa.String(255), nullable=False),
        sa.Column("withdrawn", sa.String(255)),
        sa.Column("reason", sa.Text()),
        sa.Column("collection_sha256", sa.String(64)),
        sa.Column("items_sha256", sa.String(64)),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "registration_attempts",
        *(sa.Column(name, sa.String(255), primary_key=True) for name in _KEY),
        sa.Column("basis", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("tried", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retry", sa.DateTime(timezone=True)),
    )
