"""Assets outside of a landing, at URLs of external Items: which hosts and buckets are allowed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops_assets.errors import StorageError
from mlops_assets.settings import trusted_sources
from mlops_assets.storage.stores import WEB, open_object_store
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.object_store import ReadableStore
    from mlops_assets.datasets.sources.public_web import PublicWeb

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def store_outside(url: str) -> tuple[ReadableStore, str]:
    """Return the store and the key of an asset at an untrusted URL.

    A web server, and every server it redirects to, must have a public address; a bucket is read
    without credentials. Neither holds for the trusted sources of the settings.

    Args:
        url: http, https, s3, az or gs.

    Raises:
        StorageError: the URL leads to a host of this network, or cannot be opened.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise StorageError(
            f"{url} could not be read: it is not a valid URL ({error}); check the href"
        ) from error
    if "@" in parts.netloc:
        raise StorageError(
            f"{redacted(url)} could not be read: it has a user or password in it; give a plain URL"
        )
    base = f"{parts.scheme}://{parts.netloc}"
    key = unquote(parts.path).lstrip("/")
    if parts.scheme in WEB:
        web = _web(base)
        web.follow(key)
        return web, key
    if not host or not _BUCKET.fullmatch(parts.netloc):
        raise StorageError(
            f"{url} could not be read: {parts.netloc!r} cannot be a bucket; check the href"
        )
    return _bucket(base, base not in trusted_sources()), key


@lru_cache(maxsize=64)
def _web(base: str) -> PublicWeb:
    from mlops_assets.datasets.sources.public_web import PublicWeb  # takes a tenth of a second

    return PublicWeb(base)


@lru_cache(maxsize=64)
def _bucket(base: str, anonymous: bool) -> ReadableStore:
    store: ReadableStore = open_object_store(base, anonymous)
    return store
