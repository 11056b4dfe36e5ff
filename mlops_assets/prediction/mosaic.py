"""The layers of a map, put together from the finished parts of its scenes.

Where scenes overlap, the more confident pixel is taken; of numbers the one that is more like the
training data, where that is known; else that of the scene acquired first. Memory grows with the
width of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.mapped import APPLICABILITY
from mlops_assets.prediction.maps.geotiff import Layer, MapGrid, open_layer, write_rows
from mlops_assets.prediction.parts import PartResult, Parts
from mlops_assets.prediction.writing import PRIORITY
from mlops_assets.progress import Step

_ROWS = 256  # of the map that are put together at once
_BYTES = 64 << 20  # of the rows of a layer
_NEAR = 1e-3  # of a pixel: scenes whose corners are as far apart are on one grid


@dataclass(frozen=True)
class PlacedScene:
    """A scene in a map.

    Attributes:
        name: for people.
        grid: of the scene.
        results: its parts, from top to bottom.
        row: of the map that its first row is.
        column: of the map that its first column is.
    """

    name: str
    grid: MapGrid
    results: Sequence[PartResult]
    row: int = 0
    column: int = 0


def place(scenes: Sequence[PlacedScene]) -> tuple[MapGrid, list[PlacedScene]]:
    """Return the grid that has all scenes, and the scenes in their places.

    Args:
        scenes: in order; the first one decides which grid it is.

    Raises:
        SpecificationError: scenes are on different grids.
    """
    from rasterio import Affine

    first = scenes[0]
    if len(scenes) == 1:
        return first.grid, [first]
    offsets = [_offset(scene, first) for scene in scenes]
    top, left = (min(offset[axis] for offset in offsets) for axis in (0, 1))
    placed = [
        PlacedScene(scene.name, scene.grid, scene.results, row - top, column - left)
        for scene, (row, column) in zip(scenes, offsets, strict=True)
    ]
    corner = Affine(*first.grid.transform or ()) @ Affine.translation(left, top)
    a, b, c, d, e, f = corner[:6]
    return (
        MapGrid(
            max(scene.row + scene.grid.height for scene in placed),
            max(scene.column + scene.grid.width for scene in placed),
            (a, b, c, d, e, f),
            first.grid.crs,
        ),
        placed,
    )


def _offset(scene: PlacedScene, first: PlacedScene) -> tuple[int, int]:
    """Return the row and the column of the first scene's grid at which a scene begins."""
    from rasterio import Affine
    from rasterio.crs import CRS

    own, its = scene.grid, first.grid
    remedy = "declare the grid of the map: its CRS and resolution"
    if own.transform is None or its.transform is None:
        nowhere = scene if own.transform is None else first
        raise SpecificationError(
            f"{nowhere.name} has no georeference, so it has no place beside other scenes; map it"
            " alone"
        )
    systems = [CRS.from_wkt(grid.crs) if grid.crs else None for grid in (own, its)]
    if systems[0] != systems[1]:
        names = ["no CRS" if crs is None else crs.to_string()[:60] for crs in systems]
        raise SpecificationError(
            f"{scene.name} is in {names[0]}, {first.name} in {names[1]}; {remedy}"
        )
    one, other = Affine(*own.transform), Affine(*its.transform)
    column, row = ~other @ (one.c, one.f)
    sides = [(grid.a, grid.b, grid.d, grid.e) for grid in (one, other)]
    whole = abs(column - round(column)) < _NEAR and abs(row - round(row)) < _NEAR
    if not np.allclose(sides[0], sides[1], rtol=1e-9, atol=0) or not whole:
        raise SpecificationError(
            f"the pixels of {scene.name} (from {one.c:g}, {one.f:g}, {one.a:g} wide) are not those"
            f" of {first.name} (from {other.c:g}, {other.f:g}, {other.a:g} wide); {remedy}"
        )
    return round(row), round(column)


@dataclass(frozen=True)
class Contained:
    """What is in a map.

    Attributes:
        classes: class values.
        outside: share of the predicted pixels outside the area of applicability; None if unknown.
    """

    classes: frozenset[int]
    outside: float | None


