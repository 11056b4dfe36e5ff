"""Deployments of model versions, and alarms of monitoring."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Upgrade from a registry without deployments."""
    op.create_table(
        "deployments",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("service", sa.String(255), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("engine", sa.String(255), nullable=False),
        sa.Column("action", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("details", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("deployed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deployed_by", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text),
    )
    op.create_index("ix_deployments_service", "deployments", ["service"])
    op.create_index("ix_deployments_model", "deployments", ["model"])
    op.create_table(
        "alarms",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("data_version", sa.String(255), nullable=False),
        sa.Column("rule", sa.String(255), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("last_day", sa.String(10), nullable=False),
        sa.Column("recovered_day", sa.String(10)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("issue", sa.Text),
        sa.Column("orchestration_run", sa.String(255)),
        sa.Column("retrained_on", sa.String(255)),
        sa.Column("opened", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("model", "rule", "day"),
    )
    op.create_index("ix_alarms_model", "alarms", ["model"])
    op.create_index("ix_alarms_orchestration_run", "alarms", ["orchestration_run"])
