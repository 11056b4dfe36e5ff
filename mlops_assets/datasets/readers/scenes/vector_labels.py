"""Vector labels: polygons and points with a class or a number, burned onto the grid of a scene.

Rows are read with GeoPandas, geometry is burned with GDAL through rasterio; nothing is stored, as
the same file on the same grid always gives the same labels.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.raster_places import bounds_of
from mlops_assets.datasets.readers.table_columns import values_by_text
from mlops_assets.datasets.readers.table_geoparquet import read_geoparquet
from mlops_assets.datasets.readers.table_places import CIRCLE, HALF_CIRCLE, narrowest
from mlops_assets.datasets.readers.table_roles import one_spelling, texts_of, to_numbers
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from mlops_assets.datasets.sources import LandedFile

SUFFIXES = (".geojson", ".json", ".gpkg", ".shp", ".fgb", ".parquet", ".geoparquet")
POLYGON = "polygon"  # as `by` of a split: each feature by itself
ROUNDING = 1e-6  # degrees; so that no corner comes to lie one turn away
MAGIC = {".gpkg": b"SQLite format 3\0", ".shp": b"\0\0\x27\x0a", ".fgb": b"fgb\x03fgb"}
HEAD_BYTES = 16
# how SQLite itself writes the definition of what lies in its file, and of the spatial index of a
# GeoPackage
PLAIN_SQL = (
    r"CREATE (TABLE|VIEW|INDEX|UNIQUE INDEX|TRIGGER)\s|(?i:CREATE VIRTUAL TABLE [^(]+ USING"
    r" rtree\s*\()"
)
# what a Shapefile is made of besides
SIDECARS = (
    ".shx",
    ".dbf",
    ".prj",
    ".cpg",
    ".qix",
    ".sbn",
    ".sbx",
)
# tables with generated columns (2: virtual, 3: stored)
COMPUTED_SQL = """
    SELECT t.name FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c
    WHERE t.type = 'table' AND c.hidden IN (2, 3)
