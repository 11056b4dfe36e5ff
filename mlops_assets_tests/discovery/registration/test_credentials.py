"""Credentials as they reach a catalogue, and where they must not go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mlops_assets.discovery.registration import credentials as credentials_module
from mlops_assets.discovery.registration.credentials import (
    ClientTokens,
    CredentialsError,
    credentials,
)
from mlops_assets.discovery.registration.declaration import ClientCredentials, DeclaredCatalogue
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.oidc import CLIENT, CLIENT_SECRET, OidcServer, oidc_server
from mlops_assets_tests.servers.oidc_provider import SECRET, oidc_provider

Check = Callable[[str], bool]
OpenClient = Callable[..., httpx.Client]


class Protected:
    """A server that answers 401 unless the header `Authorization` is accepted."""

    def __init__(self) -> None:
        self.accepts: Check = bool
        self.received: list[str | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await request.body()
        self.received.append(request.headers.get("Authorization"))
        refused = not self.accepts(self.received[-1] or "")
        await Response(status_code=401 if refused else 204)(scope, receive, send)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, Protected]]:
    protected = Protected()
    with served(protected) as url:
        yield url, protected


@pytest.fixture
def protected(running: tuple[str, Protected]) -> Protected:
    running[1].__init__()  # type: ignore[misc]  # as it was when it started
    return running[1]


@pytest.fixture
def get(running: tuple[str, Protected], protected: Protected) -> Iterator[OpenClient]:
    """Open a client of that server, or of another one, with credentials."""
    with ExitStack() as clients:

        def client(access: object, url: str = running[0]) -> httpx.Client:
            declared = {"name": "eo", "url": url, "access": access}
            auth = credentials(DeclaredCatalogue.model_validate(declared))
            return clients.enter_context(httpx.Client(auth=auth, base_url=url))

        yield client


@pytest.fixture(scope="module")
def issuing() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


@pytest.fixture
def issuer(issuing: OidcServer, monkeypatch: pytest.MonkeyPatch) -> OidcServer:
    issuing.__init__(issuing.url)  # type: ignore[misc]  # as it was when it started
    monkeypatch.setenv("EO_SECRET", CLIENT_SECRET)
    return issuing


def of_client(issuer: OidcServer, /, **changes: object) -> dict[str, object]:
    declared = {
        "issuer": issuer.url,
        "client_id": CLIENT,
        "client_secret": {"variable": "EO_SECRET"},
    }
    return {**declared, **changes}


def test_a_token_and_a_password_are_read_where_they_are_at_each_request(
    get: OpenClient,
    protected: Protected,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EO_PASSWORD", "pässword")
    get({"user": "eo", "password": {"variable": "EO_PASSWORD"}}).get("/")
    file = tmp_path / "token"
    file.write_text("first\n")
    client = get({"token": {"file": str(file)}})
    client.get("/")
    file.write_text("second\n")
    client.get("/")
    basic = "Basic ZW86cMOkc3N3b3Jk"
    assert protected.received == [basic, "Bearer first", "Bearer second"]
    # nothing else can be had, so the 401 stands
    protected.accepts = "Bearer third".__eq__
    assert client.get("/").status_code == 401
    assert len(protected.received) == 4


@pytest.mark.parametrize(
    ("access", "message"),
    [
        (
            {"token": {"variable": "EO_MISSING"}},
            "environment variable EO_MISSING, which is not set",
        ),
        (
            {"token": {"file": "/missing/token"}},
            "file /missing/token, which cannot be read: No such",
        ),
        ({"token": {"variable": "EO_LINES"}}, "its token has spaces"),
        (
            {"user": "eo", "password": {"variable": "EO_EMPTY"}},
            "EO_EMPTY, which is not set or empty",
        ),
    ],
)
def test_credentials_that_are_missing_are_named_and_wait(
    get: OpenClient,
    protected: Protected,
    monkeypatch: pytest.MonkeyPatch,
    access: object,
    message: str,
) -> None:
    monkeypatch.setenv("EO_EMPTY", "")
    monkeypatch.setenv("EO_LINES", "hunter2\nX-Other: 1")
    with pytest.raises(CredentialsError, match=f"^catalogue eo: .*{message}") as caught:
        get(access).get("/")
    assert caught.value.temporary
    assert "hunter2" not in str(caught.value)
    assert protected.received == []


def test_credentials_reach_no_server_but_those_of_the_catalogue(
    get: OpenClient, protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EO_TOKEN", "secret-token")
    access = {"token": {"variable": "EO_TOKEN"}}
    other = Protected()
    with served(other) as url:
        get(access).get(f"{url}/jobs/1")
        redirecting = Starlette(routes=[Route("/", lambda _: RedirectResponse(url))])
        with served(redirecting) as own:
            get(access, own).get("/", follow_redirects=True)
    assert other.received == [None, None]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_one_token_serves_all_threads_until_shortly_before_its_end(
    get: OpenClient,
    protected: Protected,
    issuer: OidcServer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    issuer.configuration = {"token_endpoint_auth_methods_supported": ["private_key_jwt", method]}
    issuer.token_answer = {"expires_in": "300", "token_type": "bearer"}
    client = get(of_client(issuer, scope="records write"))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.get("/"), range(16)))
    assert set(protected.received) == {f"Bearer {issuer.tokens[0]}"}
    assert issuer.scopes == ["records write"]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 260)
    client.get("/")
    assert len(issuer.tokens) == 1
    monkeypatch.setattr(time, "monotonic", lambda: now + 275)
    client.get("/")
    assert len(issuer.tokens) == 2
    assert protected.received[-1] == f"Bearer {issuer.tokens[1]}"


def test_a_token_that_was_revoked_is_renewed_once_for_all_threads(
    get: OpenClient, protected: Protected, issuer: OidcServer
) -> None:
    client = get(of_client(issuer))
    client.get("/")
    protected.accepts = lambda sent: sent != f"Bearer {issuer.tokens[0]}"
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: client.post("/", json={}).status_code, range(8)))
    assert (found, len(issuer.tokens)) == ({204}, 2)
    protected.accepts = lambda sent: False
    before = len(protected.received)
    assert client.get("/").status_code == 401
    assert (len(protected.received) - before, len(issuer.tokens)) == (2, 3)


REFUSED = {"error": "invalid_client", "error_description": f"not {CLIENT_SECRET}\x1b[2J"}
ANSWERS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "another issuer": ({"issuer": "https://other.example.org"}, {}, "names another issuer"),
    "no endpoint": ({"token_endpoint": None}, {}, "no usable token_endpoint"),
    "an endpoint without TLS": (
        {"token_endpoint": "http://example.org/t"},
        {},
        "no usable token_en",
    ),
    "no way to authenticate": (
        {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
        {},
        "neither client_secret_basic nor client_secret_post: private_key_jwt",
    ),
    "refused": (
        {},
        JSONResponse(REFUSED, 401),
        r"responds with 401 \(invalid_client: not \*\*\*\\x1b",
    ),
    "HTML": ({}, Response("<html>Sign in"), "returns no JSON object"),
    "a redirect": ({}, RedirectResponse("/other", 307), "responds with 307"),
    "too much": ({}, Response(b" " * (2 << 20)), "returns more than 1048576 bytes"),
    "no token": ({}, {"access_token": None}, "its token cannot be sent"),
    "a token with a line": ({}, {"access_token": "a\r\nHost: b"}, "its token cannot be sent"),
    "another kind of token": ({}, {"token_type": "DPoP"}, "not a bearer token"),
    "an odd lifetime": ({}, {"expires_in": [3]}, "expires_in is not a number"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_issuer_that_gives_no_token_is_reported_without_secrets(
    get: OpenClient, protected: Protected, issuer: OidcServer, kind: str
) -> None:
    issuer.configuration, issuer.token_answer, message = ANSWERS[kind]
    with pytest.raises(
        CredentialsError, match=f"catalogue eo: the issuer {issuer.url} .*{message}"
    ) as caught:
        get(of_client(issuer)).get("/")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert CLIENT_SECRET not in str(caught.value)
    assert protected.received == []
    assert "/other" not in issuer.asked


def test_an_issuer_is_compared_as_it_is_written(get: OpenClient, issuer: OidcServer) -> None:
    issuer.configuration = {"issuer": f"{issuer.url}/"}
    assert get(of_client(issuer, issuer=f"{issuer.url}/")).get("/").status_code == 204
    with pytest.raises(ValidationError, match="an issuer needs https"):
        get(of_client(issuer, issuer="http://id.example.org"))
    with pytest.raises(ValidationError, match=r"password.user|Password.user"):
        get({"user": "eo:lab", "password": {"variable": "EO_SECRET"}})


def test_an_issuer_that_is_down_or_hangs_is_tried_later(
    get: OpenClient, issuer: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials_module, "TIMEOUT_SECONDS", 0.2)
    client = get(of_client(issuer))
    issuer.delay = 1.0
    with pytest.raises(CredentialsError, match="is unreachable: ReadTimeout") as caught:
        client.get("/")
    assert caught.value.temporary
    issuer.delay = 0.0
    assert client.get("/").status_code == 204


def test_no_representation_has_a_secret(issuer: OidcServer) -> None:
    declared = ClientCredentials.model_validate(of_client(issuer))
    tokens = ClientTokens("eo", declared)
    tokens.authorization()
    shown = f"{tokens} {vars(tokens)} {declared!r}"
    assert not any(text in shown for text in (CLIENT_SECRET, issuer.tokens[0]))


@pytest.mark.services
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_certified_issuer_gives_tokens_and_renews_what_it_revoked_or_let_expire(
    get: OpenClient,
    protected: Protected,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setenv("EO_SECRET", SECRET)
    with oidc_provider(tmp_path / "issuer.log", method, 2) as url:

        def ask(path: str, sent: str) -> httpx.Response:
            form = {"token": sent.removeprefix("Bearer ")}
            if method == "client_secret_basic":
                basic = httpx.BasicAuth(method, quote_plus(SECRET))
                return httpx.post(f"{url}/token/{path}", data=form, auth=basic)
            form |= {"client_id": method, "client_secret": SECRET}
            return httpx.post(f"{url}/token/{path}", data=form)

        protected.accepts = lambda sent: ask("introspection", sent).json()["active"]
        secret = {"variable": "EO_SECRET"}
        access = {"issuer": url, "client_id": method, "client_secret": secret, "scope": "records"}
        client = get(access)
        assert [client.get("/").status_code for _ in range(2)] == [204, 204]
        assert ask("revocation", str(protected.received[-1])).status_code == 200
        assert client.get("/").status_code == 204
        time.sleep(2.1)
        assert client.get("/").status_code == 204
        # the request with the revoked token was repeated; the end of the next one is known
        assert len(protected.received) == 5
        assert len(set(protected.received)) == 3
