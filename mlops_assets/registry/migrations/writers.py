"""Which releases may write a registry: those of the newest schema, and of the newest line.

A process may run for weeks after another deployment has upgraded its registry. It would write rows
that the newer release reads wrongly, so each writing transaction looks first.
"""

from __future__ import annotations

import functools
import re

from sqlalchemy import Connection, select, text, update

from mlops_assets import __version__
from mlops_assets.errors import ReleaseRefused
from mlops_assets.registry.schema import SCHEMA_REVISION, Meta, SchemaRevision
from mlops_assets.text.secret_urls import redacted

WRITER = "writer"  # the key in `meta` of the newest line of releases that has written
LOCK = 0x6D6C6F7073  # of PostgreSQL; shared by writers, and held alone by who changes the tables
_NEWEST = select(Meta.value).where(Meta.key == WRITER).scalar_subquery()
_STATE = select(SchemaRevision.version_num, _NEWEST)
# another process may do the same just now
_RECORD = text("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO NOTHING")
_LINE = re.compile(r"(\d+)\.(\d+)")


@functools.lru_cache(maxsize=8)
def line_of(version: str) -> tuple[int, int]:
    """Return major and minor number of a release; releases that differ in neither write alike."""
    found = _LINE.match(version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def require_current(connection: Connection) -> None:
    """Check that this release may write, within a transaction that is about to.

    On PostgreSQL whoever changes the tables waits until the transaction has ended, and the other
    way round; on SQLite only one writes in any case.

    Args:
        connection: the transaction.

    Raises:
        ReleaseRefused: a newer release has changed the tables, or has written.
    """
    if connection.dialect.name == "postgresql":
        # a statement of its own: the next one is to see what was committed while this one waited
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:number)"), {"number": LOCK})
    found = connection.execute(_STATE).one_or_none()
    schema, newest = (None, None) if found is None else found
    if schema != SCHEMA_REVISION:
        raise _refused(
            connection, f"has schema {schema}, and this process writes {SCHEMA_REVISION}"
        )
    if newest == __version__:
        return
    if newest is not None and line_of(newest) > line_of(__version__):
        raise _refused(connection, f"is written by release {newest}, and this is {__version__}")
    _record(connection, newest)


def newest_writer(connection: Connection) -> str | None:
    """Return the newest release that has written; None for one from before it was recorded."""
    return connection.scalar(select(Meta.value).where(Meta.key == WRITER))


def _record(connection: Connection, newest: str | None) -> None:
    if newest is None:  # tables from before it was recorded
        row = {"key": WRITER, "value": __version__}
        connection.execute(_RECORD, row)
    elif line_of(newest) < line_of(__version__):
        connection.execute(update(Meta).where(Meta.key == WRITER).values(value=__version__))


def _refused(connection: Connection, reason: str) -> ReleaseRefused:
    url = redacted(connection.engine.url.render_as_string(hide_password=False))
    return ReleaseRefused(
        f"registry {url} {reason}: nothing was recorded; end this process and start it with the"
        " newest release of the deployments that share the registry"
    )
