"""What a layout reader finds in landed files: samples, classes, features, and where and when.

The tables here are the exchange between layout readers, splits, freezing and reading for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import pandas as pd

# One row a sample. `path`: file below the landing; `row`, `column`: row of a table (column -1), centre pixel
# of a patch, or upper left pixel of a window; `label`: class value as text, or a number, or null for windows;
# `group`: what must stay together, or null; `split`: null when left out, then `reason` says why.
SAMPLE_COLUMNS = ["path", "row", "column", "label", "group", "split", "reason"]


class ClassName(TypedDict):
    """One class: its value in the data, and its name."""

    value: int | str
    name: str


@dataclass(frozen=True)
class SceneFacts:
    """What a raster says about itself. `crs` and `transform` are null without a georeference."""

    path: str
    labels: str
    height: int
    width: int
    count: int
    dtype: str
    crs: str | None
    transform: list[float] | None
    bbox: list[float] | None


@dataclass(frozen=True)
class Contents:
    """What was found in a landing.

    Attributes:
        samples: columns `path, row, column, label, group`, and `content` (a hash of each row's features, tables only)
            and `time` (temporal splits only).
        paths: files that belong to the data; others in the landing are left alone.
        classes: in the order of class indices; None when the label is a number.
        features: names of the features or bands, in order.
        input: how a sample is shaped: `row`, `patch` or `window`, and its size in pixels.
        scenes: facts of each scene.
        notes: what a person should know, such as columns that were left out.
    """

    samples: pd.DataFrame
    paths: Sequence[str]
    classes: list[ClassName] | None
    features: list[str]
    input: dict[str, Any]
    scenes: list[SceneFacts] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