"""
# functions of GDAL that read files or ask servers; `gpkg_ogr_contents` is a table of its own
ACTING_SQL = r"(?i)(?<![a-z_])(ogr_|gdal_)|load_extension|fromfile"


def is_vector(path: str) -> bool:
    """Return whether a file of this name is read as vector labels."""
    return path.lower().endswith(SUFFIXES)


def sidecars(path: str, paths: Mapping[str, Any]) -> list[str]:
    """Return the landed files that belong to a Shapefile, in any spelling of their endings."""
    stem, _, suffix = path.rpartition(".")
    if suffix.lower() != "shp":
        return []
    return [p for p in paths if p.rpartition(".")[0] == stem and p[len(stem) :].lower() in SIDECARS]


def unsaved(path: str, files: Mapping[str, LandedFile]) -> str | None:
    """Return why a GeoPackage is not whole by itself.

    A program that has it open may have changes that are not in it yet.
    """
    for suffix in ("-wal", "-journal") if path.lower().endswith(".gpkg") else ():
        beside = files.get(path + suffix)
        if beside is not None and beside.size:
            return (
                f"has changes in {PurePosixPath(beside.path).name} that are not in it yet; close"
                " the program that has it open, such as QGIS, or write it anew with ogr2ogr"
            )
    return None


class VectorLabels:
    """The features of one vector file.

    Each has a geometry, a class value or number, and a group if asked for.
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
            ValueError: it cannot be read, lacks a column, or has labels that are no class.
        """
        from pyogrio.errors import DataLayerError, DataSourceError
        from pyproj.exceptions import CRSError

        with scratch_folder("vector") as folder:
            for own, local in files.items():
                _place(local, folder / own)
            path = folder / name
            try:
                with _logged_warnings():
                    frame = (
                        read_geoparquet(path)
                        if name.lower().endswith("parquet")
                        else _read_layer(path)
                    )
            except (
                CRSError,
                DataLayerError,
                DataSourceError,
                OSError,
                ValueError,
                RecursionError,
            ) as error:
                reason = (
                    (str(error) or type(error).__name__)
                    .splitlines()[0]
                    .partition(";")[0]
                    .replace(f"{folder}/", "")
                )
                raise ValueError(
                    f"cannot be read as vector labels: {reason}; correct or replace the file"
                ) from error
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
        self.crs, self.sampling = frame.crs, sampling
        self.geometry = frame.geometry
        self.values = _values(frame[column], sampling, classes)
        self.groups = None if by is None else _groups(frame, by)
        self.unlabelled: float = (
            np.nan if sampling.label_is == "number" else _unlabelled(sampling, classes)
        )

    def onto(self, crs: Any, transform: Any, height: int, width: int) -> BurnedLabels:
        """Return the labels on the grid of a scene.

        Raises:
            ValueError: one has a georeference and the other has not, or they have nothing in
                common.
        """
        from pyproj.exceptions import ProjError

        if (self.crs is None) != (crs is None):
            lacking = "the labels have" if self.crs is None else "its image has"
            raise ValueError(
                f"cannot be laid over the image: {lacking} no coordinate reference system; set it"
            )
        try:
            geometry = self.geometry if crs is None else self.geometry.to_crs(crs)
        except ProjError as error:
            raise ValueError(
                f"cannot be laid over the image: nothing leads from {self.crs.name} to its"
                " coordinate reference system; draw the labels in that of the image"
            ) from error
        if crs is not None and crs.is_geographic:
            west, _, east, _ = bounds_of(transform, height, width)
            geometry = _near(geometry, (west + east) / 2)
        return BurnedLabels(
            geometry, self.values, self.groups, Grid(transform, height, width), self.unlabelled
        )


def _place(local: Path, own: Path) -> None:
    """Give a file its name in a folder.

    A GeoPackage is copied: SQLite looks for unsaved changes where a link leads to, and may write a
    log there.
    """
    if own.suffix.lower() == ".gpkg":
        shutil.copyfile(local, own)
    else:
        own.symlink_to(local.resolve())


@dataclass(frozen=True)
class Grid:
    """The pixels of a scene."""

    transform: Any
    height: int
    width: int


class BurnedLabels:
    """Vector labels on one grid.

    A pixel belongs to the polygon that its centre lies in, a point to its pixel.

    Where features of different labels claim one pixel, it is unlabelled.
    """

    def __init__(
        self,
        geometry: Any,
        values: NDArray[Any],
        groups: NDArray[Any] | None,
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
        self.unlabelled, self._number = unlabelled, np.isnan(unlabelled)
        self.conflicts = 0
        self.group_names: NDArray[Any] | None = None
        if groups is not None:
            self.group_names, codes = np.unique(groups[inside], return_inverse=True)
            self._grouped = _sorted(geometry[inside], codes)

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the labels of the rows [top, bottom), shape (bottom - top, width)."""
        return self.block(top, 0, bottom - top, self._grid.width)

    def block(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
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
        self, shapes: list[Any], fill: float, dtype: Any, window: Window
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Burn shapes, and say which pixels are claimed by different values.

        The last to be burned has the pixel.
        """
        last, first = (
            self._burn(ordered, fill, dtype, window) for ordered in (shapes, shapes[::-1])
        )
        differ = first != last
        if np.isnan(fill):
            differ &= ~(np.isnan(first) & np.isnan(last))
        return last, differ

    def _burn(self, shapes: list[Any], fill: float, dtype: Any, window: Window) -> NDArray[Any]:
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


def _sorted(geometry: Any, values: NDArray[Any]) -> list[Any]:
    """Pair shapes with values, by value.

    The last has the greatest, and the last of them backwards the smallest.
    """
    return sorted(zip(geometry, values, strict=True), key=lambda shape: float(shape[1]))


def _near(geometry: Any, middle: float) -> Any:
    """Write longitudes as the scene does that has this one in its middle, -180…180 or 0…360.

    Shapes stay whole.
    """
    import shapely

    def written(shape: Any) -> Any:
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


def _shape_notes(shapes: NDArray[Any]) -> list[str]:
    """Return a note if polygons cross themselves, or are otherwise not valid.

    What they enclose may not be meant.
    """
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


@contextmanager
def _logged_warnings() -> Iterator[None]:
    """Send GDAL's warnings to the log, where those about rasters are."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for warning in found:
        logging.getLogger("pyogrio").warning("%s", warning.message)


def _read_layer(path: Path) -> Any:
    """Read the one layer of a file that has geometry.

    GIS programs keep styles and the like in others.

    Raises:
        ValueError: there are several.
    """
    import geopandas
    import pyogrio

    source = _only_driver(path)
    layers = [str(layer) for layer, geometry in pyogrio.list_layers(source) if geometry is not None]
    if len(layers) > 1:
        raise ValueError(
            f"has {len(layers)} layers with geometry ({', '.join(layers)}), of which one may be"
        )
    return geopandas.read_file(source, engine="pyogrio", layer=layers[0] if layers else None)


def _only_driver(path: Path) -> Path | str:
    """Return what GDAL opens a vector file by, so that only the driver of its format takes it.

    GDAL takes a document that names other files or servers (OGR VRT, WFS) for a vector file,
    whatever its name is, and pyogrio cannot limit it to one driver. Binary formats begin with bytes
    that end a text, so that no driver of documents takes them; GDAL's prefix `GeoJSON:` chooses
    that driver.

    Raises:
        ValueError: it has another format than its name says, or a coordinate reference system by
            URL, which GDAL would ask for.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    magic = MAGIC.get(path.suffix.lower())
    if magic is None:
        _require_own_crs(path)
        return f"GeoJSON:{path}"
    if not head.startswith(magic):
        raise ValueError(f"it is not a {path.suffix.lower()} file")
    if path.suffix.lower() == ".gpkg":
        _require_plain_tables(path)
    return path


def _require_plain_tables(path: Path) -> None:
    """Check that a GeoPackage has only tables of its own, whose rows are stored.

    Virtual tables of SpatiaLite are other files; rows of views and values of generated columns can
    be without end.

    Raises:
        ValueError: it has others, or is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            for name, statement in database.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
            ):
                if not re.match(PLAIN_SQL, str(statement)) or re.search(ACTING_SQL, str(statement)):
                    raise ValueError(
                        f"{name!r} in it is not a plain table, and may read other files; write it"
                        " as a table"
                    )
            computed = [name for (name,) in database.execute(COMPUTED_SQL)] or _views_read(database)
    except sqlite3.Error as error:
        raise ValueError(f"it is not a valid GeoPackage: {error}") from error
    if computed:
        raise ValueError(
            f"{computed[0]!r} in it is a view, or has a column that is computed; write it as a"
            " table"
        )


