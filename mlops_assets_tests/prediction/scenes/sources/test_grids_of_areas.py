"""Areas on the grids of scenes: far larger than a scene, and across the antimeridian."""

from __future__ import annotations

from typing import Any

import pytest
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.features import geometry_mask

from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.sources.grids import PixelGrid

UTM = PixelGrid(CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 4_700_000), 40, 40)
POLE = PixelGrid(CRS.from_epsg(3995), Affine(1000, 0, -20_000, 0, -1000, 20_000), 40, 40)
ACROSS = PixelGrid(CRS.from_epsg(4326), Affine(0.1, 0, 178, 0, -0.1, 2), 40, 40)
FROM_ZERO = PixelGrid(CRS.from_epsg(4326), Affine(9, 0, 0, 0, -4, 80), 40, 40)


def boxes(*found: tuple[float, float, float, float]) -> dict[str, Any]:
    rings = [[[w, s], [e, s], [e, n], [w, n], [w, s]] for w, s, e, n in found]
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


@pytest.mark.parametrize(
    ("grid", "area", "pixels"),
    [
        pytest.param(UTM, boxes((-180, -90, 180, 90)), 1600, id="the world"),
        # a transverse Mercator projection has no coordinates a quarter of the globe away
        pytest.param(UTM, boxes((-80, -10, 100, 80)), 1600, id="half a hemisphere"),
        pytest.param(POLE, boxes((-180, -90, 180, 90)), 1600, id="around the pole"),
        pytest.param(
            ACROSS, boxes((179, 0, 180, 1), (-180, 0, -179, 1)), 200, id="across the antimeridian"
        ),
        pytest.param(FROM_ZERO, boxes((-175, 0, -150, 20)), 10, id="degrees from 0 to 360"),
        pytest.param(FROM_ZERO, boxes((-20, 0, 20, 20)), 20, id="both ends of the grid"),
    ],
)
def test_an_area_has_the_pixels_whose_centres_are_in_it(
    grid: PixelGrid, area: dict[str, Any], pixels: int
) -> None:
    part = grid.cropped(area, "scene")
    inside = geometry_mask(
        [part.in_crs(area, "scene")], (part.height, part.width), part.transform, invert=True
    )
    assert inside.sum() == pixels


def test_an_area_elsewhere_is_refused() -> None:
    with pytest.raises(SpecificationError, match="scene has no pixel in the area"):
        UTM.cropped(boxes((100, -10, 110, 10)), "scene")
