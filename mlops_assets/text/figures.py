"""Text of others in figures, drawn as it is.

Matplotlib reads what stands between two `$` as a formula.
"""

from __future__ import annotations

from mlops_assets.text.printable import printable


def drawn(text: str) -> str:
    """Return text that Matplotlib draws as it is."""
    return printable(text).replace("$", r"\$")
