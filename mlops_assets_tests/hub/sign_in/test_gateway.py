"""A gateway before the hub, which states in headers who people are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.gateway import Gateway, read_gateway
from mlops_assets.principals import Role
from mlops_assets.store import Store
from mlops_assets_tests.hub.sign_in.people import ROLES
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.oidc import AUDIENCE, OidcServer, oidc_server

PUBLIC = "https://hub.example.org"
HERE, ELSEWHERE = ["127.0.0.0/8"], ["192.0.2.0/24"]
NAMES: dict[str, Any] = {
    "name_header": "X-Auth-User",
    "roles_header": "X-Auth-Groups",
    "roles": {"eo": "scientist", "guests": "viewer"},
}
API = "/api/v1/nothing"
START = {"model": "m", "data": "fields@v1", "declared": {"task": "classification"}}


@pytest.fixture
def oidc() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


@contextmanager
def gated(
    store: Store, folder: Path, oidc: OidcServer | None = None, **gateway: Any
) -> Iterator[httpx.Client]:
    """Serve a hub behind a gateway that is this machine; be the gateway."""
    identity = None
    if oidc is not None:
        document = {"issuer": oidc.url, "audience": AUDIENCE, "roles": ROLES}
        identity = Identity.model_validate(document)
    settings = HubSettings(
        folder / "dagster",
        identity=identity,
        base_url=PUBLIC,
        gateway=Gateway.model_validate({"networks": HERE, **gateway}),
    )
    with (
        served(create_app(store, settings, pages=True)) as url,
        httpx.Client(base_url=url) as http,
    ):
        yield http


def test_a_plain_name_counts_from_the_gateway_only(store: Store, tmp_path: Path) -> None:
    ann: dict[str, Any] = {"X-Auth-User": "ann ü".encode(), "X-Auth-Groups": "eo, others"}
    own = {**ann, "Origin": PUBLIC}
    with gated(store, tmp_path, **NAMES) as http:
        assert http.get(API, headers=ann).status_code == 404
        assert http.get(API).status_code == 401
        run = http.post("/api/v1/runs", json=START, headers=own)
        assert run.status_code == 201, run.text
        assert store.registry.run(run.json()["run_id"]).created_by == "ann ü"
        viewer = {**own, "X-Auth-Groups": "guests"}
        assert http.post("/api/v1/runs", json=START, headers=viewer).status_code == 403
        # the cookies of the gateway are as much a browser's as ours are
        for origin in ({}, {"Origin": "https://evil.example"}):
            refused = http.post("/api/v1/runs", json=START, headers={**ann, **origin})
            assert refused.status_code == 403
        cross_site = {**ann, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert http.get(API, headers=cross_site).status_code == 401
        # the gateway has passed on what its caller has sent
        twice: list[tuple[str, Any]] = [*ann.items(), ("X-Auth-User", b"operator")]
        assert "more than once" in http.get(API, headers=twice).json()["detail"]
        for name in (b"api-token", b"\x01", b"\xff"):
            assert http.get(API, headers={**ann, "X-Auth-User": name}).status_code == 401
        smuggled: dict[str, Any] = {"X_Auth_User": "ann", "X_Auth_Groups": "eo"}
        assert http.get(API, headers=smuggled).status_code == 401
        page = http.get("/")
        assert page.status_code == 401 and "gateway" in page.text
    with gated(store, tmp_path, networks=ELSEWHERE, **NAMES) as http:
        assert http.get(API, headers=ann).status_code == 401
        forwarded = {**ann, "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        assert http.get(API, headers=forwarded).status_code == 401


@pytest.mark.parametrize("header", ["Authorization", "X-Forwarded-Access-Token"])
def test_a_token_of_the_gateway_is_checked(
    store: Store, tmp_path: Path, oidc: OidcServer, header: str
) -> None:
    scheme = "Bearer " if header == "Authorization" else ""
    with gated(store, tmp_path, oidc, token_header=header) as http:

        def status(path: str = API, **claims: Any) -> int:
            sent = {header: f"{scheme}{oidc.token(**claims)}"}
            return http.get(path, headers=sent, follow_redirects=False).status_code

        assert status() == 404
        assert (status(exp=1), status(aud="another"), status(iss="https://evil.example")) == (
            401,
            401,
            401,
        )
        # pages, not only routes of programs
        assert status("/") == 404 and status("/", exp=1) == 401
    with gated(store, tmp_path, oidc, networks=ELSEWHERE, token_header=header) as http:
        # a program may still send a token of its own, but opens no page
        assert status() == (404 if header == "Authorization" else 401)
        assert status("/") == 401


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("networks: []\nname_header: X-User", "networks"),
        ("networks: [0.0.0.0/0]\ntoken_header: X-Token", "every address"),
        ("networks: [10.0.0.1]", "token_header, or name_header"),
        ("networks: [10.0.0.1]\nname_header: X-User", "needs roles_header and roles"),
        (
            "networks: [10.0.0.1]\nname_header: X_User\nroles_header: X-G\nroles: {a: viewer}",
            "name_header",
        ),
        ("networks: [10.0.0.1]\ntoken_header: X-Token\nroles: {a: viewer}", "has its own roles"),
        ("networks: [gateway]\ntoken_header: X-Token", "networks.0"),
    ],
)
def test_a_declaration_that_lets_others_in_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=reason):
        read_gateway(path)


def test_a_gateway_is_known_by_its_address() -> None:
    gateway = Gateway.model_validate({"networks": ["10.1.0.0/16", "::1"], **NAMES})
    assert [gateway.trusts(each) for each in ("10.1.2.3", "::ffff:10.1.2.3", "::1")] == [True] * 3
    for address in ("10.2.0.1", "::ffff:10.2.0.1", None, "", "testclient", "10.1.2.3, 1.2.3.4"):
        assert not gateway.trusts(address)
    assert gateway.principal("ann", "eo,guests").roles == {Role.SCIENTIST, Role.VIEWER}


@pytest.mark.parametrize(
    ("base_url", "identity", "reason"),
    [
        (None, True, "MLOPS_PUBLIC_URL"),
        ("http://hub.example.org", True, "needs https"),
        ("https://example.org/hub", True, "host of their own"),
        (PUBLIC, False, "MLOPS_IDENTITY must name the issuer"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    store: Store, tmp_path: Path, base_url: str | None, identity: bool, reason: str
) -> None:
    document = {"issuer": "https://sso.example.org", "audience": AUDIENCE, "roles": ROLES}
    settings = HubSettings(
        tmp_path,
        identity=Identity.model_validate(document) if identity else None,
        base_url=base_url,
        gateway=Gateway.model_validate({"networks": HERE, "token_header": "X-Token"}),
    )
    with pytest.raises(SettingsError, match=reason):
        create_app(store, settings, pages=True)


def test_people_sign_in_here_or_at_a_gateway(store: Store, tmp_path: Path) -> None:
    document = {"issuer": "https://sso.example.org", "audience": AUDIENCE, "roles": ROLES}
    both = HubSettings(
        tmp_path,
        identity=Identity.model_validate({**document, "sign_in": {"client_id": "hub"}}),
        base_url=PUBLIC,
        gateway=Gateway.model_validate({"networks": HERE, "token_header": "X-Token"}),
    )
    with pytest.raises(SettingsError, match="either here or at a gateway"):
        create_app(store, both, pages=True)
