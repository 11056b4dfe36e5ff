"""Text of others in figures, drawn literally.

Matplotlib reads text between two `$` as a formula.
"""

from __future__ import annotations

from mlops_assets.text.printable import printable


def drawn(text: str) -> str:
    """Return text that Matplotlib draws literally."""
    return printable(text).replace("$", r"\$")
