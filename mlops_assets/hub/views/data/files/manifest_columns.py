"""Columns of manifests and samples, read in parts: files of a data version without its rows.

A manifest of a million files is never decoded as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.datasets.versions.manifest import WORKSPACE
from mlops_assets.paths import OBJECTS, PACKS
from mlops_assets.storage.checksums import MULTIHASH_SHA256

Order = Literal["path", "largest", "smallest"]


@dataclass(frozen=True)
class ManifestFile:
    """A row of a manifest.

    Attributes:
        path: below the landing.
        role: what it holds: an image, labels, a table …
        size: bytes.
        sha256: of its bytes.
        kept: `object`, `pack`, or `reference` where the bytes are not in this workspace.
    """

    path: str
    role: str
    size: int
    sha256: str
    kept: Literal["object", "pack", "reference"]


def read_rows(manifest: Path, positions: NDArray[np.int64]) -> list[ManifestFile]:
    """Return some rows of a manifest, in the order asked for.

    Args:
        manifest: the file.
        positions: of the rows, which are sorted by path.
    """
    file = pq.ParquetFile(manifest, memory_map=True)
    columns = _columns(["file:local_path", "file:checksum", "file:size", "href"])
    columns.append("mlops:role")
    found: dict[int, ManifestFile] = {}
    start = 0
    for group in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        wanted = positions[(positions >= start) & (positions < end)]
        if len(wanted):
            table = file.read_row_group(group, columns=columns).take(pa.array(wanted - start))
            for position, row in zip(wanted.tolist(), table.to_pylist(), strict=True):
                asset = row["assets"]["data"]
                found[position] = ManifestFile(
                    path=asset["file:local_path"],
                    role=row["mlops:role"],
                    size=asset["file:size"],
                    sha256=asset["file:checksum"].removeprefix(MULTIHASH_SHA256),
                    kept=_kept(asset["href"]),
                )
        start = end
    return [found[position] for position in positions.tolist()]


def asset_columns(manifest: Path, names: Sequence[str]) -> list[pa.Array]:
    """Return fields of the assets of all files of a manifest, such as `file:size`."""
    # as a file: a path alone is read as a dataset, which has no columns for parts of a struct
    file = pq.ParquetFile(manifest, memory_map=True)
    return _asset_fields(file.read(columns=_columns(names)), names)


def count_rows(manifest: Path) -> int:
    """Return the number of files in a manifest."""
    return int(pq.read_metadata(manifest).num_rows)


def matching_rows(
    manifest: Path, text: str, paths: pa.Array | None, order: Order
) -> NDArray[np.int64]:
    """Return the positions of the files of a manifest that match, in order.

    Args:
        manifest: the file.
        text: that paths contain, whatever the case; empty for any.
        paths: that they are among; None for any.
        order: of the positions.
    """
    found, sizes = [], []
    start = 0
    for table in _groups(manifest, ["file:local_path", "file:size"]):
        path, size = table
        mask = np.ones(len(path), dtype=bool)
        if text:
            mask &= _bits(pc.match_substring(path, text, ignore_case=True))
        if paths is not None:
            mask &= _bits(pc.is_in(path, value_set=paths))
        rows = np.flatnonzero(mask)
        found.append(rows + start)
        sizes.append(size.to_numpy()[rows])
        start += len(path)
    positions = np.concatenate([np.empty(0, np.int64), *found])
    if order == "path":
        return positions
    values = np.concatenate([np.empty(0, np.int64), *sizes])
    return positions[np.argsort(values if order == "smallest" else -values, kind="stable")]


def paths_of_samples(samples: Path, split: str | None, label: str | None) -> pa.Array:
    """Return the paths of the files that have a sample of a split and of a class, each once.

    Args:
        samples: the file of the samples.
        split: their split, `left out` for those in none; None for any.
        label: their label as text; None for any.
    """
    found = []
    for batch in pq.ParquetFile(samples, memory_map=True).iter_batches(
        columns=["path", "split", "label"]
    ):
        mask = np.ones(len(batch), dtype=bool)
        if split is not None:
            column = batch["split"]
            wanted = pc.is_null(column) if split == "left out" else pc.equal(column, split)
            mask &= _bits(wanted)
        if label is not None:
            mask &= _bits(pc.equal(batch["label"].cast(pa.string()), label))
        found.append(pc.unique(batch["path"].filter(pa.array(mask))))
    chunks = pa.chunked_array(found, type=pa.string())
    return pc.unique(chunks)


@dataclass(frozen=True)
class SampleCounts:
    """The samples of one file: split → number, label → number; no label of windows."""

    splits: dict[str, int]
    labels: dict[str, int]


def samples_of(samples: Path, paths: Sequence[str]) -> dict[str, SampleCounts]:
    """Return the numbers of samples of some files; files without samples are left out.

    Args:
        samples: the file of the samples.
        paths: of the files.
    """
    table = pq.read_table(
        samples, columns=["path", "split", "label"], filters=[("path", "in", list(paths))]
    )
    text = pa.string()
    table = table.set_column(1, "split", pc.fill_null(table["split"], "left out"))
    table = table.set_column(2, "label", table["label"].cast(text))
    counted = table.group_by(["path", "split", "label"]).aggregate([([], "count_all")])
    found: dict[str, SampleCounts] = {}
    for row in counted.to_pylist():
        counts = found.setdefault(row["path"], SampleCounts({}, {}))
        number = row["count_all"]
        counts.splits[row["split"]] = counts.splits.get(row["split"], 0) + number
        if row["label"] is not None:
            counts.labels[row["label"]] = counts.labels.get(row["label"], 0) + number
    return found


@dataclass(frozen=True, eq=False)
class FileIdentities:
    """The files of a manifest by 64 bits of their paths and checksums, which distinguish files.

    That two of a million files are taken for one has a chance of 3 in 10^8 (birthday bound).

    Attributes:
        paths: hash of each path, ascending.
        contents: first 64 bits of the sha256 of each file, in the same order.
        sizes: bytes of each file.
    """

    paths: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    sizes: NDArray[np.int64]


def identities(manifest: Path) -> FileIdentities:
    """Return the identities of the files of a manifest."""
    import pandas as pd

    paths, contents, sizes = [], [], []
    for path, checksum, size in _groups(
        manifest, ["file:local_path", "file:checksum", "file:size"]
    ):
        paths.append(pd.util.hash_array(path.to_numpy(zero_copy_only=False)))
        start = len(MULTIHASH_SHA256)
        digits = pc.utf8_slice_codeunits(checksum, start, start + 16)
        contents.append(_whole_numbers(digits))
        sizes.append(size.to_numpy())
    none = np.empty(0, np.uint64)
    path, content = np.concatenate([none, *paths]), np.concatenate([none, *contents])
    order = np.argsort(path, kind="stable")
    size = np.concatenate([np.empty(0, np.int64), *sizes])
    return FileIdentities(path[order], content[order], size[order])


@dataclass(frozen=True)
class KeptBytes:
    """Where the bytes of files are: their number and bytes by way of keeping."""

    objects: int = 0
    object_bytes: int = 0
    packed: int = 0
    packed_bytes: int = 0
    referenced: int = 0
    referenced_bytes: int = 0


def kept_bytes(manifest: Path) -> KeptBytes:
    """Return where the bytes of the files of a manifest are; equal files count once each."""
    totals = np.zeros((3, 2), np.int64)
    for href, size in _groups(manifest, ["href", "file:size"]):
        sizes = size.to_numpy()
        single = _bits(pc.starts_with(href, f"{WORKSPACE}{OBJECTS}"))
        packed = _bits(pc.starts_with(href, f"{WORKSPACE}{PACKS}"))
        for row, mask in enumerate((single, packed, ~single & ~packed)):
            totals[row] += (mask.sum(), sizes[mask].sum())
    return KeptBytes(*totals.ravel().tolist())


def _groups(manifest: Path, names: Sequence[str]) -> Iterator[list[pa.Array]]:
    """Yield fields of the assets of a manifest, one row group at a time."""
    file = pq.ParquetFile(manifest, memory_map=True)
    for group in range(file.metadata.num_row_groups):
        yield _asset_fields(file.read_row_group(group, columns=_columns(names)), names)


def _columns(names: Sequence[str]) -> list[str]:
    return [f"assets.data.{name}" for name in names]


def _asset_fields(table: pa.Table, names: Sequence[str]) -> list[pa.Array]:
    asset = pc.struct_field(table["assets"].combine_chunks(), "data")
    return [pc.struct_field(asset, name) for name in names]


def _bits(mask: pa.Array) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return found


def _whole_numbers(digits: pa.Array) -> NDArray[np.uint64]:
    """Return texts of 16 hexadecimal digits as numbers."""
    content = bytes.fromhex("".join(digits.to_pylist()))
    return np.frombuffer(content, ">u8").astype(np.uint64)


def _kept(href: str) -> Literal["object", "pack", "reference"]:
    if href.startswith(f"{WORKSPACE}{OBJECTS}"):
        return "object"
    return "pack" if href.startswith(f"{WORKSPACE}{PACKS}") else "reference"
