"""The place of a model version in a server: what is loaded there, or why nothing is."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mlops_assets.errors import ModelUnavailable
from mlops_assets.names import Reference
from mlops_assets.serving.sessions.interface import ModelStatus
from mlops_assets.serving.sessions.runner import ServedSession
from mlops_assets.serving.sessions.targets import Target

# after a failure, before the same file is read again; doubled each time
FIRST_PAUSE = 2.0
MAX_PAUSE = 300.0


@dataclass
class Slot:
    """The place of what one reference names. Its attributes are replaced, never changed.

    Attributes:
        reference: `MODEL@ALIAS` or `MODEL@VERSION`.
        session: that is loaded; None if none is.
        reason: why none is, or why a newer version is not; None if all is well.
        wanted: version that the reference names; None if it names none.
    """

    reference: Reference
    session: ServedSession | None = None
    reason: str | None = None
    wanted: str | None = None
    _loaded: tuple[str, str | None] | None = None
    _failed: tuple[str, str | None] | None = None
    _pause: float = 0.0
    _retry_at: float = 0.0

    def needs(self, target: Target) -> bool:
        """Return whether a target is to be loaded now: not if it is, or has failed just before."""
        if target.key == self._loaded:
            return self.reason is not None  # the reference is back where it was
        return target.key != self._failed or time.monotonic() >= self._retry_at

    def swap(self, target: Target, session: ServedSession) -> None:
        """Serve another session."""
        self.session, self.reason = session, None
        self.wanted, self._loaded = target.row.version, target.key
        self.retry()

    def fail(self, target: Target, reason: str) -> None:
        """Keep what is served, and state why its successor is not.

        Args:
            target: that cannot be loaded.
            reason: as of `failure`.
        """
        self._pause = min(2 * self._pause, MAX_PAUSE) if target.key == self._failed else FIRST_PAUSE
        self._failed, self._retry_at = target.key, time.monotonic() + self._pause
        self.wanted, self.reason = target.row.version, reason

    def failure(self, target: Target, error: Exception) -> str:
        """Return why a target is not loaded, for people."""
        return f"{self.reference}: {target.row.version} is not loaded: {error}"

    def clear(self, reason: str) -> None:
        """Serve nothing.

        Args:
            reason: as the end of a sentence about the reference.
        """
        self.session, self.reason, self._loaded = None, f"{self.reference} {reason}", None
        self.retry()

    def retry(self) -> None:
        """Forget earlier failures."""
        self._failed, self._pause = None, 0.0

    def require(self) -> ServedSession:
        """Return what is loaded.

        Raises:
            ModelUnavailable: nothing is.
        """
        session = self.session
        if session is None:
            raise ModelUnavailable(self.reason or f"{self.reference} is not loaded yet")
        return session

    def status(self) -> ModelStatus:
        """Return its state."""
        session, reason = self.session, self.reason
        return ModelStatus(
            name=self.reference.name,
            version=None if session is None else session.served.version,
            ready=session is not None,
            reason=reason,
        )
