"""Reasons of decisions and promotions, which logs, cards, webhooks and Dagster show."""

from __future__ import annotations

from mlops_assets.errors import DecisionRefused

MAX_REASON = 2_000  # characters; each is kept in the chained log for ever


def check_reason(reason: str | None) -> None:
    """Check that a reason is a short, plain text.

    Raises:
        DecisionRefused: it is too long, or has control characters, which PostgreSQL or a terminal
            does not take as text.
    """
    if reason is None:
        return
    if len(reason) > MAX_REASON:
        raise DecisionRefused(
            f"the reason has {len(reason):,} characters, and {MAX_REASON:,} at most are kept; name"
            " a document that has the rest"
        )
    if not all(character.isprintable() or character in "\n\t" for character in reason):
        raise DecisionRefused("the reason has control characters; give it as plain text")
