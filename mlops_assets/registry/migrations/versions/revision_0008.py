"""Records that the STAC API finds; those of the catalogue are added when the hub is started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from mlops_assets.registry.schema import RECORD_INDEXES

revision = "0008"
down_revision = "0007"

_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Upgrade from a registry without records for searching."""
    op.create_table(
        "stac_collections",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("key", sa.String(512)),
        sa.Column("sha256", sa.String(64)),
        sa.Column("visibility", sa.String(255), nullable=False, server_default="workspace"),
        sa.Column("created_by", sa.String(255)),
        sa.Column("document", _DOCUMENT, nullable=False),
    )
    op.create_index("ix_stac_collections_key", "stac_collections", ["key"])
    op.create_table(
        "stac_items",
        sa.Column("item", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("collection", sa.String(255), nullable=False),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("key", sa.String(512)),
        sa.Column("sha256", sa.String(64)),
        sa.Column("visibility", sa.String(255), nullable=False, server_default="workspace"),
        sa.Column("created_by", sa.String(255)),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("moment", "starts", "ends")
        ),
        *(sa.Column(name, sa.Float(53)) for name in ("minx", "miny", "maxx", "maxy")),
        sa.Column("shape", sa.LargeBinary()),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("properties", _DOCUMENT, nullable=False),
        sa.Column("document", _DOCUMENT, nullable=False),
        sa.UniqueConstraint("collection", "id"),
    )
    op.create_index("ix_stac_items_moment", "stac_items", ["moment", "id", "collection"])
    op.create_index("ix_stac_items_id", "stac_items", ["id"])
    op.create_index("ix_stac_items_visibility", "stac_items", ["collection", "visibility"])
    op.create_index("ix_stac_items_key", "stac_items", ["key"])
    op.create_table(
        "external_records",
        sa.Column("collection", sa.String(255), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("document", _DOCUMENT, nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(255), nullable=False),
    )
    for statement in RECORD_INDEXES[op.get_bind().dialect.name]:
        op.execute(sa.text(statement.replace(":", r"\:")))
