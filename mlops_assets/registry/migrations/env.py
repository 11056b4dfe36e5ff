"""The script by which Alembic applies the revisions in `versions/`; see `upgrade`.

No module imports this one.
"""

from __future__ import annotations

from alembic import context

from mlops_assets.registry.schema import Base, SchemaRevision

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=SchemaRevision.__tablename__,
)
context.run_migrations()
