"""Tokens of an issuer, good ones and forged ones, against an OpenID Connect server on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe, jwk, jws
from joserfc.registry import HeaderParameter
from starlette.responses import RedirectResponse, Response

from mlops_assets.errors import IssuerUnreachable, SettingsError, Unauthenticated
from mlops_assets.identity import issuer as checks
from mlops_assets.identity.declaration import Identity, read_identity
from mlops_assets.identity.issuer import Issuer
from mlops_assets.principals import Principal, Role
from mlops_assets_tests.servers.oidc import AUDIENCE, OidcServer, new_key, oidc_server

SCIENTIST = frozenset({Role.SCIENTIST})


@pytest.fixture(scope="module")
def running() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


@pytest.fixture
def server(running: OidcServer) -> OidcServer:
    running.__init__(running.url)  # type: ignore[misc]  # as it was when it started
    return running


def issuer_of(server: OidcServer, **changes: Any) -> Issuer:
    declared = {
        "issuer": server.url,
        "audience": AUDIENCE,
        "roles": [
            {
                "claim": "roles",
                "values": {"science": "scientist", "boss": ["approver", "operator"]},
            },
        ],
    }
    return Issuer(Identity.model_validate({**declared, **changes}))


def who(issuer: Issuer, token: str) -> Principal:
    return asyncio.run(issuer.principal(token))


def refused(issuer: Issuer, token: str, message: str) -> None:
    with pytest.raises(Unauthenticated, match=message) as caught:
        who(issuer, token)
    assert token not in str(caught.value)
    assert not any(part and part in str(caught.value) for part in token.split("."))


def encoded(document: Any) -> str:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize(("kind", "size"), [("RSA", 2048), ("EC", "P-256"), ("OKP", "Ed25519")])
def test_a_good_token_names_a_principal_with_its_roles(
    server: OidcServer, kind: str, size: int | str
) -> None:
    server.keys = [new_key("other"), new_key("own", kind, size)]
    issuer = issuer_of(server, audience=["else", AUDIENCE])
    assert who(issuer, server.token(server.keys[1])) == Principal("ann", SCIENTIST)
    both = server.token(
        server.keys[1], {"typ": "at+JWT"}, aud=["account", AUDIENCE], roles=["boss", "x", "science"]
    )
    assert who(issuer, both).roles == {Role.SCIENTIST, Role.APPROVER, Role.OPERATOR}
    assert server.asked == ["/.well-known/openid-configuration", "/keys"]


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another audience": ({"aud": "else"}, "'aud'"),
    "audiences, none ours": ({"aud": ["else", "account"]}, "'aud'"),
    "an audience that begins like ours": ({"aud": AUDIENCE + "-2"}, "'aud'"),
    "an audience within another text": ({"aud": f"x {AUDIENCE}"}, "'aud'"),
    "an audience that is not text": ({"aud": {AUDIENCE: 1}}, "'aud'"),
    "no audience": ({"aud": None}, "'aud'"),
    "expired": ({"exp": 1_600_000_000}, "expired"),
    "never expiring": ({"exp": None}, "'exp'"),
    "an expiry that is not a number": ({"exp": "9999999999"}, "'exp'"),
    "an expiry that is true": ({"exp": True}, "'exp'"),
    "an expiry that is NaN": ({"exp": float("nan")}, "'exp'"),
    "an expiry that is infinite": ({"exp": float("inf")}, "'exp'"),
    "not valid yet": ({"nbf": 9_999_999_999}, "'nbf'"),
    "issued in the future": ({"iat": 9_999_999_999}, "'iat'"),
    "another issuer": ({"iss": "https://elsewhere.example.org"}, "'iss'"),
    "an issuer that begins like ours": ({"iss": "{url}/"}, "'iss'"),
    "issuers": ({"iss": ["{url}"]}, "'iss'"),
    "no issuer": ({"iss": None}, "'iss'"),
    "no name": ({"sub": None}, "'sub' is not a valid name"),
    "a name that is empty": ({"sub": ""}, "'sub' is not a valid name"),
    "a name that is a number": ({"sub": 7}, "'sub'"),
    "a name with a line break": ({"sub": "ann\nroot"}, "'sub' is not a valid name"),
    "a name that is turned round": ({"sub": "\u202enna"}, "'sub' is not a valid name"),
    "a name that is too long": ({"sub": "a" * 256}, "'sub' is not a valid name"),
    "everybody's name": ({"sub": "api-token"}, "'sub' is not a valid name"),
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_a_signed_token_that_is_not_valid_for_this_service_is_refused(
    server: OidcServer, kind: str
) -> None:
    changes, message = CLAIMS[kind]
    if changes.get("iss"):
        changes = {"iss": json.loads(json.dumps(changes["iss"]).replace("{url}", server.url))}
    refused(issuer_of(server), server.token(**changes), message)


def forged(server: OidcServer, header: dict[str, Any], key: bytes, claims: Any = None) -> str:
    """A token with this header, its MAC made with a public key."""
    import hashlib
    import hmac

    signed = f"{encoded(header)}.{encoded(server.claims() if claims is None else claims)}"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def own(server: OidcServer, header: dict[str, Any]) -> str:
    """A token signed with a key and a header of the attacker's choice."""
    key = new_key(None)
    registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    whole = {"alg": "RS256", **header}
    if header.get("jwk") is True:
        whole["jwk"] = key.as_dict(private=False)
    return jws.serialize_compact(whole, json.dumps(server.claims()), key, registry=registry)


