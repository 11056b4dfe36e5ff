"""Differences between the classes, labels, features and declarations of two data versions.

Differences of files and samples are in `diff`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import pandas as pd
from pydantic import BaseModel

from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.scan import scan
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.paths import version_folder
from mlops_assets.registry import Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.text.json_values import Json, JsonObject

# A standardised mean difference above this is worth checking (Austin 2009,
# doi:10.1002/sim.3697).
NOTABLE_SHIFT = 0.1
STATISTICS = "statistics.json"


@dataclass(frozen=True)
class ClassBalance:
    """Class counts of one split.

    Attributes:
        split: the split.
        of: what is counted, `samples` or `pixels`.
        before: class name → count.
        after: class name → count.
        total_variation: half the sum of the differences of shares: 0 is the same balance, 1 no
            class in common; null where a version has nothing in this split.
    """

    split: str
    of: str
    before: dict[str, int]
    after: dict[str, int]
    total_variation: float | None


@dataclass(frozen=True)
class NumberShift:
    """Number labels of one split.

    Mean and standard deviation in each version are None without samples.
    """

    split: str
    mean_before: float | None
    mean_after: float | None
    std_before: float | None
    std_after: float | None
    standardised_mean_difference: float | None


@dataclass(frozen=True)
class FeatureShift:
    """One feature or band, over training samples, in the data's own units.

    Attributes:
        feature: its name; null statistics where a version does not have it.
        mean_before: mean.
        mean_after: mean.
        std_before: standard deviation.
        std_after: standard deviation.
        standardised_mean_difference: difference of the means over the root of the mean variance.
        std_ratio: standard deviation after over before.
    """

    feature: str
    mean_before: float | None
    mean_after: float | None
    std_before: float | None
    std_after: float | None
    standardised_mean_difference: float | None
    std_ratio: float | None


@dataclass(frozen=True)
class DeclarationChange:
    """A setting that was declared differently; None where it is not declared.

    Attributes:
        what: dotted name of the setting.
        before, after: declared values.
    """

    what: str
    before: Json
    after: Json


class _ClassCounts(BaseModel):
    """Class name → split → samples, or pixels of windows."""

    classes: dict[str, dict[str, int]]


class _CountsReport(BaseModel):
    """The class counts in `quality.json`."""

    class_counts: _ClassCounts


class _Statistics(BaseModel):
    """Mean and standard deviation of each feature in `statistics.json`; None without values."""

    mean: list[float | None]
    std: list[float | None]


def class_balance(
    registry: Registry, before: CommittedDataset, after: CommittedDataset
) -> list[ClassBalance]:
    """Compare the class counts of each split.

    Samples are counted, or for windows their pixels, from the quality report.

    Empty where labels are numbers, and for windows that have no quality report yet.
    """
    first, second = _class_counts(registry, before), _class_counts(registry, after)
    if first is None or second is None or first[0] != second[0]:
        return []
    (of, old), (_, new) = first, second
    names = {
        str(entry["value"]): entry["name"]
        for committed in (before, after)
        for entry in committed.classes or []
    }
    found = []
    for split in get_args(SplitName):
        values = [
            value for value in names if value in old[split].index or value in new[split].index
        ]
        p, q = (counts[split].reindex(values, fill_value=0) for counts in (old, new))
        distance = (
            float((p / p.sum() - q / q.sum()).abs().sum() / 2) if p.sum() and q.sum() else None
        )
        left, right = ({names[value]: int(counts[value]) for value in values} for counts in (p, q))
        found.append(ClassBalance(split, of, left, right, distance))
    return found


def _class_counts(
    registry: Registry, committed: CommittedDataset
) -> tuple[str, dict[str, pd.Series]] | None:
    """Return what is counted, and for each split class value (as text) → count."""
    splits = get_args(SplitName)
    if committed.classes is None:
        return None
    if committed.samples["label"].notna().any():
        return "samples", {
            split: committed.split(split)["label"].astype(str).value_counts() for split in splits
        }
    content = _published(registry, committed, "quality.json")
    if content is None:
        return None
    counts = _CountsReport.model_validate_json(content).class_counts.classes
    values = {entry["name"]: str(entry["value"]) for entry in committed.classes}
    rows = pd.DataFrame.from_dict(counts, orient="index").rename(index=values)
    return "pixels", {split: rows[split] for split in splits}


def number_shifts(before: CommittedDataset, after: CommittedDataset) -> list[NumberShift]:
    """Compare number labels of each split."""
    if before.classes is not None or after.classes is not None:
        return []
    found = []
    for split in get_args(SplitName):
        old, new = (
            committed.split(split)["label"].astype("float64") for committed in (before, after)
        )
        means, stds = _pair(old.mean(), new.mean()), _pair(old.std(ddof=0), new.std(ddof=0))
        found.append(NumberShift(split, *means, *stds, standardised_mean_difference(*means, *stds)))
    return found


def feature_shifts(
    registry: Registry,
    before: CommittedDataset,
    after: CommittedDataset,
    published_only: bool = False,
) -> list[FeatureShift]:
    """Compare mean and standard deviation of each feature or band over training samples.

    Args:
        registry: has the data versions.
        before: one of them.
        after: the other.
        published_only: whether to return none where statistics are not published.
    """
    if published_only and not all(
        registry.files_at(_key(committed, STATISTICS)) for committed in (before, after)
    ):
        return []
    old, new = _statistics(registry, before), _statistics(registry, after)
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        (m0, s0), (m1, s1) = old.get(name, (None, None)), new.get(name, (None, None))
        ratio = None if s0 is None or s1 is None or s0 == 0 else s1 / s0
        found.append(
            FeatureShift(name, m0, m1, s0, s1, standardised_mean_difference(m0, m1, s0, s1), ratio)
        )
    return found


def standardised_mean_difference(
    mean_before: float | None,
    mean_after: float | None,
    std_before: float | None,
    std_after: float | None,
) -> float | None:
    """Return the difference of two means over the root of their mean variance.

    Null where that is 0 or unknown.
    """
    if mean_before is None or mean_after is None or std_before is None or std_after is None:
        return None
    if mean_before == mean_after:
        return 0.0
    pooled = math.sqrt((std_before**2 + std_after**2) / 2)
    return (mean_after - mean_before) / pooled if pooled else None


def declaration_changes(before: JsonObject, after: JsonObject) -> list[DeclarationChange]:
    """Return the settings whose declared values differ."""
    old, new = _flat(before), _flat(after)
    return [
        DeclarationChange(name, old.get(name), new.get(name))
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]


def _flat(value: Json, prefix: str = "") -> dict[str, Json]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        name: inner
        for key, item in value.items()
        for name, inner in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _pair(before: float | None, after: float | None) -> tuple[float | None, float | None]:
    first, second = (
        None if value is None or math.isnan(value) else float(value) for value in (before, after)
    )
    return first, second


def _statistics(
    registry: Registry, committed: CommittedDataset
) -> dict[str, tuple[float | None, float | None]]:
    """Return feature → mean and standard deviation in training.

    They are read from the published statistics, else from the data.
    """
    content = _published(registry, committed, STATISTICS)
    found = (
        _Statistics.model_validate(scan(SampleValues(committed)).statistics.document())
        if content is None
        else _Statistics.model_validate_json(content)
    )
    features = committed.document.features
    return {
        name: _pair(mean, std)
        for name, mean, std in zip(features, found.mean, found.std, strict=True)
    }


def _published(registry: Registry, committed: CommittedDataset, name: str) -> bytes | None:
    key = _key(committed, name)
    if not registry.files_at(key):
        return None
    return read_published(committed.workspace, registry, key)


def _key(committed: CommittedDataset, name: str) -> str:
    return f"{version_folder(committed.row.dataset, committed.row.version)}/{name}"
