"""The report as people and programs read it: `quality.json` and the figures.

Everything in it was found by the other modules; here it gets names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check
from mlops_assets.datasets.quality.content.places import Places
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.scan import Scan
from mlops_assets.datasets.quality.content.values import BandValues, values_document
from mlops_assets.datasets.quality.findings.balance import (
    distances_by_chance,
    distances_from_train,
    imbalance,
)
from mlops_assets.datasets.quality.findings.duplicates import MEMBERS, NEAR, ExactCopies, NearCopies
from mlops_assets.datasets.quality.findings.leakage import Leakage, LeakageFigures
from mlops_assets.datasets.quality.findings.neighbourhoods import PlacedSuspects
from mlops_assets.datasets.quality.findings.separation import PERCENTILES, Separation
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

DIGITS = 7  # significant ones; what machines differ in is beyond
NAMED = 20


def document(
    committed: CommittedDataset,
    source: SampleValues,
    scanned: Scan,
    counts: pd.DataFrame,
    values: BandValues,
    exact: ExactCopies,
    near: NearCopies | None,
    leakage: Leakage,
    apart: Separation | None,
    suspects: PlacedSuspects | None,
    checks: list[Check],
) -> dict[str, Any]:
    """Return the figures of `quality.json`, and the `checks` that no threshold decides.

    `verdict` judges the rest.
    """
    samples = committed.samples
    kind = committed.document.input.kind
    read = {split: len(chosen) for split, chosen in source.chosen.items()}
    found = {
        "data_version": committed.reference,
        "digest": committed.row.digest,
        "samples": committed.row.counts,
        "read": read,
        "left_out": samples["reason"].value_counts().sort_index().to_dict(),
        "class_counts": {
            "of": "pixels of the windows that were read" if kind == "window" else "samples",
            "classes": counts.to_dict(orient="index"),
            "imbalance": imbalance(counts),
            "distance_from_train": distances_from_train(counts),
            "distance_by_chance": distances_by_chance(counts),
        },
        "values": values_document(values),
        "duplicates": {
            "exact": {
                "compared": exact.compared,
                "share_within": dict(exact.within),
                "share_also_in_train": dict(exact.across),
                "share_of_held_out_in_train": exact.held_out,
                "groups_with_different_labels": exact.contradicting,
                "largest_groups": [
                    {
                        "samples": len(group),
                        "members": [
                            _place(samples, kind, position) for position in group[:MEMBERS]
                        ],
                    }
                    for group in exact.groups
                ],
            },
            "near": _near(near, samples, kind, scanned),
        },
        "leakage": {
            "groups": leakage.groups[:NAMED],
            "seen": len(leakage.seen),
            "held_out": leakage.held_out,
            "sharing_ground": leakage.sharing,
            "figures": asdict(LeakageFigures.of(leakage, kind)),
            "first": [_place(samples, kind, position) for position in leakage.seen[:NAMED]],
        },
        "distance_between_splits": _distances(apart),
        "label_noise": _noise(suspects, committed, kind),
        "checks": check_entries(checks),
        "notes": committed.document.notes,
    }
    return rounded(found)  # type: ignore[no-any-return]


def check_entries(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return outcomes of checks as they are in the report."""
    found = [
        {
            "name": c.name,
            "passed": c.passed,
            "blocking": c.blocking,
            "description": c.description,
            **c.values,
        }
        for c in checks
    ]
    return rounded(found)  # type: ignore[no-any-return]


def figures(
    committed: CommittedDataset,
    counts: pd.DataFrame,
    values: BandValues,
    apart: Separation | None,
    places: Places,
    splits: NDArray[np.object_],
) -> dict[str, bytes]:
    """Return the figures that make sense for this data version, by file name without ending."""
    from mlops_assets.datasets.quality import figures as draw

    found: dict[str, bytes | None] = {}
    if len(counts):
        unit = "labelled pixels" if committed.document.input.kind == "window" else "samples"
        found["class_counts"] = draw.class_counts(
            counts, unit, f"{committed.reference}: classes by split"
        )
    found["band_histograms"] = draw.band_histograms(
        values, f"{committed.reference}: values in training"
    )
    if apart is not None and len(apart.distances):
        found["split_distances"] = draw.distances(
            apart, f"{committed.reference}: test samples by nearness to training"
        )
    names = _scene_names(committed, places)
    found["sample_map"] = draw.sample_map(
        places, splits, names, f"{committed.reference}: samples by split"
    )
    return {name: png for name, png in found.items() if png is not None}


def _near(
    near: NearCopies | None, samples: pd.DataFrame, kind: str, scanned: Scan
) -> dict[str, Any] | None:
    if near is None:
        return None
    return {
        "method": (
            f"nearer than {NEAR} of the median distance to the nearest other training sample"
            " (NearDuplicate of Cleanlab's Datalab), in the first principal components of"
            " standardised values; images averaged to cells"
        ),
        "threshold": near.threshold,
        "compared": dict(near.compared),
        "compared_with": near.known,
        "share_within": dict(near.within),
        "share_also_in_train": dict(near.across),
        "nearest_pairs": [
            {
                "sample": _place(samples, kind, scanned.positions[a]),
                "train": _place(samples, kind, scanned.positions[b]),
                "distance": distance,
            }
            for a, b, distance in near.pairs
        ],
    }


def _distances(apart: Separation | None) -> dict[str, Any] | None:
    if apart is None:
        return None
    known = len(apart.distances) > 0
    quantiles = (
        np.percentile(apart.distances, PERCENTILES).tolist() if known else [None] * len(PERCENTILES)
    )
    return {
        "unit": apart.unit,
        "limit": apart.limit,
        "test_samples": apart.test,
        "asked": apart.asked,
        "without_training_in_scene": apart.asked - len(apart.distances),
        "least": float(apart.distances[0]) if known else None,
        "percentiles": dict(zip(map(str, PERCENTILES), quantiles, strict=True)),
    }


def _noise(
    suspects: PlacedSuspects | None, committed: CommittedDataset, kind: str
) -> dict[str, Any] | None:
    if suspects is None:
        return None
    found = suspects.found
    names = None if committed.classes is None else [entry["name"] for entry in committed.classes]
    worst = []
    for i, position in enumerate(found.positions[:NAMED]):
        place = _place(committed.samples, kind, position)
        if suspects.at is not None:
            place["row"], place["column"] = (
                place["row"] + int(suspects.at[i, 0]),
                place["column"] + int(suspects.at[i, 1]),
            )
        given, likely = found.given[i].item(), found.likely[i].item()
        worst.append(
            place
            | {
                "given": names[given] if names else given,
                "likely": names[likely] if names else likely,
            }
        )
    return {
        "method": f"{found.method}; folds keep {suspects.kept_together} together",
        "asked": found.asked,
        "left_out": found.left_out,
        "agreement": found.agreement,
        "suspects": len(found.positions),
        "share": found.share,
        "worst": worst,
    }


def _place(samples: pd.DataFrame, kind: str, position: int) -> dict[str, Any]:
    row = samples.iloc[int(position)]
    where = {"path": row["path"], "split": row["split"]}
    if kind == "image":
        return where
    return (
        where | {"row": int(row["row"])} | ({} if kind == "row" else {"column": int(row["column"])})
    )


def _scene_names(committed: CommittedDataset, places: Places) -> list[str]:
    names = pd.factorize(committed.samples["path"])[1]
    first = pd.Series(names).groupby(places.scene).first()
    return [str(name) for name in first]


def rounded(value: Any) -> Any:
    """Return a document with numbers cut to `DIGITS`; what is not finite is null."""
    if isinstance(value, dict):
        return {str(key): rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
