"""Scenes that were found, and the files of one that was read.

These travel between steps of a map as JSON. Nothing here reads files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, cast

# west, south, east, north in degrees (WGS 84); west > east across the antimeridian
Bounds: TypeAlias = tuple[float, float, float, float]


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

    def as_json(self) -> dict[str, object]:
        """Return the scene as JSON has it."""
        return {
            **asdict(self),
            "acquired": None if self.acquired is None else self.acquired.isoformat(),
            "bounds": None if self.bounds is None else list(self.bounds),
        }

    @classmethod
    def from_json(cls, document: dict[str, object]) -> FoundScene:
        """Return the scene that `as_json` wrote."""
        acquired, bounds = document["acquired"], document["bounds"]
        return cls(
            name=cast("str", document["name"]),
            href=cast("str", document["href"]),
            acquired=None if acquired is None else datetime.fromisoformat(cast("str", acquired)),
            bounds=None if bounds is None else cast("Bounds", tuple(cast("list[float]", bounds))),
            size=cast("int | None", document["size"]),
            item=cast("dict[str, object] | None", document["item"]),
        )


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

    def as_json(self) -> dict[str, object]:
        """Return the file as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, object]) -> SourceFile:
        """Return the file that `as_json` wrote."""
        return cls(
            asset=cast("str", document["asset"]),
            href=cast("str", document["href"]),
            sha256=cast("str", document["sha256"]),
            size=cast("int", document["size"]),
        )


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
