"""Label rasters: one band of class values or numbers on the grid of a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import (
    band_roles,
    is_masked,
    numpy_type,
    raster_facts,
    value_mask,
)
from mlops_assets.datasets.readers.scenes.validation import same_grid
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.datasets.versions.contents import FileRow

# not a class; masked pixels are unlabelled even if every value is a class
MASKED = -(1 << 53)


class RasterLabels:
    """The labels of an open raster; masked pixels and those of its nodata value are unlabelled.

    Attributes:
        facts: its manifest row.
        unlabelled: value of unlabelled pixels, NaN of numbers; None if every pixel is labelled.
    """

    def __init__(self, raster: Raster, sampling: Sampling) -> None:
        """Take an open raster.

        Args:
            raster: one band.
            sampling: as declared: the label's meaning, and the value of unlabelled pixels.

        Raises:
            ValueError: it is not one band of whole numbers, or of numbers for 'label_is: number'.
        """
        whole = np.issubdtype(numpy_type(raster.dtypes[0]), np.integer)
        self._number = sampling.label_is == "number"
        self._roles = band_roles(raster)
        if self._roles.measured != (1,) or not (whole or self._number):
            raise ValueError(
                f"has {raster.count} band(s) of {raster.dtypes[0]}; labels are one band of "
                + ("numbers" if self._number else "whole numbers")
            )
        self._raster = raster
        self._nodata = raster.nodata
        self.facts = raster_facts(raster)
        self.unlabelled: float | None = np.nan if self._number else sampling.unlabelled
        if not self._number and self.unlabelled is None and self._nodata is not None:
            self.unlabelled = self._nodata
        if self.unlabelled is None and is_masked(raster, self._roles):
            self.unlabelled = MASKED

    def require_grid_of(self, image: FileRow) -> None:
        """Check that the labels are on the grid of their image.

        Args:
            image: manifest row of the image.

        Raises:
            ValueError: size or georeference differ.
        """
        own = self.facts
        if (own["height"], own["width"]) != (image["height"], image["width"]):
            raise ValueError(
                f"is {own['height']} x {own['width']} pixels, its image {image['path']} is "
                f"{image['height']} x {image['width']}; labels must lie on the image's grid"
            )
        if own["crs"] and image["crs"] and not same_grid(own, image):
            raise ValueError(
                f"has another georeference than its image {image['path']}; labels must lie on its"
                " grid"
            )

    def rows(self, top: int, bottom: int) -> NDArray[np.int64 | np.float64]:
        """Return the labels of the rows [top, bottom), shape (bottom - top, width)."""
        return self.block(top, 0, bottom - top, self._raster.width)

    def block(self, top: int, left: int, height: int, width: int) -> NDArray[np.int64 | np.float64]:
        """Return the labels of a rectangle; float64 for numbers, else int64.

        Raises:
            ValueError: it cannot be read, or has infinite numbers.
        """
        from rasterio.errors import RasterioError

        try:
            window = ((top, top + height), (left, left + width))
            values = self._raster.read(1, window=window)
            hidden = ~value_mask(self._raster, window, self._roles, values[None])[0]
        except RasterioError as error:
            raise ValueError(
                f"cannot be read between rows {top} and {top + height}; the file is damaged;"
                " replace it"
            ) from error
        if self._number:
            numbers = values.astype(np.float64)
            numbers[hidden] = np.nan
            if np.isinf(numbers).any():
                raise ValueError("has infinite labels; replace them")
            return np.asarray(numbers)
        labels = values.astype(np.int64)
        if self.unlabelled is not None:
            labels[hidden] = int(self.unlabelled)
        return np.asarray(labels)
