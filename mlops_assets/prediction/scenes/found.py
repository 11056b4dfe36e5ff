"""Scenes that were found, and the files of one that was read.

These travel between steps of a map as JSON. Nothing here reads files.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

# west, south, east, north in degrees (WGS 84); west > east across the antimeridian
Bounds: TypeAlias = tuple[float, float, float, float]
_UNDATED = datetime.max.replace(tzinfo=UTC)  # after all others


@dataclass(frozen=True)
class FoundScene:
    """A scene that was listed, not read.

    Attributes:
        name: id of the Item, or the file's name without its ending and with a digest of its URL;
            unique among the scenes that were found together, and fit for a path.
        href: URL of the file, or of the Item.
        acquired: time of acquisition, UTC; None if it is unknown.
        bounds: of the scene; None if they are unknown.
        size: bytes of the file, if known.
        item: the STAC Item with absolute URLs of its assets; None for a file without one.
    """

    name: str
    href: str
    acquired: datetime | None = None
    bounds: Bounds | None = None
    size: int | None = None
    item: dict[str, object] | None = None

    @property
    def order(self) -> tuple[datetime, str, str]:
        """What scenes are sorted by: time of acquisition, name, URL; those of unknown time last."""
        return self.acquired or _UNDATED, self.name, self.href


@dataclass(frozen=True)
class SourceFile:
    """A file of a scene that was read.

    Attributes:
        asset: its key in the Item; empty for a file without an Item.
        href: its URL.
        sha256: of its bytes, hexadecimal.
        size: in bytes.
    """

    asset: str
    href: str
    sha256: str
    size: int


@dataclass(frozen=True)
class LocalScene:
    """A scene whose bytes are here.

    Attributes:
        found: the scene as it was listed.
        raster: `open_raster` opens it as one raster with all bands that are needed on one grid;
            masks are its dataset mask.
        files: all files that were read for it.
        notes: remarks for people.
    """

    found: FoundScene
    raster: Path
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()
