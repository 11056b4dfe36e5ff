"""Small letters, as databases make them."""

from __future__ import annotations


def small(text: str) -> str:
    """Return a text in small letters, each of which takes the place of one."""
    return text.lower() if text.isascii() else "".join(letter.lower()[0] for letter in text)
