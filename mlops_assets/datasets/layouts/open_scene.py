"""The image files of one scene, opened together and checked to lie on one grid."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.landed import Landed
from mlops_assets.datasets.landings.base import Scene
from mlops_assets.datasets.layouts.scene_checks import SceneProblems, grid_problems
from mlops_assets.datasets.rasters import band_names, open_raster, raster_facts, require_finite


class OpenScene:
    """A scene's images. `rows` are their manifest rows, `bands` the names of the stacked bands.

    `problems` has the first problem of each file, by path: that it cannot be read, or lies on another grid. The images
    can be used only while it is empty.
    """

    def __init__(self, landed: Landed, scene: Scene, opened: ExitStack) -> None:
        """Open the images of a scene; `opened` closes them."""
        self.problems: dict[str, str] = {}
        self.rasters: list[Any] = []
        self.rows: list[dict[str, Any]] = []
        self.bands: list[str] = []
        files = landed.by_path
        for part, path in enumerate(scene.images):
            try:
                raster = opened.enter_context(open_raster(landed.local(files[path])))
                facts = raster_facts(raster)
            except ValueError as error:
                self.problems[path] = str(error)
                continue
            names = band_names(raster, len(self.bands) + 1)
            if len(scene.images) > 1 and raster.count == 1 and not raster.descriptions[0]:
                names = [scene.bands[part]]
            self.bands += names
            self.rasters.append(raster)
            facts["datetime"] = scene.properties.get("datetime") or facts["datetime"]
            facts["bbox"] = facts["bbox"] or scene.bbox
            facts["source"] = scene.properties.get("source")
            self.rows.append({"path": path, "role": "image", "scene": scene.name, "part": part, **facts})
        if not self.problems:
            self.problems |= grid_problems(self.rows)
        # what was read before was found whole; without a nodata value nothing else is to be learnt from the pixels
        self._known = all(row["nodata"] is None and row["path"] in landed.facts.index for row in self.rows)

    def require_usable(self) -> None:
        """Raise what is wrong with the images, if anything is.

        Raises:
            SceneProblems: a file cannot be read, or lies on another grid.
        """
        if self.problems:
            raise SceneProblems(self.problems)

    def valid(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Say which pixels of the rows [top, bottom) have data in some band. Reading them also finds problems."""
        shape = (bottom - top, self.rasters[0].width)
        if self._known:
            return np.ones(shape, dtype=bool)
        valid = np.zeros(shape, dtype=bool)
        for raster, row in zip(self.rasters, self.rows, strict=True):
            try:
                pixels = _read(raster, top, bottom)
                require_finite(pixels, raster.nodata)
            except ValueError as error:
                self.problems.setdefault(row["path"], str(error))
                continue
            if raster.nodata is None:
                valid[:] = True
            else:
                valid |= ~((pixels == raster.nodata) | (pixels != pixels)).all(axis=0)  # NaN differs from itself
        return valid

    def coordinates(self, places: NDArray[np.float64]) -> tuple[Any, Any]:
        """Longitude and latitude of positions (n, 2) in rows and columns, degrees; None without a georeference."""
        from rasterio.transform import xy
        from rasterio.warp import transform

        raster = self.rasters[0]
        if raster.crs is None or not len(places):
            return None, None
        x, y = xy(raster.transform, places[:, 0], places[:, 1])
        longitude, latitude = transform(raster.crs, "EPSG:4326", np.atleast_1d(x), np.atleast_1d(y))
        return np.asarray(longitude), np.asarray(latitude)


def _read(raster: Any, top: int, bottom: int) -> NDArray[Any]:
    from rasterio.errors import RasterioError

    try:
        return np.asarray(raster.read(window=((top, bottom), (0, raster.width))))
    except RasterioError as error:
        raise ValueError(f"cannot be read between rows {top} and {bottom}; the file is damaged; replace it") from error
