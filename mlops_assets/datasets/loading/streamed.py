"""A split that is read from its files whenever samples are asked for, without the decoded cache.

It is for data that the disk of this machine does not hold. Every byte is compared with its
checksum. Files are fetched many at once; where they are meanwhile is in `scratch_dataset`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Generic, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.io.ahead import in_order
from mlops_assets.datasets.io.rasters import numpy_type
from mlops_assets.datasets.loading.order import Runs
from mlops_assets.datasets.loading.scratch_dataset import FOLDER_BYTES, ScratchDataset
from mlops_assets.datasets.readers import View
from mlops_assets.datasets.recall.objects import StoredFile, grouped
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.decoded_cache import (
    LABELS,
    SAMPLES,
    SHOWN,
    chunks,
    is_decoded,
    label_type,
    read_array,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.settings import streams_data

# of decoded samples, read at once where neighbours are spread over them; two such blocks are held
# while a split is iterated
BLOCK_BYTES = 256 << 20
# of images in an order in which a block needs no more requests than its parts
PART_BYTES = 16 << 20
PARTS = 4
# of neighbouring files in a shuffled split, which then are a few requests
RUN_BYTES = 1 << 20
Scalar = TypeVar("Scalar", bound=np.generic)
Arrays = Mapping[str, NDArray[np.generic]]


def is_streamed(
    committed: CommittedDataset, split: SplitName, view: View, shape: tuple[int, ...]
) -> bool:
    """Return whether a split is read from its files: by the setting, unless it is in the cache."""
    return streams_data() and not is_decoded(committed, split, view, shape)


class StreamedSplit:
    """The samples of one split, in the files of a data version."""

    def __init__(
        self, dataset: ScratchDataset, split: SplitName, view: View, shape: tuple[int, ...]
    ) -> None:
        """Open a split; nothing is read yet.

        Args:
            dataset: the data version; its splits share it.
            split: which samples.
            view: how a sample is shaped.
            shape: the shape of one sample, with all features or bands.
        """
        self._dataset = dataset
        self._table = dataset.split(split).reset_index(drop=True)
        self._places = self._table[["row", "column"]].to_numpy(dtype=np.int64)
        self._view = view
        self._shapes = {SAMPLES: shape, SHOWN: shape, LABELS: shape[1:]}

    def __len__(self) -> int:
        return len(self._table)

    def samples(self) -> StreamedArray[np.generic]:
        """All samples, in the data's own type: (n, *sample shape)."""
        return StreamedArray(self, SAMPLES)

    def labels(self) -> StreamedArray[np.integer]:
        """Class indices of windows: (n, size, size), with -1 where unknown."""
        return StreamedArray(self, LABELS)

    def shown(self) -> StreamedArray[np.bool_] | None:
        """Values that alpha and masks leave: as `samples`. None without alpha and masks."""
        return StreamedArray(self, SHOWN) if self._dataset.masked else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array of all samples."""
        return (len(self), *self._shapes[name])

    def dtype(self, name: str) -> np.dtype[np.generic]:
        """Return the type of an array."""
        if name == SHOWN:
            return np.dtype(bool)
        if name == LABELS:
            return label_type(self._dataset)
        return self._own_type

    @property
    def block(self) -> int:
        """Number of samples that are read at once."""
        return self._samples_of(BLOCK_BYTES)

    def parts(self, in_runs: bool) -> tuple[int, int]:
        """Return how many samples to read at once, and how many such parts at the same time.

        Args:
            in_runs: neighbours are spread over a block, see `runs`.
        """
        if in_runs or self._dataset.layout != "image_folder":
            return self.block, 1
        return self._samples_of(PART_BYTES), PARTS

    def _samples_of(self, size: int) -> int:
        sample = self._own_type.itemsize * int(np.prod(self._shapes[SAMPLES]))
        return max(1, size // max(1, sample))

    @cached_property
    def _own_type(self) -> np.dtype[np.generic]:
        if self._view == "row" or self._dataset.is_scaled:
            return np.dtype(np.float32)
        files = self._dataset.manifest
        names = files.loc[files["role"] == "image", "dtype"].dropna().unique()
        types = [numpy_type(str(name)) for name in names]
        return np.result_type(*types) if types else np.dtype(np.float64)

    def runs(self) -> Runs | None:
        """Return the neighbours that can be read together; None if there is nothing to gain.

        They are images whose paths follow each other, or all samples of a scene.
        """
        if self._view == "row" or not len(self):
            return None
        codes, paths = pd.factorize(self._table["path"])
        stored = self._stored_bytes(paths) / len(self)
        if self._dataset.layout == "image_folder":
            length = max(1, int(RUN_BYTES // stored))
            return Runs(np.arange(len(self)), np.arange(0, len(self), length), self.block)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(paths)))
        # the files of two windows fit: a batch may take from both
        return Runs(order, starts, max(1, int(FOLDER_BYTES // 2 // stored)))

    def require_order(self, runs: Runs | None) -> None:
        """Refuse an order in which files would be fetched again and again.

        Raises:
            SpecificationError: windows are read in any order from more scenes than can be kept.
        """
        if self._view == "row" or self._dataset.layout == "image_folder" or runs is not None:
            return
        size = self._stored_bytes(self._table["path"].unique())
        if size > FOLDER_BYTES:
            raise SpecificationError(
                f"{self._dataset.reference} is streamed (MLOPS_READING), and samples in any order"
                f" need all of its {size / 2**30:.1f} GiB of scenes at once; set params.shuffle:"
                " runs, or shuffle='runs' of the loader"
            )

    def _stored_bytes(self, paths: Iterable[str]) -> int:
        """Return the size of the files that samples are read from, given by their first file."""
        files = self._dataset.files
        if self._dataset.layout == "image_folder":
            return sum(files[path].size for path in paths)
        parts = {part for path in paths for part in self._dataset.scene_images(path)}
        return sum(files[part].size for part in parts)

    def read(
        self,
        positions: NDArray[np.int64],
        names: Sequence[str] = (SAMPLES,),
        stopped: threading.Event | None = None,
    ) -> Arrays:
        """Read samples from their files.

        Args:
            positions: of the samples in the split, int64 of shape (n,).
            names: which arrays: `SAMPLES`, `LABELS`, `SHOWN`.
            stopped: what is read is not wanted any more once it is set.

        Returns:
            Arrays of n rows, by name.

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: it is missing or cannot be read.
        """
        if self._view == "row":
            return {name: self._rows[name][positions] for name in names}
        return self._read(positions, names, stopped or threading.Event())

    @cached_property
    def _rows(self) -> Arrays:
        """All rows of tables, which are read whole whatever is asked of them."""
        return self._read(np.arange(len(self)), (SAMPLES,), threading.Event())

    def _read(
        self, positions: NDArray[np.int64], names: Sequence[str], stopped: threading.Event
    ) -> Arrays:
        arrays = {
            name: np.empty((len(positions), *self._shapes[name]), self.dtype(name))
            for name in names
        }
        # many threads that touch new memory at once wait for each other: twice the CPU time in all
        for array in arrays.values():
            array.fill(0)
        dataset = self._dataset
        whole_files = self._view in ("row", "image")
        files = [
            file
            for chunk in chunks(self._table.iloc[positions], max(1, self.block // 4), whole_files)
            for file in chunk
        ]
        whole = {path: own for path, own in files if dataset.arrives_whole(path)}
        others = [(path, own) for path, own in files if path not in whole]
        # images are fetched at once; of scenes one waits for the other to make room
        at_once = [others] if dataset.layout == "image_folder" else [[file] for file in others]
        for group in at_once:
            if stopped.is_set():
                break
            images = [path for path, _ in group] if dataset.layout == "image_folder" else []
            with dataset.fetching(images):
                for path, own in group:
                    self._decode(path, positions, own, arrays)

        def decode(group: Sequence[StoredFile]) -> None:
            for file, parts in dataset.stored.read(group):
                if stopped.is_set():
                    return
                with dataset.holding(file.path, b"".join(parts)):
                    self._decode(file.path, positions, whole[file.path], arrays)

        # decoded by the thread that has fetched it, while it is in the processor's cache
        with ThreadPoolExecutor(dataset.stored.threads) as pool:
            for _ in pool.map(decode, grouped(dataset.files[path] for path in whole)):
                pass
        return arrays

    def _decode(
        self, path: str, positions: NDArray[np.int64], own: NDArray[np.int64], arrays: Arrays
    ) -> None:
        """Read the samples of one file to their rows."""
        places, shape = self._places[positions[own]], self._shapes[SAMPLES]
        for name, array in arrays.items():
            array[own] = read_array(name, self._dataset, path, places, self._view, shape)

    def read_ahead(
        self, parts: Iterable[NDArray[np.int64]], names: Sequence[str], threads: int
    ) -> Iterator[Arrays]:
        """Yield what `read` returns for each part, while the next parts are read.

        The threads end with the iterator, also with one that is abandoned.

        Args:
            parts: positions of samples in the split.
            names: as for `read`.
            threads: number of parts that are read at the same time.
        """
        stopped = threading.Event()

        def read(part: NDArray[np.int64]) -> Arrays:
            return self.read(part, names, stopped)

        with (
            ThreadPoolExecutor(threads) as pool,
            closing(in_order(pool, read, parts, threads)) as arrays,
        ):
            try:
                yield from arrays
            finally:
                stopped.set()


class StreamedArray(Generic[Scalar]):
    """An array of a streamed split that is indexed by rows, as `CheckedArray` is.

    Slices that follow each other are taken from a block that is read at once.

    Attributes:
        shape, dtype, nbytes: of the array.
    """

    def __init__(self, split: StreamedSplit, name: str) -> None:
        self._split = split
        self._name = name
        self.shape = split.shape(name)
        self.dtype = split.dtype(name)
        self.nbytes = self.dtype.itemsize * int(np.prod(self.shape))
        self._first = 0
        self._block: NDArray[Scalar] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> NDArray[Scalar]:
        """Return rows, read from their files.

        Args:
            rows: position, slice, or int64 positions of shape (n,).

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: it is missing or cannot be read.
        """
        if not isinstance(rows, slice):
            positions = np.atleast_1d(np.arange(len(self))[rows])
            found = self._read(positions)
            return found if np.ndim(rows) else found[0]
        start, stop, step = rows.indices(len(self))
        if step != 1 or stop - start >= self._split.block:
            return self._read(np.arange(start, stop, step))
        if self._block is None or start < self._first or stop > self._first + len(self._block):
            end = min(start + self._split.block, len(self))
            self._first, self._block = start, self._read(np.arange(start, end))
        part: NDArray[Scalar] = self._block[start - self._first : stop - self._first]
        if stop == len(self):
            self._block = None
        return part

    def _read(self, positions: NDArray[np.int64]) -> NDArray[Scalar]:
        return cast("NDArray[Scalar]", self._split.read(positions, (self._name,))[self._name])
