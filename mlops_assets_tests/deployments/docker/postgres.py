"""PostgreSQL as the service of compose.yaml: on a port, with its user and its databases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_assets_tests.servers.postgres import PostgresServer


@contextmanager
def postgres_on(port: int, password: str, script: str) -> Iterator[None]:
    """Run a server until the block ends.

    Args:
        port: that it listens on.
        password: of the user `mlops`.
        script: SQL that makes further databases.
    """
    # not below pytest's own folder, which only its owner may enter: run by root, it is another user
    with tempfile.TemporaryDirectory(prefix="mlops-compose-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(folder)
        role = f"CREATE ROLE mlops SUPERUSER LOGIN PASSWORD '{password}'"
        databases = [line for line in script.splitlines() if not line.startswith("--")]
        for statement in (role, "CREATE DATABASE mlops", *filter(None, databases)):
            server.execute(statement)
        server.listen(port)
        try:
            yield
        finally:
            server.stop()
