"""Registration by a service that follows EOEPCA's contract, with our own STAC API as its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator
from starlette.responses import HTMLResponse, JSONResponse

from mlops_assets.discovery.links import Addresses
from mlops_assets.discovery.registration import eoepca
from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.credentials import credentials
from mlops_assets.discovery.registration.declaration import DeclaredCatalogue
from mlops_assets.discovery.registration.open_catalogue import open_catalogue
from mlops_assets.discovery.registration.outgoing import outgoing, withdrawn
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.issuer import Issuer
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.registry.records.lookup import find_collection, find_item
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.testing.catalogues import CatalogueContract
from mlops_assets_tests.discovery.external import external_collection, external_item
from mlops_assets_tests.discovery.registration.eoepca_server import RECORDS, STAC, EoepcaServer
from mlops_assets_tests.hub.serving import TOKEN, hub
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.oidc import (
    AUDIENCE,
    CLIENT,
    CLIENT_SECRET,
    OidcServer,
    oidc_server,
)
from mlops_assets_tests.stac import extension_schemas

ROLES = [{"claim": "roles", "values": {"science": "scientist"}}]


def accepting(_uri: str) -> Draft7Validator | None:
    """Return a validator of an extension that finds nothing."""
    return Draft7Validator({})


@pytest.fixture(scope="module")
def issuing() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


@pytest.fixture(scope="module")
def running(
    issuing: OidcServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EoepcaServer, str, str]]:
    """Resource Registration, its URL, and that of an empty STAC API."""
    root = tmp_path_factory.mktemp("eoepca") / "workspace"
    root.mkdir()
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    store = Store(Workspace(root.as_uri()), registry)
    declared = {"issuer": issuing.url, "audience": AUDIENCE, "roles": ROLES}
    identity = Identity.model_validate(declared)
    server = EoepcaServer(Issuer(identity), {"Authorization": f"Bearer {TOKEN}"}, accepting)
    with hub(store, identity=identity) as api, served(server.app()) as url:
        yield server, url, f"{api}/stac"
    registry.close()


@pytest.fixture
def server(
    running: tuple[EoepcaServer, str, str], issuing: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> EoepcaServer:
    found, *_ = running
    found.__init__(found.issuer, found.stac_headers, accepting)  # type: ignore[misc]
    issuing.__init__(issuing.url)  # type: ignore[misc]
    monkeypatch.setenv("EO_SECRET", CLIENT_SECRET)
    return found


@pytest.fixture
def declared(
    server: EoepcaServer, running: tuple[EoepcaServer, str, str], issuing: OidcServer
) -> DeclaredCatalogue:
    _, url, api = running
    access = {
        "issuer": issuing.url,
        "client_id": CLIENT,
        "client_secret": {"variable": "EO_SECRET"},
    }
    return DeclaredCatalogue.model_validate(
        {
            "name": "eo",
            "kind": "eoepca",
            "url": url,
            "api": api,
            "records": f"{url}/records",
            "access": access,
        }
    )


@pytest.fixture
def catalogue(declared: DeclaredCatalogue) -> Catalogue:
    return open_catalogue(declared, credentials(declared))


@pytest.fixture
def sent(catalogue: Catalogue) -> Iterator[Catalogue]:
    """The catalogue with a Collection `sent`, for one test."""
    catalogue.put([external_collection()])
    yield catalogue
    catalogue.delete("sent")


class Contract(CatalogueContract):
    found = 15  # with those of odd ids more than 20

    @pytest.fixture
    def unreachable(self, declared: DeclaredCatalogue) -> Callable[[str], Catalogue]:
        def opened(url: str) -> Catalogue:
            changed = {"url": url, "api": url, "access": None}
            return open_catalogue(declared.model_copy(update=changed), None)

        return opened


class TestAtOnce(Contract):
    @pytest.fixture
    def catalogue(self, catalogue: Catalogue) -> Catalogue:
        return catalogue


class TestByJobs(Contract):
    @pytest.fixture
    def catalogue(self, catalogue: Catalogue, server: EoepcaServer) -> Catalogue:
        server.looks = 1
        return catalogue


def test_a_record_reaches_both_targets_the_stac_api_last(
    sent: Catalogue, server: EoepcaServer
) -> None:
    sent.put([external_item()])
    sent.delete("sent", "one")
    assert server.executed == [
        ("register", RECORDS),
        ("register", STAC),
        ("register", RECORDS),
        ("register", STAC),
        ("deregister", RECORDS),
        ("deregister", STAC),
    ]
    assert server.results[3]["resource-and-data-catalogue-link"]["href"].endswith(
        "/stac/collections/sent/items/one"
    )


def test_without_records_only_the_stac_api_is_written(
    declared: DeclaredCatalogue, server: EoepcaServer
) -> None:
    alone = declared.model_copy(update={"records": None})
    catalogue = open_catalogue(alone, credentials(alone))
    catalogue.put([external_collection()])
    found = catalogue.get("sent")
    assert found is not None and differences(external_collection(), found) == []
    catalogue.delete("sent")
    assert {relation for _, relation in server.executed} == {STAC}


def assert_unequal(catalogue: Catalogue, item: dict[str, Any]) -> None:
    found = catalogue.get(item["collection"], item["id"])
    assert found is not None
    (difference,) = differences(item, found)
    assert difference.startswith("properties.deprecated: sent nothing, found ")


@pytest.mark.parametrize("relation", [STAC, RECORDS])
def test_what_reaches_one_target_only_is_not_registered_until_it_is_sent_again(
    sent: Catalogue, server: EoepcaServer, relation: str
) -> None:
    sent.put([external_item(properties={"gsd": 10})])
    changed = external_item(properties={"gsd": 20})
    server.down = {relation}
    for document in (changed, external_item("two")):
        with pytest.raises(CatalogueError, match=r"400 .*Max retries exceeded") as caught:
            sent.put([document])
        assert caught.value.temporary
        found = sent.get("sent", str(document["id"]))
        assert found is None or differences(document, found) != []
    server.down = set()
    sent.put([changed, external_item("two")])
    for document in (changed, external_item("two")):
        found = sent.get("sent", str(document["id"]))
        assert found is not None and differences(document, found) == []


def test_what_reached_one_target_only_is_withdrawn_from_both(
    sent: Catalogue, server: EoepcaServer
) -> None:
    server.down = {STAC}
    with pytest.raises(CatalogueError):
        sent.put([external_item()])
    server.down = set()
    found = sent.get("sent", "one")
    assert found is not None
    sent.put([withdrawn(found, sent.api)])
    for back in (sent.get("sent", "one"), server.records["sent"]["one"]):
        assert differences(withdrawn(external_item(), sent.api), back or {}) == []


def test_what_a_catalogue_of_records_keeps_is_compared(
    sent: Catalogue, server: EoepcaServer
) -> None:
    def kept(document: dict[str, Any]) -> dict[str, Any]:
        properties = {"title": document["properties"]["title"], "type": "dataset"}
        links = [{"rel": "up", "href": "https://example.org"}]
        return {"id": document["id"], "properties": properties, "links": links}

    server.kept = kept
    item = external_item(properties={"gsd": 10, "title": "fields"})
    sent.put([item])
    found = sent.get("sent", "one")
    assert found is not None
    assert differences(item, found) == []
    server.records["sent"]["one"]["properties"]["title"] = "other"
    assert_unequal(sent, item)
    server.kept = lambda document: {**kept(document), "properties": {"title": "cut"}}
    message = r"/records has taken one and returns it .*properties.title: sent .fields., found .cut"
    with pytest.raises(CatalogueError, match=message):
        sent.put([item])
    server.kept = kept
    sent.put([item])
    del server.records["sent"]["one"]
    assert_unequal(sent, item)


MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
UNKNOWN = "https://stac-extensions.github.io/mlm/v9.9.9/schema.json"


@pytest.mark.parametrize("looks", [None, 1])
@pytest.mark.parametrize(
    ("uri", "message", "is_temporary"),
    [
        (MLM, r"mlm:name' is a required property", False),
        (UNKNOWN, rf"404 Client Error: Not Found for url: {UNKNOWN}", True),
    ],
)
def test_an_extension_that_is_refused_is_reported_in_the_words_of_the_service(
    sent: Catalogue,
    server: EoepcaServer,
    looks: int | None,
    uri: str,
    message: str,
    is_temporary: bool,
) -> None:
    mlm = extension_schemas.validator(MLM)
    server.validators = {MLM: mlm}.get
    server.looks = looks
    item = external_item(stac_extensions=[uri], properties={"mlm:tasks": ["classification"]})
    with pytest.raises(CatalogueError, match=f"^catalogue eo: .*{message}") as caught:
        sent.put([item])
    assert caught.value.temporary == is_temporary
    assert sent.get("sent", "one") is None


def test_a_job_that_never_ends_is_left_to_a_later_attempt(
    sent: Catalogue, server: EoepcaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eoepca, "JOB_SECONDS", 0.3)
    server.looks = 1000
    with pytest.raises(CatalogueError, match=r"job .*/jobs/job-1 is still running after 0\.3 s"):
        sent.put([external_item()])
    server.looks = None


ANSWERS: dict[str, tuple[Any, str, bool]] = {
    "a gateway's page": (HTMLResponse("<html>Sign in</html>"), "is not JSON", True),
    "rights": (
        JSONResponse({"detail": "no role ws_access"}, 403),
        "403 .*no role ws_access",
        False,
    ),
    "an outage": (JSONResponse(None, 503, {"Retry-After": "7"}), "503", True),
    "a job without a name": (JSONResponse(None, 201), "names no job in 'Location'", True),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_other_answers_are_errors_that_say_what_was_asked(
    sent: Catalogue, server: EoepcaServer, kind: str
) -> None:
    answer, message, is_temporary = ANSWERS[kind]
    server.answers = [answer]
    with pytest.raises(CatalogueError, match=message) as caught:
        sent.put([external_item()])
    assert caught.value.temporary == is_temporary
    assert caught.value.after == (7 if kind == "an outage" else None)


def test_a_revoked_token_is_renewed(
    sent: Catalogue, server: EoepcaServer, issuing: OidcServer
) -> None:
    server.answers = [JSONResponse({"description": "the token is revoked"}, 401)]
    sent.put([external_item()])
    assert sent.get("sent", "one") is not None


def test_a_token_for_another_audience_is_refused_without_showing_it(
    sent: Catalogue, issuing: OidcServer, declared: DeclaredCatalogue
) -> None:
    issuing.token_answer = {"access_token": issuing.token(aud="else")}
    other = open_catalogue(declared, credentials(declared))
    with pytest.raises(CatalogueError, match=r"401 .*'aud'.*; check the") as caught:
        other.put([external_item()])
    assert issuing.token_answer["access_token"] not in str(caught.value)


def test_a_collection_goes_after_all_its_items(
    sent: Catalogue, server: EoepcaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eoepca, "_PAGE", 3)
    sent.put([external_item(f"n{number}") for number in range(5)])
    server.executed.clear()
    for _ in range(2):
        sent.delete("sent")
        assert sent.get("sent") is None
        assert len(server.executed) == 2 * 6
    assert server.records == {}


def test_the_records_of_a_workspace_are_registered_and_equal(
    recorded: Store, catalogue: Catalogue, server: EoepcaServer
) -> None:
    addresses = Addresses(catalogue.api, "https://files.example.org/workspace")
    schemas = extension_schemas.uris()
    server.validators = lambda uri: (
        extension_schemas.validator(uri) if uri in schemas else accepting(uri)
    )
    reader = local("tester")
    (row,) = recorded.registry.model_versions("cover")
    registry = recorded.registry
    records = [
        find_collection(registry, "fields-v1", reader),
        find_collection(registry, "cover", reader),
        find_item(registry, "cover", f"cover-{row.version}", reader),
    ]
    for record in records:
        document = outgoing(record, addresses)
        catalogue.put([document])
        own = (str(document["id"]),)
        place = (str(document["collection"]), *own) if document["type"] == "Feature" else own
        found = catalogue.get(*place)
        assert found is not None
        assert differences(document, found) == []
