"""Tokens of the HTTP API, by which principals are known.

Their secrets are made and checked in `identity`.
"""

from __future__ import annotations

from sqlalchemy import or_, select

from mlops_assets.errors import NotFound
from mlops_assets.principals import Role, check_principal_name
from mlops_assets.registry.schema import Token
from mlops_assets.registry.session import RegistrySession, now


class Tokens(RegistrySession):
    """Tokens of the HTTP API."""

    def add_token(self, row: Token) -> None:
        """Record a token.

        Args:
            row: the token, with the sha256 of its secret.

        Raises:
            Forbidden: the token would have a role that the principal does not have.
            NameRefused: the name cannot be used.
        """
        check_principal_name(row.name)
        for role in sorted(row.roles):
            self.principal.require(Role(role), f"create a token with the role {role}")
        with self.transaction("create token", Role.OPERATOR) as session:
            session.add(row)

    def token(self, token_id: str) -> Token | None:
        """Return a token.

        Args:
            token_id: its id.

        Returns:
            Its row; None if there is none.
        """
        with self.reading() as session:
            return session.get(Token, token_id)

    def tokens(self) -> list[Token]:
        """Return all tokens, oldest first."""
        self.principal.require(Role.OPERATOR, "list tokens")
        with self.reading() as session:
            return list(session.scalars(select(Token).order_by(Token.created)))

    def has_tokens(self) -> bool:
        """Return whether there is a token that is valid now."""
        valid = select(Token.id).where(Token.revoked.is_(None), Token.expires > now())
        with self.reading() as session:
            return session.scalar(valid.limit(1)) is not None

    def revoke_tokens(self, which: str) -> list[Token]:
        """Revoke the token of an id, or all tokens of a name.

        Args:
            which: id of a token, or name of a principal.

        Returns:
            The tokens that were valid until now.

        Raises:
            NotFound: there is no such token.
        """
        with self.transaction("revoke token", Role.OPERATOR) as session:
            found = list(
                session.scalars(select(Token).where(or_(Token.id == which, Token.name == which)))
            )
            if not found:
                raise NotFound(f"no token has the id or name {which!r}; see 'mlops token list'")
            revoked = [token for token in found if token.revoked is None]
            for token in revoked:
                token.revoked = now()
            return revoked