def rsa_key(server: OidcServer) -> jwk.RSAKey:
    key = server.keys[0]
    assert isinstance(key, jwk.RSAKey)
    return key


FORGERIES: dict[str, Callable[[OidcServer], str]] = {
    "alg none": lambda s: f"{encoded({'alg': 'none', 'kid': 'first'})}.{encoded(s.claims())}.",
    "alg None with a signature": lambda s: (
        f"{encoded({'alg': 'None', 'kid': 'first'})}.{s.token().split('.', 1)[1]}"
    ),
    "no alg": lambda s: f"{encoded({'kid': 'first'})}.{s.token().split('.', 1)[1]}",
    "alg is a list": lambda s: (
        f"{encoded({'alg': ['RS256'], 'kid': 'first'})}.{s.token().split('.', 1)[1]}"
    ),
    "another alg": lambda s: (
        f"{encoded({'alg': 'ES256', 'kid': 'first'})}.{s.token().split('.', 1)[1]}"
    ),
    "HS256 with the public key as PEM": lambda s: forged(
        s, {"alg": "HS256", "kid": "first"}, rsa_key(s).as_pem(private=False)
    ),
    "HS256 with the public key as DER": lambda s: forged(
        s, {"alg": "HS256", "kid": "first"}, rsa_key(s).as_der(private=False)
    ),
    "HS256 with the public key as JWK": lambda s: forged(
        s, {"alg": "HS256", "kid": "first"}, json.dumps(s.keys[0].as_dict(private=False)).encode()
    ),
    "HS256 with an empty key": lambda s: forged(s, {"alg": "HS256", "kid": "first"}, b""),
    "a key of their own": lambda s: own(s, {"kid": "first"}),
    "a key in the header": lambda s: own(s, {"kid": "first", "jwk": True}),
    "a key in the header, no id": lambda s: own(s, {"jwk": True}),
    "an address of keys": lambda s: own(s, {"kid": "first", "jku": f"{s.url}/forged"}),
    "an address of a certificate": lambda s: own(s, {"kid": "first", "x5u": f"{s.url}/forged"}),
    "a critical extension": lambda s: jws.serialize_compact(
        {"alg": "RS256", "kid": "first", "crit": ["new"], "new": 1},
        json.dumps(s.claims()),
        s.keys[0],
        registry=jws.JWSRegistry({"new": HeaderParameter("new", "int")}, ["RS256"]),
    ),
    "critical is a number": lambda s: (
        f"{encoded({'alg': 'RS256', 'kid': 'first', 'crit': 5})}." + s.token().split(".", 1)[1]
    ),
    "no signature": lambda s: s.token().rsplit(".", 1)[0] + ".",
    "half a signature": lambda s: s.token()[:-170],
    "other claims": lambda s: ".".join(
        [s.token().split(".")[0], encoded(s.claims(roles=["boss"])), s.token().split(".")[2]]
    ),
    "claims that are a list": lambda s: jws.serialize_compact(
        {"alg": "RS256", "kid": "first"}, "[1]", s.keys[0]
    ),
    "claims that are no JSON": lambda s: jws.serialize_compact(
        {"alg": "RS256", "kid": "first"}, "{not: json}", s.keys[0]
    ),
    "a header that nests": lambda s: f"{encoded(b'[' * 9000)}.{s.token().split('.', 1)[1]}",
    "a header that is a list": lambda s: f"{encoded([1])}.{s.token().split('.', 1)[1]}",
    "a header that is not text": lambda s: (
        f"{encoded(bytes(range(128, 200)))}.{s.token().split('.', 1)[1]}"
    ),
    "a logout token": lambda s: s.token(header={"typ": "logout+jwt"}),
    "encrypted": lambda s: jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "first"}, json.dumps(s.claims()), s.keys[0]
    ),
    **{
        f"kid {kid!r:.30}": lambda s, kid=kid: own(s, {"kid": kid})  # type: ignore[misc]
        for kid in (
            "",
            "../../../../dev/null",
            "' OR 1=1 --",
            "first\0",
            "x" * 300,
            "http://127.0.0.1/",
        )
    },
    **{
        f"kid is {kid!r:.30}": (
            lambda s, kid=kid: (
                f"{encoded({'alg': 'RS256', 'kid': kid})}.{s.token().split('.', 1)[1]}"
            )  # type: ignore[misc]
        )
        for kid in (5, True, ["first"], {"first": 1}, 1.5)
    },
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_token_is_refused_and_nothing_that_it_names_is_asked(
    server: OidcServer, kind: str
) -> None:
    issuer = issuer_of(server)
    refused(issuer, FORGERIES[kind](server), "is not accepted")
    assert set(server.asked) <= {"/.well-known/openid-configuration", "/keys"}
    assert who(issuer, server.token()) == Principal("ann", SCIENTIST)


