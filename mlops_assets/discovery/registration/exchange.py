"""Requests to the servers of others, limited in time and size, and what their answers mean.

Which requests a kind of catalogue takes is not known here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import anyio
import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from mlops_assets import __version__
from mlops_assets.certificates import trusted_certificates
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.printable import printable
from mlops_assets.text.secret_urls import HIDDEN
from mlops_assets.text.strict_json import parse_json

CONNECTIONS = 4  # to one server, at once
MAX_ANSWER = 32 << 20  # bytes
MAX_MESSAGE = 400  # characters of what a server reports
TIMEOUT = 60.0  # seconds
MAX_AFTER = 86_400.0  # seconds of a wait that a server may ask for
# 424 is pgstac's answer for a Collection that it does not have yet
_TEMPORARY = frozenset({408, 424, 425, 429})
_LASTING = frozenset({501, 505})
_MESSAGES = ("description", "detail", "message", "error_description", "error", "title")


class AnswerTooLarge(CatalogueError):
    """An answer is larger than `MAX_ANSWER`."""


@dataclass(frozen=True)
class Answer:
    """The answer of a server.

    Attributes:
        status: of HTTP.
        document: its body; None if it has none, or none that is JSON.
        refusal: what it means unless it is of success.
        location: URL of what the server has made, if it names it.
    """

    status: int
    document: Json
    refusal: CatalogueError | None = None
    location: str | None = None


@dataclass(frozen=True)
class Server:
    """A server of others.

    Attributes:
        name: of the catalogue, for messages.
        authorise: adds credentials to requests by its `auth_flow`; None for none.
        credentials: where they are from, for messages.
        timeout: seconds of one request, from the lookup of its host to the end of its answer.
        kind: of server, for messages.
    """

    name: str
    authorise: httpx.Auth | None = None
    credentials: str = ""
    timeout: float = TIMEOUT
    kind: str = "catalogue"

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        """Ask the server, by connections that are kept in between."""
        client = httpx.AsyncClient(
            auth=self.authorise,
            verify=trusted_certificates(),
            timeout=self.timeout,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            headers={"Accept": "application/json", "User-Agent": f"mlops_assets/{__version__}"},
        )
        # in an event loop of its own, as callers may have one that runs
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
            yield Asking(self, portal, client)


class Asking:
    """Asks a server; of any thread. No redirect is followed, as credentials are sent."""

    def __init__(self, server: Server, portal: BlockingPortal, client: httpx.AsyncClient) -> None:
        """Ask a server by a client, in the event loop of a portal."""
        self._server = server
        self._portal = portal
        self._client = client

    def ask(
        self,
        method: str,
        url: str,
        body: Json = None,
        expected: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request.

        Args:
            method: of HTTP.
            url: where to.
            body: sent as JSON; None for none.
            expected: status codes that are returned, beside those of success.
            headers: of the request, beside those of every one.

        Raises:
            CatalogueError: the answer has another status, is not JSON, or did not come in time.
        """
        content = None if body is None else json_bytes(body)
        answer = self._portal.call(self._ask, method, url, content, {**(headers or {})})
        if answer.refusal is None or answer.status in expected:
            return answer
        raise answer.refusal

    async def _ask(
        self, method: str, url: str, content: bytes | None, headers: dict[str, str]
    ) -> Answer:
        asked = f"{self._server.kind} {self._server.name}: {method} {printable(url)}"
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            with anyio.fail_after(self._server.timeout):
                async with self._client.stream(
                    method, url, content=content, headers=headers
                ) as response:
                    received = await _read(response, asked)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise CatalogueError(
                f"{asked}: no complete answer within {self._server.timeout:g} s", temporary=True
            ) from error
        except (httpx.HTTPError, OSError) as error:
            raise CatalogueError(
                f"{asked}: the server is unreachable: {_excerpt(str(error)) or repr(error)}",
                temporary=True,
            ) from error
        status = response.status_code
        if not response.is_success:
            received = _without_credentials(received, response.request)
        try:
            document = parse_json(received) if received.strip() else None
        except ValueError as error:
            # a missing record is stated in JSON, a missing server by the proxy in front of it
            if response.is_success or status == HTTPStatus.NOT_FOUND:
                raise CatalogueError(
                    f"{asked}: the answer with status {status} is not JSON, perhaps that of a proxy"
                    f" or a login page: {_text(_without_credentials(received, response.request))}",
                    temporary=True,
                ) from error
            document = None
        if response.is_success:
            return Answer(status, document, location=response.headers.get("Location"))
        reported = message_of(document) or _text(received)
        return Answer(status, document, self._refusal(asked, response, reported, content))

    def _refusal(
        self, asked: str, response: httpx.Response, reported: str, content: bytes | None
    ) -> CatalogueError:
        """Return the error that an answer stands for."""
        status = response.status_code
        message = f"{asked}: {status} {response.reason_phrase}".rstrip()
        if response.has_redirect_location:
            location = response.headers["Location"].encode()
            other = _text(_without_credentials(location, response.request))
            return CatalogueError(
                f"{message} to {other}: declare the URL that answers itself, as credentials are not"
                " sent to another one",
                temporary=False,
            )
        if reported:
            message = f"{message}: {reported}"
        after = _after(response.headers)
        # a rate limit of GitHub
        if status == HTTPStatus.FORBIDDEN and after is not None:
            return CatalogueError(message, temporary=True, after=after)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            remedy = (
                f"check the {self._server.credentials}"
                if self._server.authorise
                else f"no credentials were sent: declare access for this {self._server.kind}"
            )
            # credentials that have expired are replaced without a change of what is declared
            expired = status == HTTPStatus.UNAUTHORIZED and self._server.authorise is not None
            return CatalogueError(f"{message}; {remedy}", temporary=expired)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return CatalogueError(
                f"{message}; {len(content or b''):,} bytes were sent: make the record smaller, or"
                " have the server's limit raised",
                temporary=False,
            )
        temporary = status in _TEMPORARY or (status >= 500 and status not in _LASTING)
        return CatalogueError(message, temporary=temporary, after=after if temporary else None)


