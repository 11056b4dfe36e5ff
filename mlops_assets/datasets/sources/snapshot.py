"""A landing as a layout reads it.

It has files, a local copy of each, and what is known of them from before.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from mlops_assets.datasets.io.git_lfs import MAX_BYTES, MIN_BYTES, is_pointer_file
from mlops_assets.datasets.io.named_files import beside, by_stem, link_to
from mlops_assets.datasets.io.raster_formats import is_vrt, vrt_sources
from mlops_assets.datasets.sources.base import (
    LandedFile,
    Landing,
    Scene,
    below,
    printable,
    together,
)
from mlops_assets.datasets.versions.contents import file_rows
from mlops_assets.paths import object_key
from mlops_assets.progress import step
from mlops_assets.storage import Workspace


@dataclass(frozen=True)
class Landed:
    """The files in a landing at the moment of committing.

    Attributes:
        files: all files, sorted by path.
        scenes: what belongs together, where the landing itself knows it (STAC).
        known: checksum of each file whose bytes are in the workspace already, by path.
        facts: the manifest rows that the newest version has for those bytes, indexed by path: such
            files are read no more.
        read_again: known files that were read from the landing all the same.
    """

    workspace: Workspace
    landing: Landing
    files: Sequence[LandedFile]
    staging: Path
    scenes: Sequence[Scene] = ()
    known: dict[str, str] = field(default_factory=dict)
    facts: pd.DataFrame = field(default_factory=lambda: file_rows([]).set_index("path"))
    read_again: set[str] = field(default_factory=set)

    @cached_property
    def by_path(self) -> dict[str, LandedFile]:
        """The files by their paths."""
        return {file.path: file for file in self.files}

    def fetch_all(self, files: Sequence[LandedFile]) -> None:
        """Fetch remote files, many at once, so that all that cannot be read are reported together.

        Raises:
            StorageError: some cannot be read; each is named.
        """
        if not self.landing.copies:
            return
        with step("fetching", len(files), "files", sum(file.size for file in files)) as done:

            def fetch(file: LandedFile) -> None:
                self.local(file)
                done.advance(size=file.size)

            together(fetch, files)

    def pointers(self) -> list[str]:
        """Return the paths of new files that are Git LFS pointers.

        Only files as small as these are opened.

        Raises:
            StorageError: some cannot be read; each is named.
        """
        small = [
            f for f in self.files if MIN_BYTES <= f.size < MAX_BYTES and f.path not in self.known
        ]
        self.fetch_all(small)
        return [file.path for file in small if is_pointer_file(self.local(file))]

    def local(self, file: LandedFile) -> Path:
        """Return a local path with the bytes of a file, fetching a remote one once.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        sha256 = self.known.get(file.path)
        if sha256 is not None and not (self.landing.copies and file.href is None):
            self.read_again.add(file.path)
            sha256 = None
        if not self.landing.copies:
            return self.landing.fetch(file, self.staging)
        staged = below(self.staging, file.path)
        if staged.is_file():
            return staged
        if sha256 is None:
            return self.landing.fetch(file, self.staging)
        link_to(staged, self.workspace.local_path(object_key(sha256), sha256))
        return staged

    def raster(self, path: str) -> Path:
        """Return a local path of a raster, with all files beside it that may belong to it.

        GDAL looks for them there.

        Raises:
            StorageError: one of them cannot be read, or has changed since it was listed.
            ValueError: it is a VRT, and names a file that is not in the landing, or is not valid.
        """
        local = self._with_what_lies_beside(path)
        waiting, met = [(path, local)], {path}
        while waiting:
            own, document = waiting.pop()
            for name in vrt_sources(document) if is_vrt(document) else ():
                # the name may be absolute
                source = _beside(
                    own,
                    document,
                    os.path.join(document.parent, name),  # noqa: PTH118
                )
                if source not in self.by_path:
                    raise ValueError(_not_whole(source))
                if source not in met:
                    met.add(source)
                    waiting.append((source, self._with_what_lies_beside(source)))
        return local

    def _with_what_lies_beside(self, path: str) -> Path:
        if self.landing.copies:
            for other in beside(path, self.by_stem):
                self.local(self.by_path[other])
        return self.local(self.by_path[path])

    def sidecars(self, path: str, opened: Sequence[str]) -> list[str]:
        """Return the landed paths of the files besides its own that a raster needs.

        Args:
            path: the landed path of the raster.
            opened: the files that GDAL names for it, its own first.

        Raises:
            ValueError: one of them is not in the landing.
        """
        found = []
        for other in opened[1:]:
            target = _beside(path, Path(opened[0]), other)
            if other.startswith("/vsi") or target not in self.by_path:
                raise ValueError(_not_whole(other))
            found.append(target)
        return [target for target in dict.fromkeys(found) if target != path]

    @cached_property
    def by_stem(self) -> Mapping[str, Sequence[str]]:
        """The paths of the files that begin alike."""
        return by_stem(self.by_path)


def _beside(path: str, local: Path, other: str) -> str:
    """Return the landed path of a local file, as it lies to another one."""
    return posixpath.normpath(
        posixpath.join(posixpath.dirname(path), os.path.relpath(other, local.parent))
    )


def _not_whole(file: str) -> str:
    return (
        f"needs {printable(Path(file).name)}, which is not among the landed files, so that the"
        " version would not be whole; land it, not hidden, or land the raster as one file"
    )
