"""The verdict on a data version: the figures of its report compared with thresholds.

Nothing is measured here: the same figures can be judged again by other thresholds at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlops_assets.datasets.quality.checks import CHECKS, Check, Report, written_checks
from mlops_assets.datasets.quality.content.values import BandValues, values_check
from mlops_assets.datasets.quality.findings.balance import balance_check, counts_from
from mlops_assets.datasets.quality.findings.duplicates import (
    ExactCopies,
    NearCopies,
    duplicates_check,
)
from mlops_assets.datasets.quality.findings.label_noise import Suspects, noise_check
from mlops_assets.datasets.quality.findings.leakage import LeakageFigures, leakage_check
from mlops_assets.datasets.quality.findings.version_shift import VersionShift, shift_check
from mlops_assets.datasets.specification.dataset import SPLITS, QualityThresholds
from mlops_assets.datasets.versions.contents import ClassName


def judge(
    report: Report, classes: list[ClassName] | None, thresholds: QualityThresholds
) -> list[Check]:
    """Return the outcome of each check but `readable`, in the order of `CHECKS`.

    Args:
        report: figures, and the outcome of the checks that no threshold decides.
        classes: of the data version, None where the label is a number.
        thresholds: what to judge by.
    """
    judged: dict[str, Callable[[], Check]] = {
        "leakage": lambda: leakage_check(
            LeakageFigures(**report["leakage"]["figures"]), _exact(report), thresholds
        ),
        "class_balance": lambda: balance_check(
            counts_from(report["class_counts"]["classes"], classes), thresholds
        ),
        "valid_values": lambda: values_check(_values(report), thresholds, report["notes"]),
        "duplicates": lambda: duplicates_check(_exact(report), _near(report), thresholds),
        "label_noise": lambda: noise_check(_suspects(report), thresholds),
        "shift": lambda: shift_check(VersionShift.model_validate(report["shift"]), thresholds),
    }
    written = {check.name: check for check in written_checks(report)}
    return [
        judged[name]() if name in judged else written[name] for name in CHECKS if name != "readable"
    ]


def _exact(report: Report) -> ExactCopies:
    found = report["duplicates"]["exact"]
    return ExactCopies(
        found["compared"],
        _by_split(found["share_within"]),
        _by_split(found["share_also_in_train"]),
        found["share_of_held_out_in_train"],
        found["groups_with_different_labels"],
    )


def _near(report: Report) -> NearCopies | None:
    found = report["duplicates"]["near"]
    if found is None:
        return None
    return NearCopies(
        found["threshold"],
        _by_split(found["share_within"]),
        _by_split(found["share_also_in_train"]),
        _by_split(found["compared"]),
        found["compared_with"],
    )


def _values(report: Report) -> BandValues:
    found = report["values"]
    bands = found["bands"]
    missing, nodata, saturated = (
        np.array([band[name] for band in bands], dtype=np.float64)
        for name in ("missing", "nodata", "saturated")
    )
    spread = np.empty((len(bands), 0))  # no threshold is about percentiles and histograms
    return BandValues(
        features=[band["name"] for band in bands],
        drawn=found["drawn"],
        missing=missing,
        nodata=nodata,
        saturated=saturated,
        percentiles=spread,
        edges=spread,
        histograms=spread.astype(np.int64),
    )


def _suspects(report: Report) -> Suspects | None:
    found = report["label_noise"]
    if found is None:
        return None
    unnamed = np.arange(found["suspects"])  # how many they are is judged, not which
    return Suspects(
        found["method"],
        found["asked"],
        found["left_out"],
        found["agreement"],
        unnamed,
        unnamed,
        unnamed,
    )


def _by_split(shares: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by split in the order of splits, as JSON has sorted them by name."""
    return {split: shares[split] for split in SPLITS if split in shares}