def test_keys_that_signatures_may_not_be_checked_with_are_left_out(server: OidcServer) -> None:
    secret = {"kty": "oct", "k": encoded(b"s" * 32), "kid": "shared", "alg": "HS256"}
    for_encryption, good = new_key("encrypting", use="enc"), server.keys[0]
    for_pss = new_key("pss", alg="PS256")
    weak = {"kty": "RSA", "kid": "weak", "n": encoded(b"\xc1" * 128), "e": "AQAB"}
    published = [key.as_dict(private=False) for key in (for_encryption, for_pss, good)]
    server.published = {
        "keys": [
            *published,
            secret,
            weak,
            {"kty": "AKP"},
            {"kty": "RSA"},
            {"kty": "EC", "x": []},
            5,
        ]
    }
    issuer = issuer_of(server)
    assert who(issuer, server.token()).name == "ann"
    refused(
        issuer,
        forged(server, {"alg": "HS256", "kid": "shared"}, b"s" * 32),
        "algorithm is not accepted",
    )
    refused(issuer, server.token(new_key("encrypting")), "not one that the issuer publishes")
    refused(
        issuer,
        server.token(jwk.import_key({**for_pss.as_dict(private=True), "alg": "RS256"})),
        "signature",
    )
    refused(
        issuer,
        f"{encoded({'alg': 'RS256', 'kid': 'weak'})}.{encoded(server.claims())}.AAAA",
        "not one that",
    )
    assert len(issuer._keys) == 2


def test_a_token_without_a_key_id_is_checked_with_the_only_key(server: OidcServer) -> None:
    server.keys = [new_key(None)]
    issuer = issuer_of(server)
    assert who(issuer, server.token()).name == "ann"
    server.keys.append(new_key("second"))
    refused(issuer_of(server), server.token(server.keys[0]), "not one that the issuer publishes")


@pytest.mark.parametrize(
    "given", [None, "science", {"science": True}, 5, [["science"]], [None, 5, {}], ["SCIENCE"]]
)
def test_roles_of_a_wrong_type_are_none(server: OidcServer, given: Any) -> None:
    assert who(issuer_of(server), server.token(roles=given)).roles == frozenset()


