"""The rules of monitoring: verdicts, raised limits, and what is not decided."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared
from mlops_assets.monitoring.document import (
    Drift,
    DriftMeasures,
    Estimate,
    FeatureDrift,
    Interval,
    Live,
    MappedArea,
    MonitoringDocument,
    Outside,
    Quality,
    Rule,
    VersionDay,
)
from mlops_assets.monitoring.measures import chance_of_index
from mlops_assets.monitoring.rules import (
    RULES,
    applied_limits,
    rule_names,
    rules_of,
    unlike_training,
)
from mlops_assets.serving.specification import Limit, Monitor
from mlops_assets_tests.monitoring.monitored import version_day

TEST = {"accuracy": 0.9, "macro_f1": 0.88}


def measures(psi: float = 0.0, samples: int = 1000, **more: float) -> DriftMeasures:
    """Drift of one feature."""
    feature = FeatureDrift(name="nir", ks=0, wasserstein=0, psi=psi, jensen_shannon=0, missing=0)
    return DriftMeasures.model_validate({"samples": samples, "features": [feature], **more})


def day(**measured: object) -> VersionDay:
    """A day of 1,000 samples with these measures."""
    quality = Quality(samples=1000, kept=1000, invalid=0.0, beyond=0.0)
    return version_day().model_copy(update={"quality": quality, **measured})


def outcome(version: VersionDay, name: str, test: dict[str, float] | None = None) -> Rule:
    """The outcome of one rule by the default limits."""
    found = rules_of(version, Monitor(), TEST if test is None else test)
    return next(rule for rule in found if rule.name == name)


@pytest.mark.parametrize(
    ("share", "test", "verdict", "limit"),
    [
        (0.10, None, "passed", 0.1),
        (0.11, None, "warned", 0.1),
        (0.20, None, "warned", 0.1),
        (0.21, None, "failed", 0.2),
        # the gates have accepted what the test split has
        (0.25, 0.2, "passed", 0.25),
        (0.29, 0.2, "warned", 0.25),
        (0.31, 0.2, "failed", 0.3),
        # a raised limit leaves room below all samples
        (0.84, 0.7, "passed", 0.85),
        (0.86, 0.7, "failed", 0.85),
    ],
)
def test_a_share_outside_is_compared_with_limits_and_the_test_split(
    share: float, test: float | None, verdict: str, limit: float
) -> None:
    found = outcome(day(outside=Outside(share=share, samples=1000, test=test)), "max_outside")
    assert (found.verdict, found.value) == (verdict, share)
    assert found.limit == pytest.approx(limit)
    assert f"{share:.1%} of the samples" in found.text
    assert ("raised from" in found.text) == (test is not None)


@pytest.mark.parametrize(
    ("separation", "test", "verdict"),
    # of an AUC, what is above 0.5 counts
    [(0.64, None, "passed"), (0.81, None, "failed"), (0.7, 0.7, "passed"), (0.86, 0.75, "warned")],
)
def test_a_separation_is_raised_from_one_half(
    separation: float, test: float | None, verdict: str
) -> None:
    of_test = None if test is None else measures(separation=test)
    found = day(drift=Drift(day=measures(separation=separation), test=of_test))
    assert outcome(found, "max_separation").verdict == verdict


@pytest.mark.parametrize(("samples", "training"), [(200, 2000), (1000, 5000), (5000, 400)])
def test_limits_of_an_index_are_what_chance_alone_has_and_not_far_above(
    samples: int, training: int
) -> None:
    rng = np.random.default_rng(1)
    features, days = 20, 60
    limits, found = [], []
    for _ in range(days):
        first = rng.normal(size=(training, features)).astype(np.float32)
        names = [str(place) for place in range(features)]
        reference = summarise(names, Compared(first, None), Compared(first[:0], None), [])
        values = rng.normal(size=(samples, features)).astype(np.float32)
        # the classifier is not of interest
        drifts = [reference.feature_drift(place, values[:, place]) for place in range(features)]
        drift = Drift(
            day=DriftMeasures(samples=samples, features=drifts), reference=len(reference.values)
        )
        rule = next(
            rule
            for rule in rules_of(day(drift=drift), Monitor(max_drift=Limit(error=0.0)), TEST)
            if rule.name == "max_drift"
        )
        assert rule.value is not None and rule.limit is not None
        found.append(rule.value)
        limits.append(rule.limit)
    assert sum(own > limit for own, limit in zip(found, limits, strict=True)) <= 1
    assert limits[0] < 3.5 * np.median(found)


def test_a_limit_of_an_index_knows_bins_and_training_samples() -> None:
    # 250 samples have 5 bins, and one of values beyond those of training
    small = day(drift=Drift(day=measures(psi=0.09, samples=250)))
    found = outcome(small, "max_drift")
    assert (found.verdict, found.limit) == ("passed", 0.1)
    many = DriftMeasures(samples=250, features=measures(psi=0.1).features * 100)
    found = outcome(day(drift=Drift(day=many)), "max_drift")
    assert found.verdict == "passed"
    assert found.limit == pytest.approx(chance_of_index(250, 100_000, 6, 100))
    assert "raised from 0.1 as by chance alone it may be as much" in found.text
    # a few training samples differ from many more of the day by chance, too
    few = day(drift=Drift(day=measures(psi=0.1001, samples=100_000), reference=150))
    assert outcome(few, "max_drift").verdict == "passed"


@pytest.mark.parametrize(("classes", "verdict"), [(5, "failed"), (90, "passed")])
def test_many_predicted_classes_shift_more_by_chance(classes: int, verdict: str) -> None:
    shifted = Drift(day=measures(prediction_shift=0.14), predicted=10_000, classes=classes)
    monitor = Monitor(max_prediction_shift=Limit(error=0.1))
    found = rules_of(day(drift=shifted), monitor, TEST)
    assert next(r for r in found if r.name == "max_prediction_shift").verdict == verdict


def test_a_share_outside_of_few_samples_is_not_warned_of_by_chance() -> None:
    few = Outside(share=0.14, samples=200, test=0.08)
    assert outcome(day(outside=few), "max_outside").verdict == "passed"
    many = Outside(share=0.14, samples=2000, test=0.08)
    assert outcome(day(outside=many), "max_outside").verdict == "warned"


@pytest.mark.parametrize(
    ("separation", "test", "limit", "reason"),
    [
        (0.81, None, Limit(error=0.8), "0.81 is the AUC of a classifier"),
        (0.79, None, Limit(error=0.8), None),
        # raised as the rule is
        (0.85, 0.75, Limit(error=0.8), None),
        (0.88, 0.75, Limit(error=0.8), "beyond 0.875"),
        # a rule that is turned off makes no estimate right
        (0.81, None, Limit(), "beyond 0.8"),
        (0.81, None, Limit(error=0.9), None),
    ],
)
def test_days_that_are_separated_from_training_have_no_estimate(
    separation: float, test: float | None, limit: Limit, reason: str | None
) -> None:
    own = None if test is None else measures(separation=test)
    drift = Drift(day=measures(separation=separation, samples=60), test=own)
    found = unlike_training(drift, Monitor(max_separation=limit))
    assert found is None if reason is None else found is not None and reason in found
    assert unlike_training(None, Monitor()) is None


@pytest.mark.parametrize("name", RULES)
def test_too_few_samples_decide_nothing(name: str) -> None:
    interval = Interval(value=0.1, samples=199)
    found = day(
        quality=Quality(samples=199, kept=199, invalid=1.0, beyond=1.0),
        outside=Outside(share=1.0, samples=199),
        drift=Drift(day=measures(psi=9, samples=199, separation=1.0, prediction_shift=9)),
        live=Live(samples=199, total=1000, metrics={"accuracy": interval}, test=TEST),
        estimate=Estimate(metric="accuracy", value=interval, not_estimable=0, method="m"),
    )
    rule = outcome(found, name)
    assert rule.verdict == "unknown"
    assert "199" in rule.text and "200" in rule.text


@pytest.mark.parametrize("name", RULES)
def test_what_was_not_measured_is_unknown(name: str) -> None:
    rule = outcome(version_day(), name)
    assert (rule.verdict, rule.value) == ("unknown", None)


def live(value: float, half: float, samples: int = 1000, name: str = "accuracy") -> Live:
    """A live metric with an interval of twice `half`."""
    found = Interval(value=value, lower=value - half, upper=value + half, samples=samples)
    return Live(samples=samples, total=1000, metrics={name: found}, test=TEST)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.92, 0.01, "passed"),
        (0.84, 0.02, "passed"),  # within chance of a loss of 0.05
        (0.84, 0.001, "warned"),
        (0.79, 0.02, "warned"),
        (0.79, 0.001, "failed"),
    ],
)
def test_a_loss_counts_beyond_chance(value: float, half: float, verdict: str) -> None:
    rule = outcome(day(live=live(value, half)), "max_loss")
    assert rule.verdict == verdict
    assert rule.text.startswith("live accuracy")


def test_limits_are_drawn_as_they_are_applied() -> None:
    test = measures(psi=0.3)
    found = day(drift=Drift(day=measures(psi=0.2, samples=100_000), test=test))
    assert applied_limits(found, Monitor(), "max_drift") == pytest.approx([0.375, 0.45])
    assert applied_limits(found, Monitor(max_drift=Limit()), "max_drift") == []


def test_a_gain_is_no_negative_loss() -> None:
    rule = outcome(day(live=live(0.95, 0.01)), "max_loss")
    assert "on the test split: no loss; the limit of a warning is 0.05" in rule.text
    # of which nothing may be left beyond chance
    text = outcome(day(live=live(0.89, 0.05)), "max_loss").text
    assert "a loss of 0.010, beyond chance 0.000;" in text


@pytest.mark.parametrize(
    ("value", "test", "verdict"),
    [(1.04, 1.0, "passed"), (22.0, 20.0, "warned"), (45, 40, "failed")],
)
def test_the_loss_of_an_error_is_a_share_of_the_test_error(
    value: float, test: float, verdict: str
) -> None:
    found = day(live=live(value, 0.0001, name="rmse"))
    assert outcome(found, "max_loss", {"rmse": test}).verdict == verdict
    # a smaller error is no loss
    assert outcome(found, "max_loss", {"rmse": 100.0}).verdict == "passed"


def test_an_estimate_decides_where_labels_are_missing_or_few() -> None:
    worse = Interval(value=0.7, lower=0.68, upper=0.72, samples=600)
    estimate = Estimate(metric="accuracy", value=worse, not_estimable=0.4, method="confidence")
    rule = outcome(day(estimate=estimate), "max_loss")
    assert (rule.verdict, rule.text[:18]) == ("failed", "estimated accuracy")
    assert outcome(day(estimate=estimate, live=live(0.9, 0.1, 20)), "max_loss").verdict == "failed"
    # labels count more than an estimate
    assert outcome(day(estimate=estimate, live=live(0.9, 0.01)), "max_loss").verdict == "passed"
    unknown = Estimate(
        metric="accuracy", value=None, not_estimable=1.0, method="m", reason="no scores"
    )
    rule = outcome(day(estimate=unknown), "max_loss")
    assert (rule.verdict, rule.value) == ("unknown", None)
    assert "no scores" in rule.text


def test_a_map_of_the_day_is_judged_with_the_samples() -> None:
    mapped = [
        MappedArea(name="a/2026-11-02", area="a", outside=0.3),
        MappedArea(name="b/2026-11-02", area="b", outside=0.05),
    ]
    alone = version_day().model_copy(update={"maps": mapped, "outside": Outside(unknown="none")})
    rule = outcome(alone, "max_outside")
    assert rule.verdict == "failed"
    assert rule.text.startswith("30.0% of the map a/2026-11-02 is outside")
    inside = day(outside=Outside(share=0.01, samples=1000), maps=mapped[1:])
    assert outcome(inside, "max_outside").value == 0.01


def test_a_rule_without_a_limit_is_none() -> None:
    monitor = Monitor(max_drift=Limit(), max_loss=Limit(error=0.3))
    names = [name for name in RULES if name != "max_drift"]
    assert rule_names(monitor) == names
    assert [rule.name for rule in rules_of(day(live=live(0.7, 0)), monitor, TEST)] == names
    # one limit only: no warning
    lost = rules_of(day(live=live(0.7, 0)), monitor, TEST)[-1]
    assert (lost.verdict, lost.limit) == ("passed", 0.3)


def test_a_version_of_a_few_requests_leaves_the_outcome_of_the_other() -> None:
    document = MonitoringDocument(
        model="crops",
        day="2026-11-02",
        software={},
        inputs={},
        versions=[
            version_day("v1", max_outside="passed", max_drift="warned"),
            version_day("v2", max_outside="unknown", max_drift="failed"),
        ],
    )
    found = document.outcomes()
    assert {name: rule.verdict for name, rule in found.items()} == {
        "max_outside": "passed",
        "max_drift": "failed",
    }
