"""The database engine of the registry, with the settings SQLite needs for several processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError

from mlops_assets.errors import SettingsError
from mlops_assets.settings import registry_now
from mlops_assets.text.letters import small

BUSY_TIMEOUT_SECONDS = 60  # for which a writer waits for another one
CONNECT_TIMEOUT_SECONDS = 10
_MAPPED_BYTES = 1 << 31  # of the file at most
_STEPS = 10_000  # of SQLite's virtual machine, between looks at the clock
_QUERY_CANCELED = "57014"  # of PostgreSQL
_CREDENTIALS = ("user", "password")
_LIBPQ = ("psycopg", "psycopg2")  # drivers that know that time-out


def open_engine(url: str) -> Engine:
    """Return an engine.

    Transactions on SQLite take the write lock first unless they are `immediate=False`.

    Raises:
        SettingsError: the URL is not valid.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        limited = parsed.get_driver_name() in _LIBPQ and "connect_timeout" not in parsed.query
        limits = {"connect_timeout": CONNECT_TIMEOUT_SECONDS} if limited else {}
        engine = create_engine(
            parsed, connect_args=limits, pool_pre_ping=True, json_serializer=_json
        )

        @event.listens_for(engine, "connect")
        def on_connect_to_server(connection: DBAPIConnection, _record: object) -> None:
            connection.cursor().execute(f"SET lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
            connection.commit()

        @event.listens_for(engine, "do_connect")
        def on_connecting(
            dialect: Dialect, _record: object, _args: object, parameters: dict[str, Any]
        ) -> None:
            parameters.update(_rotated(parsed, dialect))

        return engine
    engine = create_engine(
        parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, json_serializer=_json
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come before ours
        _write_ahead(connection)
        connection.execute("PRAGMA foreign_keys=ON")
        # its own knows the letters of ASCII only
        connection.create_function("lower", 1, _lower, deterministic=True)
        # pages are read where the system has cached them, not copied to each connection
        connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # Take the write lock first: a reader that becomes a writer half-way cannot wait, it fails
        # at once.
        immediate = connection.get_execution_options().get("immediate", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def time_limit(connection: Connection, seconds: float | None) -> Iterator[None]:
    """Interrupt statements that take long: on SQLite all together, on PostgreSQL each.

    Args:
        connection: with a transaction.
        seconds: for which they may run; None for any time.
    """
    if seconds is None:
        yield
    elif connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        deadline = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)  # type: ignore[union-attr]
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)  # type: ignore[union-attr]
    else:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(1000 * seconds)}")
        yield


def is_time_limit(error: DBAPIError) -> bool:
    """Return whether an error is that of a statement which was interrupted."""
    return (
        getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        or getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED
        or getattr(error.orig, "pgcode", None) == _QUERY_CANCELED  # of psycopg2
    )


def _rotated(url: URL, dialect: Dialect) -> dict[str, Any]:
    """Return user and password as `MLOPS_REGISTRY` has them now, if it names the same database."""
    try:
        now = make_url(registry_now() or "")
    except ArgumentError:
        return {}
    if _without_credentials(now) != _without_credentials(url):
        return {}
    parameters = dialect.create_connect_args(now)[1]
    return {name: parameters[name] for name in _CREDENTIALS if name in parameters}


def _without_credentials(url: URL) -> URL:
    return url._replace(username=None, password=None)


def driver_message(error: DBAPIError) -> str:
    """Return the first line of a driver's message; the rest is the statement and its advice."""
    return str(error.orig).strip().partition("\n")[0]


def _parsed(url: str) -> URL:
    """Return the parts of a URL.

    The message of the error has no part of the URL: it may be one of the password.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, ImportError, ValueError):
        raise SettingsError(
            "the URL of the registry cannot be read: write it as"
            " postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the"
            " password encoded (%2F for /, %40 for @), or as sqlite:////PATH/registry.db; see"
            " MLOPS_REGISTRY"
        ) from None
    return parsed


def _json(document: object) -> str:
    """Write JSON that every database reads.

    NaN and infinities, which it does not have, become texts.
    """
    return to_json(document, inf_nan_mode="strings").decode()


def _lower(value: object) -> str | None:
    """Return a value in small letters, as SQLite's `lower` does, and NULL as NULL."""
    return None if value is None else small(str(value))


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging.

    SQLite does not wait by itself for another process that switches just now.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
