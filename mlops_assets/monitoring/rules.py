"""The rules of monitoring: limits of a service, applied to what was measured of a version's day.

Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mlops_assets.monitoring.document import Drift, Interval, Rule, Verdict, VersionDay
from mlops_assets.monitoring.measures import Measure, measures_of, separation_of
from mlops_assets.serving.specification import Limit, Monitor

# A limit is raised to what the test split has itself times this. What days have by chance is in
# `measures`.
WARN_MARGIN = 1.25
ERROR_MARGIN = 1.5
# in the order of reports
RULES = (
    "max_invalid",
    "max_outside",
    "max_drift",
    "max_separation",
    "max_prediction_shift",
    "max_loss",
)
# by which versions are compared; the first that a version has
HEADLINES = ("accuracy", "mae", "rmse")
ERRORS = frozenset({"rmse", "mae"})


def rules_of(version: VersionDay, monitor: Monitor, test: Mapping[str, float]) -> list[Rule]:
    """Return the outcomes of all rules that have a limit.

    Args:
        version: a model version's day, as measured.
        monitor: limits of the service.
        test: metrics of the version on its test split.
    """
    found: dict[str, Rule] = {}
    for measure in measures_of(version):
        rule = _ruled(measure, monitor)
        # of samples and maps, the worse one
        if rule is not None and _is_worse(rule, found.get(rule.name)):
            found[rule.name] = rule
    if _has_limit(monitor.max_loss):
        found["max_loss"] = _loss(version, monitor, test)
    return list(found.values())


def unlike_training(drift: Drift | None, monitor: Monitor) -> str | None:
    """Return why a day's samples are too unlike those of training to estimate a metric of them.

    They are so beyond the limit at which `max_separation` fails, raised to the test split; where
    that rule is turned off, beyond its default limit.

    Args:
        drift: of the day; None without training samples to compare with.
        monitor: limits of the service.

    Returns:
        The reason; None if they are not, or it is not known.
    """
    measure = separation_of(drift)
    declared = monitor.max_separation.error
    if declared is None:
        declared = Monitor().max_separation.error
    if measure.value is None or declared is None:
        return None
    limit = measure.raised(declared, ERROR_MARGIN)
    if measure.value <= limit:
        return None
    return (
        f"{measure.written(measure.value)} {measure.text}, beyond {measure.written(limit)}; equal"
        " inputs may have other labels there"
    )


def rule_names(monitor: Monitor) -> list[str]:
    """Return the rules that have a limit, in their order."""
    return [name for name in RULES if _has_limit(getattr(monitor, name))]


def applied_limits(version: VersionDay, monitor: Monitor, rule: str) -> list[float]:
    """Return the limits of a rule as they are applied to a day, raised where they are.

    Args:
        version: a model version's day, as measured.
        monitor: limits of the service.
        rule: a rule that compares a measure, such as `max_drift`.
    """
    limit: Limit = getattr(monitor, rule)
    measure = next((own for own in measures_of(version) if own.rule == rule), None)
    if measure is None:
        return []
    declared = ((limit.warn, WARN_MARGIN), (limit.error, ERROR_MARGIN))
    return [measure.raised(own, margin) for own, margin in declared if own is not None]


def _is_worse(rule: Rule, other: Rule | None) -> bool:
    order = ("failed", "warned", "passed", "unknown")
    return other is None or order.index(rule.verdict) < order.index(other.verdict)


def _has_limit(limit: Limit) -> bool:
    return limit.warn is not None or limit.error is not None


def _ruled(measure: Measure, monitor: Monitor) -> Rule | None:
    """Return the outcome of a measure; None if it has no limit."""
    limit: Limit = getattr(monitor, measure.rule)
    if not _has_limit(limit):
        return None
    if measure.value is None:
        return Rule(name=measure.rule, verdict="unknown", text=f"not known: {measure.unknown}")
    if measure.samples is not None and measure.samples < monitor.min_samples:
        return _too_few(measure.rule, measure.value, measure.samples, monitor.min_samples)
    counted = "" if measure.samples is None else f" ({measure.samples:,} samples)"
    decided = _decided(measure.value, limit, measure.raised)
    reason = "by chance alone it may be as much"
    if measure.test is not None and decided.limit > measure.chance:
        reason = f"the test split itself has {measure.written(measure.test)}"
    is_raised = decided.limit != decided.declared
    raised = f", raised from {measure.written(decided.declared)} as {reason}" if is_raised else ""
    return Rule(
        name=measure.rule,
        verdict=decided.verdict,
        value=measure.value,
        limit=decided.limit,
        text=(
            f"{measure.written(measure.value)} {measure.text}{counted};"
            f" {decided.named} is {measure.written(decided.limit)}{raised}"
        ),
    )


@dataclass(frozen=True)
class _Decided:
    """The limit that has decided on a value.

    Attributes:
        verdict: the outcome.
        declared: the limit as declared.
        limit: as it was applied.
        named: what it is called.
    """

    verdict: Verdict
    declared: float
    limit: float
    named: str


def _decided(value: float, limit: Limit, raised: Callable[[float, float], float]) -> _Decided:
    """Return the limit that decides on a value.

    Args:
        value: that is compared.
        limit: with a limit of a failure, of a warning, or both.
        raised: gives a limit as it is applied, from the declared one and its margin.
    """
    found: list[_Decided] = []
    if limit.error is not None:
        applied = raised(limit.error, ERROR_MARGIN)
        found.append(_Decided("failed", limit.error, applied, "the limit"))
    if limit.warn is not None:
        applied = raised(limit.warn, WARN_MARGIN)
        found.append(_Decided("warned", limit.warn, applied, "the limit of a warning"))
    exceeded = next((own for own in found if value > own.limit), None)
    return replace(found[-1], verdict="passed") if exceeded is None else exceeded


def _too_few(rule: str, value: float | None, samples: int, wanted: int) -> Rule:
    return Rule(
        name=rule,
        verdict="unknown",
        value=value,
        text=f"not decided on {samples:,} samples; at least {wanted:,} are needed",
    )


def headline_of(metrics: Mapping[str, object]) -> str | None:
    """Return the metric by which versions are compared; None if there is none of those known."""
    return next((name for name in HEADLINES if name in metrics), None)


def _loss(version: VersionDay, monitor: Monitor, test: Mapping[str, float]) -> Rule:
    """Return the outcome of the rule on the metric: live where it can be, else estimated."""
    live, estimate = version.live, version.estimate
    few = ""
    if live is not None:
        name = headline_of({key: test[key] for key in live.metrics if key in test})
        if name is not None and live.samples >= monitor.min_samples:
            return _compared("live", name, live.metrics[name], test[name], monitor)
        few = f"{live.samples:,} of {live.total:,} samples have labels; "
    if estimate is None:
        return Rule(name="max_loss", verdict="unknown", text=f"{few}nothing was estimated")
    if estimate.value is None:
        reason = estimate.reason or "the reason is not known"
        text = f"{few}{estimate.metric} cannot be estimated: {reason}"
        return Rule(name="max_loss", verdict="unknown", text=text)
    if estimate.metric not in test:
        text = f"{few}the test split has no {estimate.metric} to compare with"
        return Rule(name="max_loss", verdict="unknown", text=text)
    if estimate.value.samples < monitor.min_samples:
        return _too_few(
            "max_loss", estimate.value.value, estimate.value.samples, monitor.min_samples
        )
    test_metric = test[estimate.metric]
    return _compared("estimated", estimate.metric, estimate.value, test_metric, monitor)


def _compared(kind: str, name: str, found: Interval, test: float, monitor: Monitor) -> Rule:
    """Return the outcome of a metric beside that of the test split.

    What is lost at the better end of the interval is compared with the limit, as that is beyond
    chance. The loss of an error, which has a unit, is a share of the error of the test split.

    Args:
        kind: `live` or `estimated`.
        name: of the metric.
        found: its value with its interval.
        test: that of the test split.
        monitor: limits.
    """
    is_error = name in ERRORS
    values = [end for end in (found.value, found.lower, found.upper) if end is not None]
    losses = [value - test if is_error else test - value for value in values]
    if is_error and test > 0:
        losses = [loss / test for loss in losses]
    decided = _decided(min(losses), monitor.max_loss, lambda declared, _: declared)
    ends = [f"{end:.3f}" for end in (found.lower, found.upper) if end is not None]
    interval = f" ({' to '.join(ends)})" if ends else ""
    unit = " times the test error" if is_error else ""
    lost = f"a loss of {losses[0]:.3f}{unit}, beyond chance {max(min(losses), 0.0):.3f}"
    if losses[0] <= 0:
        lost = "no loss"
    return Rule(
        name="max_loss",
        verdict=decided.verdict,
        value=min(losses),
        limit=decided.limit,
        text=(
            f"{kind} {name} {found.value:.3f}{interval} on {found.samples:,} samples, and"
            f" {test:.3f} on the test split: {lost}; {decided.named} is {decided.limit:.3g}"
        ),
    )
