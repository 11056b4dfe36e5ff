"""Division of samples into train, validation and test, stable and without leaks.

A sample's place is decided by a hash of what it is (its content, group or block), never by chance
or by order: when a dataset grows, no test sample moves into training. `temporal` is the exception,
as time moves on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import numpy as np
import pandas as pd

from mlops_assets.datasets.specification.dataset import SPLITS, Split
from mlops_assets.datasets.splits.spatial_blocks import Blocks, blocks_of, ground_blocks
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import SpecificationError

_KEYS_AT_ONCE = 1 << 15  # bounds the memory that hashes take
SEEDED = ("random", "group", "spatial_block")  # methods whose division another seed changes
ALIASES = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "testing": "test",
}


def assign_splits(contents: Contents, split: Split) -> pd.DataFrame:
    """Return the samples with the columns `split` and `reason` (why a sample is in no split).

    Raises:
        SpecificationError: the split leaves training or test empty, or the data names an unknown
            split.
    """
    samples = divided(contents, split)
    for name in ("train", "test"):
        if not (samples["split"] == name).any():
            raise SpecificationError(
                f"split method {split.method!r} puts no sample into {name} ({len(samples)}"
                " samples); change 'split' (fractions, seed, block, buffer) or land more data"
            )
    return samples


def divided(contents: Contents, split: Split) -> pd.DataFrame:
    """Return the samples as `assign_splits` does, also where a split is empty.

    Raises:
        SpecificationError: the data names an unknown split, or lacks what the method needs.
    """
    samples = contents.samples.copy()
    methods: dict[str, Callable[[pd.DataFrame, Split, Contents], pd.Series]] = {
        "column": _by_column,
        "random": _random,
        "group": _by_group,
        "spatial_block": _by_block,
        "temporal": _by_time,
    }
    samples["split"] = methods[split.method](samples, split, contents)
    given = samples["reason"] if "reason" in samples else pd.Series(None, index=samples.index)
    samples["reason"] = given.astype(object).where(given.notna(), None)
    if split.method == "spatial_block" and split.buffer:
        blocks = blocks_of(samples, contents, split)
        near = (samples["split"] != "train") & blocks.near(
            lambda *block: _place(split, _block_key(*block)) == "train"
        )
        samples.loc[near, "reason"] = "within the buffer of a training block"
    samples.loc[samples["reason"].notna(), "split"] = None
    return samples


def _place(split: Split, key: str | bytes) -> str:
    """Return the split of one key.

    A hash makes it a number in [0, 1), which falls into one of the fractions.
    """
    data = key if isinstance(key, bytes) else key.encode()
    number = (
        int.from_bytes(hashlib.sha256(f"{split.seed}\0".encode() + data).digest()[:8], "big")
        / 2**64
    )
    edge = 0.0
    for name in SPLITS:
        edge += split.fractions.get(name, 0.0)  # type: ignore[call-overload]
        if number < edge:
            return name
    return "train"


def _placed(split: Split, keys: Iterable[str | bytes], index: pd.Index) -> pd.Series:
    """Return `_place` of each key, many at once."""
    seed, sha256 = f"{split.seed}\0".encode(), hashlib.sha256
    edges = np.cumsum([split.fractions.get(name, 0.0) for name in SPLITS])  # type: ignore[call-overload]
    names = np.array([*SPLITS, "train"], dtype=object)
    places = np.empty(len(index), dtype=object)
    waiting = iter(keys)
    for start in range(0, len(index), _KEYS_AT_ONCE):
        own = list(islice(waiting, _KEYS_AT_ONCE))
        different = list(dict.fromkeys(own))
        hashes = [
            sha256(seed + (key if isinstance(key, bytes) else key.encode())).digest()[:8]
            for key in different
        ]
        numbers = np.frombuffer(b"".join(hashes), dtype=">u8").astype(np.float64) / 2**64
        found = names[np.searchsorted(edges, numbers, side="right")].tolist()
        place = dict(zip(different, found, strict=True))
        places[start : start + len(own)] = [place[key] for key in own]
    return pd.Series(places, index, dtype=object)


def _random(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    if "content" in samples:  # equal rows go together, so that no copy of a test row is trained on
        return _placed(split, samples["content"], samples.index)
    keys = (
        samples["path"] + "\0" + samples["row"].astype(str) + "\0" + samples["column"].astype(str)
    )
    return _placed(split, keys, samples.index)


def _by_group(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    return _placed(split, samples["group"], samples.index)


def _block_key(path: str, row: int, column: int) -> str:
    return f"{path}\0{row}\0{column}"


def in_ground_blocks(samples: pd.DataFrame, split: Split) -> pd.Series:
    """Return the split of samples whose places are known, as `spatial_block` has it.

    The buffer is left out of account.
    """
    return _in_blocks(ground_blocks(samples, split), split, samples.index)


def _by_block(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    return _in_blocks(blocks_of(samples, contents, split), split, samples.index)


def _in_blocks(blocks: Blocks, split: Split, index: pd.Index) -> pd.Series:
    keys = [
        _block_key(p, r, c) for p, (r, c) in zip(blocks.scope, blocks.index.tolist(), strict=True)
    ]
    return _placed(split, keys, index)


def _by_column(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    named: Mapping[str, str] = {**{name: name for name in SPLITS}, **ALIASES}
    found = samples["declared_split"].map(named.get)
    if found.isna().any():
        unknown = sorted(samples.loc[found.isna(), "declared_split"].unique())[:10]
        raise SpecificationError(
            f"the split column has {', '.join(map(repr, unknown))}; allowed are"
            f" {', '.join(SPLITS)} (or {', '.join(ALIASES)})"
        )
    return found


def _by_time(samples: pd.DataFrame, split: Split, contents: Contents) -> pd.Series:
    times: pd.Series = pd.to_datetime(samples["time"], utc=True)
    if times.isna().any():
        unknown = sorted(set(samples.loc[times.isna(), "path"]))
        raise SpecificationError(
            "split method 'temporal' needs every sample's time; it is unknown for"
            f" {', '.join(unknown[:5])}; add it to the files, or 'date' to the source"
        )
    edges = np.cumsum(
        [split.fractions.get(name, 0.0) for name in SPLITS]  # type: ignore[call-overload]
    )[:2]
    shares = times.value_counts(normalize=True).sort_index()
    # rank of the middle of each moment's samples, so that of two dates the second is always tested
    middle = times.map(shares.cumsum() - shares / 2)
    placed = np.where(middle < edges[0], "train", np.where(middle < edges[1], "validation", "test"))
    return pd.Series(placed, samples.index, dtype=object)
