"""The client of STAC APIs, with our own API and with pgstac."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import select

from mlops_assets.discovery.links import Addresses
from mlops_assets.discovery.registration.arrival import Destination, deprecate, register
from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.outgoing import outgoing, withdrawn
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.registry.records.lookup import FoundRecord
from mlops_assets.registry.records.registrations import State
from mlops_assets.registry.schema import Registration, StacCollection, StacItem
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.testing.catalogues import CatalogueContract, contract_collection, contract_item
from mlops_assets.text.json_values import JsonObject
from mlops_assets_tests.discovery.external import SQUARE
from mlops_assets_tests.discovery.registration.opened import Token, opened
from mlops_assets_tests.hub.serving import TOKEN, hub
from mlops_assets_tests.servers.faults import FaultyProxy


@pytest.fixture(scope="module")
def our_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the STAC API of an empty workspace."""
    root = tmp_path_factory.mktemp("other") / "workspace"
    workspace = Workspace(root.as_uri())
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    with hub(Store(workspace, registry)) as url:
        yield f"{url}/stac"
    registry.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_call_whose_answer_was_lost_is_repeated(our_api: str, method: str) -> None:
    item = contract_item("lost", "one")
    direct = opened(our_api, Token(TOKEN))
    direct.put([contract_collection("lost")])
    with FaultyProxy(our_api.removesuffix("/stac")) as proxy:
        catalogue = opened(f"{proxy.url}/stac", Token(TOKEN))
        if method != "POST":
            catalogue.put([item])
        deletes = method == "DELETE"
        call = (
            partial(catalogue.delete, "lost", "one") if deletes else partial(catalogue.put, [item])
        )
        proxy.add("*/items*", method=method, unanswered=True, times=1)
        with pytest.raises(CatalogueError) as raised:
            call()
        assert raised.value.temporary
        found = direct.get("lost", "one")
        assert (found is None) == deletes, "the server has done what it was asked"
        call()
    assert direct.get("lost", "one") == found
    direct.delete("lost")


def test_what_a_workspace_has_published_is_equal_in_pgstac(recorded: Store, pgstac: str) -> None:
    other = opened(pgstac)
    addresses = Addresses(other.api, "s3://bucket/our%20team")
    with recorded.registry.reading() as session:
        rows = [*session.scalars(select(StacCollection)), *session.scalars(select(StacItem))]
        records = [FoundRecord(json_object(row), row.key) for row in rows]
    found = {}
    for record in records:
        sent = outgoing(record, addresses)
        where = [str(sent[name]) for name in ("collection", "id") if name in sent]
        if sent.get("geometry", SQUARE) is None:
            with pytest.raises(
                CatalogueError, match=r"Geometry is required in pgstac.*: declare extent"
            ):
                other.put([sent])
        else:
            other.put([sent])
            found["/".join(where)] = differences(sent, other.get(*where) or {})
    assert not any(found.values()), found
    assert {"fields-v1", "crops", "scenes-v1", "cover"} <= found.keys()
    assert {"scenes-v1", "cover"} == {name.split("/")[0] for name in found if "/" in name}
    for name in found:
        if "/" not in name:
            other.delete(name)


def test_items_are_read_back_by_the_hundred(our_api: str) -> None:
    collection = contract_collection("hundreds")
    items = [contract_item("hundreds", f"item-{number}") for number in range(250)]
    before = Registration(url="https://other.example")
    with FaultyProxy(our_api.removesuffix("/stac")) as proxy:

        def asked() -> list[str]:
            """Return the requests since this was called last, but for those that send an Item."""
            found = [each for each in proxy.requests if not each.startswith("POST /stac/coll")]
            proxy.requests.clear()
            return found

        catalogue = opened(f"{proxy.url}/stac", Token(TOKEN))
        to = Destination(catalogue, "https://other.example", "hundreds", None)
        search, own = "POST /stac/search", "GET /stac/collections/hundreds"
        arrived = register(to, collection, lambda: iter(items), before)
        assert arrived.state == State.REGISTERED
        assert asked() == [own, own, search, search, search]
        # not known to be there, as after a process was killed
        register(to, collection, lambda: iter(items), before)
        assert asked() == [own, search, search, search]
        assert deprecate(to, collection, lambda: iter(items)).state == State.DEPRECATED
        assert asked().count(search) == 6  # before and after
        last = catalogue.get("hundreds", "item-249")
        assert differences(withdrawn(items[-1], catalogue.api), last or {}) == []
    opened(our_api, Token(TOKEN)).delete("hundreds")


def json_object(row: StacCollection | StacItem) -> JsonObject:
    """Return the document of a row as it was published."""
    properties = {"properties": row.properties} if isinstance(row, StacItem) else {}
    return {**row.document, **properties}


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
