"""One pass over the values of all samples, in bounded memory and time.

It yields digests, descriptors, statistics and drawn pixels; `findings` evaluates them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.descriptors import Descriptor, cells
from mlops_assets.datasets.quality.content.sample_values import Block, SampleValues
from mlops_assets.datasets.quality.content.subsample import SEED, Kind, draw
from mlops_assets.datasets.quality.content.values import RunningStatistics, unusable
from mlops_assets.datasets.specification.dataset import SPLITS

FITTED = 2000  # training samples that descriptors are fitted to
DRAWN = 50_000  # pixels or rows of training that percentiles and histograms are made of
ASKED = 10_000  # labelled pixels or samples of training that are checked for label noise


@dataclass(frozen=True)
class Pixels:
    """Values of single pixels (or rows) of training samples; `m` is their number.

    Attributes:
        sample: position of the sample each is from, (m,).
        place: row and column of each in its sample, (m, 2).
        values: (m, bands), NaN where unusable.
        labels: class index of each, (m,), -1 where unknown or it is the sample that has the label.
    """

    sample: NDArray[np.int64]
    place: NDArray[np.int64]
    values: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Scan:
    """The result of a pass over the samples' values; `n` samples were read.

    Attributes:
        positions: position in the data version's samples of each sample that was read, ascending,
            (n,).
        digests: of each sample's values, (n,); equal values have equal digests.
        descriptors: short vectors, (n, dimensions).
        statistics: of all training samples that were read; of patches, of their centre pixels.
        ceiling: highest value of the data's integer type, or None for floating point.
        drawn: training pixels or rows, whether they are labelled or not.
        labelled: labelled training pixels of windows.
        pixels: for windows, pixels of each class, (classes,), in each split.
    """

    positions: NDArray[np.int64]
    digests: NDArray[np.uint64]
    descriptors: NDArray[np.float32]
    statistics: RunningStatistics
    ceiling: float | None
    drawn: Pixels
    labelled: Pixels
    pixels: dict[str, NDArray[np.int64]]


def scan(source: SampleValues) -> Scan:
    """Go through the values of all samples once, and of some training samples twice."""
    descriptor = _fitted(source)
    statistics = RunningStatistics(source.bands)
    train = source.chosen["train"]
    drawn, labelled = _Drawing(train, DRAWN, source), _Drawing(train, ASKED, source)
    positions, digests, descriptors = [], [], []
    pixels: dict[str, NDArray[np.int64]] = {}
    ceiling = None
    for split in SPLITS:
        for block in source.blocks(split, source.chosen[split]):
            bad = unusable(block.X, source.nodata(block.positions), block.shown)
            positions.append(block.positions)
            digests.append(_digests(block.X))
            descriptors.append(descriptor(cells(block.X, bad)))
            if block.y is not None:
                counted = np.bincount(block.y[block.y >= 0].ravel(), minlength=source.classes)
                pixels[split] = pixels.get(split, 0) + counted
            if split == "train":
                seen, lost = _seen(source.kind, block.X), _seen(source.kind, bad)
                statistics.add(seen, lost)
                drawn.add(block, seen, lost)
                if block.y is not None:
                    labelled.add(block, seen, lost, among=block.y >= 0)
                if np.issubdtype(block.X.dtype, np.integer):
                    ceiling = float(np.iinfo(str(block.X.dtype)).max)
    order = np.argsort(np.concatenate(positions))
    return Scan(
        np.concatenate(positions)[order],
        np.concatenate(digests)[order],
        np.concatenate(descriptors)[order],
        statistics,
        ceiling,
        drawn.pixels(),
        labelled.pixels(),
        pixels,
    )


class _Drawing:
    """Draws pixels of training samples, the same ones every time."""

    def __init__(self, train: NDArray[np.int64], most: int, source: SampleValues) -> None:
        self._samples = draw(train, most)
        each = max(1, most // max(len(train), 1)) if source.kind in ("window", "image") else 1
        self._chance = np.random.default_rng(SEED).random((len(self._samples), each))
        self._bands = source.bands
        self._parts: list[Pixels] = []

    def add(
        self,
        block: Block,
        seen: NDArray[np.generic],
        lost: NDArray[np.bool_],
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        """Draw from a block, from all pixels or those of a mask of shape (n, height, width)."""
        inside = np.flatnonzero(np.isin(block.positions, self._samples))
        if not len(inside):
            return
        chance = self._chance[np.searchsorted(self._samples, block.positions[inside])]
        flat = seen.reshape(*seen.shape[:2], -1)
        if among is None:
            index, pixel = (
                np.repeat(inside, chance.shape[1]),
                (chance * flat.shape[2]).astype(np.int64).ravel(),
            )
        else:
            index, pixel = _among(among.reshape(len(among), -1), inside, chance)
        values = flat[index, :, pixel].astype(np.float64)
        values[lost.reshape(flat.shape)[index, :, pixel]] = np.nan
        width = seen.shape[3] if seen.ndim == 4 else 1
        labels = (
            np.full(len(index), -1)
            if block.y is None
            else block.y.reshape(len(block.y), -1)[index, pixel]
        )
        place = np.stack([pixel // width, pixel % width], axis=1)
        self._parts.append(Pixels(block.positions[index], place, values, labels.astype(np.int64)))

    def pixels(self) -> Pixels:
        """Return all pixels that were drawn, by sample."""
        nothing = np.zeros(0, dtype=np.int64)
        parts = [
            Pixels(nothing, nothing.reshape(0, 2), np.zeros((0, self._bands)), nothing),
            *self._parts,
        ]
        sample = np.concatenate([part.sample for part in parts])
        order = np.argsort(sample, kind="stable")
        return Pixels(
            sample[order],
            np.concatenate([part.place for part in parts])[order],
            np.concatenate([part.values for part in parts])[order],
            np.concatenate([part.labels for part in parts])[order],
        )


def _among(
    mask: NDArray[np.bool_], inside: NDArray[np.int64], chance: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw pixels of a mask (samples, pixels): which sample and which pixel of it."""
    index, pixel = [], []
    for one, luck in zip(inside.tolist(), chance, strict=True):
        known = np.flatnonzero(mask[one])
        if len(known):
            found = np.unique(known[(luck * len(known)).astype(np.int64)])
            index.append(np.full(len(found), one))
            pixel.append(found)
    nothing = [np.zeros(0, dtype=np.int64)]
    return np.concatenate(nothing + index), np.concatenate(nothing + pixel)


def _fitted(source: SampleValues) -> Descriptor:
    some = draw(source.chosen["train"], FITTED)
    return Descriptor(
        np.concatenate(
            [
                cells(block.X, unusable(block.X, source.nodata(block.positions), block.shown))
                for block in source.blocks("train", some)
            ]
        )
    )


def _seen(kind: str, block: NDArray[Kind]) -> NDArray[Kind]:
    """Return the values that statistics are made of.

    Of a patch its centre, as what is around may be of another split.
    """
    return block[:, :, block.shape[2] // 2, block.shape[3] // 2] if kind == "patch" else block


def _digests(block: NDArray[np.generic]) -> NDArray[np.uint64]:
    block = np.ascontiguousarray(block)
    found = b"".join(hashlib.blake2b(sample.data, digest_size=8).digest() for sample in block)
    return np.frombuffer(found, dtype=np.uint64)
