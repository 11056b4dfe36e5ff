"""Targets of hrefs in STAC documents, by RFC 3986, and their paths below a landing.

No file is read.
"""

from __future__ import annotations

import os.path
import posixpath
from urllib.parse import SplitResult, unquote, urldefrag, urljoin, urlsplit

_STANDARD_PORTS = {"http": 80, "https": 443}


def resolve(document: str, href: str) -> str:
    """Return the URL that a href in the document at a URL refers to, without its fragment.

    It is resolved as in RFC 3986, 5.2; empty if the href is not a valid URL.
    """
    scheme, _, rest = document.partition("://")
    try:
        if urlsplit(href).scheme:
            return urldefrag(href).url
        # urllib joins only schemes that it has listed as relative, and s3 is not among them
        joined = urljoin(f"http://{rest}", href)
        return urldefrag(f"{scheme}{joined.removeprefix('http')}").url
    except ValueError:
        return ""


def path_below(url: str, landing: str) -> str | None:
    """Return the path of a URL below the URL of a landing, None if it is not below it.

    Dots and slashes may be percent-encoded: a server or file system may decode them.
    """
    own = urlsplit(url)
    base = urlsplit(landing)
    if _origin(own) != _origin(base):
        return None
    path = _path(own)
    root = _path(base)
    roots = {root, os.path.realpath(root)} if base.scheme == "file" else {root}
    found = [
        path[len(folder) :]
        for folder in (f"{root.rstrip('/')}/" for root in roots)
        if path.startswith(folder)
    ]
    return next((name for name in found if name), None)


def same_origin(first: str, second: str) -> bool:
    """Return whether two URLs are of one server, one bucket, or this machine."""
    try:
        return _origin(urlsplit(first)) == _origin(urlsplit(second))
    except ValueError:
        return False


def _path(parts: SplitResult) -> str:
    return posixpath.normpath(f"/{unquote(parts.path).removeprefix('/')}")


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    """Return scheme, host and port; `localhost` is this machine, as no host is."""
    try:
        port = parts.port
    except ValueError:  # no number
        return "", parts.netloc, None
    host = parts.hostname or ""
    if parts.scheme == "file" and host == "localhost":
        host = ""
    return parts.scheme, host, port or _STANDARD_PORTS.get(parts.scheme)
