"""Checks of a registry: that it is reached, its schema and writers, rights, clock, transport."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from mlops_assets import __version__
from mlops_assets.errors import StorageError
from mlops_assets.registry.engine import driver_message, open_engine
from mlops_assets.registry.migrations.writers import line_of, newest_writer
from mlops_assets.registry.schema import (
    SCHEMA_REVISION,
    DataVersion,
    Meta,
    ModelVersion,
    Run,
    SchemaRevision,
)
from mlops_assets.text.secret_urls import redacted
from mlops_assets.upkeep.doctor.finding import WARNING, Finding, clock, is_this_machine

_COUNTED = {"data versions": DataVersion, "runs": Run, "model versions": ModelVersion}


def examine_registry(url: str) -> Iterator[Finding]:
    """Yield the state of a registry, without changing it: an older schema is not upgraded.

    Args:
        url: SQLAlchemy URL.

    Raises:
        SettingsError: the URL is not valid.
        StorageError: it cannot be reached.
    """
    engine = open_engine(url)
    try:
        with engine.connect().execution_options(immediate=False) as connection:
            schema = _schema(connection)
            yield from schema
            if all(found.well for found in schema):
                yield from _writable(url, connection)
            if connection.dialect.name == "postgresql":
                yield _clock(connection)
                yield from _transport(url, connection)
    except DBAPIError as error:
        reason = driver_message(error)
        raise StorageError(
            f"registry {redacted(url)} cannot be used: {reason}; check MLOPS_REGISTRY, that the"
            " server runs, and that its address is right"
        ) from error
    finally:
        engine.dispose()


def _schema(connection: Connection) -> list[Finding]:
    """Return whether the tables are those of this release, and who has written last."""
    tables = inspect(connection)
    if not tables.has_table(Meta.__tablename__):
        return [Finding("registry", True, "has no tables yet: the first command makes them")]
    has_revision = tables.has_table(SchemaRevision.__tablename__)
    revision = connection.scalar(select(SchemaRevision.version_num)) if has_revision else None
    if revision is None or revision < SCHEMA_REVISION:
        return [
            Finding(
                "schema",
                False,
                f"is {revision or 'from before revisions'}, and this release has {SCHEMA_REVISION}:"
                " end processes of older releases, make a backup, and run 'mlops migrate'",
            )
        ]
    if revision > SCHEMA_REVISION:
        return [
            Finding(
                "schema",
                False,
                f"is {revision}, and this release has {SCHEMA_REVISION}: install the newest release"
                " of the deployments that share the registry",
            )
        ]
    newest = newest_writer(connection) or __version__
    if line_of(newest) > line_of(__version__):
        return [
            Finding(
                "schema",
                False,
                f"is {revision}; release {newest} has written, so that {__version__} may only read:"
                " install the newest release of the deployments that share the registry",
            )
        ]
    return [Finding("schema", True, f"is {revision}; the newest writer is release {newest}")]


def _writable(url: str, connection: Connection) -> Iterator[Finding]:
    """Yield how many rows there are, and whether there may be more; nothing is written."""
    if not inspect(connection).has_table(Run.__tablename__):
        return
    counts = ", ".join(
        f"{connection.scalar(select(func.count()).select_from(table))} {name}"
        for name, table in _COUNTED.items()
    )
    refused = _REFUSED[connection.dialect.name](connection)
    yield Finding(
        "registry",
        not refused,
        f"{redacted(url)}: {refused or counts}",
    )


def _postgres_refuses(connection: Connection) -> str:
    name = Run.__tablename__
    rights = text(
        "SELECT right_ FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS right_"
        " WHERE NOT has_table_privilege(:name, right_)"
    )
    missing = list(connection.scalars(rights, {"name": name}))
    if connection.scalar(text("SHOW transaction_read_only")) == "on":
        return "is read-only, as a standby is: name the primary server in MLOPS_REGISTRY"
    if missing:
        return (
            f"its user has no right to {', '.join(missing)}: let the owner of the tables run"
            f" GRANT {', '.join(missing)} ON ALL TABLES IN SCHEMA public TO that user"
        )
    return ""


def _sqlite_refuses(connection: Connection) -> str:
    try:
        connection.rollback()
        # takes the lock of a writer, and nothing more
        with connection.execution_options(immediate=True).begin():
            pass
    except DBAPIError as error:
        return f"cannot be written: {error.orig}: check the rights of the file and its folder"
    return ""


_REFUSED: dict[str, Callable[[Connection], str]] = {
    "postgresql": _postgres_refuses,
    "sqlite": _sqlite_refuses,
}


def _clock(connection: Connection) -> Finding:
    before = datetime.now(UTC)
    server: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return clock("clock of the registry", server, before, datetime.now(UTC))


def _transport(url: str, connection: Connection) -> Iterator[Finding]:
    parsed = make_url(url)
    hosts = [str(parsed.host or parsed.query.get("host") or "")]
    if all(is_this_machine(host) for host in hosts):
        return
    query = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    if not connection.scalar(query):
        yield Finding(
            "TLS of the registry",
            True,
            f"{WARNING}the connection is not encrypted: add '?sslmode=verify-full' to"
            " MLOPS_REGISTRY, with MLOPS_CA_BUNDLE for an authority of your own",
        )
