"""Sign-in at a provider: what is sent, what is refused, and the session that it begins."""

from __future__ import annotations

import hashlib
import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.responses import JSONResponse

from mlops_assets.hub.sign_in import sessions as keeping
from mlops_assets.registry import BrowserSession, SignIn
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets_tests.hub.sign_in.people import CLIENT, Visitor, visited
from mlops_assets_tests.servers.oidc import OidcServer, new_key, oidc_server

API = "/api/v1/nothing"


@pytest.fixture
def oidc() -> Iterator[OidcServer]:
    with oidc_server() as found:
        yield found


@pytest.fixture
def visitor(store: Store, tmp_path: Path, oidc: OidcServer) -> Iterator[Visitor]:
    with visited(store, tmp_path, oidc) as found:
        yield found


def change_rows(store: Store, table: type[Any], **values: Any) -> None:
    with store.registry.transaction("change time") as session:
        session.execute(update(table).values(values))


def session_rows(store: Store) -> list[BrowserSession]:
    with store.registry.reading() as session:
        return list(session.scalars(select(BrowserSession)))


def test_signing_in_leads_to_the_page_that_one_wanted(
    store: Store, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    http = visitor.http
    assert http.get(API).status_code == 401
    led = http.get("/models/m@production?tab=card", headers={"host": "localhost:8400"})
    assert (led.status_code, led.headers["location"]) == (
        303,
        "/sign-in?to=%2Fmodels%2Fm%40production%3Ftab%3Dcard",
    )
    begun = visitor.begin("/models/m@production?tab=card")
    assert begun.headers["cache-control"] == "no-store"
    sent = visitor.sent
    assert {"client_id": CLIENT, "response_type": "code", "tenant": "eo"}.items() <= sent.items()
    assert sent["redirect_uri"] == "http://localhost:8400/signed-in"
    assert sent["code_challenge_method"] == "S256"
    with store.registry.reading() as session:
        row = session.scalars(select(SignIn)).one()
    challenge = urlsafe_b64encode(hashlib.sha256(row.verifier.encode()).digest()).decode()
    assert sent["code_challenge"] == challenge.rstrip("=")
    assert sent["state"] not in (row.state, row.browser) and len(sent["state"]) >= 43

    completed = visitor.complete(roles=["science"])
    assert (completed.status_code, completed.headers["location"]) == (
        303,
        "/models/m@production?tab=card",
    )
    cookie = completed.headers.get_list("set-cookie")[0]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert http.get(API).status_code == 404
    (kept,) = session_rows(store)
    assert (kept.name, kept.roles) == ("ann", ["scientist"])
    secret = http.cookies["mlops_session_8400"]
    assert kept.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    for canary in ("c0de-canary", sent["state"], secret):
        # the browser's own log has them
        assert not any(
            canary in each.getMessage() for each in caplog.records if each.name != "httpx"
        )


def test_cookies_are_of_this_host_and_https_only(
    store: Store, tmp_path: Path, oidc: OidcServer
) -> None:
    with visited(store, tmp_path, oidc, "https://hub.example.org") as visitor:
        begun = visitor.begin()
        (cookie,) = begun.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-mlops_sign_in=") and "Secure" in cookie
        assert "Domain" not in cookie and "max-age=31536000" in begun.headers.get(
            "strict-transport-security"
        )
        visitor.http.headers["cookie"] = cookie.partition(";")[0]
        cookies = visitor.complete().headers.get_list("set-cookie")
        assert cookies[0].startswith("__Host-mlops_session=") and "Secure" in cookies[0]
        assert cookies[1].startswith("__Host-mlops_sign_in=;") or "Max-Age=0" in cookies[1]


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_no_sign_in_leads_elsewhere(visitor: Visitor, target: str) -> None:
    visitor.begin(target)
    assert visitor.complete().headers["location"] == "/"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "azp"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": "line\nbreak"}, "not a valid name"),
        ({"sub": None}, "not a valid name"),
        ({"sub": "api-token"}, "not a valid name"),
    ],
)
def test_an_id_token_is_for_this_sign_in(
    store: Store, visitor: Visitor, claims: dict[str, Any], reason: str
) -> None:
    visitor.begin()
    refused = visitor.complete(**claims)
    assert refused.status_code == 403 and reason in refused.text
    assert session_rows(store) == [] and visitor.http.get(API).status_code == 401


