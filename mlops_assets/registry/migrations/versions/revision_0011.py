"""Items are counted, and the neighbours of a model version found, by an index alone.

On PostgreSQL, JSON's null is sorted as no value is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mlops_assets.registry.schema import RECORD_INDEXES, SEARCHED_PROPERTIES

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Upgrade from a registry without these indexes."""
    op.drop_index("ix_stac_items_visibility", "stac_items")
    columns = ["collection", "visibility", "created_by"]
    op.create_index("ix_stac_items_visibility", "stac_items", columns)
    op.create_index("ix_model_versions_created", "model_versions", ["model", "created", "version"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for name in SEARCHED_PROPERTIES:
        index = f"ix_stac_items_{name}"
        made = next(each for each in RECORD_INDEXES["postgresql"] if f'"{index}"' in each)
        for statement in (f'DROP INDEX "{index}"', made):
            op.execute(sa.text(statement.replace(":", r"\:")))
