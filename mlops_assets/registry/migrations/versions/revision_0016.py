"""Pushes that git servers have sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Upgrade from a registry without pushes of git servers."""
    op.create_table(
        "git_deliveries",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("webhook", sa.String(255), nullable=False),
        sa.Column("repository", sa.String(255), nullable=False),
        sa.Column("ref", sa.String(255), nullable=False),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
    )
