"""The differences of two data versions; lists of files and samples come in pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Self, get_args

import pandas as pd
from pydantic import JsonValue

from mlops_assets.datasets.diff.diff import VersionDiff, difference
from mlops_assets.datasets.diff.distribution_shift import (
    NOTABLE_SHIFT,
    ClassBalance,
    FeatureShift,
    NumberShift,
)
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.hub.views.data.published import PublishedFile, document_in, file_of, required_file
from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion
from mlops_assets.store import Store

ROWS_A_PAGE = 50
MAX_ROWS_A_PAGE = 1_000
MAX_SHIFTS = 20
Listed = Literal[
    "files added",
    "files removed",
    "files changed",
    "files renamed",
    "samples added",
    "samples removed",
    "samples relabelled",
    "samples moved",
]
LISTS: dict[str, Listed] = {name: name for name in get_args(Listed)}


@dataclass(frozen=True)
class ClassChange:
    """A class that only one of the versions has, or that is called differently.

    Attributes:
        value: of the class in the data.
        before: its name before; None if it is new.
        after: its name after; None if it is gone.
    """

    value: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Moves:
    """Samples that went from one split to another; None is left out."""

    before: str | None
    after: str | None
    samples: int


@dataclass(frozen=True)
class SettingChange:
    """A setting that was declared differently; None where it is not declared.

    Attributes:
        what: dotted name of the setting.
        before: declared value.
        after: declared value.
    """

    what: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True)
class DiffView:
    """The differences of two data versions.

    Attributes:
        before: `dataset@version`.
        after: `dataset@version`.
        same: whether both have the same content.
        counts: list → number of its rows.
        unchanged_files: files of the same path and bytes.
        unchanged_samples: samples of the same place, label and split.
        rewritten: samples in both whose file has other bytes.
        moves: samples that went from one split to another.
        classes: classes that were added, removed or renamed.
        features_added: names of features or bands.
        features_removed: names of features or bands.
        features_reordered: whether those of both are in another order.
        balance: classes of each split.
        numbers: number labels of each split.
        shifts: features or bands, the most shifted first, at most 20.
        shifted: number of features that are shifted notably.
        notable: standardised mean difference from which on a shift is notable.
        not_compared: what was left out, and why; empty if nothing.
        declaration: settings that were declared differently.
    """

    before: str
    after: str
    same: bool
    counts: dict[str, int]
    unchanged_files: int
    unchanged_samples: int
    rewritten: int
    moves: list[Moves]
    classes: list[ClassChange]
    features_added: list[str]
    features_removed: list[str]
    features_reordered: bool
    balance: list[ClassBalance]
    numbers: list[NumberShift]
    shifts: list[FeatureShift]
    shifted: int
    notable: float
    not_compared: str
    declaration: list[SettingChange]


@dataclass(frozen=True)
class DiffRows:
    """A page of one list of differences.

    Attributes:
        before: `dataset@version`.
        after: `dataset@version`.
        listed: which list it is.
        total: number of its rows.
        page: from 1.
        columns: names of the values of a row.
        rows: the rows of the page; labels by the names of their classes.
    """

    before: str
    after: str
    listed: str
    total: int
    page: int
    columns: list[str]
    rows: list[list[JsonValue]]


def version_diff(store: Store, before: Reference, after: Reference) -> DiffView:
    """Return the differences of two data versions, of one dataset or of two.

    Shifts of features are those of published statistics; no sample is read.

    Raises:
        NotFound: there is no such version.
        IntegrityError: a document is not as it was published.
    """
    old, new, found = _difference(store, before, after)
    shifts = sorted(found.shifts, key=lambda each: -abs(each.standardised_mean_difference or 0.0))
    notable = [
        each for each in shifts if abs(each.standardised_mean_difference or 0.0) > NOTABLE_SHIFT
    ]
    classes = found.classes
    return DiffView(
        before=old.reference,
        after=new.reference,
        same=found.same,
        counts={name: len(_frame(found, name)) for name in get_args(Listed)},
        unchanged_files=found.files.unchanged,
        unchanged_samples=found.samples.unchanged,
        rewritten=found.samples.rewritten,
        moves=[
            Moves(_text(before), _text(after), int(samples))
            for before, after, samples in _rows(found.samples.moves)
        ],
        classes=[
            *(ClassChange(str(each["value"]), None, each["name"]) for each in classes.added),
            *(ClassChange(str(each["value"]), each["name"], None) for each in classes.removed),
            *(ClassChange(each.value, each.before, each.after) for each in classes.renamed),
        ],
        features_added=found.features.added,
        features_removed=found.features.removed,
        features_reordered=found.features.reordered,
        balance=found.balance,
        numbers=found.numbers,
        shifts=shifts[:MAX_SHIFTS],
        shifted=len(notable),
        notable=NOTABLE_SHIFT,
        not_compared=_not_compared(old, new),
        declaration=[
            SettingChange(change.what, change.before, change.after) for change in found.declaration
        ],
    )


def diff_rows(
    store: Store,
    before: Reference,
    after: Reference,
    listed: Listed,
    page: int = 1,
    rows: int = ROWS_A_PAGE,
) -> DiffRows:
    """Return a page of one list of differences.

    Args:
        store: has the data versions.
        before: one of them.
        after: the other.
        listed: which list.
        page: from 1.
        rows: rows a page.

    Raises:
        NotFound: there is no such version.
        IntegrityError: a document is not as it was published.
    """
    old, new, found = _difference(store, before, after)
    frame = _frame(found, listed)
    part = frame.iloc[(page - 1) * rows : page * rows]
    return DiffRows(
        old.reference,
        new.reference,
        listed,
        len(frame),
        page,
        [str(name) for name in frame.columns],
        [[_value(value) for value in row] for row in _rows(_named((old, new), part, listed))],
    )


@dataclass(frozen=True)
class _Version:
    """A data version by the documents that a difference follows from."""

    reference: str
    manifest: PublishedFile
    samples: PublishedFile
    document: PublishedFile
    quality: PublishedFile | None
    statistics: PublishedFile | None

    @classmethod
    def of(cls, store: Store, row: DataVersion) -> Self:
        return cls(
            f"{row.dataset}@{row.version}",
            required_file(store, row, "manifest.parquet"),
            required_file(store, row, "samples.parquet"),
            required_file(store, row, "version.json"),
            file_of(store, row, "quality.json"),
            file_of(store, row, "statistics.json"),
        )

    def open(self) -> CommittedDataset:
        store = self.manifest.store
        return CommittedDataset.open(
            store.workspace, store.registry, Reference.parse(self.reference)
        )


def _difference(
    store: Store, before: Reference, after: Reference
) -> tuple[_Version, _Version, VersionDiff]:
    rows = [store.registry.data_version(reference) for reference in (before, after)]
    old, new = (_Version.of(store, row) for row in rows)
    return old, new, _compared(old, new)


# lists of differences are turned page by page; two of a million files take some hundred MB each
@lru_cache(maxsize=2)
def _compared(before: _Version, after: _Version) -> VersionDiff:
    registry = after.manifest.store.registry
    return difference(registry, before.open(), after.open(), published_only=True)


def _frame(found: VersionDiff, listed: str) -> pd.DataFrame:
    what, _, how = listed.partition(" ")
    frame: pd.DataFrame = getattr(found.files if what == "files" else found.samples, how)
    return frame


def _not_compared(*versions: _Version) -> str:
    lacking = [version.reference for version in versions if version.statistics is None]
    if not lacking:
        return ""
    advice = "; ".join(f"mlops dataset assess {name}" for name in lacking)
    return (
        f"{' and '.join(lacking)} was not assessed, so that features, and classes of windows, were"
        f" not compared; run: {advice}"
    )


def _named(versions: Sequence[_Version], part: pd.DataFrame, listed: str) -> pd.DataFrame:
    """Return rows of samples with the names of classes, where their labels have some."""
    if not listed.startswith("samples"):
        return part
    names: dict[str, str] = {}
    for version in versions:
        classes = document_in(version.document).classes or []
        names |= {str(each["value"]): each["name"] for each in classes}
    labels = ["before", "after"] if listed == "samples relabelled" else ["label"]
    named = {name: part[name].map(lambda value: names.get(str(value), value)) for name in labels}
    return part.assign(**named)


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    yield from frame.itertuples(index=False, name=None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _value(value: object) -> JsonValue:
    """Return a cell for JSON; unknown values are null."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int | str):
        return value
    item = getattr(value, "item", None)
    return _value(item()) if callable(item) else str(value)
