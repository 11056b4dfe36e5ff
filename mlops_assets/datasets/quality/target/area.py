"""The polygons of a target area, and points in them.

Longitudes of polygons may exceed 180, so that none is cut at the antimeridian; those of points are
in -180 … 180.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import obstore
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_places import in_longitudes
from mlops_assets.datasets.sources import landing_url
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.errors import SpecificationError
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import explained, local_folder, open_object_store

if TYPE_CHECKING:
    from shapely import MultiPolygon, Polygon

Lonlat: TypeAlias = NDArray[np.float64]  # (n, 2), longitude and latitude in degrees
STEP = 0.5  # degrees at most of a side that is drawn as a straight line on the equal-area map
MAX_BYTES = 64 << 20  # of a GeoJSON file


def read_area(workspace: Workspace, declared: str) -> bytes:
    """Return the content of the GeoJSON file of a target area.

    Args:
        workspace: where relative paths start.
        declared: a path or URL.

    Raises:
        StorageError: it cannot be read.
        SpecificationError: it is too large to be an area.
    """
    url = landing_url(workspace, declared)
    folder, _, name = url.rpartition("/")
    with explained(f"target_area {declared}", "read", missing="check the path of 'area'"):
        if url.startswith("file://"):
            content = local_folder(url).read_bytes()
        else:
            content = bytes(obstore.get(open_object_store(folder), name).bytes())
    if len(content) > MAX_BYTES:
        raise SpecificationError(
            f"target_area {declared} has {len(content):,} bytes; simplify it to {MAX_BYTES:,} at"
            " most"
        )
    return content


def area_of(target: TargetArea, content: bytes | None) -> MultiPolygon | None:
    """Return the polygons of a target area, None where it is only of scenes.

    Args:
        target: as declared.
        content: of its GeoJSON file, if it has one.

    Raises:
        SpecificationError: the file has no polygons in degrees.
    """
    from shapely import MultiPolygon, box, make_valid, union_all

    if target.bbox is not None:
        west, south, east, north = target.bbox
        return MultiPolygon([box(west, south, east + 360 * (west > east), north)])
    if content is None:
        return None
    try:
        polygons = list(_polygons(json.loads(content)))
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        RecursionError,
    ) as error:
        raise SpecificationError(
            f"target_area {target.area} is not GeoJSON with polygons in degrees: {error}"
        ) from error
    whole = make_valid(union_all([make_valid(polygon) for polygon in polygons]))
    parts = [part for part in getattr(whole, "geoms", [whole]) if part.geom_type == "Polygon"]
    if not parts:
        raise SpecificationError(
            f"target_area {target.area} has no polygon with an area; draw the area to be mapped"
        )
    return MultiPolygon(parts)


def points_in(area: MultiPolygon, count: int, seed: int) -> Lonlat:
    """Return points of an area, the same on every machine, as dense everywhere on the ground.

    The area is cut into triangles on an equal-area map (longitude, sine of latitude).

    Args:
        area: see `area_of`.
        count: number of points.
        seed: of the generator.
    """
    import shapely

    flat = shapely.transform(
        shapely.segmentize(area, STEP),
        lambda at: np.column_stack([np.radians(at[:, 0]), np.sin(np.radians(at[:, 1]))]),
    )
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(flat))
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
    rng = np.random.default_rng(seed)
    sizes = shapely.area(triangles)
    chosen = corners[rng.choice(len(corners), count, p=sizes / sizes.sum())]
    a, b = rng.random((2, count, 1))
    beyond = a + b > 1
    a, b = np.where(beyond, 1 - a, a), np.where(beyond, 1 - b, b)
    at = chosen[:, 0] + a * (chosen[:, 1] - chosen[:, 0]) + b * (chosen[:, 2] - chosen[:, 0])
    latitude = np.degrees(np.arcsin(np.clip(at[:, 1], -1, 1)))
    return np.column_stack([in_longitudes(np.degrees(at[:, 0])), latitude])


def inside(area: MultiPolygon, points: Lonlat) -> NDArray[np.bool_]:
    """Return which points are in an area, shape (n,)."""
    import shapely

    shapely.prepare(area)
    longitude, latitude = points.T
    found = np.zeros(len(points), dtype=bool)
    for turn in (-360, 0, 360):
        found |= shapely.contains_xy(area, longitude + turn, latitude)
    return found


def _polygons(document: Mapping[str, object]) -> Iterator[Polygon]:
    """Yield the polygons of a GeoJSON document (RFC 7946).

    Raises:
        ValueError: it has another geometry, or coordinates that are not degrees.
    """
    from shapely import Polygon

    kind = document["type"]
    if kind == "FeatureCollection":
        for feature in _mappings(document["features"]):
            yield from _polygons(feature)
    elif kind == "GeometryCollection":
        for geometry in _mappings(document["geometries"]):
            yield from _polygons(geometry)
    elif kind == "Feature":
        for geometry in _mappings([document["geometry"]]):
            yield from _polygons(geometry)
    elif kind in ("Polygon", "MultiPolygon"):
        found = document["coordinates"]
        for rings in [found] if kind == "Polygon" else found:  # type: ignore[attr-defined]
            shell, *holes = (_unwrapped(ring) for ring in rings)
            yield Polygon(shell, holes)
    else:
        raise ValueError(f"it has a {kind}, which is no area; give Polygon or MultiPolygon")


def _mappings(found: object) -> Iterator[Mapping[str, object]]:
    for entry in found if isinstance(found, list) else [found]:
        if isinstance(entry, dict):
            yield entry


def _unwrapped(ring: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return a ring without a jump over the antimeridian.

    A side of more than half the globe is one that goes the shorter way round, as many programs
    write it; one from edge to edge of the map is meant.

    Raises:
        ValueError: the coordinates are not degrees.
    """
    at = np.array([point[:2] for point in ring], dtype=np.float64)
    if not (np.abs(at) <= [360, 90]).all():
        raise ValueError("its coordinates are not longitudes and latitudes; reproject to EPSG:4326")
    steps = np.diff(at[:, 0])
    turns = np.where((np.abs(steps) > 180) & (np.abs(steps) < 360), -np.sign(steps), 0)
    at[1:, 0] += 360 * np.cumsum(turns)
    return at
