"""A hub that is open to the user of its own machine, and one without sign-in for people."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from mlops_assets.hub.app import ANONYMOUS, HubSettings, create_app
from mlops_assets.hub.sign_in.authentication import Authentication, Entrance
from mlops_assets.identity.bearer import Bearers
from mlops_assets.principals import local
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN
from mlops_assets_tests.servers.asgi import served

API = "/api/v1/nothing"
RUNS = "/api/v1/runs"
START = {"model": "m", "data": "fields@v1", "declared": {"task": "classification"}}


@pytest.fixture
def http(store: Store) -> Iterator[httpx.Client]:
    settings = HubSettings(store.workspace.root / "dagster", local=local("ann"))
    with (
        served(create_app(store, settings, pages=True)) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def test_a_program_on_this_machine_needs_no_token(store: Store, http: httpx.Client) -> None:
    started = http.post(RUNS, json=START)
    assert started.status_code == 201
    assert store.registry.run(started.json()["run_id"]).created_by == "ann"


def test_no_page_of_another_site_acts_or_reads(http: httpx.Client) -> None:
    own = str(http.base_url).rstrip("/")
    assert http.post(RUNS, json=START, headers={"Origin": own}).status_code == 201
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": own.replace("127.0.0.1", "localhost")},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example"},
        {"X-Forwarded-For": "192.0.2.1"},
    ):
        assert http.post(RUNS, json=START, headers=headers).status_code == 403
    # what a form can send, from a browser that does not state its origin
    text = {"Content-Type": "text/plain"}
    assert http.post(RUNS, content='{"model": "m"}', headers=text).status_code == 415
    assert http.get(API, headers={"Origin": "https://evil.example"}).status_code == 401


def test_pages_of_others_read_of_the_stac_api_what_anybody_does(store: Store) -> None:
    async def who(scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["state"]["principal"].name if scope["type"] == "http" else ""
        await PlainTextResponse(name)(scope, receive, send)

    entrance = Entrance(Bearers(store.registry), ANONYMOUS, local=local("ann"), pages=True)
    with served(Authentication(who, entrance)) as url:
        collections = f"{url}/stac/collections"
        assert httpx.get(collections).text == "ann"
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert httpx.get(collections, headers=headers).text == ANONYMOUS.name
            assert httpx.post(collections, headers=headers).text == ANONYMOUS.name


def test_a_wrong_token_is_not_the_local_user(http: httpx.Client) -> None:
    assert http.get(API, headers={"Authorization": "Bearer made-up"}).status_code == 401


def test_without_sign_in_pages_state_how_to_configure_it(store: Store) -> None:
    settings = HubSettings(store.workspace.root / "dagster", TOKEN)
    with served(create_app(store, settings, pages=True)) as url:
        token = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/", "/models/m", "/sign-in"):
            page = httpx.get(url + path, headers=token)
            assert page.status_code == 401 and "Sign-in is not configured" in page.text
        assert httpx.get(url + API, headers=token).status_code == 404
        assert httpx.get(url + API).status_code == 401
        assert httpx.get(f"{url}/stac/collections").status_code == 200


def test_responses_limit_what_a_browser_does(http: httpx.Client) -> None:
    page, api, stac = (http.get(path).headers for path in ("/sign-in", API, "/stac"))
    for headers in (page, api, stac):
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert "unsafe-inline" not in page["content-security-policy"].partition("style-src")[0]
    # an uploaded figure may be a page
    assert api["content-security-policy"].startswith("default-src 'none'")
    assert page["cache-control"] == api["cache-control"] == "no-store"
