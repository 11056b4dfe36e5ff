"""Match the samples of two data versions.

Positions are arrays; samples are never looped over.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def among(column: pd.Series, values: pd.Series) -> NDArray[np.bool_]:
    """Return which texts of a column are among many.

    Pandas' own `isin` takes 10 µs for each of those (3.1, arrow).
    """
    wanted = set(values.tolist())
    return np.fromiter((text in wanted for text in column.tolist()), dtype=bool, count=len(column))


def match_samples(
    before: CommittedDataset, after: CommittedDataset, renamed: pd.DataFrame, changed: pd.Series
) -> Pairs:
    """Pair the samples of two data versions.

    Args:
        before: one data version.
        after: the other.
        renamed: files with the same bytes under another path, columns `before` and `path`.
        changed: paths whose bytes differ.

    Returns:
        Positions in `before.samples` and in `after.samples`, both int64 of shape (pairs,).
    """
    old, new = before.samples, after.samples
    names = dict(zip(renamed["before"], renamed["path"], strict=True))
    paths = old["path"].map(lambda path: names.get(path, path)) if names else old["path"]
    tables = all(committed.document.input.kind == "row" for committed in (before, after))
    if not tables:
        return _same_place(
            old.assign(path=paths), new, *(np.arange(len(samples)) for samples in (old, new))
        )
    # rows keep their number only in tables that are the same
    old_same = among(paths, new["path"]) & ~among(paths, changed)
    new_same = among(new["path"], paths) & ~among(new["path"], changed)
    placed = _same_place(
        old.assign(path=paths), new, np.flatnonzero(old_same), np.flatnonzero(new_same)
    )
    content = _same_content(before, after, np.flatnonzero(~old_same), np.flatnonzero(~new_same))
    return np.concatenate([placed[0], content[0]]), np.concatenate([placed[1], content[1]])


def _same_place(
    old: pd.DataFrame, new: pd.DataFrame, i: NDArray[np.int64], j: NDArray[np.int64]
) -> Pairs:
    """Pair those of the samples at `i` and `j` that are at the same place of the same file."""
    paths = pd.Index(new["path"].unique())

    def keys(samples: pd.DataFrame) -> pd.DataFrame:
        return samples[["row", "column"]].assign(path=paths.get_indexer(samples["path"]))

    return _pairs(keys(old.iloc[i]), keys(new.iloc[j]), i, j)


def _same_content(
    before: CommittedDataset, after: CommittedDataset, i: NDArray[np.int64], j: NDArray[np.int64]
) -> Pairs:
    """Pair rows of tables that have the same features.

    Rows with the same label are paired first, then the rest.
    """
    if not len(i) or not len(j):
        return i[:0], j[:0]
    common = [name for name in after.document.features if name in set(before.document.features)]
    if not common:
        return _same_place(before.samples, after.samples, i, j)
    left, right = _content(before, i, common), _content(after, j, common)
    first = _pairs(left, right, i, j)
    rest_i, rest_j = ~np.isin(i, first[0]), ~np.isin(j, first[1])
    second = _pairs(left[rest_i][["content"]], right[rest_j][["content"]], i[rest_i], j[rest_j])
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def _content(
    committed: CommittedDataset, positions: NDArray[np.int64], features: list[str]
) -> pd.DataFrame:
    """A hash of the features, and the label, of the rows at these positions."""
    samples = committed.samples.iloc[positions]
    columns = [committed.document.features.index(name) for name in features]
    hashes = np.empty(len(samples), dtype=np.uint64)
    for path, rows in samples.groupby("path", sort=False).indices.items():
        places = samples.iloc[rows][["row", "column"]].to_numpy(dtype=np.int64)
        block = (
            LAYOUTS[committed.layout]
            .read(committed, str(path), places, "row")[:, columns]
            .astype(np.float64)
        )
        block[block == 0] = 0  # negative zero equals zero
        hashes[rows] = pd.util.hash_pandas_object(pd.DataFrame(block), index=False).to_numpy()
    return pd.DataFrame({"content": hashes, "label": samples["label"].astype(str).to_numpy()})


def _pairs(
    left: pd.DataFrame, right: pd.DataFrame, i: NDArray[np.int64], j: NDArray[np.int64]
) -> Pairs:
    """Pair equal keys; of keys that occur several times the first with the first, and so on."""
    names = list(left)
    numbered = [
        keys.assign(nth=keys.groupby(names, sort=False).cumcount().to_numpy(), position=position)
        for keys, position in ((left, i), (right, j))
    ]
    found = numbered[0].merge(numbered[1], on=[*names, "nth"], suffixes=("_left", "_right"))
    return found["position_left"].to_numpy(dtype=np.int64), found["position_right"].to_numpy(
        dtype=np.int64
    )
