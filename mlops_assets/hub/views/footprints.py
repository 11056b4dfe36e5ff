"""What the map of a data version shows: extent, legends and outlines.

Its samples are in `footprint_features`, as they are fetched by the part of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.extents import enclosing
from mlops_assets.hub.views.addresses import data_path
from mlops_assets.hub.views.samples.listing import class_choices
from mlops_assets.hub.views.samples.opened import OpenVersion, open_version
from mlops_assets.hub.views.samples.sample import LEFT_OUT
from mlops_assets.names import Reference
from mlops_assets.store import Store

# Tol's bright scheme, safe for colour-blind, as in the figures of the quality report
SPLIT_COLOURS = {
    "train": "#4477aa",
    "validation": "#ccbb44",
    "test": "#ee6677",
    LEFT_OUT: "#999999",
}
PLAIN = "#4477aa"
MAX_FILES = 500  # outlines of files
By = Literal["split", "class"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Category:
    """A split or a class in the legend.

    Attributes:
        name: of it.
        colour: `#RRGGBB`.
        samples: number of its samples with a place.
    """

    name: str
    colour: str
    samples: int


@dataclass(frozen=True)
class Outline:
    """A box on the map.

    Attributes:
        name: what it is.
        box: west, south, east, north in degrees; west > east across the antimeridian.
        link: path of its page; empty without one.
        approximate: whether it is only roughly known.
    """

    name: str
    box: Box
    link: str = ""
    approximate: bool = False


@dataclass(frozen=True)
class FootprintView:
    """What a map shows.

    Attributes:
        title: of the map, for those who do not see it.
        extent: west, south, east, north; None if nothing has a place.
        placed: number of samples with a place.
        unplaced: number of samples without one.
        splits, classes: legends; empty where there is nothing to tell apart.
        source: path of the GeoJSON of the samples; empty without any.
        outlines: boxes, of files or maps.
        note: what the map does not show, and what to do.
    """

    title: str
    extent: Box | None
    placed: int = 0
    unplaced: int = 0
    splits: list[Category] = field(default_factory=list)
    classes: list[Category] = field(default_factory=list)
    source: str = ""
    outlines: list[Outline] = field(default_factory=list)
    note: str = ""


def data_footprints(store: Store, reference: Reference) -> FootprintView:
    """Return what the map of a data version shows.

    Args:
        store: of the caller.
        reference: to the data version.

    Raises:
        NotFound: no such version.
    """
    version = open_version(store, reference)
    committed = version.committed
    placed = located(version)
    outlines = _files(version)
    boxes = [outline.box for outline in outlines]
    longitude, latitude = (committed.samples[name][placed] for name in ("longitude", "latitude"))
    if len(longitude):
        points = np.column_stack([longitude, latitude, longitude, latitude])
        boxes.append(_box(enclosing(points)))
    note = ""
    if not boxes:
        declared = committed.specification.extent
        note = (
            "No file and no sample has a place. Land georeferenced files, name the columns of a"
            " table with longitude and latitude, or declare 'extent' in the dataset's YAML."
        )
        if declared is not None:
            roughly = "approximate " if declared.approximate else ""
            note = f"No file has a place of its own; the map shows the {roughly}extent as declared."
            extent = _box(declared.bbox)
            outlines = [Outline("declared extent", extent, approximate=declared.approximate)]
            boxes = [extent]
    elif not placed.all():
        note = f"{int((~placed).sum()):,} samples have no place and are not on the map."
    version_reference = Reference(committed.row.dataset, committed.row.version)
    return FootprintView(
        title=f"Footprints of {version_reference}",
        extent=_box(enclosing(boxes)) if boxes else None,
        placed=int(placed.sum()),
        unplaced=int((~placed).sum()),
        splits=_categories(version, "split", placed),
        classes=_categories(version, "class", placed),
        source=(
            f"/api/v1/datasets/{version_reference.name}/{version_reference.what}/footprints.geojson"
            if placed.any()
            else ""
        ),
        outlines=outlines,
        note=note,
    )


def outlined(title: str, outlines: Sequence[Outline], note: str = "") -> FootprintView:
    """Return a map of boxes, such as those of published maps or target areas."""
    boxes = [outline.box for outline in outlines]
    extent = _box(enclosing(boxes)) if boxes else None
    return FootprintView(title, extent, outlines=list(outlines), note=note)


def located(version: OpenVersion) -> NDArray[np.bool_]:
    """Return which samples have a place, (samples,)."""
    places = version.committed.samples[["longitude", "latitude"]].to_numpy(dtype=np.float64)
    return np.asarray(np.isfinite(places).all(axis=1))


def category_names(version: OpenVersion, by: By) -> NDArray[np.object_]:
    """Return the category of each sample: its split, or the name of its class."""
    samples = version.committed.samples
    if by == "split":
        return samples["split"].fillna(LEFT_OUT).to_numpy(dtype=object)
    if not version.names or version.committed.document.input.kind == "window":
        return np.full(len(samples), "", dtype=object)
    return samples["label"].map(version.names).fillna("").to_numpy(dtype=object)


def _categories(version: OpenVersion, by: By, placed: NDArray[np.bool_]) -> list[Category]:
    counts = pd.Series(category_names(version, by)[placed]).value_counts()
    colours = dict(SPLIT_COLOURS)
    order: Sequence[str] = (*SPLITS, LEFT_OUT)
    if by == "class":
        classes = class_choices(version)
        colours = {choice.name: choice.colour for choice in classes}
        order = [choice.name for choice in classes]
    return [Category(name, colours[name], int(counts[name])) for name in order if name in counts]


def _files(version: OpenVersion) -> list[Outline]:
    """Return the outlines of scenes; whole images are samples themselves."""
    committed = version.committed
    if committed.document.input.kind not in ("patch", "window"):
        return []
    images = version.images[version.images["bbox"].notna()]
    page = data_path(Reference(committed.row.dataset, committed.row.version))
    named: dict[Box, Outline] = {}
    for path, bbox in zip(images.index, images["bbox"], strict=True):
        box = _box(bbox)  # stacked files of one scene share it
        named.setdefault(box, Outline(str(path), box, f"{page}/samples"))
    return list(named.values())[:MAX_FILES]


def _box(numbers: Sequence[float]) -> Box:
    west, south, east, north = (float(number) for number in numbers)
    return west, south, east, north
