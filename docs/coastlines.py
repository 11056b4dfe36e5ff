"""Write the coastlines that the hub draws, from the npm package `world-atlas`.

`make coastlines` runs it; nothing else needs the package. The source is Natural Earth 1:50m land,
in the public domain (https://www.naturalearthdata.com/about/terms-of-use/).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import shapely

SIMPLIFIED = 0.03  # degrees, about 3 km; the hub shows where data is, not the shore itself
DIGITS = 2
MIN_AREA = 0.003  # square degrees, about 40 km² at the equator
FOUND_IN = "Made with Natural Earth (public domain), world-atlas by M. Bostock (ISC licence)"


def main(topology: Path, target: Path) -> None:
    """Read the TopoJSON of land and write GeoJSON.

    Args:
        topology: `land-50m.json` of world-atlas.
        target: file to write.
    """
    content = json.loads(topology.read_text())
    arcs = _arcs(content)
    polygons = [
        polygon
        for geometry in content["objects"]["land"]["geometries"]
        for rings in geometry["arcs"]
        for polygon in _parts(_polygon(rings, arcs))
    ]
    coordinates = [
        [np.round(shapely.get_coordinates(ring), DIGITS).tolist() for ring in _rings(polygon)]
        for polygon in sorted(polygons, key=lambda polygon: -polygon.area)
    ]
    document = {
        "type": "Feature",
        "properties": {"source": FOUND_IN},
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
    }
    target.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def _arcs(content: dict[str, Any]) -> list[np.ndarray]:
    """Return the lines of a topology: https://github.com/topojson/topojson-specification, 2.1.3."""
    scale, translate = content["transform"]["scale"], content["transform"]["translate"]
    return [np.cumsum(np.array(arc), axis=0) * scale + translate for arc in content["arcs"]]


def _polygon(rings: list[list[int]], arcs: list[np.ndarray]) -> shapely.Geometry:
    """Join lines into a polygon, ~i is line i in the other direction."""
    lines = [[arcs[i] if i >= 0 else arcs[~i][::-1] for i in ring] for ring in rings]
    joined = [np.concatenate([ring[0], *(line[1:] for line in ring[1:])]) for ring in lines]
    shore, *lakes = (_cut(ring) for ring in joined)
    return shapely.difference(shore, shapely.union_all(lakes))


def _cut(ring: np.ndarray) -> shapely.Geometry:
    """Cut the area within a ring, whose longitudes may jump by 360 degrees, at the antimeridian."""
    x, y = np.unwrap(ring[:, 0], period=360), ring[:, 1]
    if abs(x[-1] - x[0]) > 180:  # around the south pole
        x = np.concatenate([x, [x[-1], x[0], x[0]]])
        y = np.concatenate([y, [-90, -90, y[0]]])
    whole = shapely.make_valid(shapely.Polygon(np.column_stack([x, y])))
    turns = [
        shapely.transform(
            shapely.intersection(whole, shapely.box(start, -90, start + 360, 90)),
            lambda points, start=start: points - [start + 180, 0],
        )
        for start in (-900, -540, -180, 180, 540)
    ]
    return shapely.union_all(turns)


def _parts(polygon: shapely.Geometry) -> list[shapely.Polygon]:
    parts = shapely.get_parts(shapely.simplify(polygon, SIMPLIFIED))
    return [part for part in parts if part.geom_type == "Polygon" and part.area >= MIN_AREA]


def _rings(polygon: shapely.Polygon) -> list[shapely.LinearRing]:
    return [polygon.exterior, *polygon.interiors]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
