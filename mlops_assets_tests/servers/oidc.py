"""An issuer of tokens on loopback.

Discovery and keys by HTTP, signed by the library that the platform checks with.

`oidc-provider-mock` was considered: its access tokens are not JSON Web Tokens, it keeps one key for
its whole life, and it has no tokens for clients.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Unpack
from urllib.parse import parse_qs, unquote_plus

import uvicorn
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlops_assets_tests.servers.processes import HOST, free_port

AUDIENCE = "mlops"
# of the one client, with characters that are encoded in forms and in HTTP basic authentication
CLIENT, CLIENT_SECRET = "eo:client", "s3cret+/%& of a client"


@lru_cache
def new_key(
    key_id: str | None,
    kind: str = "RSA",
    size: int | str = 2048,
    **members: Unpack[jwk.KeyParameters],
) -> jwk.Key:
    """Return a key pair, the same for the same arguments: generating one takes long."""
    if key_id is not None:
        members["kid"] = key_id
    return jwk.JWKRegistry.generate_key(kind, size, members)


@dataclass
class OidcServer:
    """An issuer that tests control.

    Attributes:
        url: its address, and so the issuer.
        keys: the keys it signs with; the first by default.
        published: what it publishes instead of its keys.
        configuration: members of its discovery document that are otherwise than they should be.
        token_answer: members of its answers to the client that are otherwise than they should be,
            or the whole response.
        user_info: claims at the userinfo endpoint; there is none if it is None.
        tokens: those that it has given to the client, in their order.
        scopes: that the client asked for.
        asked: paths that were asked for, in their order.
        delay: seconds that each answer takes.
        down: whether it answers 500.
    """

    url: str
    keys: list[jwk.Key] = field(default_factory=lambda: [new_key("first")])
    published: Any = None
    configuration: dict[str, Any] = field(default_factory=dict)
    token_answer: Any = field(default_factory=dict)
    user_info: Any = None
    tokens: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    delay: float = 0.0
    down: bool = False

    def claims(self, **changes: Any) -> dict[str, object]:
        """Return claims of a good token; `changes` replace them, None removes one."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now,
            "exp": now + 600,
            "roles": ["science"],
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(
        self, key: jwk.Key | None = None, header: dict[str, str] | None = None, **changes: Any
    ) -> str:
        """Return a token that this issuer signs, with other claims."""
        key = key or self.keys[0]
        algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
        whole: dict[str, Any] = {"alg": algorithm}
        if key.get("kid"):
            whole["kid"] = key.kid
        whole |= header or {}
        return jwt.encode(whole, self.claims(**changes), key, algorithms=[whole["alg"]])

    async def discover(self, request: Request) -> Response:
        """Return the discovery document."""
        endpoints = {"jwks_uri": f"{self.url}/keys", "token_endpoint": f"{self.url}/token"}
        if self.user_info is not None:
            endpoints["userinfo_endpoint"] = f"{self.url}/userinfo"
        return await self._answer(request, {"issuer": self.url, **endpoints, **self.configuration})

    async def give_keys(self, request: Request) -> Response:
        """Return the keys."""
        keys = {"keys": [key.as_dict(private=False) for key in self.keys]}
        return await self._answer(request, keys if self.published is None else self.published)

    async def give_token(self, request: Request) -> Response:
        """Return a token for the client, by its name and secret in the header or in the form."""
        if isinstance(self.token_answer, Response):
            return await self._answer(request, self.token_answer)
        form = parse_qs((await request.body()).decode(), strict_parsing=True)
        kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            own = tuple(map(unquote_plus, base64.b64decode(encoded).decode().split(":")))
        else:
            own = (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
        if own != (CLIENT, CLIENT_SECRET) or form["grant_type"] != ["client_credentials"]:
            reason = f"no client {own[0]} with the secret {own[-1]}"
            error = {"error": "invalid_client", "error_description": reason}
            return await self._answer(request, JSONResponse(error, 401))
        self.scopes += form.get("scope", [])
        self.tokens.append(self.token(jti=str(len(self.tokens))))
        answer = {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 300}
        return await self._answer(request, answer | self.token_answer)

    async def give_user_info(self, request: Request) -> Response:
        """Return the claims of the user whose access token is `opaque`."""
        if request.headers.get("Authorization") != "Bearer opaque":
            return await self._answer(request, JSONResponse({"error": "invalid_token"}, 401))
        return await self._answer(request, self.user_info)

    async def _answer(self, request: Request, document: object) -> Response:
        self.asked.append(request.url.path)
        await asyncio.sleep(self.delay)
        if isinstance(document, Response):
            return document
        return JSONResponse(document, 500 if self.down else 200)


@contextmanager
def oidc_server() -> Iterator[OidcServer]:
    """Serve an issuer."""
    port = free_port()
    issuer = OidcServer(f"http://{HOST}:{port}")
    routes = [
        Route("/.well-known/openid-configuration", issuer.discover),
        Route("/keys", issuer.give_keys),
        Route("/token", issuer.give_token, methods=["POST"]),
        Route("/userinfo", issuer.give_user_info),
    ]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), HOST, port, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the issuer did not start"
            time.sleep(0.01)
        yield issuer
    finally:
        server.should_exit = True
        thread.join()
