"""The columns of a data version as training reads them: features or bands, label, and roles.

They follow from the version's documents; no file of the data is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.datasets.specification.source import Source, TableLayout
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.text.listing import named

# name of a label that no column or property holds
LABEL = "label"


@dataclass(frozen=True)
class Column:
    """One column of the samples, or one band of the images.

    Attributes:
        name: as training and the files name it.
        type: data type that it is read as.
        role: `feature`, `band`, `label`, `group`, `split`, `time`, `id` or `place`.
        unit: as declared, None if it is not.
        description: for people.
        unique: no value occurs twice.
        rules: what else its values keep to, for people.
    """

    name: str
    type: str
    role: str
    description: str
    unit: str | None = None
    unique: bool = False
    rules: tuple[str, ...] = ()


def columns(committed: CommittedDataset) -> list[Column]:
    """Return the columns of a data version: features or bands in their order, label, and the rest.

    Args:
        committed: the data version.
    """
    source = committed.specification.source
    label = label_name(source)
    if source.layout == "table":
        return [*_features(committed), _label(committed, label), *_roles(source.table_layout)]
    return [*_bands(committed), _label(committed, label)]


def label_name(source: Source) -> str:
    """Return the name of the column or property that holds the label, `LABEL` if there is none."""
    if source.layout == "table":
        return source.table_layout.label
    if source.sampling and source.sampling.label_column:
        return source.sampling.label_column
    if source.layout == "stac" and source.stac_layout.label:
        return source.stac_layout.label
    return LABEL


def _features(committed: CommittedDataset) -> list[Column]:
    names, units = committed.document.features, committed.specification.units
    return [
        Column(name, "float32", "feature", f"Feature {place} of {len(names)}.", units.get(name))
        for place, name in enumerate(names, 1)
    ]


def _bands(committed: CommittedDataset) -> list[Column]:
    specification, names = committed.specification, committed.document.features
    images = committed.manifest[committed.manifest["role"] == "image"]
    types = sorted({str(dtype) for dtype in images["dtype"].dropna()})
    kind = "float32" if committed.is_scaled else " or ".join(types)
    nodata = sorted({f"{value:g}" for value in images["nodata"].dropna()})
    rules = (f"nodata is {' or '.join(nodata)}",) if nodata else ()
    wavelengths: Sequence[float | None] = specification.bands.center_wavelengths or [None] * len(
        names
    )
    return [
        Column(
            name,
            kind,
            "band",
            f"Band {place} of {len(names)}"
            + (f", centre wavelength {wavelength:g} µm." if wavelength is not None else "."),
            specification.units.get(name),
            rules=rules,
        )
        for place, (name, wavelength) in enumerate(zip(names, wavelengths, strict=True), 1)
    ]


def _label(committed: CommittedDataset, name: str) -> Column:
    if committed.classes is None:
        unit = committed.specification.units.get(name)
        return Column(name, "float32", "label", "The number to learn.", unit)
    what = "pixel" if committed.document.input.kind == "window" else "sample"
    classes = [
        str(entry["value"])
        if str(entry["value"]) == entry["name"]
        else f"{entry['value']} ({entry['name']})"
        for entry in committed.classes
    ]
    rule = f"one of {named(classes)}"
    return Column(name, "class", "label", f"The class of each {what}.", rules=(rule,))


def _roles(layout: TableLayout) -> list[Column]:
    """Return the columns of a table that are not learned from."""
    group = "Rows of one value stay together in one split."
    degrees = "of the row, degrees (WGS 84)."
    found = [
        (layout.group, "string", "group", group),
        (layout.split, "string", "split", "The split of the row."),
        (layout.time, "timestamp", "time", "Time of the row, UTC."),
        (layout.id, "string", "id", "Identifies the row."),
        (layout.longitude, "float64", "place", f"Longitude {degrees}"),
        (layout.latitude, "float64", "place", f"Latitude {degrees}"),
        (layout.x, "float64", "place", f"Easting of the row, {layout.crs}."),
        (layout.y, "float64", "place", f"Northing of the row, {layout.crs}."),
    ]
    return [
        Column(name, kind, role, description, unique=role == "id")
        for name, kind, role, description in found
        if name is not None
    ]
