"""Items are counted by an index alone, whoever may see them."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Upgrade from a registry whose index does not have who has created an Item."""
    op.drop_index("ix_stac_items_visibility", "stac_items")
    columns = ["collection", "visibility", "created_by"]
    op.create_index("ix_stac_items_visibility", "stac_items", columns)
