"""Parquet files that become many times as large in memory: a few bytes may be a billion values.

Only metadata and parts of limited size are decoded.
"""

from __future__ import annotations

from pathlib import Path

ALWAYS_ALLOWED = 512 << 20  # bytes in memory, however small the file is
MAX_RATIO = 50  # of bytes in memory to bytes of a larger file
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}  # bytes of a value in memory; others have 8
_TEXTS = "BYTE_ARRAY"
_ROWS = 1 << 16
_BATCH_BYTES = 64 << 20
_PREFIXED = "DELTA_BYTE_ARRAY"  # an encoding by which a text repeats the one before


def require_believable_size(local: Path) -> None:
    """Check that a Parquet file does not become too large in memory.

    Raises:
        ValueError: it would.
        OSError: it is not a Parquet file.
    """
    import pyarrow.parquet as pq

    stored = local.stat().st_size
    allowed = max(ALWAYS_ALLOWED, MAX_RATIO * stored)
    metadata = pq.read_metadata(local)
    size = 0
    # row group and column whose texts may occur so often that they matter
    texts: list[tuple[int, int]] = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for position in range(group.num_columns):
            column = group.column(position)
            values = max(column.num_values, group.num_rows)
            size += values * _WIDTHS.get(column.physical_type, 8)
            if column.physical_type == _TEXTS and values * column.total_uncompressed_size > allowed:
                texts.append((number, position))
    for number, position in texts:
        if size <= allowed:
            size += _text_bytes(local, number, position, allowed)
    if size > allowed:
        raise ValueError(
            f"it has {stored:,} bytes, and more than {allowed:,} in memory; it is damaged, or a"
            " decompression bomb"
        )


def _text_bytes(local: Path, number: int, position: int, limit: int) -> int:
    """Return the bytes of all texts of a column in a row group, each as often as it occurs.

    Zero where they are few.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column = pq.read_metadata(local).row_group(number).column(position)
    name = column.path_in_schema
    stored = column.total_uncompressed_size
    prefixed = _PREFIXED in column.encodings
    total = 0
    # as a dictionary, a text that occurs a million times is held once
    with pq.ParquetFile(local, read_dictionary=[] if prefixed else [name]) as file:
        # a field of a list or a structure, which is not read
        if name not in file.schema_arrow.names:
            return 0
        # such a column has no dictionary; none of its texts is longer than all stored bytes
        if prefixed:
            rows = min(_ROWS, max(1, _BATCH_BYTES // max(1, stored)))
            for batch in file.iter_batches(rows, [number], [name]):
                total += pc.sum(pc.binary_length(batch[0])).as_py() or 0
                if total > limit:
                    break
            return int(total)
        # with the whole dictionary that is stored
        first = next(file.iter_batches(1, [number], [name]), None)
        longest = pc.max(pc.binary_length(first[0].dictionary)).as_py() if first else 0
        if column.num_values * (longest or 0) + stored <= limit:
            return 0
        for batch in file.iter_batches(_ROWS, [number], [name]):
            lengths = pc.binary_length(batch[0].dictionary).to_numpy(zero_copy_only=False)
            total += int(lengths[batch[0].indices.drop_null().to_numpy()].sum(dtype="int64"))
            if total > limit:
                break
    return total
