"""Maps; those of earlier releases have no document that could state their origin, and no row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Upgrade from a registry without maps."""
    op.create_table(
        "maps",
        sa.Column("model", sa.String(255), primary_key=True),
        sa.Column("version", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column("data_version", sa.String(255), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("area", sa.String(255)),
        sa.Column("day", sa.String(10)),
        sa.Column("input_digest", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("outside", sa.Float(53)),
        sa.Column("collection", sa.String(255), nullable=False),
        sa.Column("item", sa.String(255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
    )
    op.create_index("ix_maps_created", "maps", ["created", "name"])
    op.create_index("ix_maps_collection", "maps", ["collection", "day"])
