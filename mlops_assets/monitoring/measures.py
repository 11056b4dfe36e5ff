"""What rules of monitoring compare with limits: a number of a version's day, beside the test split.

Limits and verdicts are in `rules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from mlops_assets.models.reference.samples import MAX_VALUES
from mlops_assets.models.reference.statistics import MIN_EXPECTED_OF_CLASS, joined_bins
from mlops_assets.monitoring.document import Drift, MappedArea, VersionDay

# of a measure that has a largest value, a raised limit leaves this share of what is beyond
ROOM = 0.5
# how seldom chance alone exceeds a limit
BY_CHANCE = 0.001
# of an AUC that separates nothing
NO_SEPARATION = 0.5


@dataclass(frozen=True)
class Measure:
    """What is compared with a limit.

    Attributes:
        rule: name of the rule, as of the attribute of `Monitor`.
        value: of the day; None if it is unknown.
        samples: that it was measured on; None if there are always enough.
        test: the same of the test split; None if it is unknown.
        text: the value for people, as the subject of a sentence.
        unknown: why the value is unknown.
        is_share: whether it is written in per cent.
        chance: limits are never below this, which chance alone has.
        floor: of the measure, where nothing is wrong.
        most: its largest value; None if it has none.
    """

    rule: str
    value: float | None
    samples: int | None
    test: float | None
    text: str
    unknown: str
    is_share: bool = False
    chance: float = 0.0
    floor: float = 0.0
    most: float | None = None

    def raised(self, limit: float, margin: float) -> float:
        """Return a limit, raised to what the test split has itself and to what chance has.

        Args:
            limit: as declared.
            margin: that the value of the test split is exceeded by.
        """
        if self.test is None:
            return max(limit, self.chance)
        of_test = self.floor + margin * (self.test - self.floor)
        if self.most is not None:
            of_test = min(of_test, self.test + ROOM * (self.most - self.test))
        return max(limit, self.chance, of_test)

    def written(self, number: float) -> str:
        """Return a number of this measure for people."""
        return f"{number:.1%}" if self.is_share else f"{number:.3g}"


def measures_of(version: VersionDay) -> Iterator[Measure]:
    """Yield what is compared with limits, but for metrics; what was not measured has no value.

    Args:
        version: a model version's day, as measured.
    """
    yield _invalid(version)
    yield _outside(version)
    yield from map(partial(_map_outside, version), version.maps)
    yield from _drift(version)


def _invalid(version: VersionDay) -> Measure:
    # a value that training lacked, too, is not counted, so that the test split has none
    quality = version.quality
    return Measure(
        rule="max_invalid",
        value=None if quality is None else quality.invalid,
        samples=0 if quality is None else quality.samples,
        test=None,
        text="of the samples have missing or infinite values",
        unknown="no sample was logged",
        is_share=True,
    )


def _outside(version: VersionDay) -> Measure:
    outside = version.outside
    return Measure(
        rule="max_outside",
        value=None if outside is None else outside.share,
        samples=0 if outside is None else outside.samples,
        test=None if outside is None else outside.test,
        text="of the samples are outside the area of applicability",
        unknown=(outside and outside.unknown) or "no sample was logged",
        is_share=True,
        chance=0.0 if outside is None else _chance_of_share(outside.test, outside.samples),
        most=1.0,
    )


def _map_outside(version: VersionDay, made: MappedArea) -> Measure:
    return Measure(
        rule="max_outside",
        value=made.outside,
        # of the pixels of a map, whose number is not a limit
        samples=None,
        test=None if version.outside is None else version.outside.test,
        text=f"of the map {made.name} is outside the area of applicability",
        unknown=f"the area of applicability of {made.name} is not known",
        is_share=True,
        most=1.0,
    )


def _drift(version: VersionDay) -> Iterator[Measure]:
    drift = version.drift
    day = None if drift is None else drift.day
    test = None if drift is None else drift.test
    samples = 0 if day is None else day.samples
    features = [] if day is None else day.features
    predicted = 0 if version.quality is None else version.quality.samples
    most_drifted = max(features, key=lambda feature: feature.psi, default=None)
    yield Measure(
        rule="max_drift",
        value=None if most_drifted is None else most_drifted.psi,
        samples=samples,
        test=None if test is None else test.psi,
        text="is the population stability index of "
        + ("no feature" if most_drifted is None else most_drifted.name),
        unknown=_no_drift(drift),
        chance=0.0 if drift is None else _chance_of_features(drift),
    )
    yield separation_of(drift)
    yield Measure(
        rule="max_prediction_shift",
        value=None if day is None else day.prediction_shift,
        samples=predicted,
        test=None if test is None else test.prediction_shift,
        text="is the population stability index of the predictions",
        unknown="predictions to compare with are not known",
        chance=0.0 if drift is None else _chance_of_predictions(drift, predicted),
    )


def separation_of(drift: Drift | None) -> Measure:
    """Return how well a day's samples are separated from those of training.

    Args:
        drift: of the day; None without training samples to compare with.
    """
    test = None if drift is None else drift.test
    return Measure(
        rule="max_separation",
        value=None if drift is None else drift.day.separation,
        samples=0 if drift is None else drift.day.samples,
        test=None if test is None else test.separation,
        text="is the AUC of a classifier that separates the day from training samples",
        unknown=_no_drift(drift),
        floor=NO_SEPARATION,
        most=1.0,
    )


def _no_drift(drift: Drift | None) -> str:
    if drift is None:
        return "training samples to compare with are not known"
    return "no sample was logged with its inputs"


def _chance_of_features(drift: Drift) -> float:
    samples, features = drift.day.samples, len(drift.day.features)
    if not samples or not features:
        return 0.0
    reference = drift.reference or MAX_VALUES
    # one more for values that are missing, or beyond those of training
    bins = joined_bins(reference, samples) + 1
    return chance_of_index(samples, reference, bins, features)


def _chance_of_predictions(drift: Drift, samples: int) -> float:
    if not samples:
        return 0.0
    reference = drift.predicted or MAX_VALUES
    # rare classes are counted together
    bins = (
        joined_bins(reference, samples)
        if drift.classes is None
        else min(drift.classes, samples // MIN_EXPECTED_OF_CLASS)
    )
    return chance_of_index(samples, reference, bins + 1, 1)


def chance_of_index(samples: int, reference: int, bins: int, features: int) -> float:
    """Return the population stability index that chance alone exceeds once in 1,000 days.

    Of n independent samples and m training samples from the same distribution, the index of B bins
    divided by 1/n + 1/m has a chi-squared distribution with B - 1 degrees of freedom (Yurdakul,
    "Statistical properties of population stability index", Western Michigan University, 2018). It
    is that of the largest index of several features.

    Args:
        samples: n.
        reference: m.
        bins: B, as joined.
        features: that an index is measured of.
    """
    from scipy.stats import chi2

    return float(chi2.isf(BY_CHANCE / features, bins - 1)) * (1 / samples + 1 / reference)


def _chance_of_share(share: float | None, samples: int) -> float:
    """Return the share that chance alone exceeds once in 1,000 days, of the test split's own."""
    from scipy.stats import binom

    if share is None or not samples:
        return 0.0
    return float(binom.isf(BY_CHANCE, samples, share)) / samples
