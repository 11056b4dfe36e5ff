"""GeoParquet, with a limit on nested geometries: GEOS reads well-known binary recursively."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.datasets.readers.table_memory import require_believable_size

if TYPE_CHECKING:
    from mlops_assets.datasets.io.geopandas_types import GeoDataFrame

MAX_DEPTH = 32  # as GDAL has it
SAFE_BYTES = 9000  # a level takes 9 bytes at least, and a thousand of them do no harm
_POINT = 1
_CURVES = (2, 8)
_POLYGONS = (3, 17)
_COLLECTIONS = range(4, 17)
_DIMENSIONS = {0: 2, 1: 3, 2: 3, 3: 4}  # of ISO's thousands: XY, Z, M, ZM


def read_geoparquet(local: Path) -> GeoDataFrame:
    """Read a GeoParquet file.

    Raises:
        ValueError: it is not GeoParquet, has curves or too deeply nested geometries, or would be
            too large in memory.
    """
    import geopandas

    require_believable_size(local)
    _require_shallow(local)
    try:
        frame: GeoDataFrame = geopandas.read_parquet(local)
    except NotImplementedError as error:
        raise ValueError("it has curves, which are not read") from error
    return frame


def _require_shallow(local: Path) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(local) as file:
        for batch in file.iter_batches():
            for column in batch.columns:
                values = (
                    column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                )
                if not any(
                    is_of(values.type) for is_of in (pa.types.is_binary, pa.types.is_large_binary)
                ):
                    continue
                for value in values.filter(pc.greater(pc.binary_length(values), SAFE_BYTES)):
                    if not _is_shallow(value.as_py()):
                        raise ValueError(
                            f"it has a geometry that is more than {MAX_DEPTH} geometries deep"
                        )


def _is_shallow(wkb: bytes) -> bool:
    """Return whether no geometry in a well-known binary is too deep.

    Invalid ones are refused by GEOS.
    """
    offset = 0
    left = [1]
    try:
        while left and len(left) <= MAX_DEPTH:
            if left[-1] == 0:
                left.pop()
                continue
            left[-1] -= 1
            order = "<" if wkb[offset] else ">"
            code, count = struct.unpack_from(f"{order}II", wkb, offset + 1)
            if code & 0x20000000:  # EWKB: a reference system comes between
                offset += 4
                (count,) = struct.unpack_from(f"{order}I", wkb, offset + 5)
            kind = (code & 0xFFFFFFF) % 1000
            flags = (code >> 31) + (code >> 30 & 1)
            point = 8 * (flags + _DIMENSIONS.get((code & 0xFFFFFFF) // 1000, 2))
            offset += 9
            if kind == _POINT:
                offset += point - 4
            elif kind in _CURVES:
                offset += point * count
            elif kind in _POLYGONS:
                for _ in range(count):
                    (size,) = struct.unpack_from(f"{order}I", wkb, offset)
                    offset += 4 + point * size
            elif kind in _COLLECTIONS:
                left.append(count)
            else:
                return True
    except (IndexError, struct.error):
        return True
    return not left