def _views_read(database: sqlite3.Connection) -> list[str]:
    """Return the views of a GeoPackage that are layers, or that stand for its own tables."""
    views = [
        str(name)
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
    ]
    own = [name for name in views if name.lower().startswith("gpkg_")]
    if own or not views:
        return own
    layers = {
        str(name).lower() for (name,) in database.execute("SELECT table_name FROM gpkg_contents")
    }
    return [name for name in views if name.lower() in layers]


def _require_own_crs(path: Path) -> None:
    """Check that GeoJSON is valid, and refers to no coordinate reference system by URL.

    A reference is refused at any place, also where `crs` is given twice.

    Raises:
        ValueError: it is not so.
    """
    link = object()

    def kept(pairs: list[tuple[str, Any]]) -> object:
        members = [(key.lower(), value) for key, value in pairs]
        if any(key == "crs" and value is link for key, value in members):
            raise ValueError(
                "its 'crs' is a link to another document; name it instead:"
                " urn:ogc:def:crs:EPSG::CODE"
            )
        return (
            link
            if any(key == "type" and str(value).lower() != "name" for key, value in members)
            else None
        )

    try:
        json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=kept)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid GeoJSON at line {error.lineno}: {error.msg}") from error


def _unlabelled(sampling: Sampling, classes: list[ClassName]) -> int:
    """Return the value outside of all features.

    It is the declared value, or one that is not a class, as nobody labelled it.
    """
    if sampling.unlabelled is not None:
        return sampling.unlabelled
    return min([0, *(int(entry["value"]) for entry in classes)]) - 1


def _values(column: Any, sampling: Sampling, classes: list[ClassName]) -> NDArray[Any]:
    """Labels of features as class values or numbers.

    Raises:
        ValueError: a label is missing, no number, or no declared class.
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
                f"column {column.name!r} has labels that are no numbers: {wrong!r}; correct them"
            )
        if not np.isfinite(numbers).all():
            raise ValueError(f"column {column.name!r} has infinite labels; correct or remove them")
        return np.asarray(numbers)
    known = values_by_text(classes)
    unknown = sorted(set(texts) - set(known))
    if unknown:
        raise ValueError(
            f"has label(s) {', '.join(map(repr, unknown[:10]))} that are no declared class; add"
            " them to 'classes' or correct the labels"
        )
    return np.array([int(known[text]) for text in texts], dtype=np.int64)


def _groups(frame: Any, by: str) -> NDArray[Any]:
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


def _only(label: Any) -> Any:
    """One label; labelling tools write a list of labels, of which there may be one only.

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
