"""Copies: samples with the same, or nearly the same, values within and across splits.

`scan` makes the digests and descriptors that are compared. The checks decide how many copies are
allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.specification.dataset import SPLITS, QualityThresholds
from mlops_assets.text.json_values import JsonObject

HELD_OUT = ("validation", "test")
WORST = 20
MEMBERS = 4  # of a group of copies that are named
# Two samples are nearly the same if they are nearer than this share of the median distance to the
# nearest other sample: NearDuplicateIssueManager of Cleanlab's Datalab, which has it from tests on
# many datasets. Being relative, it needs no unit, and it does not take the neighbours of a densely
# sampled scene for copies.
NEAR = 0.13
MIN_DIMENSIONS = 3  # in fewer, near values are nothing special
MAX_COMPARED = 10_000  # samples of each split that are compared
MAX_KNOWN = 100_000  # training samples they are compared with
FOR_MEDIAN = 500


@dataclass(frozen=True)
class ExactCopies:
    """Samples with identical values.

    Attributes:
        compared: number of samples that were compared.
        within: for each split, share of its samples that are copies of another of the same split.
        across: for validation and test, share of samples that are also in training.
        held_out: the same for both together.
        contradicting: number of groups of identical samples with different labels; None without
            labels a sample.
        groups: the largest groups, those across splits first: for each the positions of its
            samples.
    """

    compared: int
    within: Mapping[str, float]
    across: Mapping[str, float]
    held_out: float
    contradicting: int | None
    groups: list[NDArray[np.int64]] = field(default_factory=list)


@dataclass(frozen=True)
class NearCopies:
    """Samples that are nearly the same but not identical.

    Attributes:
        threshold: distance below which they are.
        within: for each split, share of the compared samples that have a near copy in it.
        across: for validation and test, share of the compared samples that have a near copy in
            training.
        compared: for each split, number of compared samples.
        known: number of training samples they were compared with.
        pairs: the nearest pairs across splits: positions, and distance.
    """

    threshold: float
    within: Mapping[str, float]
    across: Mapping[str, float]
    compared: Mapping[str, int]
    known: int
    pairs: list[tuple[int, int, float]] = field(default_factory=list)


def exact_copies(
    positions: NDArray[np.int64],
    digests: NDArray[np.uint64],
    splits: NDArray[np.generic],
    labels: pd.Series | None = None,
) -> ExactCopies:
    """Find samples with identical values.

    Args:
        positions: of the samples in their data version, shape (n,).
        digests: of each sample's values, shape (n,).
        splits: the split of each sample, shape (n,).
        labels: the label of each sample, where it has one.
    """
    codes = pd.factorize(digests)[0]
    sizes = np.bincount(codes) if len(codes) else np.zeros(0, dtype=np.int64)
    within, across, known = {}, {}, np.zeros(len(sizes), dtype=bool)
    known[codes[splits == "train"]] = True
    copied = known[codes] & np.isin(splits, HELD_OUT)
    for split in SPLITS:
        own = codes[splits == split]
        within[split] = 1 - len(np.unique(own)) / len(own) if len(own) else 0.0
        if split in HELD_OUT:
            across[split] = float(copied[splits == split].mean()) if len(own) else 0.0
    contradicting = None
    if labels is not None:
        pairs = pd.DataFrame({"code": codes, "label": labels.to_numpy()}).drop_duplicates()
        contradicting = int((pairs["code"].value_counts() > 1).sum())
    shared = np.zeros(len(sizes), dtype=bool)
    shared[codes[copied]] = True
    order = np.lexsort((np.arange(len(sizes)), -sizes, ~shared))[:WORST]
    groups = [positions[codes == code] for code in order if sizes[code] > 1]
    held = np.isin(splits, HELD_OUT)
    share = float(copied[held].mean()) if held.any() else 0.0
    return ExactCopies(len(codes), within, across, share, contradicting, groups)


def near_copies(
    descriptors: NDArray[np.float32], digests: NDArray[np.uint64], splits: NDArray[np.generic]
) -> NearCopies | None:
    """Find samples that are nearly the same, among samples with different values.

    Args:
        descriptors: shape (n, dimensions).
        digests: of each sample's values, shape (n,).
        splits: the split of each sample, shape (n,).

    Returns:
        None if it cannot be decided: too few dimensions, or too few different training samples.
    """
    from scipy.spatial import cKDTree

    distinct = np.sort(np.unique(digests, return_index=True)[1])
    own = {split: distinct[splits[distinct] == split] for split in SPLITS}
    if descriptors.shape[1] < MIN_DIMENSIONS or len(own["train"]) < 3:
        return None
    known = draw(own["train"], MAX_KNOWN)
    tree = cKDTree(descriptors[known])
    some = draw(known, FOR_MEDIAN)
    threshold = NEAR * float(np.median(tree.query(descriptors[some], k=2, workers=-1)[0][:, 1]))
    within, across, compared, pairs = {}, {}, {}, []
    for split in SPLITS:
        asked = draw(own[split], MAX_COMPARED)
        compared[split] = len(asked)
        if not len(asked):
            continue
        own_tree = tree if split == "train" else cKDTree(descriptors[draw(own[split], MAX_KNOWN)])
        apart = own_tree.query(descriptors[asked], k=2, distance_upper_bound=threshold, workers=-1)[
            0
        ]
        within[split] = float((np.isfinite(apart).sum(axis=1) > 1).mean())
        if split in HELD_OUT:
            apart, nearest = tree.query(
                descriptors[asked], distance_upper_bound=threshold, workers=-1
            )
            found = np.isfinite(apart)
            across[split] = float(found.mean())
            pairs += [
                (int(a), int(known[b]), float(d))
                for a, b, d in zip(asked[found], nearest[found], apart[found], strict=True)
            ]
    return NearCopies(
        threshold,
        within,
        across,
        compared,
        len(known),
        sorted(pairs, key=lambda p: p[::-1])[:WORST],
    )


def duplicates_check(
    exact: ExactCopies, near: NearCopies | None, thresholds: QualityThresholds
) -> Check:
    """Warn of copies within a split, near copies across splits, and copies labelled differently."""
    problems = [
        f"{share:.1%} of {split} are copies of others in it, allowed are"
        f" {thresholds.max_duplicates:.1%}"
        for split, share in exact.within.items()
        if share > thresholds.max_duplicates
    ]
    problems += [
        f"{share:.1%} of {split} nearly are training samples, allowed are"
        f" {thresholds.max_near_duplicates:.1%}"
        for split, share in (near.across if near else {}).items()
        if share > thresholds.max_near_duplicates
    ]
    if exact.contradicting:
        problems.append(
            f"{exact.contradicting} group(s) of identical samples have different labels"
        )
    text = (
        ", ".join(f"{share:.1%} of {split}" for split, share in exact.within.items())
        + " are copies within it"
    )
    if near:
        text += "; " + ", ".join(f"{share:.1%} of {split}" for split, share in near.across.items())
        text += " nearly are training samples"
    values: JsonObject = {f"copies_in_{split}": share for split, share in exact.within.items()}
    values |= {
        f"near_{split}_and_train": share for split, share in (near.across if near else {}).items()
    }
    if exact.contradicting is not None:
        values["contradicting_groups"] = exact.contradicting
    advice = (
        "; 'duplicates' of quality.json names the worst; remove copies, or keep them together by a"
        " group"
    )
    return outcome(
        "duplicates", not problems, "; ".join(problems) + advice if problems else text, **values
    )