def test_roles_are_found_in_nested_claims_and_below_names_with_dots(server: OidcServer) -> None:
    values = {"ws_access": "viewer", "ws_admin": ["scientist", "approver"]}
    issuer = issuer_of(
        server,
        name="preferred_username",
        roles=[
            {"claim": "resource_access.ws-fields.roles", "values": values},
            {"claim": ["resource_access", "ws.dotted", "roles"], "values": values},
            {"claim": ["https://example.org/roles"], "values": {"data": "operator"}},
        ],
    )

    def roles(**claims: Any) -> frozenset[Role]:
        return who(issuer, server.token(preferred_username="Ann", **claims)).roles

    assert roles(resource_access={"ws-fields": {"roles": ["ws_access"]}}) == {Role.VIEWER}
    assert roles(resource_access={"ws.dotted": {"roles": ["ws_admin"]}}) == {
        Role.SCIENTIST,
        Role.APPROVER,
    }
    assert roles(**{"https://example.org/roles": ["data"]}) == {Role.OPERATOR}
    for elsewhere in (
        {"resource_access": {"ws-other": {"roles": ["ws_admin"]}}},
        {"resource_access": {"ws": {"dotted": {"roles": ["ws_admin"]}}}},
        {"resource_access.ws-fields.roles": ["ws_admin"]},
        {"resource_access": ["ws-fields"]},
        {"resource_access": {"ws-fields": ["roles"]}},
        {"roles": ["ws_admin", "scientist"]},
    ):
        assert roles(**elsewhere) == frozenset()


# keys


