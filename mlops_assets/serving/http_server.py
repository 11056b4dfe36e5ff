"""The HTTP server of `mlops hub` and `mlops serve`: Uvicorn with h11, and limits per connection.

Uvicorn has no time-outs for headers, bodies and slow readers, and counts connections only once
their headers are complete. Requests are the business of the app.
"""

from __future__ import annotations

import asyncio
import functools
import json
import resource
import socket
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from mlops_assets.errors import SettingsError
from mlops_assets.logs import logs_json
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# time for a peer to read the reason of a refusal, before its connection is closed
LINGER_SECONDS = 2.0
# bytes of a refused body that are read and discarded; a larger one ends the connection
MAX_DISCARDED = 1 << 20
SHUTDOWN_SECONDS = 10  # for running requests when the server is stopped


@dataclass(frozen=True)
class Limits:
    """The limits of a connection.

    Attributes:
        connections: open at once.
        peer_connections: of these, from one address.
        header_bytes: of a request's line and headers.
        header_seconds: until a request's headers are complete.
        keep_alive_seconds: between two requests; longer than clients wait (httpx: 5 s), so that
            they close first.
        progress_seconds: in which a body must progress, in either direction.
        progress_bytes: how far, in that time; 500 bytes a second, as Apache's mod_reqtimeout has
            it.
    """

    connections: int = 512
    peer_connections: int = 128
    header_bytes: int = 16 << 10
    header_seconds: float = 10.0
    keep_alive_seconds: int = 15
    progress_seconds: float = 20.0
    progress_bytes: int = 10_000


def configuration(
    app: ASGIApp,
    host: str,
    port: int,
    limits: Limits | None = None,
    access_log: bool = True,
    websockets: bool = False,
) -> uvicorn.Config:
    """Return the configuration of a server.

    Args:
        app: an ASGI app.
        host: address to listen on.
        port: port to listen on.
        limits: for each connection.
        access_log: whether each request is a line of the log.
        websockets: whether connections may become websockets.
    """
    limits = limits or Limits()
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=functools.partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]
        ws="websockets-sansio" if websockets else "none",
        # else uvicorn gives its loggers handlers of its own
        log_config=None if logs_json() else LOGGING_CONFIG,
        log_level="info",
        access_log=access_log,
        proxy_headers=False,  # a caller's X-Forwarded-For and X-Forwarded-Proto are not believed
        server_header=False,
        h11_max_incomplete_event_size=limits.header_bytes,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    limits: Limits | None = None,
    access_log: bool = True,
    websockets: bool = False,
) -> None:
    """Serve an app until the process is stopped; see `configuration` for the arguments."""
    with suppress(KeyboardInterrupt):
        uvicorn.Server(configuration(app, host, port, limits, access_log, websockets)).run()


def require_free_port(host: str, port: int) -> None:
    """Check that a server can listen, before anything is loaded.

    Args:
        host: address to listen on.
        port: port to listen on.

    Raises:
        SettingsError: another program listens there, or the address is not one of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            # as asyncio has it: connections that were closed a moment ago do not count
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; name another with"
            " --port or --host, or stop what listens there"
        ) from error


def raise_file_limit(files: int) -> None:
    """Let this process open more files, as far as the system allows: each connection is one.

    Args:
        files: that are wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def problem_document(status: int, detail: str) -> JsonObject:
    """Return a problem document (RFC 9457)."""
    text = detail.encode(errors="replace").decode()  # names of files may hold lone surrogates
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": text,
    }


class StrictConnection(h11.Connection):
    """A parser that refuses requests which another server on the way could read differently.

    Such requests make request smuggling possible.

    Attributes:
        refusal: the error that refused the last request.
        closing: whether a response has announced the end of the connection, as the body is not
            read.
    """

    refusal: h11.RemoteProtocolError | None = None
    closing = False

    def __init__(self, header_bytes: int) -> None:
        """Parse requests.

        Args:
            header_bytes: limit of a request's line and headers.
        """
        super().__init__(h11.SERVER, header_bytes)
        self._header_bytes = header_bytes
        self._small = True  # whether the body of the request has few bytes

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event of the peer.

        Raises:
            h11.RemoteProtocolError: the request is invalid or ambiguous.
        """
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check(event)
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise
        return event

    def send(self, event: Any) -> Any:
        """Return the bytes of an event.

        The response to a large body that is not read announces the end of the connection. h11 does
        not see this header, as uvicorn would close the connection before the peer has read the
        response.
        """
        data = super().send(event)
        if (
            isinstance(event, h11.Response)
            and self.their_state is h11.SEND_BODY
            and not self._small
        ):
            self.closing = True
            return data[:-2] + b"connection: close\r\n\r\n"
        return data

    def _check(self, request: h11.Request) -> None:
        headers = dict(request.headers)
        names = headers.keys()
        size = len(request.target) + sum(
            len(name) + len(value) + 4 for name, value in request.headers
        )
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("this is not HTTP/1.0 or 1.1", error_status_hint=505)
        if b"transfer-encoding" in names and b"content-length" in names:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding; send one")
        if b"transfer-encoding" in names and request.http_version == b"1.0":
            raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding")
        if size > self._header_bytes:
            raise h11.RemoteProtocolError("the headers are too long", error_status_hint=431)
        announced = int(headers.get(b"content-length", 0))
        self._small = b"transfer-encoding" not in names and announced <= MAX_DISCARDED


class LimitedProtocol(H11Protocol):
    """One connection, closed when it takes more than its limits."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        """Limit a connection; the other arguments are Uvicorn's."""
        super().__init__(config, server_state, app_state, _loop)
        self.conn: StrictConnection = StrictConnection(limits.header_bytes)
        self._limits = limits
        self._address: str | None = None  # of the peer
        self._header_timer: asyncio.TimerHandle | None = None
        self._progress_timer: asyncio.TimerHandle | None = None
        self._received = 0  # bytes since the last check of progress
        self._reading: RequestResponseCycle | None = None  # request whose body was awaited then
        self._unsent: int | None = None  # bytes that the peer had not read then
        self._discarded = 0  # bytes that came after the connection was to end
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else None
        addresses = [
            other._address for other in self.connections if isinstance(other, LimitedProtocol)
        ]
        of_peer = addresses.count(self._address)
        if (
            len(self.connections) > self._limits.connections
            or of_peer > self._limits.peer_connections
        ):
            self._log(
                f"refused: {of_peer} connections from its address, {len(self.connections)} in all"
            )
            transport.write(_answer(503, "there are too many connections; try again later"))
            transport.close()
            return
        self._header_timer = self.loop.call_later(
            self._limits.header_seconds, self._headers_are_late
        )
        self._progress_timer = self.loop.call_later(
            self._limits.progress_seconds, self._check_progress
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._cancel_timers()

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the peer; once its connection is ending, discard them up to a limit."""
        self._received += len(data)
        if not self._lingering:
            super().data_received(data)
            return
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED:
            self.transport.abort()

    def handle_events(self) -> None:
        """Handle received bytes; the time from a request's first byte to its body is limited."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._cancel_header_timer()
        elif self._header_timer is None and self.timeout_keep_alive_task is None:
            if self.conn.trailing_data[0]:
                self._header_timer = self.loop.call_later(
                    self._limits.header_seconds, self._headers_are_late
                )
            else:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self._limits.keep_alive_seconds, self.timeout_keep_alive_handler
                )

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to a websocket, which has limits of its own."""
        self._cancel_timers()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed."""
        error = self.conn.refusal
        hint = error.error_status_hint if error else HTTPStatus.BAD_REQUEST
        self._refuse(hint, f"this is not a valid request: {error or msg}")

    def on_response_complete(self) -> None:
        """Await the next request, or end the connection."""
        if not self.conn.closing:
            super().on_response_complete()
        elif not self.transport.is_closing():
            self._linger()

    def resume_writing(self) -> None:
        """Note that the peer reads."""
        super().resume_writing()
        self._unsent = None

    def shutdown(self) -> None:
        """End the connection, as the server is stopped."""
        if self._lingering:
            self.transport.abort()
        else:
            super().shutdown()

    def _headers_are_late(self) -> None:
        self._header_timer = None
        self._refuse(
            408, f"the headers were not complete after {self._limits.header_seconds:g} seconds"
        )

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the app, if nothing was answered yet, and end the connection."""
        self._log(f"refused: {status} {detail}")
        answered = self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.conn.send_failed()
        if answered:
            self.transport.abort()
            return
        self.transport.write(_answer(status, detail))
        self._linger()

    def _linger(self) -> None:
        """Close the connection once the peer has had time to read the response.

        If it were closed at once, the peer might lose the response.
        """
        self._unset_keepalive_if_required()
        self._cancel_header_timer()
        self._lingering = True
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _check_progress(self) -> None:
        """Close a connection whose peer neither sends the awaited body nor reads the response."""
        limits = self._limits
        cycle = self.cycle
        awaited = (
            self.conn.their_state is h11.SEND_BODY
            and not self.flow.read_paused
            and not self._lingering
        )
        # a connection that has become a websocket has no cycle
        awaited = awaited and cycle is not None and not cycle.waiting_for_100_continue
        reading = cycle if awaited else None
        blocked = self.flow.write_paused or self.transport.is_closing()
        unsent = self.transport.get_write_buffer_size() if blocked else None
        if (
            reading is not None
            and reading is self._reading
            and self._received < limits.progress_bytes
        ):
            self._refuse(
                408,
                f"the body came to {self._received} bytes in {limits.progress_seconds:g} seconds",
            )
        elif unsent and self._unsent is not None and self._unsent - unsent < limits.progress_bytes:
            self._log(
                f"closed: the peer does not read; {unsent} bytes were left after"
                f" {limits.progress_seconds:g} seconds"
            )
            self.transport.abort()
        self._received = 0
        self._reading = reading
        self._unsent = unsent
        self._progress_timer = self.loop.call_later(limits.progress_seconds, self._check_progress)

    def _cancel_timers(self) -> None:
        self._cancel_header_timer()
        if self._progress_timer is not None:
            self._progress_timer.cancel()

    def _cancel_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _log(self, text: str) -> None:
        host, port = self.client or ("?", 0)
        self.logger.warning("%s:%s - %s", host, port, text)


def _answer(status: int, detail: str) -> bytes:
    body = json.dumps(problem_document(status, detail)).encode()
    later = "retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}\r\ncontent-type:"
        f" application/problem+json\r\ncontent-length: {len(body)}\r\n{later}connection:"
        " close\r\n\r\n"
    )
    return head.encode() + body
