"""stac-fastapi-pgstac on PostGIS, which takes records, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.pgstac_peer import writable_pgstac
from mlops_assets_tests.services import require_pgstac


@pytest.fixture(scope="session")
def pgstac(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of its STAC API."""
    with writable_pgstac(tmp_path_factory.mktemp("pgstac"), require_pgstac()) as peer:
        yield peer.url
