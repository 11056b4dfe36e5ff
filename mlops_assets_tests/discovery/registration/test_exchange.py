"""Servers that refuse, mislead or never end, and what the client of STAC APIs makes of them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import httpx
import pytest

from mlops_assets.discovery.registration import stac_api
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.exchange import MAX_AFTER, MAX_ANSWER, MAX_MESSAGE
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets_tests.discovery.external import external_collection, external_item
from mlops_assets_tests.discovery.registration.opened import Token, opened
from mlops_assets_tests.discovery.registration.scripted_server import (
    Reply,
    dripping,
    hang,
    reply,
    scripted_server,
)

SHORT = 0.5  # seconds until a test gives up
ITEM = external_item()
OF_ANOTHER = {**ITEM, "collection": "another"}
EXISTS = reply(400, {"code": "InvalidParameterValue", "description": "item exists"})
MISSING = reply(404, {"code": "NotFound", "description": "no such item"})
HTML = b"<!doctype html><title>Sign in</title>"


def refused(
    *replies: Reply, documents: Sequence[JsonObject] = (ITEM,), token: str | None = None
) -> CatalogueError:
    """Put records that a server refuses; return the error."""
    with scripted_server(*replies) as server:
        catalogue = opened(server.url, Token(token) if token else None, SHORT)
        with pytest.raises(CatalogueError) as raised:
            catalogue.put(documents)
    message = str(raised.value)
    assert f"catalogue other: POST {server.url}/collections" in message
    assert len(message) < MAX_MESSAGE + 400
    assert message.isprintable()
    return raised.value


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named_and_not_shown(status: int) -> None:
    error = refused(reply(status, {"detail": "invalid token"}), token="a-secret-token")
    # a token that has expired is replaced
    assert error.temporary == (status == 401)
    assert "invalid token; check the token in environment variable OTHER_TOKEN" in str(error)
    assert "a-secret-token" not in str(error)
    none = refused(reply(status))
    assert not none.temporary
    assert "no credentials were sent" in str(none)


@pytest.mark.parametrize(
    "answer",
    [
        reply(401, {"detail": "the token a-secret-token is not valid"}),
        reply(400, b"<html>a-secret-token"),
        reply(404, b"<html>a-secret-token"),
        reply(200, b"<html>a-secret-token"),
        reply(302, Location="https://id.example.org/?token=a-secret-token"),
    ],
)
@pytest.mark.parametrize("scheme", [Token, partial(httpx.BasicAuth, "ann")])
def test_credentials_that_a_server_repeats_are_in_no_message(
    answer: Reply, scheme: Callable[[str], httpx.Auth]
) -> None:
    with scripted_server(answer) as server, pytest.raises(CatalogueError) as raised:
        opened(server.url, scheme("a-secret-token")).put([ITEM])
    assert "***" in str(raised.value)
    assert "a-secret-token" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(400, {"code": "X", "description": "bad bbox"}), "400 Bad Request: bad bbox"),
        (reply(422, {"detail": [{"loc": ["id"], "msg": "no"}]}), '"msg": "no"'),
        (reply(400, b"\x1b[2Jplain\r\ntext"), r"400 Bad Request: \x1b[2Jplain text"),
        (reply(422, {"detail": "x" * 100_000}), "422"),
        (reply(405, b"<html>"), "405 Method Not Allowed"),
        (reply(413, b"<html>too large</html>"), "bytes were sent: make the record smaller"),
    ],
)
def test_a_refused_record_is_final_with_what_the_server_says(answer: Reply, expected: str) -> None:
    error = refused(answer, MISSING)
    assert not error.temporary
    assert expected in str(error)


def test_the_size_of_a_record_that_is_too_large_is_stated() -> None:
    large = external_item(properties={"title": "x" * 100_000})
    assert "100,330 bytes were sent" in str(refused(reply(413), documents=[large]))


@pytest.mark.parametrize("status", [408, 424, 429, 500, 502, 503, 504, 529])
def test_a_server_that_cannot_answer_now_is_asked_again_later(status: int) -> None:
    error = refused(reply(status, b"<html>Bad gateway</html>"))
    assert (error.temporary, error.after) == (True, None)


@pytest.mark.parametrize("status", [429, 503])
def test_how_long_to_wait_is_taken_from_the_answer(status: int) -> None:
    assert refused(reply(status, Retry_After="120")).after == 120.0
    moment = datetime.now(UTC) + timedelta(seconds=300)
    after = refused(reply(status, Retry_After=format_datetime(moment, usegmt=True))).after
    assert after is not None
    assert 200 < after <= 300
    past = format_datetime(moment - timedelta(days=1), usegmt=True)
    assert refused(reply(status, Retry_After=past)).after == 0.0
    assert refused(reply(status, Retry_After="9" * 400)).after == MAX_AFTER
    for unreadable in ("soon", "-3", "²"):
        assert refused(reply(status, Retry_After=unreadable)).after is None


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, HTML),
        reply(201, b'{"id": NaN}'),
        reply(200, b"[" * 100_000),
        hang,
        lambda handler: handler.connection.shutdown(socket.SHUT_RDWR),
        lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        dripping(b"HTTP/1.1 201 Created\r\n", b"X-Header: drip\r\n", b"Content-Length: 0\r\n\r\n"),
        dripping(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n", b" "),
    ],
    ids=[
        "login page",
        "not JSON",
        "nested deeply",
        "hangs",
        "closes the connection",
        "another protocol",
        "drips headers",
        "drips a body",
    ],
)
def test_what_is_no_answer_of_a_catalogue_is_an_outage(answer: Reply) -> None:
    error = refused(answer)
    assert error.temporary


def test_an_answer_is_not_read_beyond_a_limit() -> None:
    endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n", b" " * (1 << 16), seconds=0.0)
    with scripted_server(endless) as server:
        with pytest.raises(CatalogueError, match="larger than 33,554,432 bytes") as raised:
            opened(server.url).get("sent")
        assert raised.value.temporary


@pytest.mark.parametrize(
    "answer",
    [
        reply(404, b"default backend - 404"),
        reply(200, HTML),
        reply(200, {"title": "another API"}),
        reply(200, [1]),
    ],
    ids=["missing server", "login page", "another API", "a list"],
)
def test_a_record_is_not_taken_for_absent_unless_the_catalogue_says_so(answer: Reply) -> None:
    with scripted_server(answer) as server:
        catalogue = opened(server.url)
        for call in (catalogue.get, catalogue.delete):
            with pytest.raises(CatalogueError) as raised:
                call("sent", "one")
            assert raised.value.temporary
        assert not any(asked.startswith("DELETE") for asked in server.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_a_redirect(status: int) -> None:
    with scripted_server(reply(201)) as elsewhere:
        error = refused(reply(status, Location=f"{elsewhere.url}/collections"), token="a-token")
        assert not error.temporary
        assert f"to {elsewhere.url}/collections: declare the URL" in str(error)
        assert elsewhere.requests == []


def test_an_existing_item_is_replaced_whether_the_server_says_400_or_409() -> None:
    for existing in (EXISTS, reply(409, {"code": "ConflictError"})):
        with scripted_server(existing, reply(200, ITEM), reply(204)) as server:
            opened(server.url).put([ITEM])
        asked = [
            "POST /collections/sent/items",
            *(f"{m} /collections/sent/items/one" for m in ("GET", "PUT")),
        ]
        assert server.requests == asked


@pytest.mark.parametrize("found", [MISSING, reply(200, OF_ANOTHER)], ids=["missing", "another's"])
def test_an_item_of_another_collection_is_neither_moved_nor_deleted(found: Reply) -> None:
    with scripted_server(EXISTS, found) as server:
        catalogue = opened(server.url)
        with pytest.raises(CatalogueError, match="item exists") as raised:
            catalogue.put([ITEM])
        assert not raised.value.temporary
        assert catalogue.get("sent", "one") is None
        catalogue.delete("sent", "one")
        methods = [asked.split()[0] for asked in server.requests]
        assert methods == ["POST", "GET", "GET", "GET"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(404, {"detail": "Not Found"}),
        reply(403),
        reply(500, b"IndexError"),
        reply(200, "none"),
    ],
    ids=["missing", "forbidden", "fails", "another answer"],
)
def test_items_are_sent_one_by_one_where_several_at_once_are_not_taken(answer: Reply) -> None:
    items = [external_item(f"n{number}") for number in range(5)]
    with scripted_server(answer, reply(201)) as server:
        opened(server.url).put(items)
    probe, *others = server.requests
    assert probe == "POST /collections/sent/bulk_items"
    assert others == ["POST /collections/sent/items"] * 5


def test_an_item_that_is_refused_among_others_is_named() -> None:
    items = [external_item(f"n{number}") for number in range(3)]
    offered = reply(200, {"received": 0, "success": 0, "skipped": 0, "errors": []})
    partly = reply(200, {"received": 3, "success": 2, "skipped": 0, "errors": [{"id": "n1"}]})
    answers = (offered, partly, reply(400, {"detail": "ID (n1) is invalid"}), MISSING)
    with scripted_server(*answers) as server:
        catalogue = opened(server.url)
        with pytest.raises(CatalogueError, match=r"ID \(n1\) is invalid"):
            catalogue.put(items)


ABSENT = reply(404, {"code": "NotFound", "description": "no such thing"})


def features(*names: str, **members: Json) -> Reply:
    """The answer to a search."""
    found = [{**ITEM, "id": name} for name in names]
    return reply(200, {"type": "FeatureCollection", "features": found, **members})


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (features("one", "three"), []),
        (ABSENT, ["one", "two"]),
        (reply(405, b"<html>"), ["one", "two"]),
        (reply(400, {"description": "limit is too large"}), ["one", "two"]),
        (reply(200, {"features": "none"}), ["one", "two"]),
        (reply(200, b'{"features": [' + b" " * MAX_ANSWER), ["one", "two"]),
        # ids are not searched by
        (features("one", "unasked"), ["two"]),
        (features("one", links=[{"rel": "next", "href": "https://other.example"}]), ["two"]),
    ],
    ids=["found", "missing", "not allowed", "refused", "odd", "large", "without ids", "next page"],
)
def test_items_are_read_one_by_one_where_a_search_by_ids_is_not_offered(
    answer: Reply, read: list[str]
) -> None:
    names = ["one", "three"] if not read else ["one", "two"]
    single = [reply(200, {**ITEM, "id": name}) for name in read] or [ABSENT]
    with scripted_server(answer, *single) as server:
        catalogue = opened(server.url)
        # one after the other, as the server replies in the order of the script
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stac_api, "CONNECTIONS", 1)
            found = catalogue.find("sent", names)
        first, *others = server.requests
    assert first == "POST /search"
    assert others == [f"GET /collections/sent/items/{name}" for name in read]
    assert found.keys() == {*names}


@pytest.mark.parametrize("status", [429, 503])
def test_a_search_that_is_put_off_asks_for_nothing_one_by_one(status: int) -> None:
    with scripted_server(reply(status, Retry_After="120")) as server:
        with pytest.raises(CatalogueError) as raised:
            opened(server.url).find("sent", ["one", "two"])
        assert server.requests == ["POST /search"]
    assert (raised.value.temporary, raised.value.after) == (True, 120.0)


def test_an_outage_ends_the_sending_of_many_items() -> None:
    items = [external_item(f"n{number}") for number in range(50)]
    with scripted_server(reply(405, b""), reply(503)) as server:
        with pytest.raises(CatalogueError) as raised:
            opened(server.url).put(items)
        assert raised.value.temporary
        assert len(server.requests) < 20


def test_a_token_is_sent_with_every_request() -> None:
    with scripted_server(EXISTS, reply(200, external_collection()), reply(200)) as server:
        opened(server.url, Token("a-token")).put([external_collection()])
        assert server.authorizations == ["Bearer a-token"] * 3
