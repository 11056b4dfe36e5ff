"""Statistics of a training split, which samples are scaled by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.datasets.loading.streamed import StreamedArray
from mlops_assets.datasets.readers import View
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.framework_loaders import StoredSamples

# of float64, held in memory at once
BLOCK_BYTES = 32 << 20


def training_statistics(
    committed: CommittedDataset,
    X: StoredSamples,
    shown: CheckedArray[np.bool_] | StreamedArray[np.bool_] | None,
    view: View,
    chosen: Sequence[int] | None,
) -> dict[str, list[float | None]]:
    """Return statistics of the training split: `mean`, `std`, `min` and `max` of each feature.

    Of a patch only the centre counts: the pixels around it may belong to another split.

    Args:
        committed: the data version.
        X: the samples of its training split, with all features.
        shown: which values alpha and masks leave, of the shape of X; None without such.
        view: shape of a sample.
        chosen: indices of the features; None takes all.
    """
    from mlops_assets.datasets.quality.content.sample_values import SampleValues
    from mlops_assets.datasets.quality.content.values import RunningStatistics, unusable

    nodata = SampleValues(committed).nodata
    positions = np.flatnonzero(committed.samples["split"] == "train")
    middle = (X.shape[2] // 2, X.shape[3] // 2) if view == "patch" else ()
    centre = (slice(None), slice(None), *middle)
    taken = slice(None) if chosen is None else chosen
    running = RunningStatistics(X.shape[1] if chosen is None else len(chosen))
    step = max(1, BLOCK_BYTES // (8 * int(np.prod(X.shape[1:]))))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        part = X[rows][centre][:, taken]
        seen = None if shown is None else shown[rows][centre][:, taken]
        running.add(part, unusable(part, nodata(positions[start : start + step])[:, taken], seen))
    return running.document()