def test_an_id_token_is_signed_by_the_provider(store: Store, visitor: Visitor) -> None:
    visitor.begin()
    claims: dict[str, Any] = {"aud": CLIENT, "nonce": visitor.sent["nonce"]}
    forged = visitor.oidc.token(new_key("other"), **claims)
    visitor.oidc.token_answer = JSONResponse({"token_type": "Bearer", "id_token": forged})
    assert visitor.complete().status_code == 403
    visitor.begin()
    visitor.oidc.token_answer = JSONResponse({"token_type": "Bearer", "access_token": "opaque"})
    assert "no ID token" in visitor.complete().text
    assert session_rows(store) == []


def test_a_sign_in_is_completed_once_and_by_the_browser_that_began_it(
    store: Store, visitor: Visitor
) -> None:
    visitor.begin()
    cookies = dict(visitor.http.cookies)
    # somebody is sent a link by which they would be signed in as the attacker
    visitor.http.cookies.clear()
    assert visitor.complete().status_code == 403
    # a link that was tried is used up, as the attacker may have it too
    for name, value in cookies.items():
        visitor.set_cookie(name, value)
    assert visitor.complete().status_code == 403
    visitor.begin()
    good = {"code": "c", "state": visitor.sent["state"]}
    for query in ({"code": "c"}, {**good, "state": "made-up"}, {**good, "state": "x" * 9_000}):
        assert visitor.complete(query).status_code == 403
    assert visitor.complete(good).status_code == 303
    visitor.oidc.token_answer = JSONResponse({})
    assert visitor.complete(good).status_code == 403
    assert len(session_rows(store)) == 1


def test_what_a_provider_refuses_is_text(visitor: Visitor) -> None:
    visitor.begin()
    error = {"error": "access_denied", "error_description": "<script>alert(1)</script>\x1b[2J"}
    refused = visitor.complete({"state": visitor.sent["state"], **error})
    assert refused.status_code == 403 and "&lt;script&gt;" in refused.text
    assert "<script" not in refused.text and "\x1b" not in refused.text
    visitor.begin()
    other = {"code": "c", "state": visitor.sent["state"], "iss": "https://evil.example"}
    assert "another issuer" in visitor.complete(other).text


def test_an_expired_sign_in_is_forgotten(store: Store, visitor: Visitor) -> None:
    visitor.begin()
    change_rows(store, SignIn, expires=now())
    assert visitor.complete().status_code == 403
    visitor.begin()
    change_rows(store, SignIn, expires=now())
    visitor.begin()
    with store.registry.reading() as session:
        assert len(session.scalars(select(SignIn)).all()) == 1


def test_each_sign_in_has_a_session_of_its_own(store: Store, visitor: Visitor) -> None:
    visitor.set_cookie("mlops_session_8400", "fixed-by-an-attacker")
    visitor.begin()
    visitor.complete()
    first = visitor.http.cookies["mlops_session_8400"]
    assert first != "fixed-by-an-attacker"
    visitor.begin()
    visitor.complete(sub="ben")
    assert visitor.http.cookies["mlops_session_8400"] != first
    assert [row.name for row in session_rows(store)] == ["ben"]
    visitor.set_cookie("mlops_session_8400", first)
    assert visitor.http.get(API).status_code == 401


def test_roles_are_of_the_access_token_where_that_is_ours(visitor: Visitor) -> None:
    def answer(**access: Any) -> None:
        visitor.begin()
        claims: dict[str, Any] = {"aud": CLIENT, "nonce": visitor.sent["nonce"], "roles": None}
        tokens = {
            "token_type": "Bearer",
            "id_token": visitor.oidc.token(**claims),
            "access_token": visitor.oidc.token(**access),
        }
        visitor.oidc.token_answer = JSONResponse(tokens)

    answer(roles=["look"])
    assert visitor.complete().status_code == 303
    assert "ann" in visitor.http.get("/sign-out").text
    answer(aud="another-service", roles=["science"])
    assert visitor.complete().status_code == 303
    body = {"model": "m", "data": "fields@v1", "declared": {"task": "classification"}}
    refused = visitor.post("/api/v1/runs", json=body)
    assert refused.status_code == 403 and "ann has no role" in refused.json()["detail"]
    answer(sub="ben", roles=["decide"])
    refused = visitor.complete()
    assert refused.status_code == 403 and "different people" in refused.text


def test_roles_are_of_the_userinfo_endpoint_where_no_token_has_them(
    store: Store, visitor: Visitor
) -> None:
    visitor.oidc.user_info = {"sub": "ann", "roles": ["science"]}
    visitor.begin()
    assert visitor.complete(roles=None).status_code == 303
    assert session_rows(store)[0].roles == ["scientist"]
    visitor.oidc.user_info = {"sub": "ben", "roles": ["science"]}
    visitor.begin()
    refused = visitor.complete(roles=None)
    assert refused.status_code == 403 and "different people" in refused.text
    good = {"sub": "ann", "roles": ["science"]}
    answers: list[Any] = [[], {**good, "pad": "x" * (2 << 20)}, JSONResponse(good, 503)]
    for useless in answers:
        visitor.oidc.user_info = useless
        visitor.begin()
        assert visitor.complete(roles=None).status_code == 303
        assert [row.roles for row in session_rows(store)] == [[]]


