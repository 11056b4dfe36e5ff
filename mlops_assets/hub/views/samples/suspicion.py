"""Labels that the quality report suspects, by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mlops_assets.hub.views.samples.opened import OpenVersion


class _Suspect(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    row: int = 0
    column: int = -1
    given: str | float | None = None
    likely: str | float | None = None


class _Noise(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    suspects: int
    worst: list[_Suspect] = []


class _Measured(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    label_noise: _Noise | None = None


@dataclass(frozen=True)
class Suspicion:
    """The suspicion against the label of a sample, or of a pixel of a window.

    Attributes:
        rank: 1 for the most suspicious label of the version.
        given: the label as it is: name of a class, or a number.
        likely: the label that the other samples suggest.
    """

    rank: int
    given: str | float | None
    likely: str | float | None


@dataclass(frozen=True)
class Suspicions:
    """Suspicious labels of a data version.

    Attributes:
        found: number of suspicious labels; None if the report did not look for them.
        named: those that the report names, by position of the sample.
    """

    found: int | None
    named: Mapping[int, Suspicion]


def suspicions_of(version: OpenVersion) -> Suspicions:
    """Return the suspicious labels of a version.

    Args:
        version: the data version.
    """
    if version.report is None:
        return Suspicions(None, {})
    try:
        noise = _Measured.model_validate(version.report.model_extra).label_noise
    except ValidationError:
        return Suspicions(None, {})  # of another release
    if noise is None:
        return Suspicions(None, {})
    named: dict[int, Suspicion] = {}
    for rank, suspect in enumerate(noise.worst, start=1):
        index = _index_of(version, suspect)
        if index is not None:
            # a window may have several suspicious pixels
            named.setdefault(index, Suspicion(rank, suspect.given, suspect.likely))
    return Suspicions(noise.suspects, named)


def _index_of(version: OpenVersion, suspect: _Suspect) -> int | None:
    shape = version.committed.document.input
    positions = version.positions_of(suspect.path)
    if not len(positions):
        return None
    samples = version.committed.samples.iloc[positions]
    if shape.kind == "image":
        return int(positions[0])
    rows = suspect.row - samples["row"].to_numpy()
    if shape.kind == "row":
        inside = rows == 0
    else:
        columns = suspect.column - samples["column"].to_numpy()
        size = shape.sides[0] if shape.kind == "window" else 1
        inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    found = np.flatnonzero(inside)
    return int(positions[found[0]]) if len(found) else None
