"""A hub at which people sign in, without its pages, and a browser that is none."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.responses import JSONResponse

from mlops_assets.hub.app import HubSettings, create_app
from mlops_assets.identity.declaration import Identity
from mlops_assets.store import Store
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.oidc import AUDIENCE, OidcServer

CLIENT = "hub"
ROLES = [
    {"claim": "roles", "values": {"science": "scientist", "look": "viewer", "decide": "approver"}}
]


@dataclass
class Visitor:
    """A browser without a window.

    Attributes:
        url: of the hub, which is its origin as far as the hub knows.
        http: with its cookies.
        oidc: the provider.
        sent: parameters of the last request to the provider.
    """

    url: str
    http: httpx.Client
    oidc: OidcServer
    sent: dict[str, str] = field(default_factory=dict)

    def begin(self, to: str = "/api/v1/nothing") -> httpx.Response:
        """Press the button on the page for signing in."""
        response = self.post("/sign-in", data={"to": to})
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', response.text)
        if found:
            query = parse_qs(urlsplit(html.unescape(found[1])).query, strict_parsing=True)
            self.sent = {name: value for name, (value,) in query.items()}
        return response

    def set_cookie(self, name: str, value: str) -> None:
        """Set a cookie, as a response of the hub does."""
        self.http.cookies.set(name, value, domain=self.http.base_url.host)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Send a form or a document of a page of the hub."""
        return self.http.post(path, headers={"Origin": self.url}, **options)

    def complete(self, query: Mapping[str, str] | None = None, **claims: Any) -> httpx.Response:
        """Return from the provider, which has an ID token with these claims for the code."""
        expected = {"aud": CLIENT, "nonce": self.sent["nonce"], **claims}
        answer = {"access_token": "opaque", "token_type": "Bearer"}
        if not isinstance(self.oidc.token_answer, JSONResponse):
            answer["id_token"] = self.oidc.token(**expected)
            self.oidc.token_answer = JSONResponse(answer)
        try:
            sent = {"code": "c0de-canary", "state": self.sent["state"], "iss": self.oidc.url}
            return self.http.get("/signed-in", params=sent if query is None else query)
        finally:
            self.oidc.token_answer = {}


def identity(oidc: OidcServer, **sign_in: Any) -> Identity:
    """Return the declaration of a provider, which has an endpoint for signing in from now on."""
    oidc.configuration["authorization_endpoint"] = f"{oidc.url}/authorize?tenant=eo"
    document = {"issuer": oidc.url, "audience": AUDIENCE, "roles": ROLES}
    return Identity.model_validate({**document, "sign_in": {"client_id": CLIENT, **sign_in}})


@contextmanager
def visited(
    store: Store, folder: Path, oidc: OidcServer, public: str = "http://localhost:8400", **more: Any
) -> Iterator[Visitor]:
    """Serve a hub under a public address, and visit it."""
    settings = HubSettings(folder / "dagster", identity=identity(oidc, **more), base_url=public)
    with (
        served(create_app(store, settings, pages=True)) as url,
        httpx.Client(base_url=url) as http,
    ):
        yield Visitor(public, http, oidc)
