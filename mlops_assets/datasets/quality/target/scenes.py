"""Pixels of the scenes that are to be mapped: their places and the values of their bands.

Of many scenes and pixels a fixed subsample is read, in whole blocks of the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_formats import GEOTIFFS
from mlops_assets.datasets.io.raster_places import places_of_pixels
from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import (
    Reading,
    band_roles,
    open_raster,
    own_band_names,
    read_values,
    require_real,
)
from mlops_assets.datasets.quality.content.subsample import SEED, draw
from mlops_assets.datasets.quality.target.area import Lonlat, inside
from mlops_assets.datasets.sources import LandedFile, Landing, landing_url
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.datasets.sources.http import WebLanding
from mlops_assets.datasets.sources.object_store import BucketLanding
from mlops_assets.errors import EmptyLanding, SpecificationError
from mlops_assets.progress import each
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import BUCKETS, WEB, local_folder

if TYPE_CHECKING:
    from shapely import MultiPolygon

MAX_SCENES = 20  # that are read, drawn from all
MAX_BLOCKS = 64  # of each scene


@dataclass(frozen=True)
class TargetScene:
    """A scene to be mapped, as listed.

    Attributes:
        url: of the file.
        landing: where it is.
        file: the file there.
    """

    url: str
    landing: Landing
    file: LandedFile


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of a scene that have data in all bands.

    Attributes:
        places: (n, 2), NaN where the scene has no georeference.
        values: (n, bands) in the order of the features; None if the scene's bands are not those.
        unlike: why they are not.
    """

    places: Lonlat
    values: NDArray[np.float64] | None
    unlike: str | None


def scenes_of(workspace: Workspace, urls: Sequence[str]) -> list[TargetScene]:
    """List the scenes at paths and URLs, of which `MAX_SCENES` are drawn.

    Args:
        workspace: where relative paths start.
        urls: of GeoTIFF files and of folders of them.

    Raises:
        SpecificationError: a folder is missing, or has no GeoTIFF.
        StorageError: it cannot be listed.
    """
    found: list[TargetScene] = []
    for declared in urls:
        url = landing_url(workspace, declared)
        own: list[TargetScene] = []
        with suppress(EmptyLanding):
            own += _scenes_at(url)
        if not own:
            raise SpecificationError(
                f"target_area: there is no GeoTIFF at {declared}; name files that end in .tif, or"
                " a folder of them"
            )
        found += own
    chosen = draw(np.arange(len(found)), MAX_SCENES)
    return [found[number] for number in chosen.tolist()]


def _scenes_at(url: str) -> Iterator[TargetScene]:
    """List the GeoTIFF file at a URL, or those in the folder."""
    scheme = url.partition("://")[0]
    folder, _, name = url.rpartition("/")
    is_file = name.lower().endswith(GEOTIFFS)
    landing: Landing
    if scheme in WEB or (scheme in BUCKETS and is_file):
        landing = WebLanding(url if is_file else f"{url}/", [])
    elif scheme in BUCKETS:
        landing = BucketLanding(url)
    else:
        landing = FolderLanding(local_folder(folder if is_file else url))
    name = local_folder(url).name
    for file in landing.list():
        if file.path.lower().endswith(GEOTIFFS) and (not is_file or file.path == name):
            yield TargetScene(url if is_file else f"{url}/{file.path}", landing, file)


def read_pixels(
    scenes: Sequence[TargetScene],
    features: Sequence[str],
    reading: Reading,
    area: MultiPolygon | None,
    count: int,
) -> list[Pixels]:
    """Read pixels of scenes, those with data and in the area, as many of each scene.

    Args:
        scenes: to read.
        features: names of the bands that are compared.
        reading: `raw` or `physical`, as training data is read.
        area: in which pixels count; None for everywhere.
        count: of pixels in all.

    Raises:
        SpecificationError: a file cannot be read as a raster.
        StorageError: a file cannot be fetched.
    """
    found = []
    for scene in each("reading scenes", scenes, "scenes"):
        with scratch_folder("target") as folder:
            local = scene.landing.fetch(scene.file, folder)
            try:
                with open_raster(local) as raster:
                    found.append(_read(raster, features, reading, area, -(-count // len(scenes))))
            except ValueError as error:
                raise SpecificationError(f"target_area: {scene.url} {error}") from error
    return found


def _read(
    raster: Raster,
    features: Sequence[str],
    reading: Reading,
    area: MultiPolygon | None,
    count: int,
) -> Pixels:
    from rasterio.windows import Window

    require_real(raster)
    bands, unlike = _bands(raster, features)
    height, width = raster.block_shapes[0]
    across = -(-raster.width // width)
    chosen = draw(np.arange(across * -(-raster.height // height)), MAX_BLOCKS)
    windows = [
        Window(left, top, min(width, raster.width - left), min(height, raster.height - top))
        for top, left in zip(chosen // across * height, chosen % across * width, strict=True)
    ]
    read = sum(window.width * window.height for window in windows)
    rng = np.random.default_rng(SEED)
    places: list[Lonlat] = []
    values: list[NDArray[np.float64]] = []
    for window in windows:
        mask = read_values(raster, window, bands, "mask")
        block = read_values(raster, window, bands, reading)
        known = (mask & np.isfinite(block)).all(axis=0).ravel()
        # in proportion to what has data, so that each pixel counts alike
        share = count * known.sum() / read
        wanted = min(int(known.sum()), int(share) + int(rng.random() < share % 1))
        some = np.sort(rng.choice(np.flatnonzero(known), wanted, replace=False))
        row, column = some // window.width, some % window.width
        found = places_of_pixels(
            raster, np.column_stack([row + window.row_off, column + window.col_off])
        )
        places.append(np.full((len(some), 2), np.nan) if found is None else np.column_stack(found))
        values.append(block.reshape(len(block), -1)[:, some].T.astype(np.float64))
    lonlat, numbers = np.concatenate(places), np.concatenate(values)
    if area is not None:
        within = inside(area, lonlat)
        lonlat, numbers = lonlat[within], numbers[within]
    return Pixels(lonlat, None if unlike else numbers, unlike)


def _bands(raster: Raster, features: Sequence[str]) -> tuple[list[int], str | None]:
    """Return the bands to read and, where they are not those of the features, why.

    They are found by name; in file order only where the file has no names.
    """
    roles = band_roles(raster)
    every = list(roles.measured)
    names = own_band_names(raster, roles)
    if names is None:
        if len(every) == len(features):
            return every, None
        return every, f"a scene has {len(every)} bands, the data has {len(features)}"
    lacking = [name for name in features if name not in names]
    if lacking:
        return every, f"a scene has no band {lacking[0]}; it has {', '.join(names[:12])}"
    return [every[names.index(name)] for name in features], None
