"""Shift from the data version before: class shares, number labels, features and bands.

Distributions are compared in `datasets.diff.distribution_shift`. A warning reports a difference,
not which version is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from mlops_assets.datasets.diff.distribution_shift import (
    FeatureShift,
    class_balance,
    feature_shifts,
    number_shifts,
)
from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.findings.balance import CHANCE
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.registry import Registry
from mlops_assets.text.listing import named

STANDARD_ERRORS = 3  # of a mean difference, below which it may be chance
NAMED = 5  # features that a description names; the report has all


class Distance(BaseModel, frozen=True):
    """A distance between two versions: of what, how far, and what chance alone gives.

    Null where unknown.
    """

    of: str
    value: float | None
    by_chance: float | None

    def exceeds(self, limit: float, chance: float) -> bool:
        """Return whether it is above a limit and more than so many times what chance gives."""
        if self.value is None or self.by_chance is None:
            return False
        return abs(self.value) > max(limit, chance * self.by_chance)


class VersionShift(BaseModel, frozen=True):
    """The shift of a data version from the one before.

    Attributes:
        compared_with: the version before; null for a first version.
        not_compared: what could not be compared, and why; it is tried again when the version is
            assessed again.
        changes: what is in only one of them, or constant in both with different values.
        classes: total variation distance of the class shares of each split.
        labels: standardised mean difference of the number labels of each split.
        features: standardised mean difference of each feature or band in training.
    """

    compared_with: str | None
    not_compared: str | None = None
    changes: list[str] = []
    classes: list[Distance] = []
    labels: list[Distance] = []
    features: list[Distance] = []


def measured_shift(registry: Registry, committed: CommittedDataset) -> VersionShift:
    """Compare a data version with the one before; both are read as published."""
    older = [
        row
        for row in registry.data_versions(committed.row.dataset)
        if row.number < committed.row.number
    ]
    if not older:
        return VersionShift(compared_with=None)
    name = f"{older[-1].dataset}@{older[-1].version}"
    try:
        before = CommittedDataset.open(
            committed.workspace, registry, Reference(older[-1].dataset, older[-1].version)
        )
        features = feature_shifts(registry, before, committed)
    except (IntegrityError, StorageError) as error:
        return VersionShift(compared_with=name, not_compared=f"{name} cannot be read: {error}")
    balances = class_balance(registry, before, committed)
    classed = before.classes is not None and committed.classes is not None
    by_chance = _standard_error(before, committed, "train")
    return VersionShift(
        compared_with=name,
        not_compared=(
            f"class shares, as {name} was not assessed" if classed and not balances else None
        ),
        changes=[*_one_sided(before, committed), *_changed_constants(features)],
        classes=[
            Distance(
                of=of.split,
                value=of.total_variation,
                by_chance=_variation_by_chance(of.before, of.after),
            )
            for of in balances
            if of.total_variation is not None
        ],
        labels=[
            Distance(
                of=of.split,
                value=of.standardised_mean_difference,
                by_chance=_standard_error(before, committed, of.split),
            )
            for of in number_shifts(before, committed)
        ],
        features=[
            Distance(of=of.feature, value=of.standardised_mean_difference, by_chance=by_chance)
            for of in features
        ],
    )


def shift_check(found: VersionShift, thresholds: QualityThresholds) -> Check:
    """Warn if classes, labels or features are distributed differently than in the version before.

    Args:
        found: how it differs.
        thresholds: how much is allowed.
    """
    before = found.compared_with
    if before is None:
        return outcome(
            "shift", True, "this is the first version: there is none before to compare with"
        )
    problems = [f"not compared: {found.not_compared}"] if found.not_compared else []
    problems += found.changes
    problems += [
        f"{of.value:.1%} of {of.of} would need another class to have the class shares of {before},"
        f" allowed are {thresholds.max_class_shift:.1%}"
        for of in found.classes
        if of.exceeds(thresholds.max_class_shift, CHANCE)
    ]
    problems += [
        f"labels of {of.of} differ from {before} by {of.value:.2f} standard deviations, allowed are"
        f" {thresholds.max_feature_shift:g}"
        for of in found.labels
        if of.exceeds(thresholds.max_feature_shift, STANDARD_ERRORS)
    ]
    notable = [
        of for of in found.features if of.exceeds(thresholds.max_feature_shift, STANDARD_ERRORS)
    ]
    if notable:
        notable.sort(key=lambda of: -abs(of.value or 0.0))
        differences = named([f"{of.of} by {of.value:.2f}" for of in notable], NAMED)
        problems.append(
            f"in training {differences} differ from {before}, in standard deviations; allowed are "
            f"{thresholds.max_feature_shift:g}"
        )
    advice = (
        f"; see 'mlops dataset diff {before.partition('@')[0]}', and whether units, scaling or"
        " sampling have changed"
    )
    worst = max((abs(of.value or 0.0) for of in found.features), default=0.0)
    variation = max((of.value or 0.0 for of in found.classes), default=0.0)
    text = f"like {before}: features differ by at most {worst:.2f} standard deviations"
    if found.classes:
        text += f", class shares by {variation:.1%}"
    return outcome(
        "shift",
        not problems,
        "; ".join(problems) + advice if problems else text,
        compared_with=before,
        largest_mean_difference=worst,
        largest_class_shift=variation,
    )


def _one_sided(before: CommittedDataset, after: CommittedDataset) -> list[str]:
    """Return which features and classes are in one version only."""
    if (before.classes is None) != (after.classes is None):
        return ["labels are classes in one version and numbers in the other"]
    names = {
        "feature(s)": (before.document.features, after.document.features),
        "class(es)": (
            [c["name"] for c in before.classes or []],
            [c["name"] for c in after.classes or []],
        ),
    }
    found = []
    for what, (old, new) in names.items():
        for how, own, other in (("new", new, old), ("gone", old, new)):
            alone = [name for name in own if name not in other]
            if alone:
                found.append(
                    f"{what} {named(alone, NAMED)} {'is' if len(alone) == 1 else 'are'} {how}"
                )
    return found


def _changed_constants(features: Sequence[FeatureShift]) -> list[str]:
    constant = [
        f"{of.feature} from {of.mean_before:g} to {of.mean_after:g}"
        for of in features
        if of.std_before == 0 == of.std_after and of.mean_before != of.mean_after
    ]
    return [f"constant values have changed: {named(constant, NAMED)}"] if constant else []


def _standard_error(before: CommittedDataset, after: CommittedDataset, split: str) -> float | None:
    """Return the standard error of a standardised mean difference that is 0.

    Hedges 1981, doi:10.3102/10769986006002107.
    """
    counts = [committed.row.counts.get(split, 0) for committed in (before, after)]
    return math.sqrt(sum(1 / count for count in counts)) if all(counts) else None


def _variation_by_chance(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Return the mean total variation distance of two draws from one distribution.

    The draws are of the sizes of the two versions.
    """
    sizes = sum(before.values()), sum(after.values())
    shares = [(before[name] + after[name]) / sum(sizes) for name in before]
    scale = sum(1 / size for size in sizes)
    return sum(math.sqrt(2 * p * (1 - p) * scale / math.pi) for p in shares) / 2
