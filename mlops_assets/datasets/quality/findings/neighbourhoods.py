"""Training samples that are checked for label noise, with their neighbours and origins.

`label_noise` finds the suspects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.descriptors import Descriptor
from mlops_assets.datasets.quality.content.places import Places, earth_centred
from mlops_assets.datasets.quality.content.scan import ASKED, Scan
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.quality.findings.label_noise import (
    FOLDS,
    Suspects,
    suspect_classes,
    suspect_numbers,
)
from mlops_assets.datasets.splits.spatial_blocks import DEFAULT_METRES, DEFAULT_PIXELS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset


@dataclass(frozen=True)
class PlacedSuspects:
    """Suspects with their places.

    Attributes:
        found: the suspects; their positions are into the data version's samples.
        kept_together: what was not divided between folds, for people.
        at: row and column of each in its sample, (n, 2); None where the label is the sample's.
    """

    found: Suspects
    kept_together: str
    at: NDArray[np.int64] | None


def suspects_in(
    committed: CommittedDataset, scanned: Scan, places: Places, declared: pd.Series
) -> PlacedSuspects | None:
    """Find labels that are probably wrong among training samples, or the pixels of windows.

    Args:
        committed: the data version.
        scanned: its values.
        places: of its samples.
        declared: the group of each sample, null where none is declared.
    """
    samples = committed.samples
    at = None
    y: NDArray[np.int64 | np.float64]
    if committed.document.input.kind == "window":
        positions, at = scanned.labelled.sample, scanned.labelled.place
        X = Descriptor(scanned.labelled.values)(scanned.labelled.values)
        y = scanned.labelled.labels
    else:
        train = np.flatnonzero(samples["split"].iloc[scanned.positions] == "train")
        chosen = draw(train, ASKED)
        positions, X = scanned.positions[chosen], scanned.descriptors[chosen]
        labels = samples["label"].iloc[positions]
        index = {str(entry["value"]): i for i, entry in enumerate(committed.classes or [])}
        y = (
            np.array(labels.map(index), dtype=np.int64)
            if committed.classes
            else np.array(labels, dtype=np.float64)
        )
    groups, kept = _kept_together(committed, places, positions, declared.iloc[positions])
    found = (
        suspect_classes(X, y.astype(np.int64), groups)
        if committed.classes
        else suspect_numbers(X, y.astype(np.float64), groups)
    )
    if found is None:
        return None
    own = found.positions
    return PlacedSuspects(
        replace(found, positions=positions[own]), kept, None if at is None else at[own]
    )


def _kept_together(
    committed: CommittedDataset, places: Places, positions: NDArray[np.int64], declared: pd.Series
) -> tuple[NDArray[np.int64] | None, str]:
    """Return the group of each position.

    It is the declared one, else a block of ground or scene, else None.
    """
    if len(positions) and declared.notna().all():
        return pd.factorize(declared)[0], "groups"
    if places.on_ground[positions].all():
        points = earth_centred(places.longitude[positions], places.latitude[positions])
        side = DEFAULT_METRES
        unit = "m"
    elif places.in_scenes:
        points = places.points(positions)
        side = DEFAULT_PIXELS
        unit = "px"
    else:
        return None, "nothing"
    split = committed.specification.split
    if split.method == "spatial_block" and split.block:
        side = split.block
    axes = points[:, -2:] if unit == "px" else points
    ranges = np.ptp(axes, axis=0) if len(points) else np.zeros(1)
    side = min(side, max(float(ranges.max()) / FOLDS, 1e-9))  # enough blocks for the folds
    blocks = np.floor(points / side).astype(np.int64)
    return (
        np.unique(blocks, axis=0, return_inverse=True)[1].reshape(-1),
        f"blocks of {side:.4g} {unit}",
    )
