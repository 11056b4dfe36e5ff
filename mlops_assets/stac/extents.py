"""Extents of a data version, and parts of it, in space and time.

They come from its files, else as declared, else are stated to be unknown.

The documents are made in `datasets` and `models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pystac
import shapely

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.extents import Interval, declared_interval, enclosing
from mlops_assets.datasets.versions.manifest import footprints
from mlops_assets.stac.item_files import ManifestRow, main_files

EXTENT_NOTES = ("mlops:extent", "mlops:datetime_is")  # fields that `extent_notes` writes
WHOLE_WORLD = [-180.0, -90.0, 180.0, 90.0]


def footprint(bbox: Sequence[float] | None) -> dict[str, object] | None:
    """Return a bounding box as a GeoJSON geometry, or None where it is unknown."""
    if bbox is None:
        return None
    (geometry,) = footprints(np.array([bbox], dtype=np.float64))
    return plain_geometry(geometry)


def plain_geometry(geometry: shapely.Geometry) -> dict[str, object]:
    """Return a shapely geometry as GeoJSON with lists, as it reads back from JSON."""
    mapping: dict[str, object] = shapely.geometry.mapping(geometry)

    def lists(value: object) -> object:
        return [lists(part) for part in value] if isinstance(value, tuple | list) else value

    return {"type": mapping["type"], "coordinates": lists(mapping["coordinates"])}


def true_footprint(row: ManifestRow) -> dict[str, object] | None:
    """Return the outline of one raster from its corners, else its bounding box."""
    bbox, transform, height, width = row["bbox"], row["transform"], row["height"], row["width"]
    if transform is None or bbox is None or height is None or width is None:
        return footprint(bbox)
    return outline(str(row["crs"]), transform, (height, width), bbox)


def outline(
    crs: str, transform: Sequence[float], shape: tuple[int, int], bbox: Sequence[float]
) -> dict[str, object] | None:
    """Return the outline of a grid from its corners, else its bounding box.

    Args:
        crs: of the grid.
        transform: from column and row to coordinates, six numbers.
        shape: rows and columns.
        bbox: of the grid in degrees, west > east across the antimeridian.
    """
    from rasterio import Affine
    from rasterio.transform import xy
    from rasterio.warp import transform as places

    if bbox[0] > bbox[2]:
        return footprint(bbox)
    height, width = shape
    corners = xy(Affine(*transform), [0, height, height, 0], [0, 0, width, width], offset="ul")
    x, y = places(crs, "EPSG:4326", *corners)
    found = shapely.Polygon(zip(x, y, strict=True))
    return plain_geometry(shapely.orient_polygons(found)) if found.is_valid else footprint(bbox)


def known_bbox(committed: CommittedDataset) -> list[float] | None:
    """Return the bounding box of a data version: from its files, else as declared, else None."""
    rows = main_files(committed)
    if len(rows) and rows["bbox"].notna().all():
        return enclosing(rows["bbox"].tolist())
    declared = committed.specification.extent
    return list(declared.bbox) if declared else None


def known_interval(
    committed: CommittedDataset, rows: Sequence[ManifestRow] | None = None
) -> Interval | None:
    """Return the first and the last time of files.

    They are the files' own, else their samples', else as declared, else None.

    Args:
        committed: the data version.
        rows: images or tables of it; all if not given.
    """
    moments = (
        main_files(committed)["datetime"]
        if rows is None
        else pd.Series([row["datetime"] for row in rows])
    )
    sampled = committed.samples["time"]
    if moments.isna().any() and sampled.notna().any():
        of_rows = (
            slice(None)
            if rows is None
            else committed.samples["path"].isin([row["path"] for row in rows])
        )
        moments = pd.to_datetime(sampled[of_rows], utc=True)
    if len(moments) and moments.notna().all():
        return moments.min().to_pydatetime(), moments.max().to_pydatetime()
    return declared_interval(committed.specification)


def times(
    committed: CommittedDataset, published: datetime, rows: Sequence[ManifestRow] | None = None
) -> dict[str, object]:
    """Return an Item's time properties.

    They are the moment, or the interval with its start as the nominal moment.

    STAC requires a moment. If unknown, it is the time of publication, which `mlops:datetime_is`
    states; of an interval without a start it is the end.

    Args:
        committed: the data version.
        published: when the Item's content was published; what it is of is older.
        rows: files of the data version that the Item is of; all if not given.
    """
    start, end = known_interval(committed, rows) or (None, None)
    if start is None:
        return {
            "datetime": text(end or published),
            "mlops:datetime_is": "latest" if end else "unknown",
        }
    if start == end:
        return {"datetime": text(start)}
    return {
        "datetime": text(start),
        "start_datetime": text(start),
        "end_datetime": text(end or published),
    }


def extent(committed: CommittedDataset) -> pystac.Extent:
    """Return a Collection's extent.

    STAC requires one: if it is unknown, it is the whole world up to publication, as `extent_notes`
    states.
    """
    start, end = known_interval(committed) or (None, committed.row.created)
    return pystac.Extent(
        pystac.SpatialExtent([known_bbox(committed) or WHOLE_WORLD]),
        pystac.TemporalExtent([[start, end]]),
    )


def extent_notes(committed: CommittedDataset) -> dict[str, str]:
    """Return fields of a Collection that state what of its extent is unknown or approximate."""
    declared = committed.specification.extent
    notes = {}
    if known_bbox(committed) is None:
        notes["mlops:extent"] = "unknown; the whole world, as STAC demands a bounding box"
    elif declared and declared.approximate:
        notes["mlops:extent"] = f"approximate; {declared.source or 'as declared'}"
    if known_interval(committed) is None:
        notes["mlops:datetime_is"] = "unknown"
    return notes


def text(moment: datetime) -> str:
    """Return a time as STAC writes it."""
    return pystac.utils.datetime_to_str(moment)
