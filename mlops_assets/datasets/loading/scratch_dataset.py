"""A data version whose files are fetched whenever they are read, as it has no lasting local copies.

Files wait in a temporary folder of bounded size; those that were read longest ago make room. Which
samples are read, and when, is decided in `streamed`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.named_files import is_self_contained
from mlops_assets.datasets.io.npy import npy_from
from mlops_assets.datasets.recall.objects import StoredBytes, StoredFile
from mlops_assets.datasets.sources.base import below
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.storage.scratch import scratch_folder, write_scratch

# of files that wait to be read again; those of one sample or scene may exceed it
FOLDER_BYTES = 4 << 30


class ScratchDataset(CommittedDataset):
    """A data version whose files are in a temporary folder, under their own names, while in use."""

    _lock: threading.Lock
    # files that threads hold: their bytes, or where those are
    _held: dict[str, bytes | Path]
    # files in the folder; those that were read longest ago come first
    _kept: OrderedDict[str, None]
    # files that were asked for since the fetching began
    _used: set[str]

    def __init__(self, committed: CommittedDataset) -> None:
        """Open the same data version."""
        super().__init__(*(getattr(committed, field.name) for field in fields(committed)))
        # as attributes of a frozen class
        vars(self).update(_lock=threading.Lock(), _held={}, _kept=OrderedDict(), _used=set())

    @cached_property
    def stored(self) -> StoredBytes:
        """The bytes of its files."""
        return StoredBytes(self.workspace)

    @property
    def files(self) -> Mapping[str, StoredFile]:
        """Its files by path below the landing."""
        return self._files

    @cached_property
    def _folder(self) -> Path:
        stack = ExitStack()
        folder = stack.enter_context(scratch_folder("reading", self.workspace.cache))
        finalize(self, stack.close)
        return folder

    def arrives_whole(self, path: str) -> bool:
        """Return whether a file can be read from its bytes alone: it has a sample, no sidecars."""
        return (
            self.layout == "image_folder" and is_self_contained(path) and path not in self._together
        )

    @contextmanager
    def holding(self, path: str, content: bytes) -> Iterator[None]:
        """Read a file from these bytes meanwhile. Several threads may hold files, each one.

        Args:
            path: of the file below the landing.
            content: its bytes, compared with its checksum already.
        """
        local = None
        if path.lower().endswith(".npy"):
            self._held[path] = content
        else:
            # GDAL looks for sidecars beside a file, where there must be none of another
            folder = self._folder / str(threading.get_ident())
            folder.mkdir(exist_ok=True)
            local = folder / PurePosixPath(path).name
            write_scratch(local, [content])
            self._held[path] = local
        try:
            yield
        finally:
            del self._held[path]
            if local is not None:
                local.unlink()

    @contextmanager
    def fetching(self, paths: Iterable[str] = ()) -> Iterator[None]:
        """Fetch files that are asked for meanwhile; of those before, some may be removed then.

        One thread does so at a time.

        Args:
            paths: images that are known to be asked for, small ones: they and their sidecars are
                fetched at once, by many requests.
        """
        with self._lock:
            self._used.clear()
            names = {name for path in paths for name in (path, *self._together.get(path, []))}
            missing = (self.files[name] for name in sorted(names.difference(self._kept)))
            for file, content in self.stored.read_many(missing):
                self._keep(file.path, [content])
            yield
            kept = sum(self.files[path].size for path in self._kept)
            for path in [path for path in self._kept if path not in self._used]:
                if kept <= FOLDER_BYTES:
                    return
                self._place(path).unlink()
                kept -= self.files[path].size
                del self._kept[path]

    def local_path(self, path: str) -> Path:
        """Return the path of a file; see `CommittedDataset.local_path`."""
        held = self._held.get(path)
        if isinstance(held, Path):
            return held
        if path not in self._kept:
            for _, chunks in self.stored.read([self.files[path]]):
                self._keep(path, chunks)
        self._kept.move_to_end(path)
        self._used.add(path)
        return self._place(path)

    def _keep(self, path: str, chunks: Iterable[bytes]) -> None:
        local = self._place(path)
        local.parent.mkdir(parents=True, exist_ok=True)
        write_scratch(local, chunks)
        self._kept[path] = None

    def _place(self, path: str) -> Path:
        return below(self._folder / "files", path)

    def raster_path(self, path: str) -> Path:
        """Return the path of a raster, beside its sidecars; see `CommittedDataset.raster_path`."""
        for other in self._together.get(path, []):
            self.local_path(other)
        return self.local_path(path)

    def npy(self, path: str) -> NDArray[np.number]:
        """Open an image that is an NPY file; see `CommittedDataset.npy`."""
        held = self._held.get(path)
        return npy_from(held) if isinstance(held, bytes) else super().npy(path)
