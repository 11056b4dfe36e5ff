"""The batches of a split, on the device.

Their order is that of the data version's loader, and every process takes its share of each.

A small split is held on the device; a larger one is read from the decoded cache, ahead if there are
workers, or streamed ahead by threads. All give the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mlops_assets.datasets.loading.framework_loaders import Batch, Batches, SplitDataset
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.training.trainers.torch_loop.augmentation import Turns

if TYPE_CHECKING:
    from mlops_assets.datasets.loading.training_data import Shuffle, TrainingData

# of samples and labels; larger splits are read batch by batch
RESIDENT_BYTES = 512 << 20


@dataclass(frozen=True)
class Share:
    """One process's share of a batch; `seed` is the batch's, for every random draw in it."""

    seed: int
    samples: Tensor
    labels: Tensor


@dataclass(frozen=True)
class FeedOptions:
    """The options that the splits of one training have in common.

    Attributes:
        batch_size: samples of a batch, over all processes.
        seed: of the order and of what is drawn.
        device: `cpu` or `cuda:N`, where batches are wanted.
        unknown: label of a sample or pixel without one.
        workers: processes that read ahead.
        shuffle: order of the training split: `samples`, or `runs` of neighbours.
        rank: number of this process.
        world_size: processes that train together.
    """

    batch_size: int
    seed: int
    device: str
    unknown: float
    workers: int = 0
    shuffle: Literal["samples", "runs"] = "samples"
    rank: int = 0
    world_size: int = 1


class Shares:
    """A sampler: positions of this process's samples, replaced at each epoch."""

    def __init__(self, dataset: SplitDataset, order: Batches) -> None:
        self.batches: list[Batch] = []
        self._dataset = dataset
        self._order = order

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return self._dataset.ahead(self.batches, self._order)


class Feed:
    """The batches of one split."""

    def __init__(
        self,
        data: TrainingData,
        split: SplitName,
        options: FeedOptions,
        turns: Turns | None = None,
    ) -> None:
        """Open a split.

        Args:
            data: the data version.
            split: which samples; `train` is shuffled.
            options: batches, device and processes.
            turns: augmentation of the samples, if any.
        """
        self._options = options
        self._turns = turns
        self._dataset = data.torch_dataset(split)
        shuffle: Shuffle = split == "train"
        if shuffle and options.shuffle == "runs":
            shuffle = "runs"
        self._batches = data.batch_order(split, options.batch_size, options.seed, shuffle)
        self._held: tuple[Tensor, Tensor] | None = None
        self._shares = Shares(self._dataset, self._batches)
        labels = data.sample_shape[1:] if data.view == "window" else ()
        size = len(self._dataset) * (4 * int(np.prod(data.sample_shape)) + 8 * int(np.prod(labels)))
        if size <= RESIDENT_BYTES:
            X, y = data.arrays(split)
            y = y.astype(self._dataset.label_type, copy=False)
            self._held = (
                torch.from_numpy(X).to(options.device),
                torch.from_numpy(y).to(options.device),
            )
        else:
            workers = 0 if self._dataset.is_streamed else options.workers
            self._loader: Iterable[tuple[Tensor, Tensor]] = DataLoader(
                self._dataset,
                sampler=self._shares,
                batch_size=None,
                num_workers=workers,
                persistent_workers=workers > 0,
                pin_memory=options.device != "cpu",
                generator=torch.Generator(),
            )

    @property
    def samples(self) -> int:
        """Samples of the split."""
        return self._batches.samples

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, number: int) -> Iterator[Share]:
        """Yield the batches of an epoch, which depend on seed and number alone."""
        self._batches.epoch = number
        batches = list(self._batches)
        ranges = [self._range(len(batch.positions)) for batch in batches]
        # a process without a share takes one sample, whose label is unknown: all of them must step
        # together
        self._shares.batches = [
            Batch(batch.positions[start:end] if end > start else batch.positions[:1], batch.seed)
            for batch, (start, end) in zip(batches, ranges, strict=True)
        ]
        for batch, (start, end), (samples, labels) in zip(
            batches, ranges, self._read(), strict=True
        ):
            if end == start:
                labels = torch.full_like(labels, self._options.unknown)
            elif self._turns is not None:
                drawn = self._turns.draw(len(batch.positions), batch.seed)[start:end]
                samples, labels = self._turns.apply(samples, labels, drawn)
            yield Share(batch.seed, samples, labels)

    def _range(self, size: int) -> tuple[int, int]:
        """Return the start and the end of this process's share of a batch."""
        rank = self._options.rank
        world_size = self._options.world_size
        return size * rank // world_size, size * (rank + 1) // world_size

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        device = self._options.device
        if self._held is None:
            for samples, labels in self._loader:
                yield (
                    samples.to(device, non_blocking=True),
                    labels.to(device, non_blocking=True),
                )
            return
        X, y = self._held
        for batch in self._shares.batches:
            positions = torch.from_numpy(batch.positions).to(device)
            yield X[positions], y[positions]
