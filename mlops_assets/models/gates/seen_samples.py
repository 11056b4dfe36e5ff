"""Test samples that a model version has seen in training, on any data version.

A sample counts as seen if its unit of the split, a block or group, has a sample in training or
validation. Where the split has no such units, it is seen if it is there itself: a row of a table by
its values, any other by its place in the file, under the file's name or its content.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.splits.spatial_blocks import blocks_of
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import SpecificationError
from mlops_assets.models.evaluation.slices import group_column

SEEN: Sequence[SplitName] = ("train", "validation")
# columns of the manifest that identify a file, which may be renamed or replaced
FILE_COLUMNS = ("path", "sha256")
Keys = NDArray[np.uint64]


def seen_samples(test: CommittedDataset, trained_on: CommittedDataset) -> NDArray[np.bool_]:
    """Return which test samples of a data version are in the training or validation of another.

    Args:
        test: the data version whose test split is asked for.
        trained_on: the data version that a model was trained on; it may be the same one.

    Returns:
        (n,), in the order of the test split.

    Raises:
        SpecificationError: the samples of the two have nothing by which they can be compared.
    """
    method = test.specification.split.method
    samples, own = trained_on.samples, test.split("test")
    known = samples[samples["split"].isin(SEEN)]
    if method == "spatial_block":
        return np.logical_or(
            *(
                np.isin(_blocks(test, test, own, column), _blocks(test, trained_on, known, column))
                for column in FILE_COLUMNS
            )
        )
    if method == "group":
        return np.isin(_groups(test, test, own), _groups(test, trained_on, known))
    if {test.document.input.kind, trained_on.document.input.kind} == {"row"}:
        return _seen_rows(test, trained_on)
    return np.logical_or(
        *(
            np.isin(_places(test, own, column), _places(trained_on, known, column))
            for column in FILE_COLUMNS
        )
    )


def _blocks(
    test: CommittedDataset, committed: CommittedDataset, samples: pd.DataFrame, column: str
) -> Keys:
    """Return the block of each sample of a data version, on the grid of the split of `test`.

    Blocks are counted on the ground, or in a file, which a column of the manifest identifies.
    """
    document = committed.document
    contents = Contents(
        samples, committed.manifest, committed.classes, document.features, document.input
    )
    blocks = blocks_of(samples, contents, test.specification.split)
    frame = pd.DataFrame(blocks.index, columns=["row", "column"])
    scope = pd.Series(blocks.scope, dtype=object)
    file = scope.map(_files(committed, column))
    return _keys(frame.assign(scope=file.fillna(scope).astype(str)))


def _groups(test: CommittedDataset, committed: CommittedDataset, samples: pd.DataFrame) -> Keys:
    if samples["group"].isna().any():
        raise SpecificationError(
            f"samples of {committed.reference} have no group, by which {test.reference} is split"
        )
    by, own = group_column(test), group_column(committed)
    if by != own:
        raise SpecificationError(
            f"{test.reference} is split by {by!r}, and the groups of {committed.reference} are of"
            f" {own!r}"
        )
    return _keys(samples[["group"]].astype(str))


def _places(committed: CommittedDataset, samples: pd.DataFrame, column: str) -> Keys:
    """Return the place of each sample in its file, which a column of the manifest identifies."""
    places = samples[["row", "column"]].astype(np.int64)
    return _keys(places.assign(file=samples["path"].map(_files(committed, column)).astype(str)))


def _files(committed: CommittedDataset, column: str) -> pd.Series:
    """Return a column of the manifest, by the path of the file."""
    return committed.manifest.drop_duplicates("path").set_index("path", drop=False)[column]


def _seen_rows(test: CommittedDataset, trained_on: CommittedDataset) -> NDArray[np.bool_]:
    shared = set(trained_on.document.features)
    features = [name for name in test.document.features if name in shared]
    if not features:
        raise SpecificationError(
            f"{test.reference} and {trained_on.reference} have no column in common"
        )
    known = np.concatenate([_rows(trained_on, features, split) for split in SEEN])
    return np.isin(_rows(test, features, "test"), known)


def _rows(committed: CommittedDataset, features: list[str], split: SplitName) -> Keys:
    """Return the values of each row of a split."""
    task = "regression" if committed.classes is None else "classification"
    batches = TrainingData(committed, task, "row", features).batches(split)
    found = [_keys(pd.DataFrame(X)) for X, _ in batches]
    return np.concatenate(found) if found else np.empty(0, dtype=np.uint64)


def _keys(frame: pd.DataFrame) -> Keys:
    """Return a hash of each row of a table, of 64 bits."""
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)
