"""Pushes that git servers have sent, so that none counts twice."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError as SqlIntegrityError

from mlops_assets.principals import Role
from mlops_assets.registry.schema import GitDelivery
from mlops_assets.registry.session import RegistrySession


class GitDeliveries(RegistrySession):
    """Pushes that git servers have sent, by the sha256 of the request; they are kept for good.

    What a server signs has no time with most of them, so that a request that somebody has recorded
    would be good for ever.
    """

    def add_git_delivery(self, row: GitDelivery) -> bool:
        """Record a push.

        Args:
            row: it.

        Returns:
            Whether it is new; False if the same request has come before.
        """
        known = select(GitDelivery.sha256).where(GitDelivery.sha256 == row.sha256)
        with self.reading(Role.SCIENTIST) as session:
            if session.scalar(known) is not None:
                return False
        try:
            with self.transaction("receive git push", Role.SCIENTIST) as session:
                session.add(row)
                session.flush()
        except SqlIntegrityError:  # another process has received the same at the same time
            return False
        return True

    def forget_git_delivery(self, sha256: str) -> None:
        """Forget a push that has started nothing, so that it may be sent again.

        Args:
            sha256: of the request.
        """
        with self.transaction("forget git push", Role.SCIENTIST) as session:
            row = session.get(GitDelivery, sha256)
            if row is not None:
                session.delete(row)

    def git_deliveries(self) -> list[GitDelivery]:
        """Return the pushes that have started something, the oldest first."""
        self.principal.require(Role.OPERATOR, "list git pushes")
        query = select(GitDelivery).order_by(GitDelivery.received, GitDelivery.sha256)
        with self.reading() as session:
            return list(session.scalars(query))
