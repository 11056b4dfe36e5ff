"""Values of one sample and of what surrounds it, by windowed reads of a few bands.

`chips` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import open_raster, physical_values, read_values
from mlops_assets.datasets.readers.image_folder import fitted
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import bands_read
from mlops_assets.datasets.versions.decoded_cache import read_samples, read_window_indices
from mlops_assets.errors import IntegrityError, StorageError, TrainingDataUnreadable
from mlops_assets.hub.views.samples.opened import OpenVersion

CONTEXT = 33  # pixels of the scene shown with a patch, which alone is too small to recognise
MAX_TABLE = 64 << 20  # bytes of a table that is kept, so that chips of a page parse it once
MAX_SIDE = 2048  # pixels of a region that are read one by one; of larger ones every n-th


@dataclass(frozen=True)
class Sample:
    """One sample of an open version.

    Attributes:
        version: the data version.
        index: position in its samples.
        row: its row of `SAMPLE_COLUMNS`.
    """

    version: OpenVersion
    index: int
    row: pd.Series

    @property
    def committed(self) -> CommittedDataset:
        """The data version."""
        return self.version.committed

    @property
    def path(self) -> str:
        """Landed path of its file; of stacked files the first."""
        return str(self.row["path"])

    @property
    def kind(self) -> str:
        """Kind of `SampleShape`."""
        return self.committed.document.input.kind

    @property
    def place(self) -> tuple[int, int]:
        """Row and column, as in `SAMPLE_COLUMNS`."""
        return int(self.row["row"]), int(self.row["column"])


@dataclass(frozen=True)
class Region:
    """Pixels of a scene or image.

    Attributes:
        top, left: the first row and column; negative beyond the edge.
        height, width: pixels.
        inner: top, left, height and width of the sample within the region; None if it is all of it.
    """

    top: int
    left: int
    height: int
    width: int
    inner: tuple[int, int, int, int] | None = None


def region_of(sample: Sample, context: int = CONTEXT) -> Region:
    """Return the pixels that show a sample.

    Args:
        sample: a patch, a window or an image.
        context: least height and width around a patch.
    """
    sides = sample.committed.document.input.sides
    row, column = sample.place
    if sample.kind == "patch":
        size = sides[0]
        side = max(size, context) | 1
        half = side // 2
        inset = half - size // 2
        inner = (inset, inset, size, size) if side > size else None
        return Region(row - half, column - half, side, side, inner)
    if sample.kind == "window":
        return Region(row, column, sides[0], sides[0])
    return Region(0, 0, sides[0], sides[1])


def read_region(sample: Sample, region: Region, bands: Sequence[int]) -> NDArray[np.float32]:
    """Read bands of a region from the committed bytes.

    Args:
        sample: in the file.
        region: which pixels; those beyond the edges have no data.
        bands: positions of the features.

    Returns:
        Float32 of shape (bands, height, width), NaN where there is no data. Of a region larger than
        `MAX_SIDE` every n-th row and column.

    Raises:
        TrainingDataUnreadable: the file is missing, damaged, or not as it was published.
    """
    committed, path = sample.committed, sample.path
    found: dict[int, NDArray[np.float32]] = {}
    try:
        with committed.fetched([path]):
            for part, own in _by_file(sample, bands).items():
                numbers = [number for _, number in own]
                if sample.kind == "image":
                    values = _image(committed, part, numbers, region)
                else:
                    values = _window(committed, part, numbers, region)
                for (index, _), array in zip(own, values, strict=True):
                    found[index] = array
    except (ValueError, OSError, StorageError, IntegrityError) as error:
        raise TrainingDataUnreadable(f"{path} of {committed.reference}: {error}") from error
    return np.stack([found[index] for index in bands])


def read_row(sample: Sample) -> NDArray[np.float32]:
    """Read the features of a row of a table, float32 of shape (features,).

    Raises:
        TrainingDataUnreadable: the file is missing, damaged, or not as it was published.
    """
    committed, path, held = sample.committed, sample.path, sample.version.tables
    row = sample.place[0]
    table: NDArray[np.float32] | None = held.get(path)
    if table is None:
        own = sample.version.samples_of(path)[["row", "column"]].to_numpy(dtype=np.int64)
        places = np.column_stack([np.arange(own[:, 0].max() + 1), np.full(own[:, 0].max() + 1, -1)])
        try:
            with committed.fetched([path]):
                table = np.asarray(
                    read_samples(
                        committed, path, places, "row", (len(committed.document.features),)
                    ),
                    dtype=np.float32,
                )
        except (ValueError, OSError, StorageError, IntegrityError) as error:
            raise TrainingDataUnreadable(f"{path} of {committed.reference}: {error}") from error
        if table.nbytes <= MAX_TABLE:
            held.clear()
            held[path] = table
    return np.asarray(table[row])


def read_labels(sample: Sample, region: Region) -> NDArray[np.int64] | None:
    """Return the class index of each pixel of a region, -1 where unknown; None without any.

    Those of a window are its label raster or vectors; around a patch, the labels of the other
    samples.

    Raises:
        TrainingDataUnreadable: the labels are missing, damaged, or not as they were published.
    """
    committed = sample.committed
    if not committed.classes:
        return None
    if sample.kind == "window":
        places = np.array([sample.place], dtype=np.int64)
        try:
            with committed.fetched([sample.path]):
                labels = read_window_indices(committed, sample.path, places)[0]
        except (ValueError, OSError, StorageError, IntegrityError) as error:
            raise TrainingDataUnreadable(
                f"labels of {sample.path} of {committed.reference}: {error}"
            ) from error
        return np.asarray(labels)
    if sample.kind != "patch":
        return None
    own = sample.version.samples_of(sample.path)
    rows = own["row"].to_numpy() - region.top
    columns = own["column"].to_numpy() - region.left
    inside = (rows >= 0) & (rows < region.height) & (columns >= 0) & (columns < region.width)
    order = {str(entry["value"]): i for i, entry in enumerate(committed.classes)}
    found = np.full((region.height, region.width), -1, dtype=np.int64)
    codes = own["label"][inside].map(order).fillna(-1).to_numpy(dtype=np.int64)
    found[rows[inside], columns[inside]] = codes
    return found


def _by_file(sample: Sample, bands: Sequence[int]) -> dict[str, list[tuple[int, int]]]:
    """Return the files that hold bands, each with pairs of position and band number."""
    committed, path = sample.committed, sample.path
    parts = [path] if committed.layout == "image_folder" else committed.scene_images(path)
    wanted = set(bands)
    found: dict[str, list[tuple[int, int]]] = {}
    first = 0
    for part in parts:
        numbers = bands_read(sample.version.images.loc[part].to_dict())
        own = [(first + i, number) for i, number in enumerate(numbers) if first + i in wanted]
        if own:
            found[part] = own
        first += len(numbers)
    return found


def _window(
    committed: CommittedDataset, part: str, numbers: list[int], region: Region
) -> NDArray[np.float32]:
    from rasterio.errors import RasterioError

    with open_raster(committed.raster_path(part)) as raster:
        top, left = max(region.top, 0), max(region.left, 0)
        bottom = min(region.top + region.height, raster.height)
        right = min(region.left + region.width, raster.width)
        whole = np.full((len(numbers), region.height, region.width), np.nan, dtype=np.float32)
        if bottom > top and right > left:
            window = ((top, bottom), (left, right))
            try:
                values = read_values(raster, window, numbers, committed.reading)
                valid = read_values(raster, window, numbers, "mask")
            except RasterioError as error:
                raise ValueError("cannot be read there; the file is damaged") from error
            rows = slice(top - region.top, bottom - region.top)
            columns = slice(left - region.left, right - region.left)
            whole[:, rows, columns] = _known(values, valid)
        return whole


def _image(
    committed: CommittedDataset, part: str, numbers: list[int], region: Region
) -> NDArray[np.float32]:
    """Read an image as training sees it, cut or mirrored to the declared size."""
    from rasterio.errors import RasterioError

    if part.lower().endswith(".npy"):
        array = committed.npy(part)
        step = _step(*array.shape[1:])
        values = array[np.array(numbers) - 1, ::step, ::step]
        return _fitted(_known(values, np.ones_like(values, dtype=bool)), region, step)
    with open_raster(committed.raster_path(part)) as raster:
        step = _step(raster.height, raster.width)
        try:
            known = _every(committed, raster, numbers, step)
        except RasterioError as error:
            raise ValueError("cannot be read; the file is damaged") from error
    return _fitted(known, region, step)


def _every(
    committed: CommittedDataset, raster: Raster, numbers: list[int], step: int
) -> NDArray[np.float32]:
    """Read every n-th row and column of a raster; of many, masks other than nodata do not count."""
    if step == 1:
        window = ((0, raster.height), (0, raster.width))
        values = read_values(raster, window, numbers, committed.reading)
        return _known(values, read_values(raster, window, numbers, "mask"))
    shape = (len(numbers), raster.height // step, raster.width // step)
    stored = raster.read(numbers, out_shape=shape)
    nodata = [raster.nodatavals[number - 1] for number in numbers]
    absent = np.array([np.nan if one is None else one for one in nodata])
    valid = stored != absent[:, None, None]
    scaled = physical_values(raster, stored, numbers) if committed.is_scaled else stored
    return _known(scaled, valid)


def _fitted(values: NDArray[np.float32], region: Region, step: int) -> NDArray[np.float32]:
    sides = (max(region.height // step, 1), max(region.width // step, 1))
    return cast("NDArray[np.float32]", fitted(values, *sides))


def _known(values: NDArray[np.generic], valid: NDArray[np.generic]) -> NDArray[np.float32]:
    wide = values.astype(np.float32)
    wide[~valid.astype(bool) | ~np.isfinite(wide)] = np.nan
    return wide


def _step(height: int, width: int) -> int:
    return max(1, -(-max(height, width) // MAX_SIDE))
