"""The quality of a data version: statistics on train only, what each split holds, and checks that block training.

Checks say; they never change a data version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.contents import SceneFacts
from mlops_assets.datasets.freezing import json_bytes, version_folder
from mlops_assets.datasets.specification import SPLITS
from mlops_assets.datasets.splits import any_within
from mlops_assets.datasets.versions import FrozenDataset, TrainingData, View
from mlops_assets.registry import Registry
from mlops_assets.storage import FileStat
from mlops_assets.storage.workspace import object_key

STATISTICS_SAMPLES = 20_000  # enough for means to three digits, and never more than some hundred MB


@dataclass(frozen=True)
class Check:
    """The outcome of one check. A failed `blocking` check stops what comes after."""

    name: str
    passed: bool
    description: str
    blocking: bool = True
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """Statistics, counts and checks of one data version, and the files they were written to."""

    statistics: dict[str, Any]
    counts: pd.DataFrame
    checks: list[Check]
    files: list[FileStat]


def assess(registry: Registry, frozen: FrozenDataset) -> Quality:
    """Assess a data version and publish `statistics.json` and `quality.json`; the same version gives the same files."""
    checks = [check_readable(frozen)]
    statistics: dict[str, Any] = {}
    counts = class_counts(frozen)
    if checks[0].passed:
        statistics = train_statistics(frozen)
        checks += [check_labels(frozen, counts), check_leakage(frozen), check_coverage(counts)]
    report = {
        "data_version": frozen.reference,
        "digest": frozen.row.digest,
        "samples": frozen.row.counts,
        "left_out": frozen.samples["reason"].value_counts().sort_index().to_dict(),
        "class_counts": counts.to_dict(orient="index"),
        "checks": [{"name": c.name, "passed": c.passed, "description": c.description, **c.values} for c in checks],
        "notes": frozen.document["notes"],
    }
    files: list[FileStat] = []
    if checks[0].passed:
        folder = version_folder(frozen.row.dataset, frozen.row.version)
        files = [
            frozen.workspace.put(f"{folder}/statistics.json", json_bytes(statistics)),
            frozen.workspace.put(f"{folder}/quality.json", json_bytes(report)),
        ]
        registry.add_files(f"data:{frozen.reference}", files)
    return Quality(statistics, counts, checks, files)


def class_counts(frozen: FrozenDataset) -> pd.DataFrame:
    """Return one row a class and one column a split, with sample counts; empty where labels are numbers or windows."""
    if frozen.classes is None or frozen.samples["label"].isna().all():
        return pd.DataFrame(columns=list(SPLITS))
    table = pd.crosstab(frozen.samples["label"].astype(str), frozen.samples["split"])
    order = [str(entry["value"]) for entry in frozen.classes]
    table = table.reindex(index=order, columns=list(SPLITS), fill_value=0)
    table.index = pd.Index([entry["name"] for entry in frozen.classes], name="class")
    return table


def train_statistics(frozen: FrozenDataset) -> dict[str, Any]:
    """Return mean, standard deviation, minimum and maximum of each feature or band, on training samples only."""
    kind: View = frozen.document["input"]["kind"]
    task = "semantic-segmentation" if kind == "window" else "classification" if frozen.classes else "regression"
    X, _ = TrainingData(frozen, task, "pixel" if kind == "patch" else kind).arrays("train", STATISTICS_SAMPLES)
    axes = (0, *range(2, X.ndim))
    wide = X.astype(np.float64)
    measures: dict[str, Callable[..., NDArray[np.float64]]] = {
        "mean": np.mean, "std": np.std, "min": np.min, "max": np.max,
    }  # fmt: skip
    return {
        "split": "train",
        "samples": len(X),
        "features": frozen.document["features"],
        **{name: measure(wide, axis=axes).tolist() for name, measure in measures.items()},
    }


def check_readable(frozen: FrozenDataset) -> Check:
    """Re-hash every file of the data version."""
    wrong = []
    for path, sha256 in zip(frozen.manifest["path"], frozen.manifest["sha256"], strict=True):
        key = object_key(sha256)
        if not frozen.workspace.exists(key) or frozen.workspace.stat(key).sha256 != sha256:
            wrong.append(path)
    text = f"{len(frozen.manifest)} file(s) have their published checksum"
    if wrong:
        text = f"missing or not as published: {', '.join(wrong[:10])}; restore them from a backup or land them again"
    return Check("readable", not wrong, text, values={"files": len(frozen.manifest), "wrong": len(wrong)})


def check_labels(frozen: FrozenDataset, counts: pd.DataFrame) -> Check:
    """Every label is a declared class, and every class that is present is trained on; or labels are finite numbers."""
    labels = frozen.samples["label"]
    if frozen.classes is None:
        passed = bool(np.isfinite(labels.to_numpy(dtype=np.float64)).all())
        return Check("labels", passed, "labels are finite numbers" if passed else "labels are not finite; correct them")
    if counts.empty:
        return Check("labels", True, "label rasters hold declared classes only")
    unknown = sorted(set(labels.astype(str)) - {str(entry["value"]) for entry in frozen.classes})
    untrained = counts.index[(counts.sum(axis=1) > 0) & (counts["train"] == 0)].tolist()
    text = f"{len(labels)} labels, all among the {len(frozen.classes)} classes"
    if unknown or untrained:
        text = (
            f"labels {unknown} are no class; classes {untrained} have no training sample; correct the data or the split"
        )
    return Check("labels", not unknown and not untrained, text)


def check_coverage(counts: pd.DataFrame) -> Check:
    """Say which classes do not reach every split; rare ones may not, so this never blocks."""
    splits = [name for name in counts.columns if counts[name].sum() > 0]
    absent = {name: counts.index[counts[name] == 0].tolist() for name in splits}
    text = "; ".join(f"not in {name}: {', '.join(classes)}" for name, classes in absent.items() if classes)
    return Check("classes_in_each_split", not text, text or "every class is in every split", blocking=False)


def check_leakage(frozen: FrozenDataset) -> Check:
    """No test or validation sample may have been seen in training.

    A patch leaks if a training pixel lies inside it; a row if its exact features are trained on (up to a declared
    share, as coarse measurements collide by nature); a group if it is on both sides.
    """
    kind = frozen.document["input"]["kind"]
    held = frozen.samples[frozen.samples["split"].isin(["validation", "test"])]
    train = frozen.samples[frozen.samples["split"] == "train"]
    shared = set(held["group"].dropna()) & set(train["group"].dropna())
    if shared:
        text = f"{len(shared)} group(s) are in training and outside of it, e.g. {sorted(shared)[0]!r}"
        return Check("leakage", False, f"{text}; use 'method: group'", values={"groups": len(shared)})
    if kind == "row":
        return _row_leakage(frozen)
    if kind == "window":
        return Check("leakage", True, "windows do not overlap", values={"share": 0.0})
    half = frozen.document["input"]["size"] // 2
    leaking = sum(int(_trained_within(facts, train, held, half).sum()) for facts in frozen.scene_facts)
    share = leaking / max(len(held), 1)
    if leaking:
        text = (
            f"{leaking} of {len(held)} held-out patches ({share:.1%}) contain a training pixel; use "
            f"'split: {{method: spatial_block, buffer: {half}}}' or more"
        )
        return Check("leakage", False, text, values={"share": share})
    return Check(
        "leakage", True, f"no held-out patch contains a training pixel ({len(held)} patches)", values={"share": 0.0}
    )


def _trained_within(facts: SceneFacts, train: pd.DataFrame, held: pd.DataFrame, reach: int) -> NDArray[np.bool_]:
    """Say of each held-out pixel of one scene whether a training pixel lies within `reach` pixels."""
    mask = np.zeros((facts.height, facts.width), dtype=bool)
    inside = train[train["path"] == facts.path]
    mask[inside["row"], inside["column"]] = True
    places = held.loc[held["path"] == facts.path, ["row", "column"]].to_numpy(dtype=np.int64)
    return any_within(mask, places, reach)


def _row_leakage(frozen: FrozenDataset) -> Check:
    data = TrainingData(frozen, "classification" if frozen.classes else "regression")
    known = {row.tobytes() for row in data.arrays("train")[0]}
    held = np.concatenate([data.arrays("validation")[0], data.arrays("test")[0]])
    share = sum(row.tobytes() in known for row in held) / max(len(held), 1)
    limit = frozen.specification.quality.max_duplicates
    text = f"{share:.1%} of held-out rows have exactly the features of a training row; allowed are {limit:.1%}"
    if share > limit:
        text += "; remove the copies, use 'method: random', or raise 'quality: {max_duplicates: …}' if they are natural"
    return Check("leakage", share <= limit, text, values={"share": share})
