"""The report of a data version: `quality.json` and the figures.

It only gives names to the measurements of the other modules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check
from mlops_assets.datasets.quality.content.places import Places
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.content.scan import Scan
from mlops_assets.datasets.quality.content.values import BandValues, values_document
from mlops_assets.datasets.quality.findings.balance import (
    committed_counts,
    distances_by_chance,
    distances_from_train,
    imbalance,
)
from mlops_assets.datasets.quality.findings.duplicates import MEMBERS, NEAR, ExactCopies, NearCopies
from mlops_assets.datasets.quality.findings.leakage import Leakage, LeakageFigures
from mlops_assets.datasets.quality.findings.neighbourhoods import PlacedSuspects
from mlops_assets.datasets.quality.findings.separation import PERCENTILES, Separation
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.text.json_values import Json, JsonObject

# significant digits; machines differ in further ones
DIGITS = 7
NAMED = 20


@dataclass(frozen=True, eq=False)
class Findings:
    """The measurements of a data version, by subject.

    Attributes:
        counts: one row per class, one column per split; see `findings.balance`.
        values: of each band in training.
        exact: samples with identical values.
        near: samples that are nearly the same; None if too few to compare.
        leakage: validation and test samples seen in training.
        apart: distances of test samples to training; None where unknown.
        suspects: labels that are probably wrong; None if it cannot be estimated.
    """

    counts: pd.DataFrame
    values: BandValues
    exact: ExactCopies
    near: NearCopies | None
    leakage: Leakage
    apart: Separation | None
    suspects: PlacedSuspects | None


def document(
    committed: CommittedDataset,
    source: SampleValues,
    scanned: Scan,
    findings: Findings,
    checks: list[Check],
) -> JsonObject:
    """Return the content of `quality.json`.

    Args:
        committed: the data version.
        source: the samples that were read.
        scanned: the result of reading them.
        findings: the measurements.
        checks: outcomes that do not depend on thresholds; `verdict` judges the others.
    """
    counts, exact, leakage = findings.counts, findings.exact, findings.leakage
    samples = committed.samples
    kind = committed.document.input.kind
    read = {split: len(chosen) for split, chosen in source.chosen.items()}
    found: dict[str, object] = {
        "data_version": committed.reference,
        "digest": committed.row.digest,
        "samples": committed.row.counts,
        "read": read,
        "left_out": samples["reason"].value_counts().sort_index().to_dict(),
        "class_counts": {
            "of": _counted(committed),
            "classes": counts.to_dict(orient="index"),
            "imbalance": imbalance(counts),
            "distance_from_train": distances_from_train(counts),
            "distance_by_chance": distances_by_chance(counts),
        },
        "values": values_document(findings.values),
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
            "near": _near(findings.near, samples, kind, scanned),
        },
        "leakage": {
            "groups": leakage.groups[:NAMED],
            "seen": len(leakage.seen),
            "held_out": leakage.held_out,
            "sharing_ground": leakage.sharing,
            "figures": asdict(LeakageFigures.of(leakage, kind)),
            "first": [_place(samples, kind, position) for position in leakage.seen[:NAMED]],
        },
        "distance_between_splits": _distances(findings.apart),
        "label_noise": _noise(findings.suspects, committed, kind),
        "checks": check_entries(checks),
        "notes": committed.document.notes,
    }
    return {name: rounded(entry) for name, entry in found.items()}


def _counted(committed: CommittedDataset) -> str:
    """Return what class counts are of; see `assessment.class_counts`."""
    shape = committed.document.input
    if shape.kind == "window" and committed_counts(committed.document.summary) is None:
        return "pixels of the windows that were read"
    return shape.counted


def check_entries(checks: Sequence[Check]) -> list[Json]:
    """Return outcomes of checks as they are in the report."""
    return [
        rounded(
            {
                "name": check.name,
                "passed": check.passed,
                "blocking": check.blocking,
                "description": check.description,
                **check.values,
            }
        )
        for check in checks
    ]


def figures(
    committed: CommittedDataset, findings: Findings, places: Places, splits: NDArray[np.object_]
) -> dict[str, bytes]:
    """Return the figures that apply to this data version, by file name without suffix."""
    from mlops_assets.datasets.quality import figures as draw

    counts, apart = findings.counts, findings.apart

    found: dict[str, bytes | None] = {}
    if len(counts):
        unit = committed.document.input.counted
        found["class_counts"] = draw.class_counts(
            counts, unit, f"{committed.reference}: classes by split"
        )
    found["band_histograms"] = draw.band_histograms(
        findings.values, f"{committed.reference}: values in training"
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
) -> dict[str, object] | None:
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


def _distances(apart: Separation | None) -> dict[str, object] | None:
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
) -> dict[str, object] | None:
    if suspects is None:
        return None
    found = suspects.found
    names = None if committed.classes is None else [entry["name"] for entry in committed.classes]
    worst = []
    for i, position in enumerate(found.positions[:NAMED]):
        within = (0, 0) if suspects.at is None else suspects.at[i].tolist()
        place = _place(committed.samples, kind, position, within)
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


def _place(
    samples: pd.DataFrame, kind: str, position: int, within: Sequence[int] = (0, 0)
) -> dict[str, str | int]:
    """Return the file and split of a sample, and its row and column where it has them.

    Args:
        samples: of the data version.
        kind: kind of `SampleShape`.
        position: in the samples.
        within: row and column of a pixel in the sample.
    """
    row = samples.iloc[int(position)]
    place = {"path": row["path"], "split": row["split"]}
    if kind != "image":
        place["row"] = int(row["row"]) + within[0]
    if kind in ("patch", "window"):
        place["column"] = int(row["column"]) + within[1]
    return place


def _scene_names(committed: CommittedDataset, places: Places) -> list[str]:
    names = pd.factorize(committed.samples["path"])[1]
    first = pd.Series(names).groupby(places.scene).first()
    return [str(name) for name in first]


def rounded(value: object) -> Json:
    """Return a JSON value with numbers rounded to `DIGITS`; NaN and infinities are null.

    Raises:
        TypeError: JSON has no such value.
    """
    if isinstance(value, dict):
        return {str(key): rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return rounded(value.item())
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{value!r} is not a JSON value")
