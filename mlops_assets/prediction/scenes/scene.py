"""A scene as a model reads it: rows of its bands, in order, and which pixels have data.

Nothing here runs models.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.ahead import in_order
from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import (
    BandRoles,
    numpy_type,
    physical_values,
    read_values,
    require_real,
    value_mask,
)

# blocks of the file that are decoded once and kept until the rows below them are read
_BLOCK_BYTES = 256 << 20

Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """Rows of a scene.

    Attributes:
        first: the first one.
        values: of the model's bands as stored, (bands, rows, width).
        known: which pixels have data in all of these bands, (rows, width).
    """

    first: int
    values: NDArray[np.generic]
    known: NDArray[np.bool_]

    @property
    def last(self) -> int:
        """One past the last row."""
        return self.first + len(self.known)

    def part(self, first: int, last: int) -> Rows:
        """Return some of these rows; those beyond them are left out."""
        first, last = max(first, self.first), min(last, self.last)
        rows = slice(first - self.first, last - self.first)
        return Rows(first, self.values[:, rows], self.known[rows])

    def below(self, other: Rows) -> Rows:
        """Return these rows with those that follow them."""
        return Rows(
            self.first,
            np.concatenate([self.values, other.values], axis=1),
            np.concatenate([self.known, other.known]),
        )


class Scene:
    """An open raster with the bands that a model takes."""

    def __init__(
        self, raster: Raster, roles: BandRoles, apply_scale: bool, columns: Range | None = None
    ) -> None:
        """Read some bands of an open raster.

        Args:
            raster: it is read by one thread at a time, from top to bottom.
            roles: the bands in the order of the model, and alpha.
            apply_scale: whether the model takes physical values, by the file's scale and offset.
            columns: first column and one past the last; all if not given.

        Raises:
            ValueError: it has complex numbers.
        """
        require_real(raster)
        self._raster = raster
        self._roles = roles
        self._apply_scale = apply_scale
        self._left, end = columns or (0, raster.width)
        self.height, self.width = raster.height, end - self._left
        self._held: Rows | None = None
        block = raster.block_shapes[0][0]
        types = (numpy_type(raster.dtypes[band - 1]) for band in roles.measured)
        block_bytes = block * self.width * sum(kind.itemsize for kind in types)
        self._block = block if block_bytes <= _BLOCK_BYTES else 1

    def as_trained(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return stored values, (bands, height, width), in the units the model was trained on."""
        if self._apply_scale:
            return physical_values(self._raster, values, self._roles.measured)
        return values.astype(np.float32)

    def cropped(self, columns: Range) -> Scene:
        """Return some columns of this scene, as a scene.

        Args:
            columns: first column and one past the last.
        """
        return Scene(self._raster, self._roles, self._apply_scale, columns)

    @contextmanager
    def read_ahead(self, ranges: Iterable[Range]) -> Generator[Iterable[Rows]]:
        """Read rows while those before them are used.

        Args:
            ranges: first row and one past the last, neither of them falling; beyond the scene
                there are no rows.

        Yields:
            The rows of each range.
        """
        with ThreadPoolExecutor(1, "read-scene") as pool:
            rows = in_order(pool, self._read, ranges, ahead=1)
            try:
                yield rows
            finally:
                rows.close()

    def _read(self, wanted: Range) -> Rows:
        """Return rows; those that were read for ranges before and reach into this one are kept."""
        first, last = max(wanted[0], 0), min(wanted[1], self.height)
        held = self._held
        held = held.part(first, held.last) if held is not None and held.last > first else None
        start = first if held is None else held.last
        if held is None or last > start:
            whole = min(-(-last // self._block) * self._block, self.height)
            new = self._decoded(start, whole)
            held = new if held is None else held.below(new)
        self._held = held
        return held.part(first, last)

    def _decoded(self, first: int, last: int) -> Rows:
        from rasterio.windows import Window

        window = Window(self._left, first, self.width, last - first)
        values = read_values(self._raster, window, self._roles.measured)
        valid = value_mask(self._raster, window, self._roles, values)
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                valid = valid & np.isfinite(values.astype(np.float32, copy=False))
        return Rows(first, values, np.asarray(valid.all(axis=0)))
