"""Centres and footprints of samples.

They are in pixels of their scene and, where georeferenced, on the ground.

Memory grows with the number of samples, never with the area of a scene.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.versions.sample_shape import SampleShape

# Semi-major axis (m) and flattening of WGS 84, NGA.STND.0036_1.0.0_WGS84, table 3.1
SEMI_MAJOR = 6_378_137.0
FLATTENING = 1 / 298.257223563
APART = 1e8  # pixels between two scenes that are laid out in one plane: more than any scene is wide
MEASURED = 1000  # pixels at most; in degrees, every file may have its own
_CORNERS = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2  # row, column


def earth_centred(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return points on the ellipsoid WGS 84 as metres from the Earth's centre, shape (n, 3).

    The straight line between two of them is their distance on the ground but for 1 m at 100 km,
    also across poles and the antimeridian. Formula: EPSG Guidance Note 7-2, Coordinate Conversions
    and Transformations, method 9602.
    """
    lon, lat = np.radians(longitude), np.radians(latitude)
    eccentricity = FLATTENING * (2 - FLATTENING)
    normal = SEMI_MAJOR / np.sqrt(1 - eccentricity * np.sin(lat) ** 2)
    ring = normal * np.cos(lat)
    return np.stack(
        [ring * np.cos(lon), ring * np.sin(lon), normal * (1 - eccentricity) * np.sin(lat)], axis=1
    )


@dataclass(frozen=True)
class Places:
    """The places of the samples of a data version. `n` is their number.

    Attributes:
        kind: `row`, `patch`, `window` or `image`.
        size: height and width of a sample, pixels; zeros for rows.
        file: number of the file of each sample, (n,).
        scene: number of the scene of each file.
        crs: coordinate reference system of each file, or None.
        transforms: from (column, row) to coordinates of each file, (files, 6); NaN where unknown.
        centres: row and column of each sample's centre in its file, in pixels from the upper left
            corner, (n, 2).
        longitude, latitude: degrees, (n,), NaN where unknown.
    """

    kind: str
    size: tuple[int, int]
    file: NDArray[np.int64]
    scene: NDArray[np.int64]
    crs: NDArray[np.object_]
    transforms: NDArray[np.float64]
    centres: NDArray[np.float64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]

    @property
    def on_ground(self) -> NDArray[np.bool_]:
        """Mask of the samples whose place on the Earth is known, (n,)."""
        return ~(np.isnan(self.longitude) | np.isnan(self.latitude))

    @property
    def in_scenes(self) -> bool:
        """True if samples are parts of scenes."""
        return self.kind in ("patch", "window")

    @cached_property
    def pixels(self) -> NDArray[np.float64]:
        """Width and height of a pixel on the ground that occur, metres, (k, 2).

        Measured at some files of each kind.
        """
        from rasterio._err import CPLE_BaseError
        from rasterio.warp import transform

        known = np.flatnonzero([crs is not None for crs in self.crs])
        steps = pd.DataFrame(self.transforms[known][:, [0, 1, 3, 4]]).assign(crs=self.crs[known])
        first = dict(zip(*np.unique(self.file, return_index=True), strict=True))
        found = []
        for file in draw(known[~steps.duplicated().to_numpy()], MEASURED):
            a, b, c, d, e, f = self.transforms[file]
            row, column = self.centres[first[file]]
            corner = np.array([a * column + b * row + c, d * column + e * row + f])
            x, y = (corner[:, None] + [[0, a, b], [0, d, e]]).tolist()
            with suppress(CPLE_BaseError):  # as of a building site, whose distances are its own
                corners = earth_centred(*np.array(transform(self.crs[file], "EPSG:4326", x, y)))
                found.append(np.linalg.norm(corners[1:] - corners[0], axis=1))
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def points(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chosen samples' centres in pixels, (m, 3), with scenes far apart."""
        return np.column_stack([self.scene[self.file[chosen]] * APART, self.centres[chosen]])

    def corners(self, chosen: NDArray[np.int64], size: tuple[float, float]) -> NDArray[np.float64]:
        """Return the corners of boxes of this size (pixels) around the chosen samples' centres.

        They are x and y, of shape (m, 4, 2), in coordinates of each sample's own CRS; where it has
        none, in pixels, with scenes far apart.
        """
        row, column = np.moveaxis(self.centres[chosen][:, None] + _CORNERS * size, -1, 0)
        a, b, c, d, e, f = self.transforms[self.file[chosen]].T[..., None]
        x, y = a * column + b * row + c, d * column + e * row + f
        plain = np.isnan(a)
        offset = self.scene[self.file[chosen]][:, None] * APART
        return np.stack([np.where(plain, column + offset, x), np.where(plain, row, y)], axis=-1)


def places_of(samples: pd.DataFrame, manifest: pd.DataFrame, shape: SampleShape) -> Places:
    """Return the places of samples.

    Args:
        samples: of a data version.
        manifest: its files.
        shape: shape of one sample.
    """
    kind = shape.kind
    height, width = shape.sides or (0, 0)
    size = (height, width)
    file, paths = pd.factorize(samples["path"])
    files = manifest.drop_duplicates("path").set_index("path").reindex(paths)
    scene = pd.factorize(
        files["scene"].astype(object).where(files["scene"].notna(), files.index.to_series())
    )[0]
    known = [
        isinstance(crs, str) and t is not None
        for crs, t in zip(files["crs"], files["transform"], strict=True)
    ]
    unknown = [np.nan] * 6
    transforms = [t if k else unknown for t, k in zip(files["transform"], known, strict=True)]
    if kind == "image":
        centres = files[["height", "width"]].to_numpy(dtype=np.float64, na_value=np.nan)[file] / 2
    else:
        half = np.array(size) / 2 if kind == "window" else 0.5
        centres = samples[["row", "column"]].to_numpy(dtype=np.float64) + half
    longitude, latitude = samples[["longitude", "latitude"]].to_numpy(dtype=np.float64).T
    return Places(
        kind,
        size,
        file,
        scene,
        np.array(
            [crs if k else None for crs, k in zip(files["crs"], known, strict=True)], dtype=object
        ),
        np.array(transforms, dtype=np.float64).reshape(-1, 6),
        centres,
        longitude,
        latitude,
    )
