"""Vector labels: polygons and points with a class or a number, burned onto the grid of a scene.

Rows are read with GeoPandas, geometry is burned with GDAL through rasterio; nothing is stored, as the same file on the
same grid always gives the same labels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.contents import ClassName
from mlops_assets.datasets.layouts.columns import values_by_text
from mlops_assets.datasets.layouts.roles import one_spelling, texts_of
from mlops_assets.datasets.rasters import bounds_of
from mlops_assets.datasets.source import Sampling

SUFFIXES = (".geojson", ".json", ".gpkg", ".shp", ".fgb", ".parquet", ".geoparquet")
SIDECARS = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx")  # what a Shapefile is made of besides


def is_vector(path: str) -> bool:
    """Say whether a file of this name is read as vector labels."""
    return path.lower().endswith(SUFFIXES)


def sidecars(path: str, paths: Mapping[str, Any]) -> list[str]:
    """Return the landed files that belong to a Shapefile, in any spelling of their endings."""
    stem, _, suffix = path.rpartition(".")
    if suffix.lower() != "shp":
        return []
    return [p for p in paths if p.rpartition(".")[0] == stem and p[len(stem) :].lower() in SIDECARS]


class VectorLabels:
    """The features of one vector file: geometry, and the class value or number of each."""

    def __init__(self, name: str, files: Mapping[str, Path], sampling: Sampling, classes: list[ClassName]) -> None:
        """Read a vector file.

        Args:
            name: its name among `files`.
            files: local paths of the file and its sidecars, by name without folders.
            sampling: which column has the label, and what it is.
            classes: the declared classes; a label may be a class's value or name.

        Raises:
            ValueError: it cannot be read, lacks the column, or has labels that are no class.
        """
        import geopandas
        from pyogrio.errors import DataSourceError

        with tempfile.TemporaryDirectory(prefix="mlops-vector-") as folder:
            for own, local in files.items():
                Path(folder, own).symlink_to(local.resolve())
            path = Path(folder, name)
            try:
                frame = geopandas.read_parquet(path) if name.lower().endswith("parquet") else _read_layer(path)
            except (DataSourceError, OSError, ValueError) as error:
                reason = str(error).splitlines()[0].partition(";")[0].replace(f"{folder}/", "")
                raise ValueError(f"cannot be read as vector labels: {reason}; correct or replace the file") from error
        if frame.empty:
            raise ValueError("has no feature; remove the file or draw some")
        absent = int((frame.geometry.isna() | frame.geometry.is_empty).sum())
        if absent:
            raise ValueError(f"has {absent} feature(s) without geometry; remove them")
        column = sampling.label_column or "label"
        if column not in frame.columns:
            names = ", ".join(map(repr, frame.columns.drop(frame.geometry.name)))
            raise ValueError(f"has no column {column!r}; it has {names}; name it as 'label_column'")
        self.crs, self.sampling = frame.crs, sampling
        self.geometry = frame.geometry
        self.values = _values(frame[column], sampling, classes)
        self.unlabelled: float = np.nan if sampling.label_is == "number" else _unlabelled(sampling, classes)

    def onto(self, crs: Any, transform: Any, height: int, width: int) -> BurnedLabels:
        """Return the labels on the grid of a scene.

        Raises:
            ValueError: one has a georeference and the other has not.
        """
        if (self.crs is None) != (crs is None):
            lacking = "the labels have" if self.crs is None else "its image has"
            raise ValueError(f"cannot be laid over the image: {lacking} no coordinate reference system; set it")
        geometry = self.geometry if crs is None else self.geometry.to_crs(crs)
        return BurnedLabels(geometry, self.values, transform, height, width, self.unlabelled)


class BurnedLabels:
    """Vector labels on one grid. A pixel belongs to the polygon that its centre lies in, a point to its pixel.

    Where features of different labels claim one pixel nobody knows, and it is unlabelled.
    """

    def __init__(
        self, geometry: Any, values: NDArray[Any], transform: Any, height: int, width: int, unlabelled: float
    ) -> None:
        from shapely import box

        inside = geometry.intersects(box(*bounds_of(transform, height, width))).to_numpy()
        self.inside = inside
        # by value: then the last to be burned has the greatest, and the last of them backwards the smallest
        self._shapes = sorted(zip(geometry[inside], values[inside], strict=True), key=lambda shape: float(shape[1]))
        self._transform, self._width, self._height = transform, width, height
        self.unlabelled, self._number = unlabelled, np.isnan(unlabelled)
        self.conflicts = 0

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the labels of the rows [top, bottom), shape (bottom - top, width)."""
        return self.block(top, 0, bottom - top, self._width)

    def block(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Return the labels of a rectangle; float64 for numbers, else int64."""
        first, last = (self._burn(shapes, top, left, height, width) for shapes in (self._shapes, self._shapes[::-1]))
        disputed = first != last
        if self._number:
            disputed &= ~(np.isnan(first) & np.isnan(last))
        self.conflicts += int(disputed.sum())
        return np.where(disputed, self.unlabelled, first).astype(np.float64 if self._number else np.int64)

    def _burn(self, shapes: list[Any], top: int, left: int, height: int, width: int) -> NDArray[Any]:
        from rasterio.features import rasterize
        from rasterio.transform import Affine

        dtype = np.float64 if self._number else np.int32
        if not shapes:
            return np.full((height, width), self.unlabelled, dtype=dtype)
        return np.asarray(
            rasterize(
                shapes,
                out_shape=(height, width),
                fill=self.unlabelled,
                transform=self._transform @ Affine.translation(left, top),
                dtype=dtype,
            )
        )


def _read_layer(path: Path) -> Any:
    """Read the one layer of a file that has geometry; GIS programs keep styles and the like in others.

    Raises:
        ValueError: there are several.
    """
    import geopandas
    import pyogrio

    layers = [str(layer) for layer, geometry in pyogrio.list_layers(path) if geometry is not None]
    if len(layers) > 1:
        raise ValueError(f"has {len(layers)} layers with geometry ({', '.join(layers)}), of which one may be")
    return geopandas.read_file(path, engine="pyogrio", layer=layers[0] if layers else None)


def _unlabelled(sampling: Sampling, classes: list[ClassName]) -> int:
    """What is outside of all features: the declared value, or one that is no class, as nobody labelled it."""
    if sampling.unlabelled is not None:
        return sampling.unlabelled
    return min([0, *(int(entry["value"]) for entry in classes)]) - 1


def _values(column: Any, sampling: Sampling, classes: list[ClassName]) -> NDArray[Any]:
    """Labels of features as class values or numbers.

    Raises:
        ValueError: a label is missing, no number, or no declared class.
    """
    if column.isna().any():
        raise ValueError(f"{int(column.isna().sum())} feature(s) have no {column.name!r}; label or remove them")
    if sampling.label_is == "number":
        try:
            numbers = column.astype("float64").to_numpy()
        except (ValueError, TypeError) as error:
            raise ValueError(f"column {column.name!r} has labels that are no numbers: {error}; correct them") from error
        if not np.isfinite(numbers).all():
            raise ValueError(f"column {column.name!r} has infinite labels; correct or remove them")
        return np.asarray(numbers)
    known = values_by_text(classes)
    texts = one_spelling({"": texts_of(column.map(_only))})[""]
    unknown = sorted(set(texts) - set(known))
    if unknown:
        raise ValueError(
            f"has label(s) {', '.join(map(repr, unknown[:10]))} that are no declared class; add them to 'classes' or "
            "correct the labels"
        )
    return np.array([int(known[text]) for text in texts], dtype=np.int64)


def _only(label: Any) -> Any:
    """One label; labelling tools write a list of labels, of which there may be one only.

    Raises:
        ValueError: it is a list of none or several.
    """
    if not isinstance(label, list | tuple | np.ndarray):
        return label
    if len(label) != 1:
        raise ValueError(f"has a feature with {len(label)} labels ({', '.join(map(str, label))}); give each one")
    return label[0]
