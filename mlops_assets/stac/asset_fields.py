"""Fields of the assets and Items of a data version: bands, pixel values, classes, tables.

They come from the files and the declaration; place and time are in `extents`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import pyarrow.parquet as pq

from mlops_assets.datasets.io.rasters import ALPHA
from mlops_assets.datasets.readers.scenes.vector_files import is_vector
from mlops_assets.datasets.readers.table import PARQUET_SUFFIXES, read_table
from mlops_assets.datasets.readers.table_roles import type_of
from mlops_assets.datasets.specification.description import COMMON_NAMES
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import bands_read
from mlops_assets.datasets.versions.manifest import DATA_TYPES
from mlops_assets.stac.item_files import ManifestRow, group_count
from mlops_assets.text.palette import class_colours

LABEL_PROPERTY = "mlops:label"  # the class or number of a whole image
TASKS = {"window": "segmentation"}


def raster_fields(
    committed: CommittedDataset, row: ManifestRow, offset: int | None
) -> dict[str, object]:
    """Return what is known of a raster's bands and pixel values.

    Args:
        committed: the data version.
        row: the raster's row of the manifest.
        offset: how many bands other files of the scene have before this one; None for labels.
    """
    if row["height"] is None:
        return {}
    dtype, nodata = str(row["dtype"]), row["nodata"]
    fields: dict[str, object] = {"data_type": DATA_TYPES.get(dtype, dtype)}
    if nodata is not None:
        fields["nodata"] = int(nodata) if nodata.is_integer() else nodata
    resolution = pixel_size(row["crs"], tuple(row["transform"])) if row["transform"] else None
    if resolution:
        fields["raster:spatial_resolution"] = resolution
    if offset is None:
        return fields | class_values(committed)
    read = bands_read(row)
    # bands that are not read keep the name of alpha
    found: list[dict[str, object]] = [{"name": ALPHA} for _ in range(row["count"] or 0)]
    for band, known in zip(read, bands(committed)[offset:], strict=False):
        found[band - 1] = known
    for name, values in (("scale", row["scales"]), ("offset", row["offsets"])):
        for band, value in zip(sorted(read), values or [], strict=False):
            found[band - 1] = found[band - 1] | {f"raster:{name}": value}
    return fields | {"bands": found}


def bands(committed: CommittedDataset) -> list[dict[str, object]]:
    """Return the bands of the images, in order.

    Each has a name, and where declared a unit, a common name and a centre wavelength (µm). A band
    that is called by a common name has that.
    """
    declared = committed.specification.bands
    names = committed.document.features
    units = committed.specification.units
    wavelengths: Sequence[float | None] = declared.center_wavelengths or [None] * len(names)
    common = declared.common_names or [name if name in COMMON_NAMES else None for name in names]
    return [
        {
            "name": name,
            **({"unit": units[name]} if name in units else {}),
            **({"eo:common_name": own} if own else {}),
            **({"eo:center_wavelength": wavelength} if wavelength is not None else {}),
        }
        for name, own, wavelength in zip(names, common, wavelengths, strict=True)
    ]


def shared_bands(committed: CommittedDataset) -> list[dict[str, object]]:
    """Return the bands of the images with what all source Items and all files agree on.

    These are fields such as the common name, data type and nodata value.
    """
    images = committed.manifest[committed.manifest["role"] == "image"]
    types = {str(dtype) for dtype in images["dtype"].dropna()}
    nodata = set(images["nodata"].dropna())
    stored: dict[str, object] = {}
    if len(types) == 1 and images["dtype"].notna().all():
        (dtype,) = types
        stored["data_type"] = DATA_TYPES.get(dtype, dtype)
    if len(nodata) == 1 and images["nodata"].notna().all():
        (value,) = nodata
        stored["nodata"] = int(value) if float(value).is_integer() else _number(value)
    return [
        {**stored, **shared, **band}
        for band, shared in zip(bands(committed), _described_bands(committed), strict=True)
    ]


def _number(value: float) -> float | str:
    """Return a nodata value as STAC writes it, where JSON has no number for it."""
    return "nan" if math.isnan(value) else value if math.isfinite(value) else str(value)


def _described_bands(committed: CommittedDataset) -> list[dict[str, object]]:
    """Return the fields of each band on which all source Items agree, such as its common name.

    Without source Items, they are empty.
    """
    nothing: list[dict[str, object]] = [{} for _ in committed.document.features]
    entries = committed.document.described
    per_item = [entry.assets[0].bands if entry.assets else [] for entry in entries]
    scenes = sum(len(entry.scenes) for entry in entries)
    if scenes < group_count(committed) or any(len(found) != len(nothing) for found in per_item):
        return nothing
    return [
        {
            name: value
            for name, value in first.items()
            if all(other.get(name) == value for other in others)
        }
        for first, *others in zip(*per_item, strict=True)
    ] or nothing


def described_values(committed: CommittedDataset, name: str) -> list[str | int | float]:
    """Return all values that source Items have for a property."""
    found = [entry.properties.get(name) for entry in committed.document.described]
    values = [value for entry in found for value in (entry if isinstance(entry, list) else [entry])]
    return sorted({value for value in values if isinstance(value, str | int | float)})


def data_keywords(committed: CommittedDataset) -> list[str]:
    """Return what catalogues find a data version by: what is declared, task, and sensors."""
    sensors = [
        str(value)
        for name in ("platform", "constellation", "instruments")
        for value in described_values(committed, name)
    ]
    return list(
        dict.fromkeys(
            [*committed.specification.keywords, *sensors, label_task(committed), "training data"]
        )
    )


def label_task(committed: CommittedDataset) -> str:
    """Return the task of the label extension that the labels are for."""
    if committed.classes is None:
        return "regression"
    return TASKS.get(committed.document.input.kind, "classification")


def class_values(committed: CommittedDataset) -> dict[str, object]:
    """Return the classes behind the pixel values of label rasters (classification extension)."""
    if not committed.classes or not all(
        re.fullmatch(r"-?\d+", str(entry["value"])) for entry in committed.classes
    ):
        return {}
    classes = [(int(entry["value"]), entry["name"]) for entry in committed.classes]
    return {"classification:classes": described_classes(classes)}


def label_properties(committed: CommittedDataset, labels: list[str]) -> list[str] | None:
    """Return the properties that hold the label; None for rasters, which have no properties.

    Args:
        committed: the data version.
        labels: paths of the label files; empty where a column or the image itself is labelled.
    """
    source = committed.specification.source
    if source.layout == "table":
        return [source.table_layout.label]
    if not labels:
        return [LABEL_PROPERTY]
    column = source.sampling.label_column if source.sampling else None
    return [column] if column and any(is_vector(path) for path in labels) else None


def class_fields(committed: CommittedDataset, labels: list[str]) -> dict[str, object]:
    """Return the fields of the label extension that all Items of one kind share.

    Args:
        committed: the data version.
        labels: paths of the label files, none where a table's column or the image itself is
            labelled.
    """
    properties = label_properties(committed, labels)
    raster = bool(labels) and not any(is_vector(path) for path in labels)
    fields: dict[str, object] = {
        "label:type": "raster" if raster else "vector",
        "label:properties": properties,
        "label:tasks": [label_task(committed)],
        "label:description": f"Labels of {committed.specification.title or committed.row.dataset}",
    }
    if committed.classes:
        name = properties[0] if properties else None
        if name or raster:  # a vector's classes belong to a property, a raster's to none
            fields["label:classes"] = [
                {"name": name, "classes": [entry["name"] for entry in committed.classes]}
            ]
    return fields


def table_fields(committed: CommittedDataset, path: str) -> dict[str, object]:
    """Return the fields of the table extension.

    They are columns with the types their file gives them, and the number of rows.
    """
    local = committed.local_path(path)
    layout = committed.specification.source.table_layout
    parts = {
        layout.label: "label",
        layout.group: "group",
        layout.split: "split",
        layout.time: "time",
    }
    parts |= dict.fromkeys(committed.document.features, "feature")
    geometry = {}
    if path.lower().endswith(PARQUET_SUFFIXES):
        schema = pq.read_schema(local)
        types, rows = (
            {field.name: str(field.type) for field in schema},
            pq.read_metadata(local).num_rows,
        )
        if b"geo" in (schema.metadata or {}):
            geometry = {
                "table:primary_geometry": json.loads(schema.metadata[b"geo"])["primary_column"]
            }
    else:
        table = read_table(local, path, layout)
        types, rows = {str(name): type_of(table[name]) for name in table.columns}, len(table)
    columns = [
        {"name": name, "type": kind, **({"description": parts[name]} if name in parts else {})}
        for name, kind in types.items()
    ]
    return {"table:columns": columns, "table:row_count": rows, **geometry}


def described_classes(
    classes: Iterable[tuple[int | float | str, str]],
) -> list[dict[str, object]]:
    """Return STAC's Class Objects of classes, each with its colour in maps and legends.

    A name there is an identifier, so the name as declared is the title.

    Args:
        classes: value in label files and maps, and name as declared, in the order of their indices.
            Where the value is no whole number, the index stands for it.
    """
    known = list(classes)
    return [
        class_object(value if isinstance(value, int) else index, name, colour)
        for index, ((value, name), colour) in enumerate(
            zip(known, class_colours(len(known)), strict=True)
        )
    ]


def class_object(value: int, name: str, colour: str) -> dict[str, object]:
    """Return STAC's Class Object of a class; its name there is an identifier."""
    identifier = "".join(c if (c.isascii() and c.isalnum()) or c in "_-" else "_" for c in name)
    return {
        "value": value,
        "name": identifier,
        "title": name,
        "description": name,
        "color_hint": colour,
    }


@lru_cache(maxsize=256)
def pixel_size(crs: str, transform: tuple[float, ...]) -> float | None:
    """Size of a pixel in metres; None in degrees, where it differs from place to place."""
    from rasterio.crs import CRS

    found = CRS.from_user_input(crs)
    if not found.is_projected:
        return None
    across = math.hypot(transform[0], transform[3])
    down = math.hypot(transform[1], transform[4])
    return float((across + down) / 2 * found.linear_units_factor[1])
