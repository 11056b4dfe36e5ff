"""What a check finds."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from mlops_assets.errors import MlopsError
from mlops_assets.text.secret_urls import redacted

WARNING = "warning: "  # before the detail of what is well enough to work with
# docs/security.md: the clocks of this process and of a token's issuer may differ by as much; S3
# refuses requests from 15 minutes on
MAX_SKEW_SECONDS = 30.0


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        what: that was checked.
        well: whether nothing must be fixed.
        detail: the state, and what to do unless all is well; without secrets.
    """

    what: str
    well: bool
    detail: str


def examined(what: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a check; if it cannot be done, why.

    Args:
        what: that is checked.
        check: the check.
    """
    try:
        return list(check())
    except MlopsError as error:
        return [Finding(what, False, redacted(str(error)))]


def clock(what: str, server: datetime, before: datetime, after: datetime) -> Finding:
    """Return whether the clock of a server agrees with this machine's.

    Args:
        what: that was checked.
        server: its time.
        before: time of this machine before the server was asked.
        after: the same after its answer.
    """
    off = max((before - server).total_seconds(), (server - after).total_seconds(), 0.0)
    if off <= MAX_SKEW_SECONDS:
        return Finding(what, True, "agrees with the server's")
    return Finding(
        what,
        False,
        f"differs from the server's by {off:,.0f} s, of which {MAX_SKEW_SECONDS:g} are tolerated:"
        " synchronise both with a time server (NTP); tokens and signed requests are refused else",
    )


def is_this_machine(url: str) -> bool:
    """Return whether a URL, or the name of a host, is of this machine."""
    host = (urlsplit(url).hostname or "") if "://" in url else url
    try:
        return host in ("", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # a folder of Unix sockets
        return host.startswith("/")
