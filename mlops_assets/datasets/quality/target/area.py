"""The polygons of a target area, and points in them.

Longitudes are in -180 … 180; polygons across the antimeridian are cut in two there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import obstore
from numpy.typing import NDArray

from mlops_assets.datasets.io.geojson_areas import polygons_of, read_polygons, shape_of_bounds
from mlops_assets.datasets.sources import landing_url
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.errors import SpecificationError
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import explained, local_folder, open_object_store

if TYPE_CHECKING:
    from shapely import MultiPolygon

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
    if target.bbox is not None:
        west, south, east, north = target.bbox
        return polygons_of(shape_of_bounds((west, south, east, north)))
    if content is None:
        return None
    where = f"target_area {target.area}"
    try:
        return read_polygons(json.loads(content), where)
    except (ValueError, RecursionError) as error:
        raise SpecificationError(f"{where} is not valid JSON: {error}") from error


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
    return np.column_stack([np.degrees(at[:, 0]), latitude])


def inside(area: MultiPolygon, points: Lonlat) -> NDArray[np.bool_]:
    """Return which points are in an area, shape (n,)."""
    import shapely

    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, points))