@dataclass(frozen=True)
class _Rows:
    """The layers of the parts of one scene."""

    parts: Parts
    scene: PlacedScene

    def read(self, layer: str, first: int, last: int) -> NDArray[np.number]:
        """Return rows of a layer, (bands, rows, width)."""
        from rasterio.windows import Window

        found = []
        for result in self.scene.results:
            top, bottom = max(result.part.first, first), min(result.part.last, last)
            if top < bottom:
                window = Window(0, top - result.part.first, self.scene.grid.width, bottom - top)
                # opened for these rows only: parts may be more than files that can be open
                with open_raster(self.parts.layer(result, layer)) as raster:
                    found.append(np.asarray(raster.read(window=window)))
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


@dataclass(frozen=True)
class Mosaic:
    """A map of placed scenes.

    Attributes:
        parts: the finished parts.
        scenes: in their places; of pixels that are as good, the first scene has its way.
        grid: of the map.
        layers: name → layer, the first one of classes or values.
    """

    parts: Parts
    scenes: Sequence[PlacedScene]
    grid: MapGrid
    layers: Mapping[str, Layer]

    def write(self, path: Callable[[str], Path], tags: Mapping[str, str], done: Step) -> Contained:
        """Write the layers as plain GeoTIFFs.

        Args:
            path: returns the file of a layer by its name.
            tags: metadata of the files.
            done: counts pixels.

        Returns:
            What is in the map.
        """
        present: set[int] = set()
        inside = predicted = 0
        with ExitStack() as stack:
            rows = [_Rows(self.parts, scene) for scene in self.scenes]
            written = {
                name: stack.enter_context(open_layer(path(name), self.grid, layer, tags))
                for name, layer in self.layers.items()
            }
            for top in range(0, self.grid.height, self._height):
                last = min(top + self._height, self.grid.height)
                block = self._block(rows, top, last)
                for name, values in block.items():
                    write_rows(written[name], top, values)
                for entry in self.layers[""].classes:
                    if entry.value not in present and (block[""] == entry.value).any():
                        present.add(entry.value)
                if APPLICABILITY in block:
                    area = block[APPLICABILITY][1]
                    inside += int((area == 1).sum())
                    predicted += int(np.isfinite(area).sum())
                done.advance((last - top) * self.grid.width)
        return Contained(frozenset(present), 1 - inside / predicted if predicted else None)

    @property
    def _height(self) -> int:
        widest = max(
            len(layer.bands) * np.dtype(layer.dtype).itemsize for layer in self.layers.values()
        )
        return min(_ROWS, max(1, _BYTES // (widest * self.grid.width)))

    def _block(self, rows: Sequence[_Rows], top: int, last: int) -> dict[str, NDArray[np.number]]:
        """Return rows of the map, layer by layer, (bands, rows, width)."""
        shape = last - top, self.grid.width
        block: dict[str, NDArray[np.number]] = {
            name: np.full((len(layer.bands), *shape), layer.nodata, dtype=layer.dtype)
            for name, layer in self.layers.items()
        }
        best = np.full(shape, -np.inf, dtype=np.float32)
        for one in rows:
            scene = one.scene
            first, end = max(scene.row, top), min(scene.row + scene.grid.height, last)
            if first >= end:
                continue
            own = first - scene.row, end - scene.row
            place = (
                slice(first - top, end - top),
                slice(scene.column, scene.column + scene.grid.width),
            )
            priority = self._priority(one, *own)
            held = best[place]
            better = priority > held
            alone = not np.isfinite(held).any()
            held[better] = priority[better]
            if not better.any():
                continue
            for name, values in block.items():
                new = one.read(name, *own)
                if alone:
                    values[:, *place] = new
                else:
                    np.copyto(values[:, *place], new, where=better)
        return block

    def _priority(self, rows: _Rows, first: int, last: int) -> NDArray[np.float32]:
        """Return how good pixels are, NaN where there is none."""
        if PRIORITY in (rows.scene.results[0].layers or {}):
            return np.asarray(rows.read(PRIORITY, first, last)[0], dtype=np.float32)
        values = rows.read("", first, last)[0]
        nodata = self.layers[""].nodata
        known = values == values if np.isnan(nodata) else values != nodata
        priority = np.full(known.shape, np.nan, dtype=np.float32)
        priority[known] = 0
        return priority
