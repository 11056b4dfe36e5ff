"""The samples of a data version on a map, as GeoJSON: clustered where they would overlap.

Geometries follow RFC 7946: longitude and latitude in degrees, cut at the antimeridian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_places import in_longitudes
from mlops_assets.datasets.quality.content.places import Places, places_of
from mlops_assets.datasets.versions.manifest import footprints
from mlops_assets.hub.views.footprints import Box, By, category_names, located
from mlops_assets.hub.views.samples.opened import OpenVersion, open_version
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

DEFAULT_LIMIT, MAX_LIMIT = 2000, 5000  # features of a response
ALL_BELOW = 500  # samples that are drawn one by one, however near they are
CELL = 12  # pixels of a map that a cluster covers
TILE = 256  # pixels of the whole map at zoom 0
MAX_ZOOM = 22
MAX_LATITUDE = 85.05112878  # of Web Mercator
DIGITS = 7  # decimals of degrees, a centimetre


@dataclass(frozen=True)
class FootprintQuery:
    """The footprints that a map asks for.

    Attributes:
        by: what gives them their category and colour.
        box: west, south, east, north of the map; None for all.
        zoom: of the map, as web maps count: the world is `256 * 2 ** zoom` pixels wide.
        limit: features at most.
        only: the one category that is shown; None for all.
    """

    by: By = "split"
    box: Box | None = None
    zoom: int = 0
    limit: int = DEFAULT_LIMIT
    only: str | None = None


def footprint_features(store: Store, reference: Reference, query: FootprintQuery) -> JsonObject:
    """Return the samples within a box as GeoJSON; those that would overlap are one feature.

    Args:
        store: of the caller.
        reference: to the data version.
        query: which, and how finely.

    Returns:
        A FeatureCollection. A sample is a polygon, or a point where its size is unknown, with
        `index`, `path` and `category`; a cluster is a point at the mean place of its samples, with
        their `count`, the most frequent `category` and the number of each in `parts`.

    Raises:
        NotFound: no such version.
    """
    version = open_version(store, reference)
    samples = version.committed.samples
    names = category_names(version, query.by)
    chosen = located(version) & _inside(samples, query.box)
    if query.only is not None:
        chosen &= names == query.only
    positions = np.flatnonzero(chosen)
    limit = min(max(query.limit, 1), MAX_LIMIT)
    cells = _cells(samples.iloc[positions], query.zoom, limit)
    single = np.bincount(cells, minlength=1)[cells] == 1
    singles = _samples(version, positions[single], names)
    clusters = _clusters(
        samples.iloc[positions[~single]], cells[~single], names[positions[~single]]
    )
    return {
        "type": "FeatureCollection",
        "matching": len(positions),
        "features": [*clusters, *singles],
    }


def _inside(samples: pd.DataFrame, box: Box | None) -> NDArray[np.bool_]:
    """Return which samples are in a box; its longitudes may be of any turn of the map."""
    if box is None:
        return np.ones(len(samples), dtype=bool)
    west, south, east, north = box
    longitude = samples["longitude"].to_numpy(dtype=np.float64)
    latitude = samples["latitude"].to_numpy(dtype=np.float64)
    inside = (latitude >= south) & (latitude <= north)
    if east - west >= 360:
        return np.asarray(inside)
    west, east = in_longitudes(np.array([west, east])).tolist()
    if west <= east:
        return np.asarray(inside & (longitude >= west) & (longitude <= east))
    return np.asarray(inside & ((longitude >= west) | (longitude <= east)))


def _cells(samples: pd.DataFrame, zoom: int, limit: int) -> NDArray[np.int64]:
    """Return the number of the cell of each sample: cells are as small as the limit allows."""
    if len(samples) <= min(ALL_BELOW, limit):
        return np.arange(len(samples))
    latitude = samples["latitude"].to_numpy(dtype=np.float64)
    angle = np.radians(np.clip(latitude, -MAX_LATITUDE, MAX_LATITUDE))
    # the Web Mercator square (EPSG:3857) as 0 … 1
    x = samples["longitude"].to_numpy(dtype=np.float64) / 360 + 0.5
    y = 0.5 - np.log(np.tan(np.pi / 4 + angle / 2)) / (2 * np.pi)
    side = CELL / (TILE * 2.0 ** min(max(zoom, 0), MAX_ZOOM))
    while True:
        columns, rows = (np.floor(axis / side).astype(np.int64) for axis in (x, y))
        codes = columns * (1 << 30) + rows
        found, cells = np.unique(codes, return_inverse=True)
        if len(found) <= limit:
            return np.asarray(cells.reshape(-1), dtype=np.int64)
        side *= 2


def _clusters(
    samples: pd.DataFrame, cells: NDArray[np.int64], names: NDArray[np.object_]
) -> list[JsonObject]:
    if not len(samples):
        return []
    frame = pd.DataFrame(
        {
            "cell": cells,
            "name": names,
            "longitude": samples["longitude"].to_numpy(dtype=np.float64),
            "latitude": samples["latitude"].to_numpy(dtype=np.float64),
        }
    )
    places = frame.groupby("cell")[["longitude", "latitude"]].mean()
    counts = frame.groupby(["cell", "name"], as_index=False).size()
    parts: dict[int, dict[str, int]] = {}
    for cell, name, count in zip(counts["cell"], counts["name"], counts["size"], strict=True):
        parts.setdefault(int(cell), {})[str(name)] = int(count)
    return [
        _feature(
            {"type": "Point", "coordinates": [round(longitude, DIGITS), round(latitude, DIGITS)]},
            {
                "count": sum(parts[int(cell)].values()),
                "category": max(parts[int(cell)], key=parts[int(cell)].__getitem__),
                "parts": dict(parts[int(cell)]),
            },
        )
        for cell, longitude, latitude in places.itertuples()
    ]


def _samples(
    version: OpenVersion, positions: NDArray[np.int64], names: NDArray[np.object_]
) -> list[JsonObject]:
    samples = version.committed.samples.iloc[positions]
    polygons = _polygons(version, positions)
    points = shapely.points(samples[["longitude", "latitude"]].to_numpy(dtype=np.float64))
    geometries = np.where(shapely.is_missing(polygons), points, polygons)
    rounded = shapely.set_precision(geometries, 10.0**-DIGITS, mode="pointwise")
    return [
        _feature(
            dict(shapely.geometry.mapping(geometry)),
            {"index": index, "path": path, "category": str(name)},
        )
        for geometry, index, path, name in zip(
            rounded, positions.tolist(), samples["path"], names[positions], strict=True
        )
    ]


def _polygons(version: OpenVersion, positions: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the ground that samples cover, None where it is unknown."""
    committed = version.committed
    none = np.full(len(positions), None, dtype=object)
    kind = committed.document.input.kind
    if kind == "row" or not len(positions):
        return none
    if kind == "image":
        boxes = version.images["bbox"].reindex(committed.samples["path"].iloc[positions])
        corners = [box if box is not None and not isinstance(box, float) else [np.nan] * 4
                   for box in boxes]  # fmt: skip
        return footprints(np.array(corners, dtype=np.float64))
    samples = committed.samples.iloc[positions].reset_index(drop=True)
    places = places_of(samples, committed.manifest, committed.document.input)
    return _squares(places, none)


def _squares(places: Places, found: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the squares of patches and windows, by the CRS of their scenes."""
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform

    height, width = places.size
    corners = places.corners(np.arange(len(found)), (height, width))
    crs_of_samples = places.crs[places.file]
    for crs in {crs for crs in crs_of_samples if crs is not None}:
        own = np.flatnonzero(crs_of_samples == crs)
        x, y = corners[own].reshape(-1, 2).T
        try:
            longitude, latitude = map(np.asarray, transform(crs, "EPSG:4326", x, y))
        except CPLE_BaseError:
            continue  # as of a building site: its points have places, its corners have none
        rings = np.stack([longitude, latitude], axis=-1).reshape(-1, 4, 2)
        usable = np.isfinite(rings).all(axis=(1, 2))
        usable &= np.ptp(rings[:, :, 0], axis=1) < 180  # others stay points
        found[own[usable]] = shapely.polygons(rings[usable])
    return found


def _feature(geometry: dict[str, Any], properties: JsonObject) -> JsonObject:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
