"""A snapshot of a landing: its files as listed, their local copies, and facts of known files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mlops_assets.datasets.io.git_lfs import MAX_BYTES, MIN_BYTES, is_pointer_file
from mlops_assets.datasets.io.named_files import beside, link_to
from mlops_assets.datasets.io.raster_formats import is_vrt, vrt_sources
from mlops_assets.datasets.sources.base import (
    LandedFile,
    Landing,
    Scene,
    below,
    printable,
    together,
)
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.sources.stored_objects import StoredObjects
from mlops_assets.datasets.versions.contents import file_rows
from mlops_assets.errors import StorageError
from mlops_assets.progress import step
from mlops_assets.storage import Workspace


@dataclass(frozen=True)
class Landed:
    """The files in a landing at the moment of committing.

    Attributes:
        workspace: where known bytes are.
        landing: where the files arrived.
        files: all files, sorted by path.
        staging: local folder for copies of remote files.
        scenes: images that belong together, where the landing itself describes them (STAC).
        known: objects of the files whose bytes are in the workspace already.
        facts: manifest rows of known files in the newest version, indexed by path; such files are
            not read again.
        read_again: known files that were read from the landing all the same.
    """

    workspace: Workspace
    landing: Landing
    files: Listing
    staging: Path
    scenes: Sequence[Scene] = ()
    known: StoredObjects = field(default_factory=StoredObjects)
    facts: pd.DataFrame = field(default_factory=lambda: file_rows([]).set_index("path"))
    read_again: set[str] = field(default_factory=set)

    @property
    def by_path(self) -> Mapping[str, LandedFile]:
        """The files by their paths."""
        return self.files.by_path

    def fetch_all(self, files: Sequence[LandedFile]) -> None:
        """Fetch remote files concurrently, and report all failures together.

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

        Only files of the size of a pointer are opened.

        Raises:
            StorageError: some cannot be read; each is named.
        """
        small = [
            self.files[index]
            for index, size in enumerate(self.files.sizes)
            if MIN_BYTES <= size < MAX_BYTES and index not in self.known
        ]
        self.fetch_all(small)
        return [file.path for file in small if is_pointer_file(self.local(file))]

    def known_position(self, path: str) -> int | None:
        """Return the position of a file whose bytes are in the workspace already, else None."""
        if not self.known.count:
            return None
        position = self.files.position(path)
        return position if position is not None and position in self.known else None

    def known_sha256(self, path: str) -> str | None:
        """Return the checksum of a file whose bytes are in the workspace already, else None."""
        position = self.known_position(path)
        return None if position is None else self.known.sha256(position)

    def local(self, file: LandedFile) -> Path:
        """Return a local path with the bytes of a file, fetching a remote one once.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        sha256 = self.known_sha256(file.path)
        if sha256 is not None and not (self.landing.copies and file.href is None):
            self.read_again.add(file.path)
            sha256 = None
        if not self.landing.copies:
            return self.landing.fetch(file, self.staging)
        staged = below(self.staging, file.path)
        if staged.is_file():
            return staged
        position = self.known_position(file.path)
        if position is None or sha256 is None:
            return self.landing.fetch(file, self.staging)
        place = self.known.place(position)
        link_to(staged, self.workspace.local_object(sha256, file.size, place))
        return staged

    def content(self, file: LandedFile) -> bytes:
        """Return the bytes of a file, which is held in memory.

        Raises:
            StorageError: it cannot be read, or has another size by now.
        """
        local = self.local(file)
        try:
            with local.open("rb", buffering=0) as stream:
                content = stream.read(file.size + 1)
        except OSError as error:
            raise StorageError(
                f"{local} could not be read: {error.strerror}; land it again, and wait until the"
                " landing is settled"
            ) from error
        if len(content) != file.size:
            raise StorageError(
                f"{local} changed while it was being stored; wait until it is settled and try again"
            )
        return content

    def raster(self, path: str) -> Path:
        """Return a local path of a raster, with all files beside it that may belong to it.

        GDAL searches for them there.

        Raises:
            StorageError: one of them cannot be read, or has changed since it was listed.
            ValueError: it is a VRT, and names a file that is not in the landing, or is not valid.
        """
        local = self._with_sidecars(path)
        if not is_vrt(local):
            return local
        waiting = [(path, local)]
        met = {path}
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
                    waiting.append((source, self._with_sidecars(source)))
        return local

    def _with_sidecars(self, path: str) -> Path:
        if self.landing.copies:
            for other in beside(path, self.files.paths):
                self.local(self.by_path[other])
        return self.local(self.by_path[path])

    def sidecars(self, path: str, opened: Sequence[str]) -> list[str]:
        """Return the landed paths of the sidecars that a raster needs.

        Args:
            path: landed path of the raster.
            opened: local paths of the files that GDAL reads for it, its own first.

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


def _beside(path: str, local: Path, other: str) -> str:
    """Return the landed path of a local file, by its path relative to another one."""
    return posixpath.normpath(
        posixpath.join(posixpath.dirname(path), os.path.relpath(other, local.parent))
    )


def _not_whole(file: str) -> str:
    return (
        f"needs {printable(Path(file).name)}, which is not among the landed files, so that the"
        " version would be incomplete; land it, not hidden, or land the raster as one file"
    )
