"""The training data that a trainer receives: arrays, memory maps, tables and loaders by split.

Reading files is in `readers`; the decoded cache is in `versions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.loading.requirements import require_task_fits
from mlops_assets.datasets.loading.scaling import (
    DeclaredScaling,
    Preparation,
    Scaling,
    fit,
    methods_of,
)
from mlops_assets.datasets.loading.scratch_dataset import ScratchDataset
from mlops_assets.datasets.loading.statistics import training_statistics
from mlops_assets.datasets.loading.streamed import StreamedArray, StreamedSplit, is_streamed
from mlops_assets.datasets.readers import View
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.decoded_cache import (
    LABELS,
    MARKER,
    SAMPLES,
    Decoded,
    decoded,
    is_decoded,
    read_samples,
    read_window_indices,
    split_folder,
)
from mlops_assets.errors import SettingsError, SpecificationError
from mlops_assets.settings import streams_data
from mlops_assets.text.listing import named

if TYPE_CHECKING:
    import tensorflow as tf
    import torch

    from mlops_assets.datasets.loading.framework_loaders import (
        Batches,
        Labels,
        SplitDataset,
        StoredLabels,
        StoredSamples,
        Transform,
    )

# of float32, held in memory at once while a split is iterated
BATCH_BYTES = 32 << 20
# True and False: in another order each epoch, or as in the manifest; runs: neighbours stay together
Shuffle = bool | Literal["runs"]


class TrainingData:
    """One data version, selected and scaled as a model declares, with class indices as labels.

    Attributes:
        committed: the data version.
        reference: `dataset@version`.
        digest: sha256 of the data version.
        task: `classification`, `semantic-segmentation` or `regression`.
        view: shape of a sample: `row` (features), `pixel` (bands), or `patch`, `window` or `image`
            (bands, height, width).
        class_names: names in the order of class indices; empty for regression.
        source_features: names of all features or bands of the data.
        features: names of the selected features or bands, in order.
    """

    def __init__(
        self,
        committed: CommittedDataset,
        task: str,
        view: View | None = None,
        bands: Sequence[str] | None = None,
        scaling: DeclaredScaling = "none",
    ) -> None:
        """Open a data version for a task.

        Args:
            committed: the data version.
            task: `classification`, `semantic-segmentation` or `regression`.
            view: shape of a sample; by default as the dataset is read. Patches can be read as
                `pixel`.
            bands: names of the features or bands to select, in order; all by default.
            scaling: method for all features, or method or figures for each; figures are computed
                from the training split.

        Raises:
            SpecificationError: the data version has no such view or bands, or its labels do not
                fit the task.
        """
        kind: View = committed.document.input.kind
        self.view: View = view or kind
        if self.view != kind and (self.view, kind) != ("pixel", "patch"):
            raise SpecificationError(
                f"{committed.reference} is read as {kind}, not as {self.view}; change 'inputs'"
            )
        require_task_fits(committed, task, kind)
        self.committed = committed
        self.task = task
        self.reference = committed.reference
        self.digest = committed.row.digest
        self.source_features = committed.document.features
        unknown = sorted(set(bands or []) - set(self.source_features))
        if unknown:
            raise SpecificationError(
                f"bands: {committed.reference} has no {', '.join(unknown)}; it has"
                f" {named(self.source_features)}"
            )
        self.features = list(bands or self.source_features)
        whole = self.features == self.source_features
        self._chosen = (
            None if whole else [self.source_features.index(name) for name in self.features]
        )
        self._methods = methods_of(scaling, self.features)
        self._streamed: dict[SplitName, StreamedSplit] = {}
        self._opened: dict[SplitName, tuple[StoredSamples, StoredLabels]] = {}
        self.class_names = (
            [entry["name"] for entry in committed.classes or []] if task != "regression" else []
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one selected sample: (features,), or (bands, height, width) in pixels."""
        return (len(self.features), *self._pixels)

    @property
    def label_type(self) -> type[np.int64 | np.float64]:
        """Dtype of labels: int64 for class indices, float64 for numbers."""
        return np.float64 if self.task == "regression" else np.int64

    @cached_property
    def scaling(self) -> Scaling | None:
        """Figures that samples are scaled by, from the training split; None if not scaled."""
        fitted = any(method in ("standardize", "minmax") for method in self._methods.values())
        if not fitted:
            return fit(self._methods, None)
        found = self.source("train")
        return fit(
            self._methods,
            training_statistics(
                self.committed, found.samples(), found.shown(), self.view, self._chosen
            ),
        )

    @cached_property
    def prepare(self) -> Preparation:
        """Function that selects and scales raw samples.

        `prepare(X)` takes an array of shape (n, source features, …) in the data's own dtype, such
        as a batch of `memmap`, and returns float32 of shape (n, *sample_shape).
        """
        return Preparation(self._chosen, self.scaling)

    def arrays(
        self, split: SplitName, limit: int | None = None
    ) -> tuple[NDArray[np.float32], Labels]:
        """Return the samples and labels of a split, held in memory.

        Args:
            split: `train`, `validation` or `test`; it may be empty.
            limit: maximum number of samples, evenly spread over the split; only their files are
                read.

        Returns:
            X, float32 of shape (n, *sample_shape), selected and scaled as declared; and y: class
            indices, int64 of shape (n,), or (n, height, width) for windows with -1 where unknown,
            or float64 of shape (n,) for regression.

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: a file is missing, or the decoded cache cannot be written.
        """
        samples = self.committed.split(split)
        if limit is None or len(samples) <= limit:
            X, y = self._rows(split)
            return self._held(X), np.array(y[:], dtype=self.label_type)
        chosen = self.positions(split, limit)
        where = (self.committed, split, self.view, self._source_shape)
        if is_decoded(*where) or is_streamed(*where):
            X, y = self._rows(split)
            return self._held(X, chosen), np.array(y[chosen], dtype=self.label_type)
        return self._read(samples.iloc[chosen])

    def positions(self, split: SplitName, limit: int | None = None) -> NDArray[np.int64]:
        """Return the positions of the samples that `arrays` returns.

        Args:
            split: `train`, `validation` or `test`.
            limit: maximum number of samples, as for `arrays`.

        Returns:
            Positions in the split, int64 of shape (n,), ascending.
        """
        count = len(self.committed.split(split))
        if limit is None or count <= limit:
            return np.arange(count)
        return np.linspace(0, count - 1, limit).astype(np.int64)

    def memmap(
        self, split: SplitName
    ) -> tuple[NDArray[np.generic], NDArray[np.integer | np.float64]]:
        """Return a split of any size without loading it, as stored in the decoded cache.

        `prepare` selects and scales a batch of it.

        Args:
            split: `train`, `validation` or `test`.

        Returns:
            X, read-only and memory-mapped, of shape (n, source features, …) in the data's own
            dtype, neither selected nor scaled; and y: as `arrays` returns it, but for windows
            memory-mapped in a smaller integer dtype.

        Raises:
            IntegrityError: a file of the data version is not as it was committed, or the cache is
                damaged.
            StorageError: a file is missing, or the decoded cache cannot be written.
            SettingsError: there is no decoded cache, as `MLOPS_READING` is `stream`.
        """
        X, y = self._rows(split)
        if isinstance(X, StreamedArray) or isinstance(y, StreamedArray):
            raise SettingsError(
                f"{self.reference} is streamed, and a memory map needs the decoded cache; use"
                " 'batches' or 'loader', or set MLOPS_READING=cache"
            )
        return X.whole(), y.whole() if isinstance(y, CheckedArray) else y.copy()

    def decoded(self, split: SplitName) -> Decoded:
        """Return the arrays of a split in the decoded cache; decode it if necessary.

        Args:
            split: `train`, `validation` or `test`.

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: a file is missing, or the decoded cache cannot be written.
        """
        return decoded(self.committed, split, self.view, self._source_shape)

    def source(self, split: SplitName) -> Decoded | StreamedSplit:
        """Return where the samples of a split are read from.

        With `MLOPS_READING=stream` that is its files, unless it is in the decoded cache already.

        Args:
            split: `train`, `validation` or `test`.

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: a file is missing, or the decoded cache cannot be written.
        """
        where = (self.committed, split, self.view, self._source_shape)
        return self._stream(split) if is_streamed(*where) else decoded(*where)

    def labels(self, split: SplitName) -> Labels:
        """Return the labels of a split whose samples have one label each.

        Args:
            split: `train`, `validation` or `test`.

        Returns:
            Shape (n,): class indices, int64, or float64 for regression.
        """
        return self._labels(self.committed.split(split))

    def batches(
        self, split: SplitName, size: int | None = None
    ) -> Iterator[tuple[NDArray[np.float32], Labels]]:
        """Yield a split in order, in batches of bounded memory.

        Args:
            split: `train`, `validation` or `test`.
            size: samples per batch; by default as many as fit 32 MiB of float32.

        Yields:
            X and y of each batch, with shapes and dtypes as `arrays` returns them.

        Raises:
            IntegrityError: a file of the data version is not as it was committed.
            StorageError: a file is missing, or the decoded cache cannot be written.
        """
        size = size or max(1, BATCH_BYTES // (4 * int(np.prod(self._source_shape))))
        for X, y in self._parts(split, size):
            for start in range(0, len(X), size):
                part = slice(start, start + size)
                yield self.prepare(X[part]), np.asarray(y[part], dtype=self.label_type)

    def label_batches(self, split: SplitName) -> Iterator[Labels]:
        """Yield the labels of a split in order, as `batches` does, without its samples.

        Args:
            split: `train`, `validation` or `test`.
        """
        if self.view != "window":
            yield self.labels(split)
            return
        y = self.source(split).labels()
        size = max(1, BATCH_BYTES // (8 * int(np.prod(self._pixels))))
        for start in range(0, len(y), size):
            yield np.asarray(y[start : start + size], dtype=self.label_type)

    def frame(self, split: SplitName) -> pd.DataFrame:
        """Return the samples of a split as a table.

        Args:
            split: `train`, `validation` or `test`.

        Returns:
            One float32 column for each selected feature, and `label`: class names or numbers.

        Raises:
            SpecificationError: samples are patches, windows or images.
        """
        if len(self.sample_shape) != 1:
            remedy = (
                "a frame needs 'inputs: pixel'"
                if self.view == "patch"
                else "they have no columns; use 'arrays'"
            )
            raise SpecificationError(f"{self.reference} is read as {self.view}; {remedy}")
        X, y = self.arrays(split)
        frame = pd.DataFrame(X, columns=self.features)
        return frame.assign(label=np.array(self.class_names)[y] if self.class_names else y)

    def torch_dataset(self, split: SplitName, transform: Transform | None = None) -> SplitDataset:
        """Return a split as a map-style `torch.utils.data.Dataset`.

        It reads the decoded cache, or, where the split is streamed, the files of the data version.

        Args:
            split: `train`, `validation` or `test`.
            transform: `transform(sample, label) -> (sample, label)`, e.g. an augmentation.

        Returns:
            A dataset of pairs of tensors: sample, float32 of `sample_shape`; label, int64 (for
            windows of shape (height, width), -1 where unknown), or float32 for regression.
        """
        from mlops_assets.datasets.loading.framework_loaders import SplitDataset

        return SplitDataset(
            self.source(split),
            None if self.view == "window" else self.labels(split),
            self.prepare,
            np.float32 if self.task == "regression" else np.int64,
            transform,
        )

    def loader(
        self,
        split: SplitName,
        batch_size: int,
        seed: int,
        workers: int = 0,
        shuffle: Shuffle | None = None,
        transform: Transform | None = None,
    ) -> torch.utils.data.DataLoader[tuple[torch.Tensor, torch.Tensor]]:
        """Return a split as a PyTorch `DataLoader`.

        Equal seeds give equal batches in every epoch, with any number of workers, also from a
        random `transform`.

        Args:
            split: `train`, `validation` or `test`.
            batch_size: samples per batch; the last may have fewer.
            seed: of the order, and of random numbers that `transform` draws from Python, NumPy and
                PyTorch.
            workers: processes that read ahead; threads do, if the split is streamed.
            shuffle: use another order each epoch; by default only for `train`. With `runs`,
                neighbours are read together, see `batch_order`.
            transform: `transform(sample, label) -> (sample, label)`.

        Returns:
            Batches of two tensors: samples, float32 of shape (n, *sample_shape); labels, int64 of
            shape (n,) or (n, height, width), or float32 of shape (n,) for regression.
        """
        from mlops_assets.datasets.loading.framework_loaders import torch_loader

        batches = self.batch_order(split, batch_size, seed, shuffle)
        return torch_loader(self.torch_dataset(split, transform), batches, workers)

    def tf_dataset(
        self, split: SplitName, batch_size: int, seed: int, shuffle: Shuffle | None = None
    ) -> tf.data.Dataset[tuple[tf.Tensor, tf.Tensor]]:
        """Return a split as a `tf.data.Dataset`; each iteration is an epoch.

        Args:
            split: `train`, `validation` or `test`.
            batch_size: samples per batch; the last may have fewer.
            seed: of the order.
            shuffle: as for `loader`.

        Returns:
            The same batches as `loader` without workers and transform.

        Raises:
            MissingExtra: TensorFlow is not installed.
        """
        from mlops_assets.datasets.loading.framework_loaders import tensorflow_dataset

        batches = self.batch_order(split, batch_size, seed, shuffle)
        return tensorflow_dataset(self.torch_dataset(split), self.sample_shape, batches)

    def batch_order(
        self, split: SplitName, batch_size: int, seed: int, shuffle: Shuffle | None = None
    ) -> Batches:
        """Return which samples each batch of an epoch has.

        The order depends on the data version, the seed and the epoch alone: not on where or how
        files are stored, and not on `MLOPS_READING`.

        Args:
            split: `train`, `validation` or `test`.
            batch_size: samples per batch; the last may have fewer.
            seed: of the order.
            shuffle: use another order each epoch; by default only for `train`. True draws among
                all samples. With `runs`, 1 MiB of images whose paths follow each other, or the
                samples of a scene, are a run; runs come in a random order, and samples are
                shuffled in windows of many runs (256 MiB of decoded images, 2 GiB of the files of
                scenes), so that a split that is streamed is read in few requests.

        Raises:
            SpecificationError: the split is streamed, and samples in any order need more scenes at
                once than are kept.
        """
        from mlops_assets.datasets.loading.framework_loaders import Batches

        shuffle = split == "train" if shuffle is None else shuffle
        runs = self._stream(split).runs() if shuffle == "runs" else None
        found = self.source(split)
        if shuffle and isinstance(found, StreamedSplit):
            found.require_order(runs)
        samples = len(self.committed.split(split))
        return Batches(samples, batch_size, seed, bool(shuffle), runs)

    @property
    def _pixels(self) -> tuple[int, ...]:
        return () if self.view in ("row", "pixel") else self.committed.document.input.sides

    @property
    def _source_shape(self) -> tuple[int, ...]:
        return (len(self.source_features), *self._pixels)

    def _stream(self, split: SplitName) -> StreamedSplit:
        """Return a split in its files."""
        if split not in self._streamed:
            self._streamed[split] = StreamedSplit(
                self._scratch, split, self.view, self._source_shape
            )
        return self._streamed[split]

    @cached_property
    def _scratch(self) -> ScratchDataset:
        return ScratchDataset(self.committed)

    def _parts(
        self, split: SplitName, size: int
    ) -> Iterator[tuple[StoredSamples | NDArray[np.generic], StoredLabels | NDArray[np.generic]]]:
        """Yield raw samples and labels of a split in order: at once, or if streamed, in parts.

        Args:
            split: which samples.
            size: samples of a batch; parts are of whole batches.
        """
        found = self.source(split) if streams_data() else None
        if not isinstance(found, StreamedSplit):
            yield self._rows(split)
            return
        part, threads = found.parts(in_runs=False)
        step = max(1, part // size) * size
        starts = range(0, len(found), step)
        parts = (np.arange(start, min(start + step, len(found))) for start in starts)
        held = None if self.view == "window" else self.labels(split)
        names = (SAMPLES,) if held is not None else (SAMPLES, LABELS)
        for start, arrays in zip(starts, found.read_ahead(parts, names, threads), strict=True):
            y = arrays[LABELS] if held is None else held[start : start + step]
            yield arrays[SAMPLES], y

    def _rows(self, split: SplitName) -> tuple[StoredSamples, StoredLabels]:
        """Return a split from the decoded cache; each block is checked when it is read.

        It stays mapped from one epoch to the next, unless the cache has been made again.
        """
        opened = self._opened.get(split)
        folder = split_folder(self.committed, split, self.view)
        if (
            opened is None
            or not (folder / MARKER).is_file()
            or not all(part.is_current for part in opened if isinstance(part, CheckedArray))
        ):
            found = self.source(split)
            labels = found.labels() if self.view == "window" else self.labels(split)
            opened = self._opened[split] = found.samples(), labels
        return opened

    def _held(
        self, X: StoredSamples, positions: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Prepare many samples as an array in memory, also those that need no preparation."""
        prepared = self.prepare(X, positions)
        return prepared if prepared.flags.writeable else prepared.copy()

    def _read(self, samples: pd.DataFrame) -> tuple[NDArray[np.float32], Labels]:
        """Read a few samples straight from their files."""
        X = np.empty((len(samples), *self.sample_shape), dtype=np.float32)
        y = (
            self._labels(samples)
            if self.view != "window"
            else np.empty((len(samples), *self._pixels), dtype=np.int64)
        )
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)
        own = samples.reset_index(drop=True).groupby("path").indices
        with self.committed.fetched(map(str, own)):
            for path, positions in own.items():
                X[positions] = self.prepare(
                    read_samples(
                        self.committed, str(path), places[positions], self.view, self._source_shape
                    )
                )
                if self.view == "window":
                    y[positions] = read_window_indices(self.committed, str(path), places[positions])
        return X, y

    def _labels(self, samples: pd.DataFrame) -> Labels:
        if self.task == "regression":
            return samples["label"].to_numpy(dtype=np.float64)
        index = {str(entry["value"]): i for i, entry in enumerate(self.committed.classes or [])}
        return np.array(samples["label"].map(index), dtype=np.int64)
