"""The verdict on a data version: the figures of its report compared with thresholds.

The same figures can be judged again by other thresholds at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlops_assets.datasets.quality.checks import CHECKS, Check
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

T = TypeVar("T")


class _Figures(BaseModel):
    """Figures of a report that are judged; further keys are ignored."""

    model_config = ConfigDict(frozen=True)


class ClassCountFigures(_Figures):
    """Class name → split → samples, or pixels of windows."""

    classes: dict[str, dict[str, int]]


class ExactCopyFigures(_Figures):
    """Samples with identical values; see `ExactCopies`."""

    compared: int
    share_within: dict[str, float]
    share_also_in_train: dict[str, float]
    share_of_held_out_in_train: float
    groups_with_different_labels: int | None

    def copies(self) -> ExactCopies:
        """Return the copies without the samples."""
        return ExactCopies(
            self.compared,
            _by_split(self.share_within),
            _by_split(self.share_also_in_train),
            self.share_of_held_out_in_train,
            self.groups_with_different_labels,
        )


class NearCopyFigures(_Figures):
    """Samples that are nearly the same; see `NearCopies`."""

    threshold: float | None
    share_within: dict[str, float]
    share_also_in_train: dict[str, float]
    compared: dict[str, int]
    compared_with: int

    def copies(self) -> NearCopies:
        """Return the copies without the samples."""
        return NearCopies(
            math.nan if self.threshold is None else self.threshold,
            _by_split(self.share_within),
            _by_split(self.share_also_in_train),
            _by_split(self.compared),
            self.compared_with,
        )


class DuplicateFigures(_Figures):
    """Copies; `near` is None with too few samples."""

    exact: ExactCopyFigures
    near: NearCopyFigures | None


class BandFigures(_Figures):
    """Shares of missing, nodata and saturated values of one band; None if it has no value."""

    name: str
    missing: float | None
    nodata: float | None
    saturated: float | None


class ValueFigures(_Figures):
    """Values of each band in training; see `BandValues`."""

    drawn: int
    bands: list[BandFigures]

    def values(self) -> BandValues:
        """Return the values without percentiles and histograms, which no threshold is about."""
        missing, nodata, saturated = (
            np.array(shares, dtype=np.float64)
            for shares in (
                [band.missing for band in self.bands],
                [band.nodata for band in self.bands],
                [band.saturated for band in self.bands],
            )
        )
        spread = np.empty((len(self.bands), 0))
        return BandValues(
            features=[band.name for band in self.bands],
            drawn=self.drawn,
            missing=missing,
            nodata=nodata,
            saturated=saturated,
            percentiles=spread,
            edges=spread,
            histograms=spread.astype(np.int64),
        )


class LabelNoiseFigures(_Figures):
    """Labels that are probably wrong; see `Suspects`."""

    method: str
    asked: int
    left_out: int
    agreement: float | None
    suspects: int

    def found(self) -> Suspects:
        """Return the suspects by number only, which is what is judged."""
        unnamed = np.arange(self.suspects)
        agreement = math.nan if self.agreement is None else self.agreement
        return Suspects(
            self.method, self.asked, self.left_out, agreement, unnamed, unnamed, unnamed
        )


class LeakageSection(_Figures):
    """Leakage in numbers."""

    figures: LeakageFigures


class Measurements(_Figures):
    """The measurements of a report of the format in use."""

    class_counts: ClassCountFigures
    values: ValueFigures
    duplicates: DuplicateFigures
    leakage: LeakageSection
    label_noise: LabelNoiseFigures | None
    shift: VersionShift
    notes: list[str]


def judge(
    measured: Measurements,
    written: Sequence[Check],
    classes: list[ClassName] | None,
    thresholds: QualityThresholds,
) -> list[Check]:
    """Return the outcome of each check but `readable`, in the order of `CHECKS`.

    Args:
        measured: the measurements of a report.
        written: outcomes in the report, for the checks that do not depend on thresholds.
        classes: of the data version, None where the label is a number.
        thresholds: to judge by.
    """
    exact = measured.duplicates.exact.copies()
    near = measured.duplicates.near.copies() if measured.duplicates.near else None
    noise = measured.label_noise.found() if measured.label_noise else None
    judged: dict[str, Callable[[], Check]] = {
        "leakage": lambda: leakage_check(measured.leakage.figures, exact, thresholds),
        "class_balance": lambda: balance_check(
            counts_from(measured.class_counts.classes, classes), thresholds
        ),
        "valid_values": lambda: values_check(measured.values.values(), thresholds, measured.notes),
        "duplicates": lambda: duplicates_check(exact, near, thresholds),
        "label_noise": lambda: noise_check(noise, thresholds),
        "shift": lambda: shift_check(measured.shift, thresholds),
    }
    kept = {check.name: check for check in written}
    return [
        judged[name]() if name in judged else kept[name] for name in CHECKS if name != "readable"
    ]


def _by_split(shares: Mapping[str, T]) -> dict[str, T]:
    """Return values by split in the order of splits; JSON has them sorted by name."""
    return {split: shares[split] for split in SPLITS if split in shares}
