"""The options of every benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Options of one call.

    Attributes:
        folder: empty folder to work in; its content is removed at the end.
        rounds: how often sides that are compared are measured, in turns; medians are printed.
        all: the long way: everything at full size.
    """

    folder: Path
    rounds: int
    all: bool
