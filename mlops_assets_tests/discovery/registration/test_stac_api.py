"""The client of STAC APIs, with our own API and with pgstac."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mlops_assets.discovery.registration.catalogue import Catalogue
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.testing.catalogues import CatalogueContract
from mlops_assets_tests.discovery.registration.opened import Token, opened
from mlops_assets_tests.hub.serving import TOKEN, hub


@pytest.fixture(scope="module")
def our_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the STAC API of an empty workspace."""
    root = tmp_path_factory.mktemp("other") / "workspace"
    workspace = Workspace(root.as_uri())
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    with hub(Store(workspace, registry)) as url:
        yield f"{url}/stac"
    registry.close()


class TestOurApi(CatalogueContract):
    @pytest.fixture
    def catalogue(self, our_api: str) -> Catalogue:
        return opened(our_api, Token(TOKEN))

    @pytest.fixture
    def unreachable(self) -> Callable[[str], Catalogue]:
        return opened


class TestPgstac(CatalogueContract):
    @pytest.fixture
    def catalogue(self, pgstac: str) -> Catalogue:
        return opened(pgstac)

    @pytest.fixture
    def unreachable(self) -> Callable[[str], Catalogue]:
        return opened
