"""Rows of several files as one Parquet file: sorted by time, each once, in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.models.reference.bands import band_statistics
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.rows import BAND_VIEWS, SCHEMA, lists, request_digest
from mlops_assets.serving.request_log.sources import KEYS, Source

# gathered at once, and of a row group
_SLICE_ROWS = 8192
_SLICE_BYTES = 8 << 20
_GROUP_BYTES = 16 << 20
_GROUP_ROWS = 65_536
# what the cache of a processor holds
_STATISTICS_BYTES = 256 << 10
# parts in memory: as many as servers log at the same time, and some
_PARTS = 16


def write_merged(
    path: Path,
    sources: Sequence[Source],
    signatures: Mapping[str, Signature],
    metadata: Mapping[str, str],
    without: frozenset[str] = frozenset(),
) -> int:
    """Write the rows of files into one Parquet file.

    Of rows of the same request, row and writer the earliest counts.

    Args:
        path: of the new file.
        sources: the files.
        signatures: model version → its signature, by which statistics of bands are computed.
        metadata: of the new file.
        without: digests of requests that are left out.

    Returns:
        The number of its rows.
    """
    parts, order = _ordered(sources, without)

    @lru_cache(maxsize=_PARTS)
    def part(number: int) -> pa.Table:
        source, within = parts[number]
        return sources[source].part(within)

    schema = SCHEMA.with_metadata(dict(metadata))
    # values of pixels hardly repeat, and dictionaries of them cost memory and time
    texts = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
    with pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=texts, write_statistics=["time"]
    ) as writer:
        for group in _groups(_slices(part, order, signatures)):
            writer.write_table(
                pa.concat_tables(group).cast(SCHEMA).replace_schema_metadata(schema.metadata)
            )
    return len(order)


def _ordered(
    sources: Sequence[Source], without: frozenset[str]
) -> tuple[list[tuple[int, int]], NDArray[np.int32]]:
    """Return the parts of files, and the rows that count, in their order.

    Returns:
        Number of a file and of a part in it, for each part; and number of a part and of a row in
        it, (n, 2).
    """
    parts: list[tuple[int, int]] = []
    keys: list[pa.Table] = []
    places: list[NDArray[np.int32]] = []
    for number, source in enumerate(sources):
        for within, found in enumerate(source.keys()):
            places.append(
                np.column_stack(
                    [
                        np.full(len(found), len(parts), np.int32),
                        np.arange(len(found), dtype=np.int32),
                    ]
                )
            )
            parts.append((number, within))
            # a copy: the columns of a batch are parts of one buffer
            keys.append(found.take(pa.array(np.arange(len(found)))))
    if not keys:
        return [], np.empty((0, 2), np.int32)
    table = pa.concat_tables(keys).combine_chunks()
    place = np.concatenate(places)
    del keys, places
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in KEYS]).to_numpy()
    requests = pc.dictionary_encode(table["request"]).combine_chunks()
    writers = pc.dictionary_encode(table["writer"]).combine_chunks()
    rows = table["row"].to_numpy().astype(np.int64)
    codes = requests.indices.to_numpy().astype(np.int64) * len(writers.dictionary)
    codes = (codes + writers.indices.to_numpy()) * (rows.max() + 1) + rows
    _, first = np.unique(codes[order], return_index=True)
    wanted = np.zeros(len(order), bool)
    wanted[first] = True
    if without:
        left_out = [request_digest(text) in without for text in requests.dictionary.to_pylist()]
        wanted &= ~np.array(left_out)[requests.indices.to_numpy()[order]]
    return parts, place[order[wanted]]


def _slices(
    part: Callable[[int], pa.Table], order: NDArray[np.int32], signatures: Mapping[str, Signature]
) -> Iterator[pa.Table]:
    """Yield the rows in their order, some megabytes at once."""
    start = 0
    while start < len(order):
        first_part = part(int(order[start, 0]))
        row_bytes = first_part.nbytes // max(1, len(first_part)) + 1
        wanted = order[start : start + max(1, min(_SLICE_ROWS, _SLICE_BYTES // row_bytes))]
        start += len(wanted)
        # most rows follow each other in their part, too
        follows = (np.diff(wanted[:, 0]) == 0) & (np.diff(wanted[:, 1]) == 1)
        firsts = np.flatnonzero(np.concatenate([[True], ~follows]))
        lasts = np.append(firsts[1:], len(wanted))
        runs = (
            part(int(number)).slice(row, last - first)
            for (number, row), first, last in zip(wanted[firsts], firsts, lasts, strict=True)
        )
        yield with_statistics(pa.concat_tables(runs).combine_chunks(), signatures)


def _groups(tables: Iterator[pa.Table]) -> Iterator[list[pa.Table]]:
    """Yield tables that make one row group together."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        size = sum(each.nbytes for each in group)
        if size >= _GROUP_BYTES or sum(map(len, group)) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _statistics(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the statistics of bands, (n, bands * 3), some samples at once.

    Args:
        bands: (n, bands, values).
    """
    at_once = max(1, _STATISTICS_BYTES // bands[0].nbytes)
    parts = (bands[start : start + at_once] for start in range(0, len(bands), at_once))
    return np.concatenate([band_statistics(part) for part in parts]).reshape(len(bands), -1)


def with_statistics(table: pa.Table, signatures: Mapping[str, Signature]) -> pa.Table:
    """Return rows with the statistics of the bands of inputs that were kept whole.

    Args:
        table: rows of the log.
        signatures: model version → its signature.
    """
    missing = pc.and_(pc.is_valid(table["inputs"]), pc.is_null(table["statistics"]))
    if not pc.any(missing).as_py():
        return table
    versions = table["version"].to_pylist()
    is_missing = missing.to_numpy()
    statistics = table["statistics"].combine_chunks()
    inputs = table["inputs"].combine_chunks()
    widths = pc.list_value_length(inputs).fill_null(-1).to_numpy(zero_copy_only=False)
    replaced = np.zeros(len(table), bool)
    new: list[pa.Array] = []
    places: list[NDArray[np.int64]] = []
    version = np.array(versions, dtype=object)
    for name in dict.fromkeys(versions):
        signature = signatures.get(name)
        if signature is None or signature.view not in BAND_VIEWS:
            continue
        of_version = is_missing & (version == name)
        for width in np.unique(widths[of_version]):
            wanted = np.flatnonzero(of_version & (widths == width))
            if width == 0 or width % len(signature.features):
                continue
            # many times as fast as `take`
            values = np.lib.stride_tricks.sliding_window_view(inputs.values.to_numpy(), width)
            kept = values[inputs.offsets.to_numpy()[wanted]]
            bands = kept.reshape(len(wanted), len(signature.features), -1)
            new.append(lists(_statistics(bands)))
            places.append(wanted)
            replaced[wanted] = True
    if not new:
        return table
    # those that are there stay, then the new ones, each back at its row
    joined = pa.concat_arrays([statistics, *new])
    index = np.arange(len(table))
    index[np.concatenate(places)] = len(table) + np.arange(int(replaced.sum()))
    column = table.schema.get_field_index("statistics")
    return table.set_column(column, SCHEMA.field("statistics"), joined.take(pa.array(index)))
