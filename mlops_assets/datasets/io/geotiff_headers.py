"""Facts of GeoTIFFs whose header is that of another one, without opening them with GDAL.

Chips of one dataset mostly differ in their pixels and their place only. The first of a kind is
opened with GDAL; others of its kind get its facts, with the place of their own. A file that differs
in anything else, is compressed, or is not whole is left to GDAL, so that facts and errors are
GDAL's.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_formats import holds_geotiffs_only, stands_alone
from mlops_assets.datasets.io.raster_places import bounds_of, box_of_bounds
from mlops_assets.datasets.io.rasterio_types import Crs
from mlops_assets.datasets.io.remarks import EMPTY
from mlops_assets.datasets.versions.contents import FileRow

ByteOrder: TypeAlias = Literal["<", ">"]
_MAX_BYTES = 8 << 20  # of a larger file, opening is a small part; it is read in strips
_ORDERS: dict[bytes, ByteOrder] = {b"II*\0": "<", b"MM\0*": ">"}
# bytes of each TIFF type (TIFF 6.0, section 2)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SHORT, _LONG, _DOUBLE = 3, 4, 12
_COMPRESSION, _PIXEL_SCALE, _TIEPOINT = 259, 33550, 33922
_TILE_WIDTH = 322
_OFFSETS, _COUNTS = (273, 324), (279, 325)  # of strips, of tiles
_OTHER_FOLDERS = frozenset(
    {330, 34665, 34853}
)  # SubIFDs, EXIF and GPS: what they hold is elsewhere
_STRUCTURE = b"GDAL_STRUCTURAL_METADATA"  # of a COG, before its first directory


@dataclass(frozen=True)
class GeotiffHeader:
    """The header of an uncompressed GeoTIFF of one image, which is whole.

    Attributes:
        local: the file.
        content: all of its bytes.
        order: `<` or `>`, the byte order.
        kind: equal for files that differ only in pixels and place.
        chunks: first byte and size of each strip or tile.
        tiled: whether they are tiles, which may be filled up with anything.
        scale: size of a pixel, x and y, if the tie point below places the image.
        tiepoint: column, row and the coordinates x and y of a point, if there is just one.
    """

    local: Path
    content: bytes
    order: ByteOrder
    kind: Hashable
    chunks: list[tuple[int, int]]
    tiled: bool
    scale: tuple[float, float] | None
    tiepoint: tuple[float, float, float, float] | None

    def transform(self) -> list[float] | None:
        """Return the six numbers of the transform by scale and tie point, None without them.

        It is computed as GDAL does, where a tie point is the corner of a pixel.
        """
        if self.scale is None or self.tiepoint is None:
            return None
        across, down = self.scale[0], -abs(self.scale[1])
        column, row, x, y = self.tiepoint
        return [across, 0.0, x - column * across, 0.0, down, y - row * down]


@dataclass(frozen=True)
class _Kind:
    facts: FileRow
    crs: Crs | None


class SimilarGeotiffs:
    """The facts of the GeoTIFFs that were opened, by the kind of their header."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, _Kind] = {}

    def remember(self, header: GeotiffHeader, facts: FileRow, crs: Crs | None) -> None:
        """Keep the facts of a file that GDAL has opened and read, if others may have them too.

        Args:
            header: of the file.
            facts: its manifest row.
            crs: its CRS, if it is georeferenced.
        """
        dtype = np.dtype(facts["dtype"])
        pixels = facts["height"] * facts["width"] * facts["count"]
        whole = sum(size for _, size in header.chunks) == pixels * dtype.itemsize
        examined = facts["nodata"] is not None or dtype.kind == "f"
        if facts["masked"] or dtype.kind not in "uif" or (examined and (header.tiled or not whole)):
            return
        transform = header.transform()
        # neither without a place nor at that of its header, as by control points
        if facts["bbox"] if crs is None else transform != facts["transform"]:
            return
        remarks = [remark for remark in facts["remarks"] or () if remark != EMPTY]
        self._kinds[header.kind] = _Kind({**facts, "remarks": remarks or None}, crs)

    def facts(self, header: GeotiffHeader) -> FileRow | None:
        """Return the facts of a file of a kind that was opened, but for its path.

        None where only GDAL can tell, or finds a fault: its kind is new, its place is unknown, it
        has values that are not finite, or none but nodata.
        """
        kind = self._kinds.get(header.kind)
        if kind is None or not _has_data(header, kind.facts):
            return None
        if kind.crs is None:
            return kind.facts
        from affine import Affine

        transform = header.transform()
        if transform is None or Affine(*transform).is_identity:
            return None
        bounds = bounds_of(Affine(*transform), kind.facts["height"], kind.facts["width"])
        box = box_of_bounds(kind.crs, bounds)
        return None if box is None else {**kind.facts, "transform": transform, "bbox": box}


