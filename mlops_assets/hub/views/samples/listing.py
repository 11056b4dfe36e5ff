"""A page of the samples of a data version, filtered on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.samples.band_choice import Composite
from mlops_assets.hub.views.samples.opened import OpenVersion, open_version
from mlops_assets.hub.views.samples.sample import LEFT_OUT, SampleRow, sample_rows
from mlops_assets.hub.views.samples.suspicion import suspicions_of
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.text.palette import class_colours

Order = Literal["file", "mixed"]
SEED = 0  # of the mixed order
DEFAULT_LIMIT, MAX_LIMIT = 24, 96  # samples a page


@dataclass(frozen=True)
class SampleFilter:
    """The samples that are asked for; all conditions hold at once.

    Attributes:
        class_name: name or value of their class.
        split: `train`, `validation`, `test` or `left_out`.
        text: part of their path or group, in any case.
        suspicious: only those whose label the quality report names, worst first.
        order: `file`, as the version has them; `mixed`, always in the same random order, as
            neighbours look alike.
    """

    class_name: str | None = None
    split: str | None = None
    text: str | None = None
    suspicious: bool = False
    order: Order = "file"


@dataclass(frozen=True)
class ClassChoice:
    """A class to filter by.

    Attributes:
        value: in the data, as text.
        name: its name.
        samples: of it in the version; None where pixels, not samples, have classes.
        colour: in overlays, `#RRGGBB`.
    """

    value: str
    name: str
    samples: int | None
    colour: str


@dataclass(frozen=True)
class SplitChoice:
    """A split to filter by.

    Attributes:
        name: `train`, `validation`, `test` or `left_out`.
        samples: in it.
    """

    name: str
    samples: int


@dataclass(frozen=True)
class SamplePage:
    """Some samples of a data version.

    Attributes:
        dataset: name of the dataset.
        version: the data version.
        digest: of the version.
        kind: `row`, `patch`, `window` or `image`.
        samples: number of samples of the version.
        matching: number of those that match.
        first: position of the first one here among those that match.
        rows: the samples.
        classes: to filter by; empty where the label is a number.
        splits: to filter by.
        composites: pictures that the bands allow; empty of a table.
        bands: names of the bands or features.
        assessed: whether it has a quality report, by which all chips have one stretch.
        suspects: number of labels that the quality report suspects; None if it was not looked for.
        suspects_named: number of samples that it names.
    """

    dataset: str
    version: str
    digest: str
    kind: str
    samples: int
    matching: int
    first: int
    rows: list[SampleRow]
    classes: list[ClassChoice]
    splits: list[SplitChoice]
    composites: list[Composite]
    bands: list[str]
    assessed: bool
    suspects: int | None
    suspects_named: int


def list_samples(
    store: Store,
    reference: Reference,
    wanted: SampleFilter,
    first: int = 0,
    limit: int = DEFAULT_LIMIT,
) -> SamplePage:
    """Return some samples of a data version.

    Args:
        store: of the caller.
        reference: to the data version.
        wanted: which samples.
        first: how many that match are left out.
        limit: samples at most.

    Raises:
        NotFound: no such version.
        SpecificationError: it has no such class or split.
    """
    version = open_version(store, reference)
    committed = version.committed
    positions = _matching(version, wanted)
    first = max(first, 0)
    shown = positions[first : first + min(max(limit, 1), MAX_LIMIT)]
    suspicions = suspicions_of(version)
    return SamplePage(
        dataset=committed.row.dataset,
        version=committed.row.version,
        digest=committed.row.digest,
        kind=committed.document.input.kind,
        samples=len(committed.samples),
        matching=len(positions),
        first=first,
        rows=sample_rows(version, shown),
        classes=class_choices(version),
        splits=_split_choices(committed.samples),
        composites=version.composites,
        bands=list(committed.document.features),
        assessed=version.report is not None,
        suspects=suspicions.found,
        suspects_named=len(suspicions.named),
    )


def class_choices(version: OpenVersion) -> list[ClassChoice]:
    """Return the classes of a version with their colours and numbers of samples."""
    classes = version.committed.classes or []
    counts = version.committed.samples["label"].value_counts() if classes else pd.Series(dtype=int)
    window = version.committed.document.input.kind == "window"
    return [
        ClassChoice(
            value=str(entry["value"]),
            name=entry["name"],
            samples=None if window else int(counts.get(str(entry["value"]), 0)),
            colour=f"#{colour}",
        )
        for entry, colour in zip(classes, class_colours(len(classes)), strict=True)
    ]


def _split_choices(samples: pd.DataFrame) -> list[SplitChoice]:
    counts = samples["split"].fillna(LEFT_OUT).value_counts()
    return [
        SplitChoice(name, int(counts[name])) for name in (*SPLITS, LEFT_OUT) if name in counts.index
    ]


def _matching(version: OpenVersion, wanted: SampleFilter) -> NDArray[np.int64]:
    """Return the positions of the samples that match, in order."""
    samples = version.committed.samples
    chosen = np.ones(len(samples), dtype=bool)
    if wanted.class_name:
        chosen &= _of_class(version, wanted.class_name)
    if wanted.split:
        if wanted.split not in (*SPLITS, LEFT_OUT):
            raise SpecificationError(
                f"split={wanted.split!r} is unknown; use {', '.join((*SPLITS, LEFT_OUT))}"
            )
        own = samples["split"]
        chosen &= (own.isna() if wanted.split == LEFT_OUT else own == wanted.split).to_numpy()
    if wanted.text:
        found = _contains(samples["path"], wanted.text) | _contains(samples["group"], wanted.text)
        chosen &= found
    if not wanted.suspicious:
        if wanted.order == "file":
            return np.flatnonzero(chosen)
        mixed = np.random.default_rng(SEED).permutation(len(samples))
        return mixed[chosen[mixed]]
    named = suspicions_of(version).named
    worst = sorted(named, key=lambda index: named[index].rank)
    return np.array([index for index in worst if chosen[index]], dtype=np.int64)


def _of_class(version: OpenVersion, text: str) -> NDArray[np.bool_]:
    values = [value for value, name in version.names.items() if text in (name, value)]
    if not values:
        known = ", ".join(list(version.names.values())[:20])
        remedy = f"it has {known}" if known else "its labels are numbers"
        raise SpecificationError(f"{version.committed.reference} has no class {text!r}; {remedy}")
    if version.committed.document.input.kind == "window":
        raise SpecificationError(
            f"samples of {version.committed.reference} are windows, whose pixels have classes;"
            " filter by split or path, and look at the labels over the chips"
        )
    # a value that is another class's name is refused by specifications
    return np.asarray(version.committed.samples["label"].isin(values))


def _contains(texts: pd.Series, part: str) -> NDArray[np.bool_]:
    codes, names = pd.factorize(texts)  # many samples are of one file
    lower = part.casefold()
    found = np.array([lower in str(name).casefold() for name in names] + [False])
    return np.asarray(found[codes])
