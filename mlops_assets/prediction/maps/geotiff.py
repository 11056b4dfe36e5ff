"""The GeoTIFFs of a map: written row by row, then as Cloud-Optimised GeoTIFFs.

Class names are kept twice: as metadata inside the file, and as GDAL's category names and raster
attribute table in the `.aux.xml` beside it, as GDAL cannot keep those two inside a GeoTIFF.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree  # nosec B405

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mlops_assets.datasets.io.rasterio_types import Raster, WritableRaster
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.registry.model_documents import OutputClass, unused_value
from mlops_assets.text.palette import class_colours

AUXILIARY = ".aux.xml"
# colour tables and category names are for values of a byte
_TABLE_SIZE = 256
# GDAL's numbers for the columns of a raster attribute table: type, usage
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


@dataclass(frozen=True)
class MapClass:
    """A class in a map.

    Attributes:
        value: of its pixels.
        name: for people.
        colour: red, green and blue.
    """

    value: int
    name: str
    colour: tuple[int, int, int]


def map_classes(classes: Sequence[OutputClass]) -> list[MapClass]:
    """Return the classes of a model as a map has them.

    Classes keep their values; those that are not whole numbers are numbered from 1.

    Args:
        classes: of the model, in the order of its scores.
    """
    whole = all(isinstance(entry.value, int) for entry in classes)
    colours = [tuple(bytes.fromhex(text)) for text in class_colours(len(classes))]
    return [
        MapClass(int(entry.value) if whole else number, entry.name, (red, green, blue))
        for number, (entry, (red, green, blue)) in enumerate(
            zip(classes, colours, strict=True), start=1
        )
    ]


@dataclass(frozen=True)
class Layer:
    """One GeoTIFF of a map.

    Attributes:
        bands: description of each band.
        dtype: of the pixels.
        nodata: value of pixels without a prediction.
        unit: of all bands, as in UCUM; empty if unknown.
        classes: of its one band; empty where its values are numbers.
        in_cells: whether numbers are equal over cells of pixels.
    """

    bands: Sequence[str]
    dtype: DTypeLike
    nodata: float
    unit: str = ""
    classes: Sequence[MapClass] = field(default=())
    in_cells: bool = False


def class_layer(classes: Sequence[MapClass]) -> Layer:
    """Return the layer of class values, of the smallest type that holds them and nodata."""
    values = [entry.value for entry in classes]
    nodata = unused_value(values)
    dtype = np.result_type(*(np.min_scalar_type(value) for value in (*values, nodata)))
    return Layer(("class",), dtype, nodata, classes=classes)


def number_layer(bands: Sequence[str], unit: str, in_cells: bool = False) -> Layer:
    """Return a layer of numbers, NaN where there is none."""
    return Layer(bands, np.float32, float("nan"), unit, in_cells=in_cells)


@dataclass(frozen=True)
class MapGrid:
    """The grid of a map, or of a scene.

    Attributes:
        height: rows.
        width: columns.
        transform: a, b, c, d, e, f from (column, row) to coordinates; None without georeference.
        crs: coordinate reference system as WKT; None if unknown.
    """

    height: int
    width: int
    transform: tuple[float, float, float, float, float, float] | None
    crs: str | None

    @classmethod
    def of(cls, raster: Raster) -> MapGrid:
        """Return the grid of an open raster."""
        # rasterio gives the identity where a file has no transform; writing it would make a
        # georeference up
        a, b, c, d, e, f = raster.transform[:6]
        transform = None if raster.transform.is_identity else (a, b, c, d, e, f)
        crs = raster.crs.to_wkt() if raster.crs else None
        return cls(raster.height, raster.width, transform, crs)


@contextmanager
def open_layer(
    path: Path, grid: MapGrid, layer: Layer, tags: Mapping[str, str]
) -> Iterator[WritableRaster]:
    """Open a plain GeoTIFF, to be written row by row.

    Args:
        path: of the new file.
        grid: of the map.
        layer: the bands.
        tags: metadata of the file.
    """
    from rasterio import Affine

    georeference: dict[str, object] = {}
    if grid.transform is not None:
        georeference["transform"] = Affine(*grid.transform)
    if grid.crs is not None:
        georeference["crs"] = grid.crs
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(layer.bands),
        "dtype": np.dtype(layer.dtype).name,
        "nodata": layer.nodata,
        "bigtiff": "if_safer",
        **georeference,
    }
    with open_raster(path, "w", **profile) as raster:
        if layer.classes and np.dtype(layer.dtype) == np.uint8:
            # GDAL cannot make a file one with a palette once it has pixels
            raster.write_colormap(1, _colour_table(layer))
        yield raster
        raster.update_tags(**tags)
        for band, name in enumerate(layer.bands, start=1):
            raster.set_band_description(band, name)
        if layer.unit:
            raster.units = (layer.unit,) * len(layer.bands)
        if layer.classes:
            names = {f"CLASS_{entry.value}": entry.name for entry in layer.classes}
            raster.update_tags(1, **names)


def write_rows(raster: WritableRaster, first: int, rows: NDArray[np.number]) -> None:
    """Write whole rows of all bands.

    Args:
        raster: open for writing.
        first: the first row.
        rows: (bands, rows, width).
    """
    from rasterio.windows import Window

    raster.write(rows, window=Window(0, first, rows.shape[2], rows.shape[1]))


def write_cog(plain: Path, path: Path, layer: Layer) -> list[Path]:
    """Write a Cloud-Optimised GeoTIFF from a plain one.

    Args:
        plain: written under `open_layer`.
        path: of the new file.
        layer: the bands.

    Returns:
        The file, and its `.aux.xml` if it has classes.
    """
    from rasterio.shutil import copy

    options = {"compress": "deflate", "bigtiff": "if_safer", "num_threads": "all_cpus"}
    if layer.classes or layer.in_cells:
        # an average of classes is another class; equal numbers compress better, and in half the
        # time, than their differences
        options["overview_resampling"] = "nearest"
    else:
        options |= {"overview_resampling": "average", "predictor": "yes"}
    with open_raster(plain) as raster:
        copy(raster, path, driver="COG", **options)
    if not layer.classes:
        return [path]
    beside = path.with_name(path.name + AUXILIARY)
    beside.write_bytes(_auxiliary(layer))
    return [path, beside]


def _colour_table(layer: Layer) -> dict[int, tuple[int, ...]]:
    colours = {entry.value: (*entry.colour, 255) for entry in layer.classes}
    return {**colours, int(layer.nodata): (0, 0, 0, 0)}


def _auxiliary(layer: Layer) -> bytes:
    """Return GDAL's category names and raster attribute table of a layer of classes."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    by_value = {entry.value: entry for entry in layer.classes}
    if min(by_value) >= 0 and max(by_value) < _TABLE_SIZE:
        names = ElementTree.SubElement(band, "CategoryNames")
        for value in range(max(by_value) + 1):
            category = ElementTree.SubElement(names, "Category")
            category.text = by_value[value].name if value in by_value else ""
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        ElementTree.SubElement(column, "Name").text = name
        ElementTree.SubElement(column, "Type").text = str(kind)
        ElementTree.SubElement(column, "Usage").text = str(usage)
    for index, value in enumerate(sorted(by_value)):
        row = ElementTree.SubElement(table, "Row", index=str(index))
        entry = by_value[value]
        for cell in (entry.value, entry.name, *entry.colour):
            ElementTree.SubElement(row, "F").text = str(cell)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))