def _has_data(header: GeotiffHeader, facts: FileRow) -> bool:
    """Return whether all values are finite, and some are not nodata."""
    dtype, nodata = np.dtype(facts["dtype"]).newbyteorder(header.order), facts["nodata"]
    if nodata is None and dtype.kind != "f":
        return True
    found = nodata is None
    for start, size in header.chunks:
        values: NDArray[np.generic] = np.frombuffer(
            header.content, dtype, size // dtype.itemsize, start
        )
        if dtype.kind == "f" and not np.isfinite(values).all():
            return False
        found = found or bool((values != nodata).any())
    return found


def geotiff_header(local: Path) -> GeotiffHeader | None:
    """Return the header of a file, None where GDAL must open it.

    Args:
        local: the file.
    """
    try:
        # GDAL might read other files with it
        if not (holds_geotiffs_only(local) and stands_alone(local)):
            return None
        if local.stat().st_size > _MAX_BYTES:
            return None
        content = local.read_bytes()
    except OSError:
        return None
    order = _ORDERS.get(content[:4])
    if order is None or _STRUCTURE in content[:64]:
        return None
    try:
        tags = _tags(content, order)
        if tags is None or _numbers(tags[_COMPRESSION], order) != (1,):
            return None
        offsets, counts = (
            next(_numbers(tags[tag], order) for tag in either if tag in tags)
            for either in (_OFFSETS, _COUNTS)
        )
    except (struct.error, KeyError, StopIteration):
        return None
    chunks = list(zip(offsets, counts, strict=False))
    if len(offsets) != len(counts) or any(
        start < 8 or size < 1 or start + size > len(content) for start, size in chunks
    ):
        return None
    varying = set(_OFFSETS)
    scale = tiepoint = None
    if _PIXEL_SCALE in tags and tags.get(_TIEPOINT, (0, 0, b""))[:2] == (_DOUBLE, 6):
        values = struct.unpack(f"{order}6d", tags[_TIEPOINT][2])
        scales = tags[_PIXEL_SCALE]
        if scales[:2] == (_DOUBLE, 3):
            varying.add(_TIEPOINT)
            across, down, _ = struct.unpack(f"{order}3d", scales[2])
            scale, tiepoint = (across, down), (values[0], values[1], values[3], values[4])
    kind = (order, *((tag, *value) for tag, value in tags.items() if tag not in varying))
    return GeotiffHeader(local, content, order, kind, chunks, _TILE_WIDTH in tags, scale, tiepoint)


def _tags(content: bytes, order: ByteOrder) -> Mapping[int, tuple[int, int, bytes]] | None:
    """Return type, number and bytes of each tag, by its number.

    None of a file with another directory, such as that of a mask.

    Raises:
        struct.error: it is truncated.
    """
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (number,) = struct.unpack_from(f"{order}H", content, start)
    if struct.unpack_from(f"{order}I", content, start + 2 + 12 * number) != (0,):
        return None
    tags = {}
    for entry in range(start + 2, start + 2 + 12 * number, 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, entry)
        size = _SIZES.get(kind, 0) * count
        at = entry + 8
        if size > 4:
            (at,) = struct.unpack_from(f"{order}I", content, at)
        value = content[at : at + size]
        if kind not in _SIZES or len(value) != size or tag in _OTHER_FOLDERS:
            return None
        tags[tag] = kind, count, value
    return tags


def _numbers(tag: tuple[int, int, bytes], order: ByteOrder) -> tuple[int, ...]:
    """Return the whole numbers of a tag.

    Raises:
        struct.error: it is of another type.
    """
    kind, count, value = tag
    letter = {_SHORT: "H", _LONG: "I"}.get(kind)
    if letter is None:
        raise struct.error
    return struct.unpack(f"{order}{count}{letter}", value)
