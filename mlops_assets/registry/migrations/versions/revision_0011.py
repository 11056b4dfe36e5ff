"""Items are counted, and the neighbours of a model version found, by an index alone."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Upgrade from a registry without these indexes."""
    op.drop_index("ix_stac_items_visibility", "stac_items")
    columns = ["collection", "visibility", "created_by"]
    op.create_index("ix_stac_items_visibility", "stac_items", columns)
    op.create_index("ix_model_versions_created", "model_versions", ["model", "created", "version"])
