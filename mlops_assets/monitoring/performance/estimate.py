"""Performance without labels: the expected metric of logged samples inside the applicability.

For classes the mean of calibrated confidences: Białek, Kuberski, Perrakis, Bifet (2024), Estimating
Model Performance Under Covariate Shift Without Labels, arXiv:2401.08348; Guillory et al. (2021),
Predicting with Confidence on Unseen Distributions, ICCV. For numbers the error profile of the area
of applicability. Both hold only where samples are like those of training, and neither sees that
equal inputs have other labels now (concept drift).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.models.evaluation.bootstrap import CONFIDENCE, MIN_UNITS, bags
from mlops_assets.monitoring.document import Estimate, Interval
from mlops_assets.monitoring.performance.calibration import SEED, widening
from mlops_assets.monitoring.performance.fitted import fitted_calibration, profile_replicates
from mlops_assets.monitoring.performance.scores import kind_of, log_odds
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store

MIN_SAMPLES = 10  # as for a slice, below which a metric means little


def estimate(
    store: Store,
    row: ModelVersion,
    samples: LoggedSamples,
    di: NDArray[np.float32] | None,
    unlike: str | None = None,
) -> Estimate | None:
    """Estimate the accuracy, or the mean absolute error, of logged samples without labels.

    Args:
        store: workspace and registry.
        row: the model version that has predicted them.
        samples: logged.
        di: their dissimilarity index, (n,), as `dissimilarity` returns it; None if the version has
            none.
        unlike: why the samples are not like those of training, so that what was learned of the
            model there cannot be trusted; None if it can.

    Returns:
        The estimate for the samples inside the area of applicability; None without samples.

    Raises:
        ExportError: the model does not run on its own data.
        IntegrityError: a file of the model or its index is not as it was published.
        StorageUnreachable: the workspace does not answer.
    """
    if not len(samples):
        return None
    signature = Signature.of(row)
    metric = "mae" if signature.classes is None else "accuracy"
    method = _METHODS[metric]
    if unlike is not None:
        return Estimate(metric=metric, value=None, not_estimable=1, method=method, reason=unlike)
    index = MapIndex.of(store, row)
    if index is None or di is None:
        reason = f"the area of applicability of {row.model}@{row.version} is not known"
        return Estimate(metric=metric, value=None, not_estimable=1, method=method, reason=reason)
    inside = index.applicability.inside(di)
    if signature.view == "window":
        found: Estimate | str = "a window is logged with the mean scores of its pixels only"
    elif metric == "mae":
        found = _expected_error(store, row, samples, di, inside, index)
    else:
        found = _expected_accuracy(store, row, samples, di, inside, index)
    if isinstance(found, str):
        return Estimate(metric=metric, value=None, not_estimable=1, method=method, reason=found)
    return found


_METHODS = {
    "accuracy": "mean of confidences, calibrated for each class",
    "mae": "error profile of the area of applicability",
}


def _expected_accuracy(
    store: Store,
    row: ModelVersion,
    samples: LoggedSamples,
    di: NDArray[np.float32],
    inside: NDArray[np.bool_],
    index: MapIndex,
) -> Estimate | str:
    """Return the estimate, or why there is none."""
    if samples.scores is None or samples.labels is None:
        return f"{row.model}@{row.version} gives no scores, so nothing states how sure it is"
    if len(Signature.of(row).classes or []) < 2:
        return f"{row.model}@{row.version} knows one class only"
    kind = kind_of(store, row)
    if kind is None:
        return (
            f"whether the scores of {row.model}@{row.version} are probabilities or logits is not"
            " known"
        )
    labels = samples.labels.astype(np.int64)
    valid = (labels >= 0) & (labels < samples.scores.shape[1])
    odds = np.full(len(samples), np.nan)
    odds[valid] = log_odds(samples.scores[valid], labels[valid], kind)
    usable = inside & np.isfinite(odds)
    if (reason := _too_few(usable)) is not None:
        return reason
    fitted = fitted_calibration(store, row, index, kind)
    if isinstance(fitted, str):
        return fitted
    calibration = fitted.calibration
    distance = di[usable] / np.float64(index.applicability.threshold or 1.0)

    def expected(replicate: int) -> NDArray[np.float64]:
        return calibration.probabilities(odds[usable], distance, labels[usable], replicate)

    units = pd.factorize(samples.requests[usable])[0].astype(np.int64)
    # so few units do not show how they differ
    enough = fitted.units >= MIN_UNITS
    value = _interval(
        expected,
        calibration.replicates if enough else 0,
        units,
        widening(max(fitted.units, 2)),
        1.0,
    )
    return Estimate(
        metric="accuracy",
        value=value,
        not_estimable=float(np.mean(~usable)),
        method=(
            f"{_METHODS['accuracy']} on {fitted.samples} samples of the {fitted.split} split inside"
            " the area of applicability"
        ),
    )


def _expected_error(
    store: Store,
    row: ModelVersion,
    samples: LoggedSamples,
    di: NDArray[np.float32],
    inside: NDArray[np.bool_],
    index: MapIndex,
) -> Estimate | str:
    """Return the estimate, or why there is none."""
    profile = index.applicability.profile
    if profile is None:
        return "the test split had too few samples for an error profile"
    if (reason := _too_few(inside)) is not None:
        return reason
    own = di[inside]
    replicates = profile_replicates(store, row, index, profile)

    def expected(replicate: int) -> NDArray[np.float64]:
        if replicate == 0 or replicates is None:
            return profile.expected(own).astype(np.float64)
        found = np.interp(own, profile.di, replicates[replicate - 1])
        return np.asarray(found, dtype=np.float64)

    units = pd.factorize(samples.requests[inside])[0].astype(np.int64)
    return Estimate(
        metric="mae",
        value=_interval(expected, 0 if replicates is None else len(replicates), units),
        not_estimable=float(np.mean(~inside)),
        method=f"{_METHODS['mae']}, of {profile.samples} samples of the {profile.split} split",
    )


def _too_few(usable: NDArray[np.bool_]) -> str | None:
    count = int(usable.sum())
    if count >= MIN_SAMPLES:
        return None
    return (
        f"{count} of {len(usable)} samples lie inside the area of applicability with what the"
        f" estimate needs, fewer than {MIN_SAMPLES}"
    )


def _interval(
    expected: Callable[[int], NDArray[np.float64]],
    replicates: int,
    units: NDArray[np.int64],
    wider: float = 1.0,
    most: float | None = None,
) -> Interval:
    """Return the mean of expected values with its interval.

    Each replicate of the calibration meets requests that are drawn with replacement, so the
    interval has both the uncertainty of what was learned and that of the sample.

    Args:
        expected: returns the values of the samples, (n,): 0 of the fit, else of a replicate.
        replicates: number of replicates; 0 gives no interval.
        units: number of each sample's request, (n,).
        wider: what deviations from the mean are multiplied by.
        most: that the mean can be; None if it has no limit.
    """
    value = float(expected(0).mean())
    codes = bags(units)
    count = int(codes.max()) + 1
    if not replicates or count < MIN_UNITS:
        return Interval(value=value, samples=len(units))
    means = np.array(list(_drawn_means(expected, replicates, codes, count)))
    spread = value + wider * (means - value)
    lower, upper = np.percentile(spread, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Interval(
        value=value,
        lower=max(0.0, min(float(lower), value)),
        upper=max(float(upper), value) if most is None else min(most, max(float(upper), value)),
        samples=len(units),
    )


def _drawn_means(
    expected: Callable[[int], NDArray[np.float64]],
    replicates: int,
    codes: NDArray[np.int64],
    count: int,
) -> Iterator[float]:
    rng = np.random.default_rng(SEED)
    sizes = np.bincount(codes, minlength=count)
    for replicate in range(1, replicates + 1):
        sums = np.bincount(codes, expected(replicate), minlength=count)
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        yield float((times @ sums) / (times @ sizes))
