"""Classes: the number of samples of each in each split, and how much the splits differ.

Of windows, pixels are counted. Counts come from the samples, or from the labels of windows; nothing
is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.specification.dataset import SPLITS, QualityThresholds
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.datasets.versions.version_document import VersionSummary

# multiple of the distance by chance for a split of its size, below which it is not reported
CHANCE = 2


def sample_counts(samples: pd.DataFrame, classes: list[ClassName]) -> pd.DataFrame:
    """Return counts of samples: one row a class, in the order of indices, one column a split."""
    values = pd.Index([str(entry["value"]) for entry in classes])
    rows = values.get_indexer(pd.Index(samples["label"].astype(str)))
    columns = pd.Index(SPLITS).get_indexer(pd.Index(samples["split"]))
    counted = (rows >= 0) & (columns >= 0)
    cells = rows[counted] * len(SPLITS) + columns[counted]
    counts = np.bincount(cells, minlength=len(classes) * len(SPLITS)).astype(np.int64)
    return _named(counts.reshape(-1, len(SPLITS)), classes)


def pixel_counts(
    counted: Mapping[str, NDArray[np.int64]], classes: list[ClassName]
) -> pd.DataFrame:
    """Return the same table for windows, from the pixel counts (classes,) of each split."""
    nothing = np.zeros(len(classes), dtype=np.int64)
    return _named(np.stack([counted.get(split, nothing) for split in SPLITS], axis=1), classes)


def landed_counts(
    samples: pd.DataFrame, classes: list[ClassName], pixels: NDArray[np.int32] | None
) -> pd.DataFrame:
    """Return the same table for samples that have landed.

    Args:
        samples: with their splits.
        classes: in the order of indices.
        pixels: of windows, labelled pixels of each class in each sample, (samples, classes); None
            where a sample has one label.
    """
    if pixels is None:
        return sample_counts(samples, classes)
    splits = samples["split"].to_numpy(dtype=object)
    return pixel_counts(
        {name: pixels[splits == name].sum(axis=0, dtype=np.int64) for name in SPLITS}, classes
    )


def committed_counts(summary: VersionSummary | None) -> pd.DataFrame | None:
    """Return the same table from the summary of a data version, of all its samples or pixels.

    None for windows that an earlier release committed, whose pixels were not counted.
    """
    if summary is None or any(entry.train is None for entry in summary.classes):
        return None
    counts = [[getattr(entry, split) for split in SPLITS] for entry in summary.classes]
    classes = [ClassName(value=entry.value, name=entry.name) for entry in summary.classes]
    return _named(np.array(counts, dtype=np.int64).reshape(-1, len(SPLITS)), classes)


def counts_from(
    document: Mapping[str, Mapping[str, int]], classes: list[ClassName] | None
) -> pd.DataFrame:
    """Return the table that was written down as class name → split → count."""
    counts = [[document[entry["name"]][split] for split in SPLITS] for entry in classes or []]
    return _named(np.array(counts, dtype=np.int64).reshape(-1, len(SPLITS)), classes or [])


def no_counts() -> pd.DataFrame:
    """Return the table of a dataset without classes."""
    return _named(np.empty((0, len(SPLITS)), dtype=np.int64), [])


def imbalance(counts: pd.DataFrame) -> float | None:
    """Return the ratio of the largest class in training to the smallest that occurs."""
    trained = counts["train"][counts["train"] > 0]
    return float(trained.max() / trained.min()) if len(trained) else None


def distances_from_train(counts: pd.DataFrame) -> dict[str, float]:
    """Return the total variation distance of each other split's class shares from training's.

    It is half the sum of absolute differences (Levin, Peres, Wilmer 2009, Markov Chains and Mixing
    Times, 4.1): 0 where the split is stratified, 1 where no class is in both.
    """
    shares = counts / counts.sum(axis=0).where(lambda total: total > 0)
    return {
        split: float((shares[split] - shares["train"]).abs().sum() / 2)
        for split in counts.columns
        if split != "train" and counts[split].sum() and counts["train"].sum()
    }


def distances_by_chance(counts: pd.DataFrame) -> dict[str, float]:
    """Return the mean distance of splits of the same sizes that are drawn from training.

    It is half the sum of mean absolute deviations of the shares, each normal with variance p (1 -
    p) / n.
    """
    p = counts["train"] / max(counts["train"].sum(), 1)
    return {
        split: float(np.sqrt(2 * p * (1 - p) / (np.pi * counts[split].sum())).sum() / 2)
        for split in distances_from_train(counts)
    }


def balance_check(counts: pd.DataFrame, thresholds: QualityThresholds) -> Check:
    """Warn of classes that are much rarer than others, and of splits whose class shares differ."""
    ratio, apart, chance = (
        imbalance(counts),
        distances_from_train(counts),
        distances_by_chance(counts),
    )
    if ratio is None:
        return outcome("class_balance", True, "labels are numbers, not classes")
    problems = []
    if ratio > thresholds.max_imbalance:
        largest, smallest = counts["train"].idxmax(), counts["train"][counts["train"] > 0].idxmin()
        problems.append(
            f"in training {largest} has {ratio:.0f} times as much as {smallest}, allowed are "
            f"{thresholds.max_imbalance:g}; land more of it, weigh classes, or judge by macro_f1"
        )
    problems += [
        f"{share:.1%} of {split} would need another class to have the class shares of training,"
        f" allowed are {thresholds.max_class_shift:.1%}; choose another split or seed"
        for split, share in apart.items()
        if share > max(thresholds.max_class_shift, CHANCE * chance[split])
    ]
    text = (
        f"the largest class in training has {ratio:.1f} times as much as the smallest; "
        + ", ".join(f"{split} differs in {share:.1%}" for split, share in apart.items())
    )
    values = {
        "imbalance": ratio,
        **{f"{split}_from_train": share for split, share in apart.items()},
    }
    return outcome("class_balance", not problems, "; ".join(problems) or text, **values)


def absent_classes(counts: pd.DataFrame) -> dict[str, list[str]]:
    """Return for each split that has samples the classes that it lacks.

    Nothing where it has all.
    """
    absent = {
        name: counts.index[counts[name] == 0].tolist()
        for name in counts.columns
        if counts[name].sum() > 0
    }
    return {name: classes for name, classes in absent.items() if classes}


def absent_text(absent: Mapping[str, list[str]]) -> str:
    """Return in one line which classes each split lacks."""
    return "; ".join(f"not in {name}: {', '.join(classes)}" for name, classes in absent.items())


def coverage_check(counts: pd.DataFrame) -> Check:
    """Return which classes do not reach every split; rare ones may not, so this never blocks."""
    text = absent_text(absent_classes(counts))
    return outcome("classes_in_each_split", not text, text or "every class is in every split")


def labels_check(labels: pd.Series, classes: list[ClassName] | None, counts: pd.DataFrame) -> Check:
    """Check that labels are declared classes that are trained on, or finite numbers.

    Args:
        labels: the samples' labels; null for windows, whose labels are checked when they are
            committed.
        classes: the declared classes, None where the label is a number.
        counts: samples or pixels by class and split.
    """
    if classes is None:
        passed = bool(np.isfinite(labels.to_numpy(dtype=np.float64)).all())
        text = "labels are finite numbers" if passed else "labels are not finite; correct them"
        return outcome("labels", passed, text)
    known = labels.dropna()
    unknown = sorted(set(map(str, known.unique())) - {str(entry["value"]) for entry in classes})
    untrained = counts.index[(counts.sum(axis=1) > 0) & (counts["train"] == 0)].tolist()
    if unknown or untrained:
        problems = [f"labels {', '.join(unknown[:10])} are no class"] if unknown else []
        problems += [f"classes {', '.join(untrained)} have no training sample"] if untrained else []
        return outcome("labels", False, f"{'; '.join(problems)}; correct the data or the split")
    total, what = (
        (counts.to_numpy().sum(), "labelled pixels") if known.empty else (len(known), "labels")
    )
    return outcome("labels", True, f"{total} {what}, all among the {len(classes)} classes")


def _named(counts: NDArray[np.int64], classes: list[ClassName]) -> pd.DataFrame:
    index = pd.Index([entry["name"] for entry in classes], name="class", dtype=object)
    return pd.DataFrame(counts, index=index, columns=list(SPLITS))