def test_a_new_key_is_found_and_one_that_is_withdrawn_is_forgotten(
    server: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = issuer_of(server)
    old = server.token()
    assert who(issuer, old).name == "ann"
    monkeypatch.setattr(checks, "MIN_REFRESH_SECONDS", 0.0)
    server.keys = [new_key("second")]
    assert who(issuer, old).name == "ann"  # no request since
    assert who(issuer, server.token()).name == "ann"
    refused(issuer, old, "not one that the issuer publishes")
    monkeypatch.setattr(checks, "REFRESH_SECONDS", 0.0)
    server.keys, newest = [new_key("third")], server.token()
    refused(issuer, newest, "not one that the issuer publishes")


@pytest.mark.parametrize("key_id", ["first", None])
def test_a_new_key_with_the_id_of_the_old_one_is_found(
    server: OidcServer, monkeypatch: pytest.MonkeyPatch, key_id: str | None
) -> None:
    server.keys, issuer = [new_key(key_id)], issuer_of(server)
    assert who(issuer, server.token()).name == "ann"
    server.keys = [new_key(key_id, "EC", "P-256")]
    refused(issuer, server.token(), "signature")  # the issuer was asked just now
    monkeypatch.setattr(checks, "MIN_REFRESH_SECONDS", 0.0)
    assert who(issuer, server.token()).name == "ann"


def test_a_flood_of_unknown_keys_asks_the_issuer_once(server: OidcServer) -> None:
    issuer, good = issuer_of(server), server.token()
    flood = [server.token(header={"kid": f"unknown-{number}"}) for number in range(50)]

    async def call() -> list[Any]:
        return await asyncio.gather(*map(issuer.principal, [*flood, good]), return_exceptions=True)

    server.delay = 0.05
    for _ in range(2):
        *answers, last = asyncio.run(call())
        assert {type(answer) for answer in answers} == {Unauthenticated}
        assert last.name == "ann"
    assert server.asked.count("/keys") == 1


def test_while_the_issuer_is_down_known_keys_are_used(
    server: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "MIN_REFRESH_SECONDS", 0.0)
    server.down, issuer, second = True, issuer_of(server), new_key("second")
    with pytest.raises(IssuerUnreachable, match="cannot be read"):
        who(issuer, server.token())
    server.down = False
    assert who(issuer, server.token()).name == "ann"
    server.down = True
    monkeypatch.setattr(checks, "REFRESH_SECONDS", 0.0)
    assert who(issuer, server.token()).name == "ann"
    refused(issuer, server.token(exp=1_600_000_000), "expired")
    with pytest.raises(IssuerUnreachable):
        who(issuer, server.token(second))
    monkeypatch.setattr(checks, "KEPT_SECONDS", -1.0)
    with pytest.raises(IssuerUnreachable):
        who(issuer, server.token())


def test_a_slow_issuer_delays_no_token_whose_key_is_known(
    server: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, good = issuer_of(server), server.token()
    assert who(issuer, good).name == "ann"
    for name in ("REFRESH_SECONDS", "MIN_REFRESH_SECONDS"):
        monkeypatch.setattr(checks, name, 0.0)
    server.delay = 2.0

    async def call() -> str:
        slow = asyncio.create_task(issuer.principal(good))
        while len(server.asked) < 3:
            await asyncio.sleep(0.01)
        name = (await issuer.principal(good)).name
        assert not slow.done()
        slow.cancel()
        return name

    assert asyncio.run(call()) == "ann"


def big(count: int) -> dict[str, Any]:
    return {"keys": [{"kty": "RSA", "n": "A" * 1000}] * count}


@pytest.mark.parametrize(
    ("configuration", "published"),
    [
        ({"issuer": "https://elsewhere.example.org"}, None),
        ({"issuer": None}, None),
        ({"jwks_uri": None}, None),
        ({"jwks_uri": "file:///etc/passwd"}, None),
        ({"jwks_uri": "http://[::"}, None),
        ({}, []),
        ({}, {"keys": 5}),
        ({}, Response(b"<html>")),
        ({}, Response(b'{"keys": ' + b"[" * 100_000)),
        ({}, Response(b"\xff")),
        ({}, RedirectResponse("/other")),
        ({}, big(2000)),
    ],
)
def test_an_issuer_that_publishes_nonsense_is_unreachable(
    server: OidcServer, configuration: dict[str, Any], published: Any
) -> None:
    server.configuration, server.published = configuration, published
    with pytest.raises(IssuerUnreachable):
        who(issuer_of(server), server.token())
    assert "/other" not in server.asked


def test_an_issuer_that_does_not_answer_is_given_up(
    server: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.2)
    server.delay = 2.0
    with pytest.raises(IssuerUnreachable):
        who(issuer_of(server), server.token())


def test_a_clock_that_differs_a_little_does_not_matter(server: OidcServer) -> None:
    now = int(time.time())
    assert (
        who(issuer_of(server), server.token(exp=now - 10, nbf=now + 10, iat=now + 10)).name == "ann"
    )


# the declaration

GOOD = """
issuer: https://iam.example.org/realms/eoepca
audience: mlops
roles:
  - claim: resource_access.fields.roles
    values: {ws_access: viewer, ws_admin: [scientist, approver]}
"""


def test_a_declaration_is_read(tmp_path: Path) -> None:
    (tmp_path / "identity.yaml").write_text(GOOD)
    found = read_identity(tmp_path / "identity.yaml")
    assert (found.issuer, found.audiences, found.name) == (
        "https://iam.example.org/realms/eoepca",
        ["mlops"],
        "sub",
    )
    assert found.roles_of({"resource_access": {"fields": {"roles": ["ws_access"]}}}) == {
        Role.VIEWER
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("https://iam", "http://iam", "needs https"),
        ("https://iam.example.org/realms/eoepca", "iam.example.org", "write the issuer as"),
        ("https://iam", "https://user:secret@iam", "write the issuer as"),
        ("audience: mlops", "audience: []", "audience"),
        ("audience: mlops", "", "audience: Field required"),
        ("audience", "audiences", "audiences: Extra inputs"),
        ("[scientist, approver]", "boss", "roles.0.values.ws_admin"),
        ("ws_access", "no", "roles.0.values"),
        ("resource_access.fields.roles", "[]", "roles.0.claim"),
        ("issuer", "[", "cannot be read"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "identity.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(SettingsError, match=rf"MLOPS_IDENTITY=.*identity\.yaml.*{message}"):
        read_identity(tmp_path / "identity.yaml")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_identity(tmp_path / "missing.yaml")


def test_only_public_keys_are_published(server: OidcServer) -> None:
    assert isinstance(server.keys[0], jwk.RSAKey) and server.keys[0].is_private
    issuer = issuer_of(server)
    who(issuer, server.token())
    assert not any(key.is_private for key in issuer._keys)