def test_a_session_ends_when_it_is_not_used_or_too_long(
    store: Store, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "KEPT_SECONDS", -1.0)
    visitor.begin()
    visitor.complete()
    change_rows(store, BrowserSession, seen=now() - timedelta(minutes=59))
    assert visitor.http.get(API).status_code == 404
    # that request was a use
    (row,) = session_rows(store)
    assert row.seen > now() - timedelta(minutes=1)
    change_rows(store, BrowserSession, expires=now())
    assert visitor.http.get(API).status_code == 401
    visitor.begin()
    visitor.complete()
    change_rows(store, BrowserSession, seen=now() - timedelta(minutes=61))
    assert visitor.http.get(API).status_code == 401


def test_signing_out_ends_the_session_on_the_server(store: Store, visitor: Visitor) -> None:
    visitor.oidc.configuration["end_session_endpoint"] = f"{visitor.oidc.url}/end"
    visitor.begin()
    visitor.complete()
    secret = visitor.http.cookies["mlops_session_8400"]
    assert visitor.http.get("/sign-out").status_code == 200 and len(session_rows(store)) == 1
    # a page of another site cannot sign anybody out
    assert (
        visitor.http.post("/sign-out", headers={"Origin": "https://evil.example"}).status_code
        == 403
    )
    assert visitor.http.post("/sign-out").status_code == 403
    out = visitor.post("/sign-out")
    assert f"{visitor.oidc.url}/end?client_id={CLIENT}&amp;post_logout_redirect_uri=" in out.text
    assert session_rows(store) == []
    visitor.set_cookie("mlops_session_8400", secret)
    assert visitor.http.get(API).status_code == 401


def test_a_cookie_counts_for_our_own_pages_only(visitor: Visitor) -> None:
    visitor.begin()
    visitor.complete()
    body: dict[str, Any] = {"json": {"points": []}}
    path = "/api/v1/runs/00000000-0000-4000-8000-000000000000/points"
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        refused = visitor.http.post(path, headers=headers, **body)
        assert refused.status_code == 403 and "not of a page" in refused.json()["detail"]
    assert visitor.post(path, **body).status_code == 404
    assert visitor.post(path, data={"points": "[]"}).status_code == 415
    cross_site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert visitor.http.get(API, headers=cross_site).status_code == 401
    # a token counts from anywhere, as no browser adds it by itself
    refused = visitor.http.post(path, headers={"Authorization": "Bearer made-up"}, **body)
    assert refused.status_code == 401


def test_two_cookies_of_one_name_count_as_none(visitor: Visitor) -> None:
    visitor.begin()
    visitor.complete()
    secret = visitor.http.cookies["mlops_session_8400"]
    visitor.http.cookies.clear()
    sent = f"mlops_session_8400=set-by-a-neighbour; mlops_session_8400={secret}"
    assert visitor.http.get(API, headers={"Cookie": sent}).status_code == 401


def test_while_the_provider_is_down_a_session_lasts(visitor: Visitor) -> None:
    visitor.oidc.down = True
    assert visitor.begin().status_code == 503
    visitor.oidc.down = False
    visitor.begin()
    visitor.complete()
    visitor.oidc.down = True
    assert visitor.http.get(API).status_code == 404
    assert visitor.post("/sign-out").status_code == 200


def test_another_name_of_the_host_leads_to_the_declared_one(visitor: Visitor) -> None:
    led = visitor.http.get("/runs", headers={"Host": "evil.example"})
    assert led.headers["location"] == "http://localhost:8400/runs"


def test_the_session_of_a_page_is_needed_to_renew_it(visitor: Visitor) -> None:
    body = {"client": "0"}
    assert visitor.post("/session/attach", json=body).status_code == 401
    visitor.begin()
    visitor.complete()
    assert visitor.post("/session/attach", json=body).status_code == 404
    assert visitor.post("/session/attach", data=body).status_code == 415
    assert visitor.http.post("/session/attach", json=body).status_code == 403


def test_too_many_sign_ins_are_refused(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_assets.registry.sessions.MAX_SIGN_INS", 1)
    assert visitor.begin().status_code == 200
    refused = visitor.begin()
    assert refused.status_code == 503 and "too many" in refused.text
