"""The contents of landed files: samples, files with their facts, classes and features.

Its tables pass between layouts, splits, commits, records and training data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypedDict

from mlops_assets.datasets.versions.sample_shape import SampleShape

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# One row a sample. `path`: file below the landing (of stacked files the first); `row`, `column`:
# row of a table (column -1), centre pixel of a patch, upper left pixel of a window, 0 and 0 of a
# whole image; `label`: class value as text, or a number, or null for windows; `group`: what must
# stay together, or null; `split`: null when left out, then `reason` states why; `longitude`,
# `latitude`: degrees, of the sample's centre; `time`: UTC. Null is unknown.
SAMPLE_COLUMNS = [
    "path",
    "row",
    "column",
    "label",
    "group",
    "split",
    "reason",
    "longitude",
    "latitude",
    "time",
]

# One row a file, with facts of the file itself. `role`: image, labels, table, sidecar, or catalog
# (STAC Items); `scene`: what it belongs to; `part`: its place in a stack; `transform`: six numbers;
# `bbox`: west, south, east, north in degrees; `source`: URL of the STAC Item that describes it;
# `band_names`: what the file calls its bands, if it does; `bands`: which are read, counted from 1,
# in the order of the features; null where all are, in file order; `masked`: true where alpha or a
# mask hides pixels; `scales`, `offsets`: by which each band that is read becomes a physical value,
# in file order, null without scaling; `remarks`: for people.
# Elsewhere null is unknown.
FILE_COLUMNS = [
    "path",
    "role",
    "scene",
    "part",
    "height",
    "width",
    "count",
    "dtype",
    "nodata",
    "crs",
    "transform",
    "bbox",
    "datetime",
    "source",
    "band_names",
    "bands",
    "masked",
    "scales",
    "offsets",
    "remarks",
]


NO_PIXEL = "no pixel has data"  # why a whole image is in no split


class FileRow(TypedDict, total=False):
    """One row of `FILE_COLUMNS`, as far as it is known."""

    path: str
    role: str
    scene: str | None
    part: int | None
    height: int
    width: int
    count: int
    dtype: str
    nodata: float | None
    crs: str | None
    transform: list[float] | None
    bbox: list[float] | None
    datetime: datetime | None
    source: str | None
    band_names: list[str] | None
    bands: list[int] | None
    masked: bool | None
    scales: list[float] | None
    offsets: list[float] | None
    remarks: list[str] | None


class ClassName(TypedDict):
    """One class: its value in the data, and its name."""

    value: int | str
    name: str


def _is_empty(found: object) -> bool:
    return not found


class DescribedAsset(BaseModel):
    """Fields of one image, as the asset of a STAC Item describes it.

    Attributes:
        bands: fields of each band, in the order of the file.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    # omitted when empty: stored documents have only what is described
    bands: list[dict[str, JsonValue]] = Field(default=[], exclude_if=_is_empty)


class DescribedScenes(BaseModel):
    """Platform and bands of scenes, as their STAC Items describe them.

    Attributes:
        scenes: names of the scenes.
        properties: of the Items, such as `platform`.
        assets: each image of a scene.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    scenes: list[str]
    properties: dict[str, JsonValue] = Field(default={}, exclude_if=_is_empty)
    assets: list[DescribedAsset] = Field(default=[], exclude_if=_is_empty)


@dataclass(frozen=True)
class Contents:
    """The contents of a landing.

    Attributes:
        samples: columns `path, row, column, label, group`, and where known `longitude, latitude,
            time, content` (a hash or the bytes of each sample's features: equal samples go
            together), `declared_split`, `reason` (why a sample is left out).
        files: `FILE_COLUMNS` of the files that belong to the data; others in the landing are left
            alone.
        classes: in the order of class indices; None when the label is a number.
        features: names of the features or bands, in order.
        input: shape of one sample.
        notes: remarks for people, such as columns that were left out.
        labels: first image of a scene → its label file, where several scenes share it and the
            manifest has no scene for it.
        described: platform and bands by STAC Items, each with the scenes that it describes.
        pixels: of windows, labelled pixels of each class in each sample, (samples, classes); None
            where a sample has one label.
    """

    samples: pd.DataFrame
    files: pd.DataFrame
    classes: list[ClassName] | None
    features: list[str]
    input: SampleShape
    notes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    described: list[DescribedScenes] = field(default_factory=list)
    pixels: NDArray[np.int32] | None = None


def bands_read(row: Mapping[Any, Any]) -> list[int]:
    """Return the bands of an image that are read, by its row.

    They are counted from 1, in the order of the features.
    """
    bands = row["bands"]
    return (
        list(range(1, int(row["count"]) + 1))
        if bands is None or isinstance(bands, float)
        else list(bands)
    )


def sidecar_rows(sidecars: Sequence[FileRow], others: Iterable[str]) -> list[FileRow]:
    """Return each sidecar once.

    It has no scene if several need it, and is left out if it is a file of another role.

    Args:
        sidecars: path, and scene that needs it.
        others: paths of the files of other roles.
    """
    taken = set(others) if sidecars else set()
    scenes: dict[str, set[str | None]] = {}
    for row in sidecars:
        scenes.setdefault(row["path"], set()).add(row["scene"])
    return [
        {"path": path, "role": "sidecar", "scene": next(iter(own)) if len(own) == 1 else None}
        for path, own in scenes.items()
        if path not in taken
    ]


def ascends(texts: pd.Series) -> bool:
    """Return whether each text is greater than the one before; no text becomes a Python object."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.array(texts.astype("str"))
    return bool(pc.all(pc.less(column[:-1], column[1:])).as_py()) if len(column) > 1 else True


def unknown(rows: int) -> pd.Series:
    """Return a column of None, of any length, that takes no memory; it cannot be written to."""
    import numpy as np
    import pandas as pd

    return pd.Series(np.broadcast_to(np.array([None], dtype=object), rows), copy=False)


def file_rows(rows: Sequence[FileRow]) -> pd.DataFrame:
    """Return rows of facts as a table with all `FILE_COLUMNS`; missing facts are null."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=pd.Index(FILE_COLUMNS))
