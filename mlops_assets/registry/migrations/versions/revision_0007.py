"""Visibility of data versions and model versions; all that exist are visible as before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Upgrade from a registry whose readers see every version."""
    for table in ("data_versions", "model_versions"):
        op.add_column(
            table,
            sa.Column("visibility", sa.String(255), nullable=False, server_default="workspace"),
        )
        op.add_column(table, sa.Column("visibility_reason", sa.Text()))
