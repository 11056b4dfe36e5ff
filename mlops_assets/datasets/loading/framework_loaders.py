"""A split for PyTorch and TensorFlow.

Both give the same batches in the same order, with any number of workers.

TensorFlow is an extra and imported only on use; PyTorch is imported with this module.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlops_assets.datasets.loading.scaling import Preparation
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.decoded_cache import Decoded
from mlops_assets.errors import MissingExtra

if TYPE_CHECKING:
    import tensorflow as tf

# batches that TensorFlow reads ahead
AHEAD = 2

Labels: TypeAlias = NDArray[np.int64 | np.float64]
# labels of windows are checked when they are read; labels of other samples are held in memory
StoredLabels: TypeAlias = CheckedArray[np.integer] | Labels
# `transform(sample, label) -> (sample, label)`
Transform: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Batch:
    """Positions of a batch's samples in their split, and the seed of what is drawn for them."""

    positions: NDArray[np.int64]
    seed: int


class Batches:
    """The batches of every epoch; the order of one depends on seed and epoch alone.

    Attributes:
        epoch: the next epoch; set it to continue where a run was interrupted.
    """

    def __init__(self, samples: int, size: int, seed: int, shuffle: bool) -> None:
        self.samples = samples
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.samples // self.size)

    def __iter__(self) -> Iterator[Batch]:
        generator = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        order = generator.permutation(self.samples) if self.shuffle else np.arange(self.samples)
        seeds = generator.integers(2**32, size=len(self))
        for number, seed in enumerate(seeds.tolist()):
            yield Batch(order[number * self.size : (number + 1) * self.size], seed)


class SplitDataset(Dataset[tuple[Tensor, Tensor]]):
    """A split as (sample, label) tensors, read from the decoded cache in any process."""

    def __init__(
        self,
        decoded: Decoded,
        labels: Labels | None,
        prepare: Preparation,
        label_type: type[np.int64 | np.float32],
        transform: Transform | None = None,
    ) -> None:
        """Take a decoded split.

        Args:
            decoded: the samples in the cache.
            labels: shape (n,), int64 or float64; None for windows, whose labels are in the cache.
            prepare: selects and scales samples.
            label_type: dtype of the labels that are returned.
            transform: `transform(sample, label) -> (sample, label)`, e.g. an augmentation.
        """
        self._decoded = decoded
        self._labels = labels
        self._prepare = prepare
        self.label_type = label_type
        self._transform = transform
        self._arrays: tuple[CheckedArray[np.generic], StoredLabels] | None = None

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

    def _open(self) -> tuple[CheckedArray[np.generic], StoredLabels]:
        if self._arrays is None:
            own = self._decoded.labels() if self._labels is None else self._labels
            self._arrays = self._decoded.samples(), own
        return self._arrays

    def _batch(self, batch: Batch) -> tuple[Tensor, Tensor]:
        X, y = (torch.from_numpy(array) for array in self.read(batch.positions))
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
    dataset: SplitDataset, batch_size: int, seed: int, workers: int, shuffle: bool
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of whole batches; see `TrainingData.loader`."""
    return DataLoader(
        dataset,
        sampler=Batches(len(dataset), batch_size, seed, shuffle),
        batch_size=None,  # the sampler gives batches, which are read at once
        collate_fn=_as_it_is,
        num_workers=workers,
        # workers' own seeds; what a transform draws has the batch's
        generator=torch.Generator().manual_seed(seed),
    )


def tensorflow_dataset(
    dataset: SplitDataset, sample_shape: tuple[int, ...], batch_size: int, seed: int, shuffle: bool
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
    batches = Batches(len(dataset), batch_size, seed, shuffle)
    label_shape = dataset.read(np.arange(0))[1].shape[1:]
    kinds = (
        tf.TensorSpec((None, *sample_shape), tf.float32),
        tf.TensorSpec((None, *label_shape), dataset.label_type),
    )
    made = tf.data.Dataset.from_generator(
        lambda: (dataset.read(batch.positions) for batch in batches), output_signature=kinds
    )
    return made.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(AHEAD)


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
