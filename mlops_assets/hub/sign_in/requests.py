"""The kinds of requests to the hub, and whether a browser sends one for a page of the hub itself.

A cookie, a gateway and the address of this machine are credentials that a browser adds to whatever
any page on the web requests. They count only where the request is one of our own pages; see
https://web.dev/articles/fetch-metadata and RFC 6265bis, 8.8.2.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import urlsplit

import nicegui
from starlette.datastructures import Headers

from mlops_assets.discovery.app import PREFIX as STAC
from mlops_assets.hub.orchestration.links import PREFIX as DAGSTER
from mlops_assets.identity.declaration import is_loopback

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SIGN_IN, SIGNED_IN, SIGN_OUT, ATTACH = "/sign-in", "/signed-in", "/sign-out", "/session/attach"
API = "/api"
GIT_WEBHOOKS = f"{API}/v1/git-webhooks"
LIVE, READY, METRICS = "/health/live", "/health/ready", "/metrics"
_OPEN = (f"/_nicegui/{nicegui.__version__}", "/favicon.ico")
# of proxies; an open hub has none before it
_FORWARDED = frozenset({"forwarded", "via", "x-real-ip"})
# content types that a form on any page can send; see the Fetch standard, 2.2.2
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")


class Area(Enum):
    """A part of the hub, by who gets in."""

    PROBES = "whether the hub works, which a kubelet asks under the address of a pod"
    OPEN = "scripts and styles, which are the same for all"
    SIGN_IN = "pages for signing in and out"
    STAC = "records, of which anybody sees those that are published"
    PROGRAMS = "routes that programs call with tokens, and pages with sessions"
    GIT_WEBHOOKS = "routes that git servers call, which check themselves who calls"
    DAGSTER = "the pages of Dagster and what they request"
    PAGES = "pages for people, and their socket"


def area_of(path: str, method: str) -> Area:
    """Return the part of the hub that a request is for."""
    if _below(path, STAC):
        return Area.STAC
    if path in (LIVE, READY) and method in ("GET", "HEAD"):
        return Area.PROBES
    if method == "POST" and path.startswith(f"{GIT_WEBHOOKS}/"):
        return Area.GIT_WEBHOOKS
    if _below(path, API) or path == METRICS:
        return Area.PROGRAMS
    if _below(path, DAGSTER):
        return Area.DAGSTER
    if path in (SIGN_IN, SIGNED_IN, SIGN_OUT, ATTACH):
        return Area.SIGN_IN
    if method in ("GET", "HEAD") and any(_below(path, each) for each in _OPEN):
        return Area.OPEN
    return Area.PAGES


def is_own(headers: Headers, method: str, origin: str) -> bool:
    """Return whether a page of the hub, or its user, has made a request, if a browser did.

    Args:
        headers: of the request.
        method: of the request.
        origin: of the hub, as browsers have it.
    """
    sent = headers.get("origin")
    if sent is not None:
        return sent == origin
    site = headers.get("sec-fetch-site")
    if site in (None, "same-origin", "none"):
        return True
    # somebody follows a link to the hub
    return (
        method in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def names_own(headers: Headers) -> bool:
    """Return whether a browser has stated of which site's page a request is."""
    return "origin" in headers or "sec-fetch-site" in headers


def is_form(headers: Headers) -> bool:
    """Return whether a request has a body that a form on any page could have sent."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return has_body and (not kind or kind in _FORMS)


def open_origin(headers: Headers) -> str | None:
    """Return the origin of a hub that is open to this machine.

    Another name than this machine's is that of a web page whose name has come to mean this machine
    (DNS rebinding), or of a proxy.

    Returns:
        The origin, as the header `Host` has it; None if the request comes from elsewhere.
    """
    hosts = headers.getlist("host")
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None or not is_loopback(found[1].strip("[]").lower()):
        return None
    if any(name in _FORWARDED or name.startswith("x-forwarded-") for name in headers):
        return None
    return f"http://{hosts[0].lower()}"


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers have it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def return_path(text: str | None) -> str:
    """Return the page that a browser goes to once its user has signed in.

    Args:
        text: as a link has it.

    Returns:
        A path on the hub; `/` for anything that could lead elsewhere.
    """
    if (
        not text
        or len(text) > 2_000
        or not text.startswith("/")
        or text.startswith("//")
        or "\\" in text
        or not text.isprintable()
        or not text.isascii()
        or text.partition("?")[0] in (SIGN_IN, SIGNED_IN, SIGN_OUT)
    ):
        return "/"
    return text


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