def json_bytes(value: Json) -> bytes:
    """Return a value as the bytes that are sent."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def as_object(answer: Answer) -> JsonObject:
    """Return the JSON object of an answer; an empty one if it is no object."""
    return answer.document if isinstance(answer.document, dict) else {}


def record_of(answer: Answer, subject: str, name: str, remedy: str) -> JsonObject | None:
    """Return the record of an answer; None if the server has none.

    Args:
        answer: to a request that expects 404.
        subject: catalogue and request, for the message.
        name: id of the record.
        remedy: what to check if it is another one.

    Raises:
        CatalogueError: it is another one.
    """
    if answer.refusal is not None:
        return None
    found = as_object(answer)
    if found.get("id") != name:
        raise CatalogueError(
            f"{subject} returns something else than this record: check {remedy}", temporary=True
        )
    return found


async def _read(response: httpx.Response, asked: str) -> bytes:
    received = bytearray()
    async for part in response.aiter_bytes():
        received += part
        if len(received) > MAX_ANSWER:
            raise AnswerTooLarge(
                f"{asked}: the answer is larger than {MAX_ANSWER:,} bytes", temporary=True
            )
    return bytes(received)


def message_of(document: Json) -> str:
    """Return the message of an error document, in whichever member it is."""
    if not isinstance(document, dict):
        return ""
    found = next((document[name] for name in _MESSAGES if document.get(name)), None)
    return _excerpt(found if isinstance(found, str) else json.dumps(found)) if found else ""


def _text(received: bytes) -> str:
    return _excerpt(received[: 4 * MAX_MESSAGE].decode(errors="replace"))


def _without_credentials(content: bytes, request: httpx.Request) -> bytes:
    """Return what a server reports without the token or password that it was sent."""
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    secrets = [value.encode()]
    if kind == "Basic":
        secrets.append(base64.b64decode(value).partition(b":")[2])
    for secret in filter(None, secrets):
        content = content.replace(secret, HIDDEN.encode())
    return content


def _excerpt(text: str) -> str:
    return " ".join(printable(text).split())[:MAX_MESSAGE]


def _after(headers: httpx.Headers) -> float | None:
    """Return the seconds that a server asks to wait; None if it asks for none.

    GitHub names the end of a rate limit, in seconds since the epoch, if nothing of it remains:
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return min(max(0.0, float(reset[:12]) - datetime.now(UTC).timestamp()), MAX_AFTER)
    return _seconds(headers.get("Retry-After", ""))


def _seconds(retry_after: str) -> float | None:
    """Return the seconds of a header, which names them or a date; None if it names neither."""
    if retry_after.strip().isdecimal():
        return min(float(retry_after), MAX_AFTER)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), MAX_AFTER)
