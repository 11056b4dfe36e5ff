"""Reading samples of committed scenes: patches, pixels and windows, and the labels of windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import (
    Reading,
    numpy_type,
    open_raster,
    read_strip,
    read_values,
    strips,
)
from mlops_assets.datasets.readers.scenes.raster_labels import RasterLabels
from mlops_assets.datasets.readers.scenes.vector_files import is_vector
from mlops_assets.datasets.readers.scenes.vector_labels import BurnedLabels, VectorLabels
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset


def read(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.generic]:
    """Read samples of a scene; the bands of stacked files follow each other. See `Layout.read`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2): centre of a patch or pixel, upper left pixel of a window.
        view: shape of a sample.

    Returns:
        Shape (n, bands) of pixels, else (n, bands, size, size), or (n, bands, height, width) of
        whole images: the type of the files, or float32 in physical units.

    Raises:
        ValueError: a file cannot be read.
        StorageError: a file cannot be fetched.
    """
    return _read(committed, path, places, view, committed.reading)


def read_mask(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.bool_]:
    """Read which values of samples are valid by nodata, alpha and masks; see `Layout.read_mask`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2): centre of a patch or pixel, upper left pixel of a window.
        view: shape of a sample.

    Returns:
        Bool of the shape that `read` returns, true where a value is valid.

    Raises:
        ValueError: a file cannot be read.
        StorageError: a file cannot be fetched.
    """
    return np.asarray(_read(committed, path, places, view, "mask"), dtype=bool)


def read_labels(
    committed: CommittedDataset, path: str, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Read the labels of windows; see `Layout.read_labels`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2), row and column of each window's upper left pixel.

    Returns:
        Class values, int64 of shape (n, size, size), `unlabelled` where unknown.

    Raises:
        SpecificationError: the samples are not windows; their labels are in the samples' table.
        ValueError: the labels cannot be read.
        StorageError: the labels cannot be fetched.
    """
    sampling = committed.specification.source.sampling
    if committed.document.input.kind != "window" or sampling is None:
        raise SpecificationError(
            f"{committed.reference} has one label a sample; they are in the samples"
        )
    size = committed.document.input.size
    name = committed.scene_labels(path)
    if is_vector(name):
        with open_raster(committed.raster_path(path)) as raster:
            burned = _vector(committed, name, sampling).onto(raster)
        return _blocks(burned, places, size)
    with open_raster(committed.raster_path(name)) as raster:
        return _blocks(RasterLabels(raster, sampling), places, size)


def _read(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str, what: Reading
) -> NDArray[np.generic]:
    files = [
        (committed.raster_path(part), committed.bands(part))
        for part in committed.scene_images(path)
    ]
    if view == "image":
        whole = np.concatenate([read_image(*file, what) for file in files])
        return np.repeat(whole[None], len(places), axis=0)
    size, _ = committed.document.input.sides
    if view == "window":
        return np.concatenate(
            [read_windows(local, places, size, bands, what) for local, bands in files], axis=1
        )
    if view == "pixel":
        size = 1
    patches = np.concatenate(
        [read_patches(local, places, size, bands, what) for local, bands in files], axis=1
    )
    return patches[:, :, 0, 0] if view == "pixel" else patches


def read_image(
    local: Path, bands: Sequence[int] | None = None, what: Reading = "raw"
) -> NDArray[np.generic]:
    """Read a whole image; see `read_values`.

    Returns:
        Shape (bands, height, width), of the type that `read_values` returns.
    """
    with open_raster(local) as raster:
        return read_values(raster, ((0, raster.height), (0, raster.width)), bands, what)


def read_patches(
    local: Path,
    centres: NDArray[np.int64],
    size: int,
    bands: Sequence[int] | None = None,
    what: Reading = "raw",
) -> NDArray[np.generic]:
    """Read patches around pixels, in strips so that memory does not grow with the scene.

    Args:
        local: local path of the image.
        centres: int64 of shape (n, 2), row and column of each centre pixel.
        size: height and width of a patch, odd.
        bands: which to read, counted from 1, in this order; all if none are given.
        what: see `read_values`.

    Returns:
        Shape (n, bands, size, size) in the raster's own type; beyond the scene's edge pixels are
        mirrored.
    """
    half = size // 2
    with open_raster(local) as raster:
        patches = np.empty(
            (len(centres), _count(raster, bands), size, size),
            dtype=_pixel_type(raster, bands, what),
        )
        for top, bottom in strips(raster):
            inside = np.flatnonzero((centres[:, 0] >= top) & (centres[:, 0] < bottom))
            if not len(inside):
                continue
            padded = read_strip(raster, top, bottom, half, bands, what)
            for index in inside:
                row, column = centres[index, 0] - top, centres[index, 1]
                patches[index] = padded[:, row : row + size, column : column + size]
    return patches


def read_windows(
    local: Path,
    corners: NDArray[np.int64],
    size: int,
    bands: Sequence[int] | None = None,
    what: Reading = "raw",
) -> NDArray[np.generic]:
    """Read square windows.

    Args:
        local: local path of the image.
        corners: int64 of shape (n, 2), row and column of each window's upper left pixel.
        size: height and width of a window.
        bands: which to read, counted from 1, in this order; all if none are given.
        what: see `read_values`.

    Returns:
        Shape (n, bands, size, size) of the type that `read_values` returns.
    """
    from rasterio.windows import Window

    with open_raster(local) as raster:
        found = np.empty(
            (len(corners), _count(raster, bands), size, size),
            dtype=_pixel_type(raster, bands, what),
        )
        for index, (row, column) in enumerate(corners.tolist()):
            found[index] = read_values(raster, Window(column, row, size, size), bands, what)
    return found


def _count(raster: Raster, bands: Sequence[int] | None) -> int:
    return int(raster.count) if bands is None else len(bands)


def _pixel_type(raster: Raster, bands: Sequence[int] | None, what: Reading) -> np.dtype[np.generic]:
    if what != "raw":
        return np.dtype(bool if what == "mask" else np.float32)
    read = raster.dtypes if bands is None else [raster.dtypes[band - 1] for band in bands]
    return np.result_type(*map(numpy_type, read))


def _vector(committed: CommittedDataset, name: str, sampling: Sampling) -> VectorLabels:
    names = [name, *committed.sidecars(name)]
    files = {PurePosixPath(own).name: committed.local_path(own) for own in names}
    return VectorLabels(PurePosixPath(name).name, files, sampling, committed.classes or [])


def _blocks(
    labels: BurnedLabels | RasterLabels, places: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    blocks = [labels.block(row, column, size, size) for row, column in places.tolist()]
    return (
        np.stack(blocks).astype(np.int64) if blocks else np.empty((0, size, size), dtype=np.int64)
    )
