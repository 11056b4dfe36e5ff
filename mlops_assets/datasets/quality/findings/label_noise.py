"""Label noise: training samples whose label contradicts a model of the other samples.

Suspects are for a person to review. No label is corrected or left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.content.subsample import SEED
from mlops_assets.datasets.specification.dataset import QualityThresholds

FOLDS = 5
TREES = 100
MIN_FOR_FOLDS = 2 * FOLDS  # samples, or samples of a class, below which labels cannot be judged
# Confident learning alone takes hard samples of like classes for wrong labels: 15 % of Indian Pines
# as it is. Where another label must be ten times as probable, from which on evidence counts as
# strong (Jeffreys 1961, Theory of Probability, appendix B), it is 1.9 %, and 5.0 % after 5 % of the
# labels were changed, 78 % of which are among them.
EVIDENCE = 10
# modified z-score above which a residual is an outlier: Iglewicz and Hoaglin (1993), How to Detect
# and Handle Outliers
OUTLYING = 3.5
_NORMAL = 0.6745  # median absolute deviation of the standard normal distribution, ibid.
CLASS_METHOD = (
    "confident learning (Northcutt, Jiang, Chuang 2021, Journal of Artificial Intelligence"
    " Research 70; cleanlab) with out-of-fold probabilities of extremely randomised trees, where"
    f" another label is {EVIDENCE} times as probable"
)
NUMBER_METHOD = (
    f"modified z-score above {OUTLYING} (Iglewicz, Hoaglin 1993) of out-of-fold residuals of"
    " extremely randomised trees"
)


@dataclass(frozen=True)
class Suspects:
    """Labels that are probably wrong.

    Attributes:
        method: how they were found, with its source.
        asked: number of samples (of windows: pixels) that were asked about.
        left_out: number of those of classes too rare, or in too few places, to judge.
        agreement: how well the model predicts labels out of fold: accuracy, or the coefficient of
            determination. Where it is poor, suspects may be hard samples.
        positions: positions of the suspects, worst first.
        given, likely: labels of the suspects, as class indices or numbers.
    """

    method: str
    asked: int
    left_out: int
    agreement: float
    positions: NDArray[np.int64]
    given: NDArray[np.generic]
    likely: NDArray[np.generic]

    @property
    def share(self) -> float:
        """Share of suspects among the samples asked about."""
        return len(self.positions) / max(self.asked, 1)


def suspect_classes(
    X: NDArray[np.float32], y: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> Suspects | None:
    """Find labels that are probably another class.

    Args:
        X: features, shape (n, dimensions).
        y: class indices, shape (n,).
        groups: samples that are alike by nearness or origin and must not help to predict each
            other, shape (n,).

    Returns:
        None if there are too few samples, groups or classes to judge.
    """
    from cleanlab.filter import find_label_issues
    from sklearn.ensemble import ExtraTreesClassifier

    chosen = np.flatnonzero(_judgeable(y, groups))
    classes, codes = np.unique(y[chosen], return_inverse=True)
    if len(classes) < 2:
        return None
    probabilities, judged = np.zeros((len(chosen), len(classes))), np.ones(len(chosen), dtype=bool)
    for fitted, asked in _folds(codes, None if groups is None else groups[chosen], stratified=True):
        model = ExtraTreesClassifier(TREES, min_samples_leaf=2, random_state=SEED, n_jobs=-1)
        model.fit(X[chosen[fitted]], codes[fitted])
        # what several threads add up differs in the last digits from run to run
        model.set_params(n_jobs=1)
        probabilities[np.ix_(asked, model.classes_)] = model.predict_proba(X[chosen[asked]])
        judged[asked] = np.isin(codes[asked], model.classes_)
    own = probabilities[np.arange(len(codes)), codes]
    if len(np.unique(codes[judged])) < len(classes):
        return None
    issues = find_label_issues(
        codes[judged], probabilities[judged], return_indices_ranked_by="self_confidence", n_jobs=1
    )
    worst = np.flatnonzero(judged)[issues]
    worst = worst[probabilities[worst].max(axis=1) >= EVIDENCE * own[worst]]
    likely = probabilities.argmax(axis=1)
    return Suspects(
        CLASS_METHOD,
        int(judged.sum()),
        len(y) - int(judged.sum()),
        float((likely == codes)[judged].mean()),
        chosen[worst],
        classes[codes[worst]],
        classes[likely[worst]],
    )


def suspect_numbers(
    X: NDArray[np.float32], y: NDArray[np.float64], groups: NDArray[np.int64] | None
) -> Suspects | None:
    """Find numbers far from the predictions of the other samples; arguments as for classes."""
    from sklearn.ensemble import ExtraTreesRegressor

    if len(y) < MIN_FOR_FOLDS:
        return None
    likely = np.full(len(y), np.nan)
    for fitted, asked in _folds(y, groups, stratified=False):
        model = ExtraTreesRegressor(TREES, min_samples_leaf=2, random_state=SEED, n_jobs=-1)
        model.fit(X[fitted], y[fitted])
        model.set_params(n_jobs=1)
        likely[asked] = model.predict(X[asked])
    residuals = y - likely
    if not np.isfinite(residuals).all():
        return None
    deviation = np.abs(residuals - np.median(residuals))
    scale = float(np.median(deviation))
    score = _NORMAL * deviation / scale if scale else np.zeros(len(y))
    worst = np.argsort(-score, kind="stable")
    worst = worst[score[worst] > OUTLYING]
    spread = float(((y - y.mean()) ** 2).sum())
    agreement = 1 - float((residuals**2).sum()) / spread if spread else 0.0
    return Suspects(NUMBER_METHOD, len(y), 0, agreement, worst, y[worst], likely[worst])


def noise_check(found: Suspects | None, thresholds: QualityThresholds) -> Check:
    """Warn of many labels that are probably wrong."""
    if found is None:
        return outcome(
            "label_noise",
            True,
            "not looked for: too few samples, places or classes for any telling",
        )
    passed = found.share <= thresholds.max_label_noise
    text = (
        f"{len(found.positions)} of {found.asked} labels ({found.share:.1%}) contradict what other"
        f" samples say; a model of these agrees with labels by {found.agreement:.2f}"
    )
    if not passed:
        text += (
            f"; allowed are {thresholds.max_label_noise:.1%}: look at 'label_noise' of"
            " quality.json, where the worst are named"
        )
    return outcome(
        "label_noise", passed, text, share=found.share, asked=found.asked, agreement=found.agreement
    )


def _judgeable(y: NDArray[np.int64], groups: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Return which samples are of classes with enough samples, in more than one group."""
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    enough = counts >= MIN_FOR_FOLDS
    if groups is not None:
        pairs = np.unique(np.stack([codes, groups]), axis=1)
        enough &= np.bincount(pairs[0], minlength=len(classes)) > 1
    return np.asarray(enough[codes])


def _folds(
    y: NDArray[np.generic], groups: NDArray[np.int64] | None, stratified: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield positions to fit and to ask; groups are never divided."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    options: dict[str, Any] = {"shuffle": True, "random_state": SEED}
    if groups is None or len(np.unique(groups)) < 2:
        splitter: Any = (StratifiedKFold if stratified else KFold)(FOLDS, **options)
    else:
        folds = min(FOLDS, len(np.unique(groups)))
        splitter = (StratifiedGroupKFold if stratified else GroupKFold)(folds, **options)
    with warnings.catch_warnings():
        # that a class has fewer samples than folds is provided for
        warnings.simplefilter("ignore", UserWarning)
        yield from splitter.split(np.zeros(len(y)), y, groups)
