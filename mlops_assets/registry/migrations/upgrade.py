"""Creation of the tables of a registry, and their upgrade from an older release.

Upgrades are Alembic's revisions.

A registry that this release has made or upgraded is recognised by one query, without importing
Alembic.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text

from mlops_assets import __version__
from mlops_assets.errors import ReleaseRefused, StorageError
from mlops_assets.registry.log import chain
from mlops_assets.registry.migrations.writers import LOCK, WRITER
from mlops_assets.registry.schema import (
    LAST_META_VERSION,
    SCHEMA_REVISION,
    Base,
    LogEntry,
    Meta,
    SchemaRevision,
)
from mlops_assets.text.secret_urls import redacted

# the number in `meta`, by which older releases kept their tables → the revision that has the same
_REVISIONS = {"1": None, "2": "0002"}


def is_present(connection: Connection) -> bool:
    """Return whether the tables are those of this release.

    Raises:
        ReleaseRefused: they are of a newer release.
    """
    if not inspect(connection).has_table(SchemaRevision.__tablename__):
        return False
    found = connection.scalar(select(SchemaRevision.version_num))
    if found is not None and found > SCHEMA_REVISION:
        raise _newer(connection, found)
    return found == SCHEMA_REVISION


def prepare(connection: Connection, principal: str) -> None:
    """Make the tables, or upgrade those of an older release, within the caller's transaction.

    Args:
        connection: the transaction.
        principal: who is acting, as the log has it.

    Raises:
        StorageError: they are of a newer release, or of none.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})
    if is_present(connection):  # another process was faster
        return
    tables = inspect(connection).get_table_names()
    if Meta.__tablename__ not in tables:
        _make(connection)
        return
    if SchemaRevision.__tablename__ not in tables:
        _take_over(connection)
    _upgrade(connection)
    if LogEntry.__tablename__ not in tables:
        chain.adopt(connection, chain.Author(principal))


def _make(connection: Connection) -> None:
    Base.metadata.create_all(connection)
    connection.execute(insert(SchemaRevision).values(version_num=SCHEMA_REVISION))
    rows = {"schema_version": LAST_META_VERSION, WRITER: __version__}
    connection.execute(insert(Meta), [{"key": key, "value": rows[key]} for key in rows])


def _take_over(connection: Connection) -> None:
    """Give a registry that has a number in `meta` only the revision that has the same tables."""
    meta = connection.scalar(select(Meta.value).where(Meta.key == "schema_version"))
    if meta is None:  # its process was killed between making the tables and writing the number
        meta = "1" if inspect(connection).has_table("series") else "2"
    if meta not in _REVISIONS:
        raise _newer(connection, meta)
    Base.metadata.tables[SchemaRevision.__tablename__].create(connection)
    revision = _REVISIONS[meta]
    if revision is not None:
        connection.execute(insert(SchemaRevision).values(version_num=revision))


def _upgrade(connection: Connection) -> None:
    from alembic import command  # slow to import, and rarely needed
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        url = redacted(connection.engine.url.render_as_string(hide_password=False))
        raise StorageError(
            f"registry {url} has a schema of no release: {error}; restore it from a backup"
        ) from error


def _newer(connection: Connection, found: str) -> ReleaseRefused:
    url = redacted(connection.engine.url.render_as_string(hide_password=False))
    return ReleaseRefused(
        f"registry {url} has schema {found}, this release reads {SCHEMA_REVISION}; use the matching"
        " release"
    )
