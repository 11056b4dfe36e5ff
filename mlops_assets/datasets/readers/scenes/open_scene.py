"""The image files of one scene, opened together and checked to be on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_places import Places, places_of_pixels
from mlops_assets.datasets.io.rasterio_types import Ranges, Raster
from mlops_assets.datasets.io.rasters import (
    BandRoles,
    band_names,
    band_roles,
    is_masked,
    open_raster,
    raster_facts,
    require_finite,
    require_real,
    valid_pixels,
    value_mask,
)
from mlops_assets.datasets.readers.scenes.validation import SceneProblems, grid_problems
from mlops_assets.datasets.sources.base import Scene
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.versions.contents import FileRow


class OpenScene:
    """The open images of a scene; they can be used only while `problems` is empty.

    Attributes:
        problems: the first problem of each file, by path: it cannot be read, or is on another grid.
        rasters: the open images, in the order of the stack.
        rows: manifest rows of the images.
        sidecars: manifest rows of the other files that GDAL reads for them.
        bands: names of the stacked bands.
        alpha: path of an image and number of its alpha band, which is not a feature.
        notes: for people.
    """

    def __init__(
        self, landed: Landed, scene: Scene, opened: ExitStack, declared: Sequence[str] | None = None
    ) -> None:
        """Open the images of a scene.

        Args:
            landed: the files of the landing.
            scene: the scene.
            opened: closes the images.
            declared: declared names of the stacked bands.
        """
        self.problems: dict[str, str] = {}
        self.rasters: list[Raster] = []
        self.rows: list[FileRow] = []
        self.sidecars: list[FileRow] = []
        self.bands: list[str] = []
        self.alpha: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self._roles: list[BandRoles] = []
        for path in scene.images:
            try:
                raster = opened.enter_context(open_raster(landed.raster(path)))
                require_real(raster)
                self.sidecars += [
                    {"path": own, "role": "sidecar", "scene": scene.name}
                    for own in landed.sidecars(path, raster.files)
                ]
                self.rasters.append(raster)
            except ValueError as error:
                self.problems[path] = str(error)
        if not self.problems:
            self._describe(scene, declared)
            self.problems |= grid_problems(self.rows)
        # files that were read before are not truncated; without nodata values and masks, pixels
        # need not be read again
        read = [*scene.images, *(own["path"] for own in self.sidecars)]
        known = all(path in landed.facts.index for path in read)
        self._known = known and not any(map(is_masked, self.rasters, self._roles))

    def _describe(self, scene: Scene, declared: Sequence[str] | None) -> None:
        """Describe the images, once all of them are open."""
        whole = declared is not None and len(declared) == sum(
            raster.count for raster in self.rasters
        )
        for part, (path, raster) in enumerate(zip(scene.images, self.rasters, strict=True)):
            before = sum(other.count for other in self.rasters[:part])
            own = (
                declared[before : before + raster.count] if declared is not None and whole else None
            )
            roles = band_roles(raster, own)
            names = band_names(raster, roles, len(self.bands) + 1)
            if (
                len(scene.images) > 1
                and len(names) == 1
                and not raster.descriptions[roles.measured[0] - 1]
            ):
                names = [scene.bands[part]]
            try:
                facts = raster_facts(raster, roles)
            except ValueError as error:
                self.problems[path] = str(error)
                continue
            if roles.alpha is not None and roles.alpha not in roles.measured:
                self.alpha.append((path, roles.alpha))
            if facts["band_names"] is None and (len(names) > 1 or len(scene.images) == 1):
                facts["band_names"] = _names_in_item(scene, part, raster, roles)
                names = facts["band_names"] or names
            self.bands += names
            self._roles.append(roles)
            facts["datetime"] = scene.properties.get("datetime") or facts["datetime"]
            facts["bbox"] = facts["bbox"] or scene.bbox
            facts["source"] = scene.properties.get("source")
            self.rows.append(
                {"path": path, "role": "image", "scene": scene.name, "part": part, **facts}
            )

    def require_usable(self) -> None:
        """Check that the images have no problem.

        Raises:
            SceneProblems: a file cannot be read, or is on another grid.
        """
        if self.problems:
            raise SceneProblems(self.problems)

    def valid(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return which pixels of the rows [top, bottom) have data in some band.

        Problems found while reading are added to `problems`.

        Returns:
            Bool of shape (bottom - top, width).
        """
        shape = (bottom - top, self.rasters[0].width)
        if self._known:
            return np.ones(shape, dtype=bool)
        valid = np.zeros(shape, dtype=bool)
        for raster, roles, row in zip(self.rasters, self._roles, self.rows, strict=True):
            try:
                valid |= _read(raster, roles, ((top, bottom), (0, shape[1])))
            except ValueError as error:
                self.problems.setdefault(row["path"], str(error))
        return valid

    def coordinates(self, places: NDArray[np.float64]) -> Places | None:
        """Return longitude and latitude of positions, None if they are unknown.

        Args:
            places: float64 of shape (n, 2), row and column; whole numbers are pixel centres.
        """
        if not len(places):
            return None
        return places_of_pixels(self.rasters[0], places)


def _names_in_item(scene: Scene, part: int, raster: Raster, roles: BandRoles) -> list[str] | None:
    """Return the Item's names of the bands that are read, for a file without names."""
    names = scene.band_names[part] if scene.band_names else None
    if names is None or len(names) not in (raster.count, len(roles.measured)):
        return None
    return (
        [names[band - 1] for band in roles.measured] if len(names) == raster.count else list(names)
    )


def _read(raster: Raster, roles: BandRoles, window: Ranges) -> NDArray[np.bool_]:
    from rasterio.errors import RasterioError

    try:
        pixels = np.asarray(raster.read(list(roles.measured), window=window))
        if pixels.dtype.kind == "f":
            require_finite(pixels, raster.nodata, value_mask(raster, window, roles, pixels))
        return valid_pixels(raster, window, roles, pixels)
    except RasterioError as error:
        top, bottom = window[0]
        raise ValueError(
            f"cannot be read between rows {top} and {bottom}; the file is damaged; replace it"
        ) from error
