"""Requests of our own pages, and those of others."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from mlops_assets.hub.sign_in.requests import (
    Area,
    area_of,
    is_form,
    is_own,
    open_origin,
    origin_of,
    return_path,
)

HUB = "https://hub.example.org"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize("path", ["/", "/runs?where=a%3D1&page=2", "/models/m@production?tab=card"])
def test_a_path_of_the_hub_is_returned_to(path: str) -> None:
    assert return_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "runs",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/runs\r\nLocation: https://evil.example",
        "\\/evil.example",
        "javascript:alert(1)",
        "/r\N{LATIN SMALL LETTER U WITH DIAERESIS}ns",
        "/" + "x" * 2000,
        "/sign-out",
        "/sign-in?to=/sign-in",
    ],
)
def test_nothing_else_is(text: str | None) -> None:
    assert return_path(text) == "/"


@pytest.mark.parametrize(
    ("method", "headers", "own"),
    [
        ("POST", {"origin": HUB}, True),
        ("POST", {"origin": HUB, "sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "none"}, True),
        ("POST", {}, True),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": f"{HUB}.evil.example"}, False),
        ("POST", {"origin": "http://hub.example.org"}, False),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site", **NAVIGATION}, False),
        ("GET", {"sec-fetch-site": "cross-site", **NAVIGATION}, True),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, False),
        ("GET", {"sec-fetch-site": "cross-site", **NAVIGATION, "sec-fetch-dest": "iframe"}, False),
        ("GET", {"origin": "https://evil.example"}, False),
    ],
)
def test_a_request_is_of_our_own_page(method: str, headers: dict[str, str], own: bool) -> None:
    assert is_own(Headers(headers), method, HUB) is own


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("LOCALHOST", "http://localhost"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("rebound.example:8080", None),
        ("127.0.0.1.nip.example", None),
        ("localhost@evil.example", None),
        ("127.0.0.1:8080/evil", None),
        ("", None),
    ],
)
def test_an_open_hub_has_a_name_of_this_machine(host: str, origin: str | None) -> None:
    assert open_origin(Headers({"host": host})) == origin


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via"])
def test_an_open_hub_has_no_proxy_before_it(name: str) -> None:
    assert open_origin(Headers({"host": "localhost", name: "1.2.3.4"})) is None


def test_an_open_hub_takes_one_host() -> None:
    twice = Headers(raw=[(b"host", b"localhost"), (b"host", b"evil.example")])
    assert open_origin(twice) is None


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({"content-length": "2", "content-type": "application/json; charset=utf-8"}, False),
        ({"content-length": "2", "content-type": "text/plain"}, True),
        ({"content-length": "2", "content-type": "Multipart/Form-Data; boundary=x"}, True),
        ({"content-length": "2"}, True),
        ({"transfer-encoding": "chunked"}, True),
        ({"content-length": "0"}, False),
        ({}, False),
    ],
)
def test_a_form_could_have_sent_it(headers: dict[str, str], form: bool) -> None:
    assert is_form(Headers(headers)) is form


@pytest.mark.parametrize(
    ("path", "method", "area"),
    [
        ("/_nicegui/3.18.0/static/nicegui.js", "GET", Area.OPEN),
        ("/_nicegui/3.18.0/static/nicegui.js", "POST", Area.PAGES),
        ("/_nicegui/client/1/upload/2", "POST", Area.PAGES),
        ("/_nicegui/auto/static/1/figure.png", "GET", Area.PAGES),
        ("/_nicegui_ws/socket.io/", "GET", Area.PAGES),
        ("/stac", "GET", Area.STAC),
        ("/stacked", "GET", Area.PAGES),
        ("/api/v1/runs", "GET", Area.PROGRAMS),
        ("/apis", "GET", Area.PAGES),
        ("/dagster/graphql", "POST", Area.DAGSTER),
        ("/sign-in", "GET", Area.SIGN_IN),
        ("/sign-in/x", "GET", Area.PAGES),
    ],
)
def test_only_what_is_the_same_for_all_is_open(path: str, method: str, area: Area) -> None:
    assert area_of(path, method) is area


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Hub.example.org:443/", "https://hub.example.org"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://hub.example.org:8443", "https://hub.example.org:8443"),
    ],
)
def test_an_origin_is_as_browsers_have_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin
