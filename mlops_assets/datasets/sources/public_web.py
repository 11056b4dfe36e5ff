"""Requests to web servers at untrusted URLs: connections only to public or trusted addresses.

A name is resolved once, and the connection goes to an address that was checked, so that a name that
changes its address between the check and the request (DNS rebinding) gains nothing. Every redirect
is checked in the same way. Behind a proxy of the environment the proxy connects; its target's name
is checked beforehand.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import get_netrc_auth, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from mlops_assets.datasets.sources.object_store import ObjectMeta
from mlops_assets.errors import StorageError
from mlops_assets.settings import trusted_sources

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Origin: TypeAlias = tuple[str, int | None]  # host and port
MAX_REDIRECTS = 5
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two packets
# mean rate that a download must have after SLOW_SECONDS
SLOW_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 1_000
CONNECTIONS = 16  # kept open to one server
# of IPv6; the rest is mapped to IPv4 or for special use
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# Requests are repeated after 5xx; Retry-After is ignored, as the server is not trusted
_RETRY = Retry(
    total=4,
    backoff_factor=0.1,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=("GET", "HEAD"),
    respect_retry_after_header=False,
    raise_on_status=False,
)


def checked_addresses(host: str, port: int | None) -> list[str]:
    """Return the addresses of a host, all of which are public or trusted.

    Args:
        host: name or address, in any spelling that the system resolves.
        port: TCP port, 443 if there is none.

    Raises:
        StorageError: it has an address that is neither public nor trusted, or none.
    """
    trusted = trusted_sources()
    try:
        entries = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
        found = {
            str(entry[4][0]): ipaddress.ip_address(str(entry[4][0]).partition("%")[0])
            for entry in entries
        }
    except (
        OSError,
        ValueError,
        OverflowError,
    ) as error:  # also UnicodeError of names that cannot be
        raise StorageError(f"{host} cannot be resolved ({error}); check the href") from error
    inside = sorted(
        text
        for text, address in found.items()
        if not (_is_public(address) or _is_in(address, trusted))
    )
    if inside and host.rstrip(".").lower() not in trusted:
        raise StorageError(
            f"{host} has the address {', '.join(inside)}, which is not public; if this host is"
            " meant, name it in MLOPS_TRUSTED_SOURCES"
        )
    return list(found)


def public_session(own: str | None = None) -> requests.Session:
    """Return a session that connects with public and trusted addresses only.

    Args:
        own: URL that the project itself declares; its host may have any address.
    """
    session = _Session(_origin(own) if own else None)
    session.max_redirects = MAX_REDIRECTS
    for scheme in ("http://", "https://"):
        session.mount(scheme, _CheckedAdapter(session.own))
    return session


@dataclass(frozen=True)
class WebFile:
    """A file on a web server that is being read; an `OpenObject`.

    Attributes:
        meta: its metadata.
        response: the open response.
    """

    meta: ObjectMeta
    response: requests.Response

    def stream(self, min_chunk_size: int) -> Iterator[bytes]:
        """Yield its bytes, in chunks of about `min_chunk_size` bytes.

        Raises:
            OSError: the connection is interrupted, or too slow.
        """
        started = time.monotonic()
        size = 0
        with closing(self.response):
            for chunk in self.response.iter_content(min_chunk_size):
                yield chunk
                size += len(chunk)
                seconds = time.monotonic() - started
                if seconds > SLOW_SECONDS and size < seconds * MIN_BYTES_PER_SECOND:
                    raise OSError(f"the server sent {size} bytes in {seconds:.0f} seconds")


class PublicWeb:
    """Files on a web server, read as from an object store; a `ReadableStore`."""

    def __init__(self, base: str, own: bool = False) -> None:
        """Open a session.

        Args:
            base: URL of the server, without a path.
            own: whether the user has named this server, which then may have any address; those
                that it redirects to may not.
        """
        self._base = base
        self._session = public_session(base if own else None)

    def follow(self, key: str) -> None:
        """Check the redirects of a file.

        Args:
            key: path of the file on the server.

        Raises:
            StorageError: they lead to a host of this network, are endless, or lead to another kind
                of server.
        """
        try:
            self._request("HEAD", key).close()
        except (requests.TooManyRedirects, requests.exceptions.InvalidSchema) as error:
            raise StorageError(
                f"{self._base}/{key} could not be read: it redirects too often, or not to a web"
                " server; check the href"
            ) from error
        except requests.exceptions.InvalidURL as error:
            raise StorageError(
                f"{self._base}/{key} could not be read: {error}; check the href"
            ) from error
        except requests.RequestException:
            # reported where the file is read
            return

    def head(self, path: str) -> ObjectMeta:
        """Return the metadata of a file.

        Args:
            path: of the file on the server.

        Raises:
            OSError: it cannot be read.
            StorageError: the server, or a redirect's, is of this network.
        """
        with closing(self._request("HEAD", path)) as response:
            return _meta(path, response)

    def get(self, path: str) -> WebFile:
        """Open a file.

        Args:
            path: of the file on the server.

        Raises:
            OSError: it cannot be read.
            StorageError: the server, or a redirect's, is of this network.
        """
        response = self._request("GET", path)
        try:
            return WebFile(_meta(path, response), response)
        except OSError:
            response.close()
            raise

    def _request(self, method: str, key: str) -> requests.Response:
        url = f"{self._base}/{quote(key)}"
        try:
            return self._session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity"},
                timeout=TIMEOUT,
                stream=True,
                allow_redirects=True,
            )
        except StorageError as error:
            raise StorageError(f"{url} could not be read: {error}") from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise ConnectionError(str(error)) from error


class _Session(requests.Session):
    """A session that sends passwords from `.netrc` only to the server that the project declares."""

    def __init__(self, own: Origin | None) -> None:
        super().__init__()
        self.own = own
        self.auth = self._authenticate
        self.hooks["response"].append(_leave_redirect)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: requests.Response) -> None:
        headers = prepared_request.headers
        before, after = response.request.url or "", prepared_request.url or ""
        if "Authorization" in headers and self.should_strip_auth(before, after):
            del headers["Authorization"]

    def _authenticate(self, request: PreparedRequest) -> PreparedRequest:
        url = request.url or ""
        found = get_netrc_auth(url) if self.own == _origin(url) else None
        return requests.auth.HTTPBasicAuth(*found)(request) if found else request


class _CheckedAdapter(HTTPAdapter):
    def __init__(self, own: Origin | None) -> None:
        self._own = own
        super().__init__(pool_maxsize=CONNECTIONS, max_retries=_RETRY)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _checked_pools(self._own)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        url = request.url or ""
        proxied = select_proxy(url, options.get("proxies"))
        if proxied and _origin(url) != self._own:
            parts = urlsplit(url)
            checked_addresses(parts.hostname or "", parts.port)
        return super().send(request, *args, **options)


def _checked_pools(own: Origin | None) -> dict[str, type[HTTPConnectionPool]]:
    """Return, by scheme, pools whose connections are made with checked addresses only."""

    class CheckedHTTP(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect_checked(self, super()._new_conn, own)

    class CheckedHTTPS(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect_checked(self, super()._new_conn, own)

    class CheckedHTTPPool(HTTPConnectionPool):
        ConnectionCls = CheckedHTTP

    class CheckedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = CheckedHTTPS

    return {"http": CheckedHTTPPool, "https": CheckedHTTPSPool}


def _connect_checked(
    connection: HTTPConnection, connect: Callable[[], socket.socket], own: Origin | None
) -> socket.socket:
    """Connect with the first checked address that answers.

    Raises:
        StorageError: the host has an address that is neither public nor trusted.
        NewConnectionError: none answers.
    """
    name = connection._dns_host
    if (name.rstrip(".").lower(), connection.port) == own:
        return connect()
    failure: Exception | None = None
    for address in checked_addresses(name.strip("[]"), connection.port):
        connection._dns_host = address
        try:
            return connect()
        except (NewConnectionError, ConnectTimeoutError) as error:
            failure = error
        finally:
            # the name is what a certificate is checked for
            connection._dns_host = name
    raise failure or NewConnectionError(connection, f"{name} has no address")


def _leave_redirect(response: requests.Response, **_: object) -> None:
    """Close a redirect without its body, which may be endless."""
    if response.is_redirect:
        response.close()
        response._content = b""


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or {"http": 80, "https": 443}.get(
        parts.scheme
    )


def _meta(key: str, response: requests.Response) -> ObjectMeta:
    """Return the metadata of a file from the headers of a response.

    Raises:
        OSError: the response is an error, or lacks the file's size.
    """
    if response.status_code in (404, 410):
        raise FileNotFoundError(key)
    if response.status_code in (401, 403):
        raise PermissionError(f"{response.status_code} {response.reason}")
    headers = response.headers
    length = headers.get("content-length", "")
    if response.status_code != 200 or not (length.isascii() and length.isdigit()):
        kind = ConnectionError if response.status_code >= 500 else OSError
        raise kind(
            f"the server responded {response.status_code} {response.reason}, with the size"
            f" {length or 'unknown'}"
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise OSError("the server compressed its response, which the request did not accept")
    modified = headers.get("last-modified")
    try:
        moment = parsedate_to_datetime(modified) if modified else datetime.fromtimestamp(0, UTC)
    except ValueError as error:
        raise OSError(f"the server sent the time {modified!r}") from error
    return {"path": key, "size": int(length), "e_tag": headers.get("etag"), "last_modified": moment}


def _is_public(address: Address) -> bool:
    if address.version == 6 and not address.ipv4_mapped and address not in _GLOBAL_UNICAST:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    return bool(address.is_global and mapped.is_global and not mapped.is_multicast)


def _is_in(address: Address, trusted: Collection[str]) -> bool:
    networks = [network for network in map(_network, trusted) if network is not None]
    return any(address.version == network.version and address in network for network in networks)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
