"""A split for PyTorch and TensorFlow.

Both give the same batches in the same order, with any number of workers.

TensorFlow is an extra and imported only on use; PyTorch is imported with this module.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlops_assets.datasets.loading.order import Runs
from mlops_assets.datasets.loading.scaling import Preparation
from mlops_assets.datasets.loading.streamed import StreamedArray, StreamedSplit
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.decoded_cache import LABELS, SAMPLES, Decoded
from mlops_assets.errors import MissingExtra

if TYPE_CHECKING:
    import tensorflow as tf

# batches that TensorFlow reads ahead
AHEAD = 2

Labels: TypeAlias = NDArray[np.int64 | np.float64]
StoredSamples: TypeAlias = CheckedArray[np.generic] | StreamedArray[np.generic]
# labels of windows are checked when they are read; labels of other samples are held in memory
StoredLabels: TypeAlias = CheckedArray[np.integer] | StreamedArray[np.integer] | Labels
# `transform(sample, label) -> (sample, label)`
Transform: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Batch:
    """A batch of a split.

    Attributes:
        positions: of its samples in the split.
        seed: of what is drawn for them.
        rows: the samples, neither selected nor scaled, and their labels, if they were read ahead.
    """

    positions: NDArray[np.int64]
    seed: int
    rows: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None


class Batches:
    """The batches of every epoch; the order of one depends on seed and epoch alone.

    Attributes:
        epoch: the next epoch; set it to continue where a run was interrupted.
    """

    def __init__(
        self, samples: int, size: int, seed: int, shuffle: bool, runs: Runs | None = None
    ) -> None:
        """Define the order.

        Args:
            samples: of the split.
            size: samples per batch.
            seed: of the order.
            shuffle: use another order each epoch.
            runs: neighbours that stay together, if they are to.
        """
        self.samples = samples
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.runs = runs
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.samples // self.size)

    def __iter__(self) -> Iterator[Batch]:
        generator = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        if not self.shuffle:
            order = np.arange(self.samples)
        elif self.runs is None:
            order = generator.permutation(self.samples)
        else:
            order = self.runs.shuffled(generator, self.size)
        seeds = generator.integers(2**32, size=len(self))
        for number, seed in enumerate(seeds.tolist()):
            yield Batch(order[number * self.size : (number + 1) * self.size], seed)


class BatchesAhead(Batches):
    """Batches whose samples are read ahead, if the split is streamed."""

    def __init__(self, dataset: SplitDataset, batches: Batches) -> None:
        """Take the batches of a split.

        Args:
            dataset: the split.
            batches: of it.
        """
        super().__init__(batches.samples, batches.size, batches.seed, batches.shuffle, batches.runs)
        self._dataset = dataset

    def __iter__(self) -> Iterator[Batch]:
        return self._dataset.ahead(super().__iter__(), self)


class SplitDataset(Dataset[tuple[Tensor, Tensor]]):
    """A split as (sample, label) tensors, in any process.

    It is read from the decoded cache, or from the files of the data version if it is streamed.
    """

    def __init__(
        self,
        source: Decoded | StreamedSplit,
        labels: Labels | None,
        prepare: Preparation,
        label_type: type[np.int64 | np.float32],
        transform: Transform | None = None,
    ) -> None:
        """Take a split.

        Args:
            source: the samples in the cache, or in the files of the data version.
            labels: shape (n,), int64 or float64; None for windows, whose labels are beside the
                samples.
            prepare: selects and scales samples.
            label_type: dtype of the labels that are returned.
            transform: `transform(sample, label) -> (sample, label)`, e.g. an augmentation.
        """
        self._source = source
        self._labels = labels
        self._prepare = prepare
        self.label_type = label_type
        self._transform = transform
        self._arrays: tuple[StoredSamples, StoredLabels] | None = None

    def __len__(self) -> int:
        return len(self._open()[0])

    def __getitem__(self, which: int | Batch) -> tuple[Tensor, Tensor]:
        """Return one sample, or a batch of them."""
        if isinstance(which, Batch):
            return self._batch(which)
        if not -len(self) <= which < len(self):
            raise IndexError(f"sample {which} of {len(self)}")
        X, y = self.read(np.array([which]))
        sample, label = torch.from_numpy(X)[0], torch.from_numpy(y)[0]
        return self._transform(sample, label) if self._transform else (sample, label)

    def read(
        self, positions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64 | np.float32]]:
        """Return samples as arrays: float32, and labels int64 or float32."""
        X, y = self._open()
        return self._prepare(X, positions), np.asarray(y[positions], dtype=self.label_type)

    def ahead(self, batches: Iterable[Batch], order: Batches) -> Iterator[Batch]:
        """Yield batches; those of a streamed split with their samples, many of them read at once.

        Args:
            batches: of the split, or this process's shares of them.
            order: that they have.
        """
        split = self._source
        if not isinstance(split, StreamedSplit):
            yield from batches
            return
        waiting: deque[list[Batch]] = deque()
        size, threads = split.parts(in_runs=order.runs is not None)
        number = max(1, size // order.size)

        def parts() -> Iterator[NDArray[np.int64]]:
            remaining = iter(batches)
            while group := list(islice(remaining, number)):
                waiting.append(group)
                yield np.concatenate([batch.positions for batch in group])

        names = (SAMPLES,) if self._labels is not None else (SAMPLES, LABELS)
        for arrays in split.read_ahead(parts(), names, threads):
            start = 0
            for batch in waiting.popleft():
                end = start + len(batch.positions)
                y = (
                    arrays[LABELS][start:end]
                    if self._labels is None
                    else self._labels[batch.positions]
                )
                yield replace(batch, rows=(arrays[SAMPLES][start:end], y))
                start = end

    @property
    def is_streamed(self) -> bool:
        """Whether samples are read from the files of the data version, by threads."""
        return isinstance(self._source, StreamedSplit)

    def batch(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.int64 | np.float32]]:
        """Return a batch as arrays: float32, and labels int64 or float32."""
        if batch.rows is None:
            return self.read(batch.positions)
        X, y = batch.rows
        return self._prepare(X), np.asarray(y, dtype=self.label_type)

    def _open(self) -> tuple[StoredSamples, StoredLabels]:
        if self._arrays is None:
            own = self._source.labels() if self._labels is None else self._labels
            self._arrays = self._source.samples(), own
        return self._arrays

    def _batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        X, y = (torch.from_numpy(array) for array in self.batch(batch))
        if self._transform is None:
            return X, y
        with _seeded(batch.seed):
            pairs = [self._transform(sample, label) for sample, label in zip(X, y, strict=True)]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def __getstate__(self) -> dict[str, object]:
        """Leave the arrays behind: a pickled memory map would be the whole split.

        Workers open it by its path.
        """
        return {**self.__dict__, "_arrays": None}


def torch_loader(
    dataset: SplitDataset, batches: Batches, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of whole batches; see `TrainingData.loader`."""
    return DataLoader(
        dataset,
        sampler=BatchesAhead(dataset, batches),
        batch_size=None,  # the sampler gives batches, which are read at once
        collate_fn=_as_it_is,
        num_workers=0 if dataset.is_streamed else workers,  # threads read ahead
        # workers' own seeds; what a transform draws has the batch's
        generator=torch.Generator().manual_seed(batches.seed),
    )


def tensorflow_dataset(
    dataset: SplitDataset, sample_shape: tuple[int, ...], batches: Batches
) -> tf.data.Dataset[tuple[tf.Tensor, tf.Tensor]]:
    """Return the batches of a split for TensorFlow; see `TrainingData.tf_dataset`.

    Raises:
        MissingExtra: TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtra(
            "tf_dataset needs TensorFlow, which is not installed; pip install"
            " 'mlops-assets[tensorflow]'"
        ) from error
    ahead = BatchesAhead(dataset, batches)
    label_shape = dataset.read(np.arange(0))[1].shape[1:]
    kinds = (
        tf.TensorSpec((None, *sample_shape), tf.float32),
        tf.TensorSpec((None, *label_shape), dataset.label_type),
    )
    made = tf.data.Dataset.from_generator(
        lambda: (dataset.batch(batch) for batch in ahead), output_signature=kinds
    )
    return made.apply(tf.data.experimental.assert_cardinality(len(ahead))).prefetch(AHEAD)


def _as_it_is(batch: object) -> object:
    return batch


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python, NumPy and PyTorch for a while.

    The trainer's own draws continue as if nothing had been drawn.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
