"""Sessions of browsers: begun by a sign-in, checked at each request, ended by time or sign-out.

The secret is in the browser's cookie only. It is random, so that a plain sha256 of it can be kept.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops_assets.errors import SessionEnded, StorageError
from mlops_assets.identity.tokens import sha256_of
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import BrowserSession, Registry
from mlops_assets.registry.store import now

# a session that was read is not read again for so long: one that another process has ended works
# until then
KEPT_SECONDS = 5.0
MAX_KEPT = 10_000
# the last use is recorded to a minute, so that most requests write nothing
TOUCH_AFTER = timedelta(minutes=1)
ENDED = "your session has ended"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A person who uses the hub with a browser.

    Attributes:
        principal: who acts.
        expires: when the session ends in any case.
        sha256: of its secret; None if a gateway states at each request who it is.
    """

    principal: Principal
    expires: datetime
    sha256: str | None = None


@dataclass(frozen=True)
class _Known:
    """A session as it was read, and when by the monotonic clock."""

    session: Session
    seen: datetime
    read: float


class BrowserSessions:
    """The sessions of one registry, for use in threads."""

    def __init__(self, registry: Registry, idle: timedelta, length: timedelta) -> None:
        """Keep sessions in a registry.

        Args:
            registry: of a principal who is an operator.
            idle: time without a request after which a session ends.
            length: time after which it ends in any case.
        """
        self._registry = registry
        self._idle = idle
        self._length = length
        self._known: dict[str, _Known] = {}
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def length(self) -> timedelta:
        """Time after which a session ends in any case."""
        return self._length

    def begin(self, principal: Principal) -> str:
        """Begin a session; return its secret, which no one else has had before.

        Raises:
            StorageError: the registry cannot be written.
        """
        secret = secrets.token_urlsafe(32)
        started = now()
        self._registry.add_browser_session(
            BrowserSession(
                sha256=sha256_of(secret),
                name=principal.name,
                roles=sorted(principal.roles),
                started=started,
                seen=started,
                expires=started + self._length,
            ),
            self._idle,
        )
        return secret

    def of_secret(self, secret: str) -> Session | None:
        """Return the session of a cookie's value, which counts as a use of it.

        Returns:
            The session; None if there is none, or it has ended.

        Raises:
            StorageError: the registry cannot be read.
        """
        try:
            return self._current(sha256_of(secret), used=True)
        except SessionEnded:
            return None

    def require(self, session: Session, used: bool = False) -> Session:
        """Return a session as it is now.

        Args:
            session: as a page was opened with it.
            used: a person is acting, so that the session is in use.

        Raises:
            SessionEnded: it has ended.
            StorageError: the registry cannot be read.
        """
        if session.sha256 is not None:
            return self._current(session.sha256, used)
        if session.expires <= now():
            raise SessionEnded(ENDED)
        return session

    def has_ended(self, session: Session) -> bool:
        """Return whether a session has ended, as far as this process knows; reads nothing."""
        if session.expires <= now():
            return True
        if session.sha256 is None:
            return False
        with self._lock:
            known = self._known.get(session.sha256)
            ended = session.sha256 in self._ended
        return ended or (known is not None and known.seen + self._idle <= now())

    def end(self, session: Session) -> None:
        """End a session, at once in this process.

        Raises:
            StorageError: the registry cannot be written.
        """
        if session.sha256 is not None:
            self._forget(session.sha256)
            self._registry.end_browser_session(session.sha256)
            self._forget(session.sha256)  # another thread may have read it in between

    def _current(self, sha256: str, used: bool) -> Session:
        known = self._recent(sha256) or self._read(sha256)
        moment = now()
        if known.session.expires <= moment or known.seen + self._idle <= moment:
            self._forget(sha256)
            raise SessionEnded(ENDED)
        if used and moment - known.seen > TOUCH_AFTER:
            try:
                self._registry.touch_browser_session(sha256, moment)
            except StorageError as error:
                # a registry that can only be read keeps nobody from reading
                log.warning("the use of a session was not recorded: %s", error)
            self._keep(sha256, _Known(known.session, moment, known.read))
        return known.session

    def _recent(self, sha256: str) -> _Known | None:
        with self._lock:
            if sha256 in self._ended:
                raise SessionEnded(ENDED)
            known = self._known.get(sha256)
        if known is None or time.monotonic() - known.read > KEPT_SECONDS:
            return None
        return known

    def _read(self, sha256: str) -> _Known:
        read = time.monotonic()
        row = self._registry.browser_session(sha256)
        if row is None:
            self._forget(sha256)
            raise SessionEnded(ENDED)
        principal = Principal(row.name, frozenset(Role(role) for role in row.roles))
        known = _Known(Session(principal, row.expires, sha256), row.seen, read)
        self._keep(sha256, known)
        return known

    def _keep(self, sha256: str, known: _Known) -> None:
        with self._lock:
            if sha256 not in self._ended:
                self._known[sha256] = known
            while len(self._known) > MAX_KEPT:
                self._known.pop(next(iter(self._known)))

    def _forget(self, sha256: str) -> None:
        with self._lock:
            # only those that were known: a made-up cookie takes no memory
            if self._known.pop(sha256, None) is not None:
                self._ended[sha256] = time.monotonic()
            while len(self._ended) > MAX_KEPT:
                self._ended.pop(next(iter(self._ended)))
