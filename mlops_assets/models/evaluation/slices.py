"""Facts of samples besides their values: place, independent units, and divisions into slices.

Nothing here reads images or runs models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.findings.leakage import declared_groups
from mlops_assets.datasets.specification.dataset import Split
from mlops_assets.datasets.splits.spatial_blocks import (
    DEFAULT_METRES,
    DEFAULT_PIXELS,
    blocks_of,
    on_the_ground,
)
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.contents import Contents

# values of a column that samples are divided by
MIN_VALUES = 2
MAX_VALUES = 50
MIN_SAMPLES = 10  # of a value, below which its metrics mean little
# the same on both hemispheres
SEASONS = (
    "December-February",
    "March-May",
    "June-August",
    "September-November",
)


class Place(TypedDict):
    """The place of a sample, as `parity.json` has it.

    `sample` is its position in the split, `path` its file, `row` and `column` are in that file.
    """

    sample: int
    path: str
    row: NotRequired[int]
    column: NotRequired[int]


@dataclass(frozen=True)
class Grouping:
    """A division of a split's samples.

    Attributes:
        name: name of the column or unit that divides them, for people.
        values: name of each part.
        codes: number of each sample's part, (n,); -1 where it is in none.
    """

    name: str
    values: list[str]
    codes: NDArray[np.int64]


def independent_units(committed: CommittedDataset, split: SplitName) -> Grouping:
    """Return the units that are independent of each other; samples within a unit are alike.

    Units are blocks where the split is by block; else groups where some are declared; else blocks
    of 1000 m or 32 pixels where the places of samples are known, as neighbours are alike; else
    single samples.
    """
    samples = committed.split(split)
    method = committed.specification.split.method
    if method != "spatial_block":
        groups = declared_groups(committed.samples, committed.manifest, method).loc[samples.index]
        if len(groups) and groups.notna().all():
            codes, values = pd.factorize(groups, sort=True)
            return Grouping(
                f"groups ({group_column(committed)})", [str(value) for value in values], codes
            )
    blocks = _blocks(committed, samples)
    return blocks or Grouping("samples", [], np.arange(len(samples)))


def slices(committed: CommittedDataset, split: SplitName) -> list[Grouping]:
    """Return the divisions by group, scene or file, season and year that make sense for a split."""
    samples = committed.split(split)
    # of a window, pixels are counted
    least = 1 if committed.document.input.kind == "window" else MIN_SAMPLES
    found: list[Grouping] = []
    for name, column in _columns(committed, samples):
        counts = column.value_counts()
        enough = sorted(counts.index[counts >= least])
        if not MIN_VALUES <= len(enough) <= MAX_VALUES:
            continue
        codes = pd.Index(enough).get_indexer(column).astype(np.int64)
        if not any(
            np.array_equal(pd.factorize(codes)[0], pd.factorize(other.codes)[0]) for other in found
        ):
            found.append(Grouping(name, enough, codes))
    return found


def place_of(committed: CommittedDataset, split: SplitName, position: int) -> Place:
    """Return the place of a sample.

    Args:
        committed: the data version.
        split: the split of the sample.
        position: counted from 0, in the order of the split.
    """
    row = committed.split(split).iloc[position]
    kind = committed.document.input.kind
    place: Place = {"sample": int(position), "path": str(row["path"])}
    if kind != "image":
        place["row"] = int(row["row"])
    if kind in ("patch", "window"):
        place["column"] = int(row["column"])
    return place


def place_text(place: Place) -> str:
    """Return a place for messages."""
    within = ", ".join(f"{name} {place[name]}" for name in ("row", "column") if name in place)
    return f"sample {place['sample']} ({place['path']}{', ' * bool(within)}{within})"


def _blocks(committed: CommittedDataset, samples: pd.DataFrame) -> Grouping | None:
    shape = committed.document.input
    declared = committed.specification.split
    ground = on_the_ground(samples)
    if not len(samples) or not (ground or shape.kind in ("patch", "window")):
        return None
    side = DEFAULT_METRES if ground else DEFAULT_PIXELS
    if declared.method == "spatial_block":
        side = declared.block or side
    elif shape.kind == "window" and not ground:
        side = shape.size * float(np.ceil(side / shape.size))  # windows are not divided
    contents = Contents(
        samples, committed.manifest, committed.classes, committed.document.features, shape
    )
    blocks = blocks_of(samples, contents, Split(method="spatial_block", block=side))
    keys = pd.DataFrame(blocks.index, columns=["row", "column"]).assign(scope=blocks.scope)
    codes = keys.groupby(["scope", "row", "column"], sort=False).ngroup()
    name = f"blocks of {side:g} {'m' if ground else 'px'}"
    return Grouping(name, [], np.asarray(codes, dtype=np.int64))


def _columns(committed: CommittedDataset, samples: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    groups = declared_groups(
        committed.samples, committed.manifest, committed.specification.split.method
    ).loc[samples.index]
    yield group_column(committed), groups.dropna().astype(str).reindex(samples.index)
    files = committed.manifest.drop_duplicates("path").set_index("path")
    kind = committed.document.input.kind
    if kind == "row":
        yield "file", samples["path"]
    elif kind != "image":
        yield "scene", samples["path"].map(files["scene"]).fillna(samples["path"]).astype(str)
    times = pd.to_datetime(samples["time"], utc=True)
    times = times.fillna(pd.to_datetime(samples["path"].map(files["datetime"]), utc=True))
    yield (
        "season",
        times.dt.month.map(lambda month: SEASONS[int(month) % 12 // 3], na_action="ignore"),
    )
    yield "year", times.dt.year.map(lambda year: str(int(year)), na_action="ignore")


def group_column(committed: CommittedDataset) -> str:
    """Return the name of the column or property that groups the samples; `group` if it has none."""
    source = committed.specification.source
    declared = {"table": source.table, "stac": source.stac}.get(source.layout)
    return (declared.group if declared else None) or "group"
