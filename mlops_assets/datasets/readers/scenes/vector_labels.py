"""Vector labels: polygons and points with a class or a number, burned onto the grid of a scene.

Files are opened in `vector_files`, geometry is burned with GDAL through rasterio. Nothing is
stored, as the same file on the same grid always gives the same labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.geopandas_types import GeoDataFrame, Geometry, GeoSeries
from mlops_assets.datasets.io.raster_places import bounds_of, georeference
from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.readers.scenes.vector_files import read_vector
from mlops_assets.datasets.readers.table_columns import values_by_text
from mlops_assets.datasets.readers.table_places import CIRCLE, HALF_CIRCLE, narrowest
from mlops_assets.datasets.readers.table_roles import one_spelling, texts_of, to_numbers
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.datasets.versions.contents import ClassName

if TYPE_CHECKING:
    import pandas as pd
    from affine import Affine

Number: TypeAlias = type[np.int32] | type[np.float64]
Shape: TypeAlias = tuple[Geometry, float]  # with the value that it is burned with
POLYGON = "polygon"  # as `by` of a split: each feature by itself
ROUNDING = 1e-6  # degrees; so that no corner is moved by a turn


class VectorLabels:
    """The features of one vector file.

    Attributes:
        notes: on invalid polygons.
        crs: of the geometries, None if unknown.
        sampling: as declared.
        geometry: of the features.
        values: int64 class values or float64 numbers of the features, shape (features,).
        groups: texts of shape (features,), None if features are not grouped.
        unlabelled: value of pixels outside of all features, NaN of numbers.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, Path],
        sampling: Sampling,
        classes: list[ClassName],
        by: str | None = None,
    ) -> None:
        """Read a vector file.

        Args:
            name: its name among `files`.
            files: local paths of the file and its sidecars, by name without folders.
            sampling: which column has the label, and what it is.
            classes: the declared classes; a label may be a class's value or name.
            by: `POLYGON` or the column whose values are groups; None if features are not grouped.

        Raises:
            ValueError: it cannot be read, lacks a column, or has labels that are not a class.
        """
        frame = read_vector(name, files)
        if frame.empty:
            raise ValueError("has no feature; remove the file or draw some")
        absent = (frame.geometry.isna() | frame.geometry.is_empty).to_numpy()
        if absent.any():
            first = int(absent.argmax()) + 1
            raise ValueError(
                f"has {int(absent.sum())} feature(s) without geometry, first number {first}; remove"
                " them"
            )
        column = sampling.label_column or "label"
        grouped = column if by in (None, POLYGON) else by
        for needed, remedy in (
            (column, "name it as 'label_column'"),
            (grouped, "name one of them as 'split: {by: …}'"),
        ):
            if needed not in frame.columns:
                names = ", ".join(map(repr, frame.columns.drop(frame.geometry.name)))
                raise ValueError(f"has no column {needed!r}; it has {names}; {remedy}")
        self.notes = _shape_notes(frame.geometry.to_numpy())
        self.crs = frame.crs
        self.sampling = sampling
        self.geometry = frame.geometry
        self.values = _values(frame[column], sampling, classes)
        self.groups = None if by is None else _groups(frame, by)
        self.unlabelled: float = (
            np.nan if sampling.label_is == "number" else _unlabelled(sampling, classes)
        )

    def onto(self, raster: Raster) -> BurnedLabels:
        """Return the labels on the grid of a scene's open image.

        Raises:
            ValueError: one has a georeference and the other has not, or they have nothing in
                common.
        """
        from pyproj.exceptions import ProjError

        grid = Grid(raster.transform, raster.height, raster.width)
        crs = georeference(raster)
        geometry = self.geometry
        if self.crs is not None and crs is not None:
            try:
                geometry = geometry.to_crs(crs)
            except ProjError as error:
                raise ValueError(
                    f"cannot be laid over the image: nothing leads from {self.crs.name} to its"
                    " coordinate reference system; draw the labels in that of the image"
                ) from error
            if crs.is_geographic:
                west, _, east, _ = bounds_of(grid.transform, grid.height, grid.width)
                geometry = _near(geometry, (west + east) / 2)
        elif self.crs is not None or crs is not None:
            lacking = "the labels have" if self.crs is None else "its image has"
            raise ValueError(
                f"cannot be laid over the image: {lacking} no coordinate reference system; set it"
            )
        return BurnedLabels(geometry, self.values, self.groups, grid, self.unlabelled)


