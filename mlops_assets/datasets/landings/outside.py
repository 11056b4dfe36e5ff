"""Assets that lie outside of a landing, where an Item of somebody else says: which hosts and buckets may be asked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from mlops_assets.errors import StorageError
from mlops_assets.settings import trusted_sources
from mlops_assets.storage.stores import WEB, open_object_store

MAX_REDIRECTS = 5
TIMEOUT = 20.0


def store_outside(url: str) -> tuple[Any, str]:
    """Return the store and the key of an asset at a URL that somebody else wrote.

    A web server must have a public address, and where it redirects to too. A bucket is read without credentials. Either
    may be otherwise if it is among the trusted sources of the settings.

    Raises:
        StorageError: the URL leads to a host of this network, or cannot be opened.
    """
    trusted = trusted_sources()
    try:
        if urlsplit(url).scheme in WEB:
            url = _redirected(url, trusted)
        parts = urlsplit(url)
    except ValueError as error:
        raise StorageError(f"{url} could not be read: it is not a valid URL ({error}); check the href") from error
    base = f"{parts.scheme}://{parts.netloc}"
    anonymous = parts.scheme not in WEB and base not in trusted
    return _opened(base, anonymous), unquote(parts.path).lstrip("/")


@lru_cache(maxsize=64)
def _opened(base: str, anonymous: bool) -> Any:
    return open_object_store(base, anonymous)


def require_public(url: str, trusted: Collection[str]) -> None:
    """Check that the host of a web URL has public addresses only, or is trusted.

    Raises:
        StorageError: it has another address, or none.
    """
    try:
        host, port = urlsplit(url).hostname or "", urlsplit(url).port
        found = {
            ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in socket.getaddrinfo(host, port or 443)
        }
    except (OSError, ValueError) as error:  # also UnicodeError of names that cannot be
        raise StorageError(f"{url} could not be read: its host cannot be resolved ({error}); check the href") from error
    inside = sorted(str(address) for address in found if not _is_public(address) and not _is_trusted(address, trusted))
    if inside and host not in trusted:
        raise StorageError(
            f"{url} could not be read: {host} has the address {', '.join(inside)}, which is not public; if this "
            "host is meant, name it in MLOPS_TRUSTED_SOURCES"
        )


def _is_public(address: Any) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    return bool(address.is_global and mapped.is_global and not mapped.is_multicast)


def _is_trusted(address: Any, trusted: Collection[str]) -> bool:
    networks = [network for network in map(_network, trusted) if network is not None]
    return any(address.version == network.version and address in network for network in networks)


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _redirected(url: str, trusted: Collection[str]) -> str:
    """Return where a web URL leads in the end; every host on the way is checked before it is asked."""
    import httpx

    with httpx.Client(timeout=TIMEOUT, trust_env=True, follow_redirects=False) as client:
        for _ in range(MAX_REDIRECTS):
            require_public(url, trusted)
            try:
                answer = client.head(url)
            except (httpx.HTTPError, httpx.InvalidURL):  # the store says what is wrong
                return url
            if not answer.is_redirect:
                return url
            url = urljoin(url, answer.headers["location"])
            if urlsplit(url).scheme not in WEB:
                break
    raise StorageError(f"{url} could not be read: it redirects too often, or elsewhere than to a web server")
