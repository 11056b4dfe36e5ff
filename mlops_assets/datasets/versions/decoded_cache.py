"""The decoded cache: each split as one memory-mapped array, so that files are decoded only once.

It does not depend on task, bands or scaling. It can be deleted at any time and is made again when
needed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import numpy_type
from mlops_assets.datasets.readers import LAYOUTS, View
from mlops_assets.datasets.versions.checked_array import CheckedArray, block_digests
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.progress import step

FORMAT = 2  # of the files below; another number leaves the old ones unread
# decoded at once, however large the dataset; a strip of a scene may be read once a chunk
CHUNK_BYTES = 64 << 20
THREADS = 8  # for images of a file each, which are small; scenes are read one by one
ATTEMPTS = 3  # if the cache is deleted while it is written
SAMPLES, LABELS, SHOWN, MARKER = "X.npy", "y.npy", "shown.npy", "whole.json"


@dataclass(frozen=True)
class Decoded:
    """The folder of one decoded split.

    Arrays are opened where they are used, also in another process.
    """

    folder: Path

    def samples(self) -> CheckedArray[np.generic]:
        """All samples, memory-mapped and read-only, in the data's own type: (n, *sample shape)."""
        return self._open(SAMPLES)

    def labels(self) -> CheckedArray[np.integer]:
        """Class indices of windows, memory-mapped and read-only.

        Their shape is (n, size, size), with -1 where unknown.
        """
        return self._open(LABELS)

    def shown(self) -> CheckedArray[np.bool_] | None:
        """Values that alpha and masks leave, memory-mapped and read-only: as `samples`.

        None without alpha and masks.
        """
        return self._open(SHOWN) if (self.folder / SHOWN).is_file() else None

    def _open(self, name: str) -> CheckedArray[Any]:
        try:
            digests = json.loads((self.folder / MARKER).read_text())["blocks"][name]
            return CheckedArray(self.folder / name, digests)
        except OSError as error:
            raise StorageError(
                f"{self.folder} was deleted while it was in use; start again"
            ) from error


def decoded(
    committed: CommittedDataset, split: SplitName, view: View, shape: tuple[int, ...]
) -> Decoded:
    """Return a decoded split; what is missing or damaged is made, by one process while others wait.

    Args:
        committed: the data version.
        split: which samples.
        view: how a sample is shaped.
        shape: the shape of one sample, with all features or bands.

    Raises:
        StorageError: the cache cannot be written.
        IntegrityError: a file of the data version is not as it was committed.
    """
    folder = split_folder(committed, split, view)
    if is_decoded(committed, split, view, shape):
        return Decoded(folder)
    samples = committed.split(split)
    for attempt in range(ATTEMPTS):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # the system frees it when its process dies
            with FileLock(folder.parent / f".{split}.lock"):
                if not is_decoded(committed, split, view, shape):
                    _renew(committed, samples, view, shape, folder)
            return Decoded(folder)
        except FileNotFoundError as error:
            if attempt == ATTEMPTS - 1:
                raise StorageError(
                    f"{folder} was deleted repeatedly while it was written; leave it and run again"
                ) from error
        except OSError as error:
            raise StorageError(
                f"the decoded cache {folder} cannot be written: {error.strerror or error}; free"
                " space, or set MLOPS_CACHE to a folder that has it, or MLOPS_READING=stream, which"
                " reads without it"
            ) from error
    raise AssertionError("unreachable")