@dataclass(frozen=True)
class Grid:
    """The pixels of a scene."""

    transform: Affine
    height: int
    width: int


class BurnedLabels:
    """Vector labels on one grid.

    A pixel belongs to the polygon that contains its centre, a point to its pixel. A pixel of
    features with different labels is unlabelled.

    Attributes:
        inside: which features are on the grid, bool of shape (features,).
        unlabelled: value of pixels outside of all features, NaN of numbers.
        conflicts: pixels read so far that features of different labels claim.
        group_names: of the features on the grid, sorted; None if they are not grouped.
    """

    def __init__(
        self,
        geometry: GeoSeries,
        values: NDArray[np.int64 | np.float64],
        groups: NDArray[np.object_] | None,
        grid: Grid,
        unlabelled: float,
    ) -> None:
        from shapely import box

        inside = geometry.intersects(
            box(*bounds_of(grid.transform, grid.height, grid.width))
        ).to_numpy()
        self.inside = inside
        self._shapes = _sorted(geometry[inside], values[inside])
        self._grid = grid
        self.unlabelled = unlabelled
        self._number = np.isnan(unlabelled)
        self.conflicts = 0
        self.group_names: NDArray[np.object_] | None = None
        if groups is not None:
            self.group_names, codes = np.unique(groups[inside], return_inverse=True)
            self._grouped = _sorted(geometry[inside], codes)

    def rows(self, top: int, bottom: int) -> NDArray[np.int64 | np.float64]:
        """Return the labels of the rows [top, bottom), shape (bottom - top, width)."""
        return self.block(top, 0, bottom - top, self._grid.width)

    def block(self, top: int, left: int, height: int, width: int) -> NDArray[np.int64 | np.float64]:
        """Return the labels of a rectangle; float64 for numbers, else int64."""
        dtype = np.float64 if self._number else np.int32
        first, disputed = self._burned(
            self._shapes, self.unlabelled, dtype, Window(top, left, height, width)
        )
        self.conflicts += int(disputed.sum())
        return np.where(disputed, self.unlabelled, first).astype(
            np.float64 if self._number else np.int64
        )

    def group_rows(self, top: int, bottom: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the groups of the rows [top, bottom), and which pixels belong to several.

        Returns:
            Positions in `group_names`, -1 outside of all features, and a mask, both of shape
            (bottom - top, width).
        """
        first, several = self._burned(
            self._grouped, -1, np.int32, Window(top, 0, bottom - top, self._grid.width)
        )
        return first.astype(np.int64), several

    def _burned(
        self, shapes: list[Shape], fill: float, dtype: Number, window: Window
    ) -> tuple[NDArray[np.int32 | np.float64], NDArray[np.bool_]]:
        """Burn shapes, the last on top, and return also which pixels different values claim."""
        last, first = (
            self._burn(ordered, fill, dtype, window) for ordered in (shapes, shapes[::-1])
        )
        differ = first != last
        if np.isnan(fill):
            differ &= ~(np.isnan(first) & np.isnan(last))
        return last, differ

    def _burn(
        self, shapes: list[Shape], fill: float, dtype: Number, window: Window
    ) -> NDArray[np.int32 | np.float64]:
        from rasterio.features import rasterize
        from rasterio.transform import Affine

        shape = (window.height, window.width)
        if not shapes:
            return np.full(shape, fill, dtype=dtype)
        return np.asarray(
            rasterize(
                shapes,
                out_shape=shape,
                fill=fill,
                transform=self._grid.transform @ Affine.translation(window.left, window.top),
                dtype=dtype,
            )
        )


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


def _sorted(geometry: GeoSeries, values: NDArray[np.number]) -> list[Shape]:
    """Pair shapes with values, sorted by value."""
    return sorted(zip(geometry, values, strict=True), key=lambda shape: float(shape[1]))


def _near(geometry: GeoSeries, middle: float) -> GeoSeries:
    """Return geometries with longitudes in the turn of a scene, without splitting them.

    Args:
        geometry: in degrees, -180…180 or 0…360.
        middle: longitude of the scene's centre.
    """
    import shapely

    def written(shape: Geometry) -> Geometry:
        west, east = shape.bounds[0], shape.bounds[2]
        if not np.isfinite(
            [west, east]
        ).all():  # beyond what its CRS can place; it lies in no scene
            return shape
        if east - west > HALF_CIRCLE:
            start, end = narrowest(shapely.get_coordinates(shape)[:, 0])
            if end - start < east - west:
                shape = shapely.transform(shape, partial(_counted_from, start))
                west, east = start, end
        turns = round((middle - (west + east) / 2) / CIRCLE)
        return (
            shapely.transform(shape, lambda xy: xy + np.array([turns * CIRCLE, 0]))
            if turns
            else shape
        )

    return geometry.map(written)


def _counted_from(start: float, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates with longitudes of one turn from `start` on."""
    first = start - ROUNDING
    return np.column_stack([first + (xy[:, 0] - first) % CIRCLE, xy[:, 1]])


def _shape_notes(shapes: NDArray[np.object_]) -> list[str]:
    """Return a note if polygons cross themselves, or are otherwise not valid."""
    import shapely

    wrong = np.flatnonzero((shapely.get_dimensions(shapes) == 2) & ~shapely.is_valid(shapes))
    if not len(wrong):
        return []
    first = int(wrong[0])
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [
        f"feature number {first + 1}{more}: is not a valid polygon"
        f" ({shapely.is_valid_reason(shapes[first])}); it labels what its outline encloses an odd"
        " number of times; draw it anew, or repair it with shapely.make_valid"
    ]


def _unlabelled(sampling: Sampling, classes: list[ClassName]) -> int:
    """Return the value outside of all features.

    It is the declared value, or one that is not a class.
    """
    if sampling.unlabelled is not None:
        return sampling.unlabelled
    return min([0, *(int(entry["value"]) for entry in classes)]) - 1


def _values(
    column: pd.Series, sampling: Sampling, classes: list[ClassName]
) -> NDArray[np.int64 | np.float64]:
    """Return labels of features as class values or numbers.

    Raises:
        ValueError: a label is missing, not a number, or not a declared class.
    """
    if column.isna().any():
        raise ValueError(
            f"{int(column.isna().sum())} feature(s) have no {column.name!r}; label or remove them"
        )
    texts = one_spelling({"": texts_of(column.map(_only))})[""]
    if sampling.label_is == "number":
        numbers = to_numbers(texts)
        if numbers.isna().any():
            wrong = texts[numbers.isna()].iloc[0]
            raise ValueError(
                f"column {column.name!r} has labels that are not numbers: {wrong!r}; correct them"
            )
        if not np.isfinite(numbers).all():
            raise ValueError(f"column {column.name!r} has infinite labels; correct or remove them")
        return np.asarray(numbers)
    known = values_by_text(classes)
    unknown = sorted(set(texts) - set(known))
    if unknown:
        raise ValueError(
            f"has label(s) {', '.join(map(repr, unknown[:10]))} that are not declared classes;"
            " add them to 'classes' or correct the labels"
        )
    return np.array([int(known[text]) for text in texts], dtype=np.int64)


def _groups(frame: GeoDataFrame, by: str) -> NDArray[np.object_]:
    """Return the group of each feature: a value of a column as text, or what its geometry is.

    Raises:
        ValueError: a value is missing.
    """
    import shapely

    if by == POLYGON:  # not its number, which changes when others are added
        shapes = shapely.to_wkb(shapely.normalize(frame.geometry.to_numpy()))
        return np.array([hashlib.sha256(shape).hexdigest()[:16] for shape in shapes], dtype=object)
    groups = texts_of(frame[by].map(_only))
    if groups.isna().any():
        raise ValueError(
            f"{int(groups.isna().sum())} feature(s) have no {by!r}, by which they are split;"
            " fill it"
        )
    return groups.to_numpy(dtype=object)


def _only(label: object) -> object:
    """Return one label; labelling tools write lists of labels, which may have only one.

    Raises:
        ValueError: it is a list of none or several.
    """
    if not isinstance(label, list | tuple | np.ndarray):
        return label
    if len(label) != 1:
        raise ValueError(
            f"has a feature with {len(label)} labels ({', '.join(map(str, label))}); give each one"
        )
    return label[0]
