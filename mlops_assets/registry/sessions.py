"""Sessions of browsers, and the sign-ins that begin them.

Secrets are made and checked in the hub; only their sha256 is here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update

from mlops_assets.errors import Conflict
from mlops_assets.principals import Role, check_principal_name
from mlops_assets.registry.schema import BrowserSession, SignIn
from mlops_assets.registry.session import RegistrySession, now

# begun at once by anybody; each is a row for ten minutes
MAX_SIGN_INS = 10_000


class Sessions(RegistrySession):
    """Sessions of people who have signed in with their browser.

    Only the server itself, as an operator, reads and changes them.
    """

    def add_sign_in(self, row: SignIn) -> None:
        """Record a sign-in that a browser begins; those that have expired are forgotten.

        Args:
            row: the sign-in, with the sha256 of its secrets.

        Raises:
            Conflict: too many are under way.
        """
        with self.transaction("begin sign-in", Role.OPERATOR) as session:
            session.execute(delete(SignIn).where(SignIn.expires <= now()))
            if (session.scalar(select(func.count()).select_from(SignIn)) or 0) >= MAX_SIGN_INS:
                raise Conflict("too many people are signing in at present; try again in a minute")
            session.add(row)

    def take_sign_in(self, state: str) -> SignIn | None:
        """Return a sign-in and forget it, so that no other request can complete it.

        Args:
            state: sha256 of the value that the issuer sends back.

        Returns:
            Its row; None if there is none, or it has expired.
        """
        taken = delete(SignIn).where(SignIn.state == state).returning(SignIn)
        with self.transaction("complete sign-in", Role.OPERATOR) as session:
            found = session.scalar(taken)
            if found is not None:
                session.expunge(found)
        return found if found is not None and found.expires > now() else None

    def add_browser_session(self, row: BrowserSession, idle: timedelta) -> None:
        """Record a session; those that have ended are forgotten.

        Args:
            row: the session, with the sha256 of its secret.
            idle: time without a request after which sessions end.

        Raises:
            NameRefused: the name cannot be used.
        """
        check_principal_name(row.name)
        ended = or_(BrowserSession.expires <= now(), BrowserSession.seen <= now() - idle)
        with self.transaction("begin session", Role.OPERATOR) as session:
            session.execute(delete(BrowserSession).where(ended))
            session.add(row)

    def browser_session(self, sha256: str) -> BrowserSession | None:
        """Return a session.

        Args:
            sha256: of its secret.

        Returns:
            Its row, which may have expired; None if there is none.
        """
        self.principal.require(Role.OPERATOR, "read sessions")
        with self.reading() as session:
            return session.get(BrowserSession, sha256)

    def touch_browser_session(self, sha256: str, seen: datetime) -> None:
        """Record when a session was last used; one that has ended stays so.

        Args:
            sha256: of its secret.
            seen: time of its last request.
        """
        later = update(BrowserSession).where(
            BrowserSession.sha256 == sha256, BrowserSession.seen < seen
        )
        with self.transaction("use session", Role.OPERATOR) as session:
            session.execute(later.values(seen=seen))

    def end_browser_session(self, sha256: str) -> None:
        """End a session.

        Args:
            sha256: of its secret.
        """
        with self.transaction("end session", Role.OPERATOR) as session:
            session.execute(delete(BrowserSession).where(BrowserSession.sha256 == sha256))
