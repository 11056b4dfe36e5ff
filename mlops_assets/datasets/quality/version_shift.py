"""How a data version differs from the one before: class shares, number labels, features and bands.

How distributions are compared is in `datasets.shifts`. A warning says that they differ, not which version is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlops_assets.datasets.quality.balance import CHANCE
from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.report import rounded
from mlops_assets.datasets.shifts import class_balance, feature_shifts, number_shifts
from mlops_assets.datasets.specification import Quality as Thresholds
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.registry import Registry

STANDARD_ERRORS = 3  # of a mean difference, below which it may be chance
NAMED = 5  # features that a description names; the report has all


def measured_shift(registry: Registry, frozen: FrozenDataset) -> dict[str, Any]:
    """Compare a data version with the one before; both are read as published.

    Returns:
        `compared_with`, null for a first version, and of each split and feature the distance and what chance alone
        gives; or why the version before cannot be read.
    """
    older = [row for row in registry.data_versions(frozen.row.dataset) if row.number < frozen.row.number]
    if not older:
        return {"compared_with": None}
    found: dict[str, Any] = {"compared_with": f"{older[-1].dataset}@{older[-1].version}"}
    try:
        before = FrozenDataset.open(frozen.workspace, registry, Reference(older[-1].dataset, older[-1].version))
        features = feature_shifts(registry, before, frozen)
    except (IntegrityError, StorageError) as error:
        return {**found, "unreadable": str(error)}
    balances = [split for split in class_balance(registry, before, frozen) if split.total_variation is not None]
    numbers = number_shifts(before, frozen)
    found["classes"] = [
        {
            "split": split.split,
            "total_variation": split.total_variation,
            "by_chance": _variation_by_chance(split.before, split.after),
        }
        for split in balances
    ]
    found["labels"] = [
        {
            "split": split.split,
            "mean_difference": split.standardised_mean_difference,
            "by_chance": _standard_error(before, frozen, split.split),
        }
        for split in numbers
    ]
    by_chance = _standard_error(before, frozen, "train")
    found["features"] = [
        {"name": feature.feature, "mean_difference": feature.standardised_mean_difference, "by_chance": by_chance}
        for feature in features
    ]
    return rounded(found)  # type: ignore[no-any-return]


def shift_check(found: Mapping[str, Any], thresholds: Thresholds) -> Check:
    """Warn of a version whose classes, labels or features are distributed otherwise than in the one before.

    Args:
        found: what `measured_shift` returned.
        thresholds: how much is allowed.
    """
    before = found["compared_with"]
    if before is None:
        return outcome("shift", True, "this is the first version: there is none before to compare with")
    if "unreadable" in found:
        return outcome("shift", False, f"not compared with {before}, which cannot be read: {found['unreadable']}")
    problems = [
        f"{of['total_variation']:.1%} of {of['split']} would need another class to have the class shares of {before}, "
        f"allowed are {thresholds.max_class_shift:.1%}"
        for of in found["classes"]
        if of["total_variation"] > max(thresholds.max_class_shift, CHANCE * of["by_chance"])
    ]
    problems += [
        f"labels of {of['split']} differ from {before} by {of['mean_difference']:.2f} standard deviations, allowed are "
        f"{thresholds.max_feature_shift:g}"
        for of in found["labels"]
        if _is_notable(of, thresholds)
    ]
    notable = [of for of in found["features"] if _is_notable(of, thresholds)]
    if notable:
        notable.sort(key=lambda of: -abs(of["mean_difference"]))
        named = ", ".join(f"{of['name']} by {of['mean_difference']:.2f}" for of in notable[:NAMED])
        more = f" and {len(notable) - NAMED} more" if notable[NAMED:] else ""
        problems.append(
            f"in training {named}{more} differ from {before}, in standard deviations; allowed are "
            f"{thresholds.max_feature_shift:g}"
        )
    advice = (
        f"; see 'mlops dataset diff {before.partition('@')[0]}', and whether units, scaling or sampling have changed"
    )
    worst = max((abs(of["mean_difference"] or 0.0) for of in found["features"]), default=0.0)
    variation = max((of["total_variation"] for of in found["classes"]), default=0.0)
    text = f"like {before}: features differ by at most {worst:.2f} standard deviations, class shares by {variation:.1%}"
    values = {"compared_with": before, "largest_mean_difference": worst, "largest_class_shift": variation}
    return outcome("shift", not problems, "; ".join(problems) + advice if problems else text, **values)


def _is_notable(of: Mapping[str, float | None], thresholds: Thresholds) -> bool:
    difference, by_chance = of["mean_difference"], of["by_chance"]
    if difference is None or by_chance is None:
        return False
    return abs(difference) > max(thresholds.max_feature_shift, STANDARD_ERRORS * by_chance)


def _standard_error(before: FrozenDataset, after: FrozenDataset, split: str) -> float | None:
    """Standard error of a standardised mean difference that is 0 (Hedges 1981, doi:10.3102/10769986006002107)."""
    counts = [frozen.row.counts.get(split, 0) for frozen in (before, after)]
    return math.sqrt(sum(1 / count for count in counts)) if all(counts) else None


def _variation_by_chance(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Total variation distance that two draws of these sizes from one distribution have on average."""
    sizes = sum(before.values()), sum(after.values())
    shares = [(before[name] + after[name]) / sum(sizes) for name in before]
    scale = sum(1 / size for size in sizes)
    return sum(math.sqrt(2 * p * (1 - p) * scale / math.pi) for p in shares) / 2