def is_decoded(
    committed: CommittedDataset, split: SplitName, view: View, shape: tuple[int, ...]
) -> bool:
    """Return whether a split is in the cache in this shape, with files and sizes as written."""
    folder = split_folder(committed, split, view)
    try:
        marker = json.loads((folder / MARKER).read_text())
        sizes, blocks = dict(marker["sizes"]), dict(marker["blocks"])
        if set(sizes) != _names(committed, view) or any(
            not isinstance(blocks[name], list) for name in sizes
        ):
            return False
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return False
        found: NDArray[np.generic] = np.load(folder / SAMPLES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    samples = int((committed.samples["split"] == split).sum())
    return found.shape == (samples, *shape)


def damaged_splits(committed: CommittedDataset) -> list[Path]:
    """Return the array files of a data version in the cache that do not hold what its files hold.

    Everything is decoded again, as whoever changes an array can change its digests, too.

    Raises:
        IntegrityError: a file of the data version is not as it was committed.
        StorageError: it is missing.
    """
    damaged = []
    for view in get_args(View):
        for split in get_args(SplitName):
            folder = split_folder(committed, split, view)
            if (folder / MARKER).is_file():
                with step(f"comparing the decoded cache with {committed.reference}, {split}"):
                    damaged += [
                        folder / name for name in _different(committed, split, view, folder)
                    ]
    return damaged


def _different(
    committed: CommittedDataset, split: SplitName, view: View, folder: Path
) -> list[str]:
    sides = () if view in ("row", "pixel") else committed.document.input.sides
    shape = (len(committed.document.features), *sides)
    if not is_decoded(committed, split, view, shape):
        return [MARKER]
    arrays = {
        name: np.load(folder / name, mmap_mode="r", allow_pickle=False)
        for name in _names(committed, view)
    }
    samples = committed.split(split)
    places = samples[["row", "column"]].to_numpy(dtype=np.int64)
    different = set()
    for chunk in chunks(samples, _chunk_samples(committed, shape), whole_files=view == "row"):
        with committed.fetched(path for path, _ in chunk):
            for path, positions in chunk:
                own = places[positions]
                rows = {
                    name: read_array(name, committed, path, own, view, shape) for name in arrays
                }
                different |= {
                    name for name in arrays if not _holds(arrays[name], positions, rows[name])
                }
    return sorted(different)


def _holds(
    array: NDArray[np.generic], positions: NDArray[np.int64], rows: NDArray[np.generic]
) -> bool:
    """Return whether an array has these rows, to the bit, as NaN equals nothing."""
    if array.shape[1:] != rows.shape[1:]:
        return False
    return array[positions].tobytes() == rows.astype(array.dtype).tobytes()


def split_folder(committed: CommittedDataset, split: SplitName, view: View) -> Path:
    """Return the folder of a split in the cache.

    Its key is the version's digest, so that equal content is decoded once.
    """
    return committed.workspace.cache / "decoded" / f"{committed.row.digest}-{view}-{FORMAT}" / split


def chunks(
    samples: pd.DataFrame, limit: int, whole_files: bool
) -> Iterator[list[tuple[str, NDArray[np.int64]]]]:
    """Group samples by file, and files into chunks of about `limit` samples.

    Args:
        samples: columns path, row, column.
        limit: most samples of a chunk, if files may be divided.
        whole_files: keep the samples of a file in one chunk, as it is read whole whatever is asked
            of it.

    Yields:
        Pairs of a file's path and the positions of its samples, by row and column.
    """
    codes, paths = pd.factorize(samples["path"], sort=True)
    order = np.lexsort((samples["column"], samples["row"], codes))
    ends = np.searchsorted(codes[order], np.arange(len(paths)), side="right")
    chunk: list[tuple[str, NDArray[np.int64]]] = []
    held, start = 0, 0
    for path, end in zip(paths, ends.tolist(), strict=True):
        while start < end:
            stop = end if whole_files else min(end, start + limit - held)
            chunk.append((path, order[start:stop]))
            held, start = held + stop - start, stop
            if held >= limit:
                yield chunk
                chunk, held = [], 0
    if chunk:
        yield chunk


def read_samples(
    committed: CommittedDataset,
    path: str,
    places: NDArray[np.int64],
    view: View,
    shape: tuple[int, ...],
) -> NDArray[np.generic]:
    """Read samples of one file from the committed bytes.

    Args:
        committed: the data version.
        path: of the file below the landing.
        places: row and column of each sample, int64 of shape (n, 2).
        view: shape of a sample.
        shape: expected shape of one sample, with all features or bands.

    Returns:
        Shape (n, *shape) in the data's own dtype.

    Raises:
        IntegrityError: the file is not as it was committed, or gives samples of another shape.
    """
    found = LAYOUTS[committed.layout].read(committed, path, places, view)
    if found.shape != (len(places), *shape):
        raise IntegrityError(
            f"{path} of {committed.reference} gives samples of {found.shape[1:]}, not {shape}"
        )
    return found


def read_shown(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: View
) -> NDArray[np.bool_]:
    """Read which values of samples nodata, alpha and masks leave, of the shape of the samples."""
    return LAYOUTS[committed.layout].read_mask(committed, path, places, view)


def read_window_indices(
    committed: CommittedDataset, path: str, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Read the labels of windows as class indices, -1 where unknown: (n, size, size)."""
    values = LAYOUTS[committed.layout].read_labels(committed, path, places)
    known = np.array([int(entry["value"]) for entry in committed.classes or []], dtype=np.int64)
    order = np.argsort(known)
    nearest = np.minimum(np.searchsorted(known, values, sorter=order), len(known) - 1)
    return np.where(known[order][nearest] == values, order[nearest], -1)


def label_type(committed: CommittedDataset) -> np.dtype[np.generic]:
    """Return the smallest type that holds the class indices of windows, and -1."""
    return np.min_scalar_type(-len(committed.classes or []) - 1)


def read_array(
    name: str,
    committed: CommittedDataset,
    path: str,
    places: NDArray[np.int64],
    view: View,
    shape: tuple[int, ...],
) -> NDArray[np.generic]:
    """Read the rows that one of the arrays has of one file.

    Args:
        name: `SAMPLES`, `SHOWN` or `LABELS`.
        committed: the data version.
        path: of the file below the landing.
        places: row and column of each sample, int64 of shape (n, 2).
        view: shape of a sample.
        shape: expected shape of one sample, with all features or bands.

    Raises:
        IntegrityError: the file is not as it was committed, or gives samples of another shape.
    """
    if name == SAMPLES:
        return read_samples(committed, path, places, view, shape)
    if name == SHOWN:
        return read_shown(committed, path, places, view)
    return read_window_indices(committed, path, places).astype(label_type(committed))


class _Wider(Exception):
    """A file holds values that the type found so far cannot."""

    def __init__(self, dtype: np.dtype[np.generic]) -> None:
        self.dtype = dtype


class _Writer:
    """An array file that is filled in any order; the first rows decide its type.

    Unlike a memory map it reports a full disk, and what is written is no memory of this process.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic] | None
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._start = 0
        self._stream = path.open("wb")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def write(self, positions: NDArray[np.int64], rows: NDArray[np.generic]) -> None:
        """Write rows to their positions.

        Raises:
            _Wider: the type of the file cannot hold them.
        """
        if (np.diff(positions) < 0).any():
            order = np.argsort(positions)
            positions, rows = positions[order], rows[order]
        ends = [*(np.flatnonzero(np.diff(positions) != 1) + 1).tolist(), len(positions)]
        with self._lock:
            dtype = self._begin(rows.dtype)
            if not np.can_cast(rows.dtype, dtype, "safe"):
                raise _Wider(np.result_type(rows.dtype, dtype))
            size = dtype.itemsize * int(np.prod(self._shape[1:], dtype=np.int64))
            for first, end in zip([0, *ends], ends, strict=False):  # runs of neighbours
                self._stream.seek(self._start + int(positions[first]) * size)
                self._stream.write(np.ascontiguousarray(rows[first:end], dtype=dtype).data)

    def finish(self) -> int:
        """Bring the file to disk and return its size.

        A power cut must not leave an incomplete file of full size.
        """
        self._begin(np.dtype(np.float32))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.fchmod(self._stream.fileno(), 0o444)
        return os.fstat(self._stream.fileno()).st_size

    def _begin(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """Write the header if it is missing; return the file's type."""
        self._dtype = self._dtype or dtype
        if not self._start:
            descr = np.lib.format.dtype_to_descr(self._dtype)
            header = {"descr": descr, "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(self._stream, header)
            self._start = self._stream.tell()
            self._stream.truncate(
                self._start + self._dtype.itemsize * int(np.prod(self._shape, dtype=np.int64))
            )
        return self._dtype


def _renew(
    committed: CommittedDataset,
    samples: pd.DataFrame,
    view: View,
    shape: tuple[int, ...],
    folder: Path,
) -> None:
    """Write a split beside its place and move it there; called under the split's lock."""
    for left in [*folder.parent.glob(f".{folder.name}-*"), *([folder] if folder.exists() else [])]:
        shutil.rmtree(left)  # of a killed process, or damaged
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        dtype: np.dtype[np.generic] | None = None
        while True:
            try:
                sizes = _write(committed, samples, view, shape, making, dtype)
                blocks = {name: block_digests(making / name) for name in sizes}
                break
            except _Wider as found:
                dtype = found.dtype
        with (making / MARKER).open("w") as stream:
            written = {
                "data_version": committed.reference,
                "samples": len(samples),
                "sizes": sizes,
                "blocks": blocks,
            }
            json.dump(written, stream)
            stream.flush()
            os.fsync(stream.fileno())
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _write(
    committed: CommittedDataset,
    samples: pd.DataFrame,
    view: View,
    shape: tuple[int, ...],
    folder: Path,
    dtype: np.dtype[np.generic] | None,
) -> dict[str, int]:
    places = samples[["row", "column"]].to_numpy(dtype=np.int64)
    limit = _chunk_samples(committed, shape)
    described = {
        SAMPLES: (shape, dtype),
        LABELS: (shape[1:], label_type(committed)),
        SHOWN: (shape, np.dtype(bool)),
    }
    names = _names(committed, view)
    with ExitStack() as files:
        writers = {
            name: files.enter_context(_Writer(folder / name, (len(samples), *own), of_array))
            for name, (own, of_array) in described.items()
            if name in names
        }

        def decode(chunk: list[tuple[str, NDArray[np.int64]]]) -> None:
            with committed.fetched(path for path, _ in chunk):
                for path, positions in chunk:
                    for name, writer in writers.items():
                        own = read_array(name, committed, path, places[positions], view, shape)
                        writer.write(positions, own)

        with ThreadPoolExecutor(THREADS if view == "image" else 1) as pool:
            for _ in pool.map(decode, chunks(samples, limit, whole_files=view == "row")):
                pass
        return {name: writer.finish() for name, writer in writers.items()}


def _names(committed: CommittedDataset, view: View) -> set[str]:
    """Return the array files of a decoded split."""
    return {
        SAMPLES,
        *([LABELS] if view == "window" else []),
        *([SHOWN] if committed.masked else []),
    }


def _chunk_samples(committed: CommittedDataset, shape: tuple[int, ...]) -> int:
    return max(1, CHUNK_BYTES // (_itemsize(committed) * int(np.prod(shape))))


def _itemsize(committed: CommittedDataset) -> int:
    """Return the size of the widest data type of the files, bytes; 8 where unknown."""
    dtypes = (
        committed.manifest.loc[committed.manifest["role"] == "image", "dtype"].dropna().unique()
    )
    return max((numpy_type(str(dtype)).itemsize for dtype in dtypes), default=8)
