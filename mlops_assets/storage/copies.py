"""Local copies of what a workspace holds, in its cache.

Nothing here knows where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_assets.storage.checksums import sha256_of
from mlops_assets.storage.scratch import scratch_folder


class Copies:
    """Copies under the checksums of their bytes; each is hashed once by a process.

    Threads and processes may ask for one at the same time: it appears whole.
    """

    def __init__(self, cache: Path) -> None:
        """Keep copies below `objects/` of this folder."""
        self._cache = cache
        self._checked: set[Path] = set()

    def checked(self, sha256: str, write: Callable[[Path], object]) -> Path:
        """Return the path of a copy; one that is missing or has changed is written again.

        Args:
            sha256: checksum of the bytes, as 64 hexadecimal digits.
            write: called with a path, writes these bytes there or raises.
        """
        kept = self._cache / "objects" / sha256[:2] / sha256[2:]
        if kept.is_file() and (kept in self._checked or sha256_of(kept) == sha256):
            self._checked.add(kept)
            return kept
        self._write(kept, write)
        self._checked.add(kept)
        return kept

    def unchecked(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return the path of a copy of bytes whose checksum is not known; it is written again.

        Args:
            name: path of the copy among such.
            write: called with a path, writes the bytes there or raises.
        """
        kept = self._cache / "objects" / "unverified" / name
        self._write(kept, write)
        return kept

    def _write(self, kept: Path, write: Callable[[Path], object]) -> None:
        with scratch_folder("fetching", self._cache) as folder:
            write(folder / "content")
            kept.parent.mkdir(parents=True, exist_ok=True)
            (folder / "content").replace(kept)
