"""Dividing samples into train, validation and test so that the division is stable and does not leak.

A sample's place is decided by a hash of what it is (its content, group or block), never by chance or by order:
when a dataset grows, no test sample moves into training. `temporal` is the exception, as time moves on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.contents import Contents
from mlops_assets.datasets.specification import SPLITS, Split
from mlops_assets.errors import SpecificationError

ALIASES = {"training": "train", "val": "validation", "valid": "validation", "validate": "validation", "testing": "test"}


def assign_splits(contents: Contents, split: Split) -> pd.DataFrame:
    """Return the samples with the columns `split` and `reason` (why a sample is in no split).

    Raises:
        SpecificationError: the split leaves training or test empty, or the data names an unknown split.
    """
    samples = contents.samples.copy()
    methods: dict[str, Callable[[pd.DataFrame, Split, Contents], pd.Series]] = {
        "column": _by_column, "random": _random, "group": _by_group,
        "spatial_block": _by_block, "temporal": _by_time,
    }  # fmt: skip
    samples["split"] = methods[split.method](samples, split, contents)
    samples["reason"] = None
    if split.method == "spatial_block" and split.buffer:
        near = (samples["split"] != "train") & near_training_block(samples, split, contents)
        samples.loc[near, "reason"] = "within the buffer of a training block"
        samples.loc[near, "split"] = None
    for name in ("train", "test"):
        if not (samples["split"] == name).any():
            raise SpecificationError(
                f"split method {split.method!r} puts no sample into {name} ({len(samples)} samples); "
                "change 'split' (fractions, seed, block, buffer) or land more data"
            )
    return samples


def near_training_block(samples: pd.DataFrame, split: Split, contents: Contents) -> NDArray[np.bool_]:
    """Say which samples have a training block within `split.buffer` pixels. By place, so growth changes nothing."""
    near = np.zeros(len(samples), dtype=bool)
    side = contents.input["size"] if contents.input["kind"] == "window" else 1
    for scene in contents.scenes:
        index = np.flatnonzero((samples["path"] == scene.path).to_numpy())
        rows = -(-scene.height // split.block)
        columns = -(-scene.width // split.block)
        train = np.array(
            [[_place(split, _block_key(scene.path, r, c)) == "train" for c in range(columns)] for r in range(rows)]
        )
        blocks = np.kron(train, np.ones((split.block, split.block), dtype=bool))[: scene.height, : scene.width]
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)[index]
        near[index] = any_within(blocks, places, split.buffer, side)
    return near


def any_within(mask: NDArray[np.bool_], places: NDArray[np.int64], reach: int, side: int = 1) -> NDArray[np.bool_]:
    """Say of squares in a raster whether the mask is set inside of them or within `reach` pixels (Chebyshev).

    Args:
        mask: bool of shape (height, width).
        places: int64 of shape (n, 2), row and column of each square's upper left pixel.
        reach: pixels around each square.
        side: side of each square, pixels.
    """
    counted = np.pad(np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    top, left = np.maximum(places - reach, 0).T
    bottom, right = np.minimum(places + side + reach, mask.shape).T
    return np.asarray(counted[bottom, right] - counted[top, right] - counted[bottom, left] + counted[top, left] > 0)


def _place(split: Split, key: str | bytes) -> str:
    """Return the split of one key: a hash makes it a number in [0, 1), which falls into one of the fractions."""
    data = key if isinstance(key, bytes) else key.encode()
    number = int.from_bytes(hashlib.sha256(f"{split.seed}\0".encode() + data).digest()[:8], "big") / 2**64
    edge = 0.0
    for name in SPLITS:
        edge += split.fractions.get(name, 0.0)  # type: ignore[call-overload]
        if number < edge:
            return name
    return "train"


def _placed(split: Split, keys: Iterable[str | bytes], index: pd.Index) -> pd.Series:
    known: dict[str | bytes, str] = {}
    return pd.Series(
        [known[k] if k in known else known.setdefault(k, _place(split, k)) for k in keys], index, dtype=object
    )


def _random(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    if "content" in samples:  # equal rows go together, so that no copy of a test row is trained on
        return _placed(split, samples["content"], samples.index)
    keys = samples["path"] + "\0" + samples["row"].astype(str) + "\0" + samples["column"].astype(str)
    return _placed(split, keys, samples.index)


def _by_group(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    return _placed(split, samples["group"], samples.index)


def _block_key(path: str, row: int, column: int) -> str:
    return f"{path}\0{row}\0{column}"


def _by_block(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    rows, columns = samples["row"] // split.block, samples["column"] // split.block
    keys = [_block_key(p, r, c) for p, r, c in zip(samples["path"], rows, columns, strict=True)]
    return _placed(split, keys, samples.index)


def _by_column(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    named: Mapping[str, str] = {**{name: name for name in SPLITS}, **ALIASES}
    found = samples["declared_split"].map(named.get)
    if found.isna().any():
        unknown = sorted(samples.loc[found.isna(), "declared_split"].unique())[:10]
        raise SpecificationError(
            f"the split column has {', '.join(map(repr, unknown))}; it may say {', '.join(SPLITS)} "
            f"(or {', '.join(ALIASES)})"
        )
    return found


def _by_time(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    times = samples["time"]
    edges = np.cumsum([split.fractions.get(name, 0.0) for name in SPLITS])[:2]  # type: ignore[call-overload]
    first, second = times.quantile(edges[0]), times.quantile(min(edges[1], 1.0))
    placed = np.where(times <= first, "train", np.where(times <= second, "validation", "test"))
    return pd.Series(placed, samples.index, dtype=object)
