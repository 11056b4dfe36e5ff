"""The chained log; what it begins with is stated by `log.adopt`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Upgrade from a registry without a log."""
    op.create_table(
        "log",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
    )
