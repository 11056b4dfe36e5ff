"""One data version as a trainer sees it: arrays, memory maps, tables and loaders, split by split.

Where files lie and how they are decoded is the business of the layouts and of the decoded cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.loading.scaling import (
    DeclaredScaling,
    Preparation,
    Scaling,
    fit,
    methods_of,
    named,
)
from mlops_assets.datasets.readers import View
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.decoded_cache import (
    Decoded,
    decoded,
    is_decoded,
    read_samples,
    read_window_indices,
)
from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    import tensorflow as tf
    import torch

    from mlops_assets.datasets.loading.framework_loaders import SplitDataset

BATCH_BYTES = 32 << 20  # of float32, read at once where a split is gone through


class TrainingData:
    """One data version as a trainer sees it.

    Its samples are selected and scaled as declared, with class indices, split by split.

    Attributes:
        reference: `dataset@version`.
        digest: digest of the data version.
        task: `classification`, `semantic-segmentation` or `regression`.
        view: how a sample is shaped: `row` (features), `pixel` (bands), `patch`, `window` or
            `image` (bands, height, width).
        class_names: names in the order of class indices; empty for regression.
        source_features: names of all features or bands of the data.
        features: names of those that are given, in this order.
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
            task: the model's task.
            view: how a sample is shaped; as the dataset reads it if not given.
            bands: names of the features or bands to give, in this order; all if not given.
            scaling: how they are scaled, with figures of the training split.

        Raises:
            SpecificationError: the data version has no such view or bands, or its labels do not
                suit the task.
        """
        kind: View = committed.document.input.kind
        self.view: View = view or kind
        if self.view != kind and (self.view, kind) != ("pixel", "patch"):
            raise SpecificationError(
                f"{committed.reference} is read as {kind}, not as {self.view}; change 'inputs'"
            )
        _require_task_fits(committed, task, kind)
        self.committed, self.task = committed, task
        self.reference, self.digest = committed.reference, committed.row.digest
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
        self.class_names = (
            [entry["name"] for entry in committed.classes or []] if task != "regression" else []
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample as it is given, without the batch axis."""
        return (len(self.features), *self._pixels)

    @property
    def label_type(self) -> type[np.int64 | np.float64]:
        """Type of labels: int64 for class indices, float64 for numbers."""
        return np.float64 if self.task == "regression" else np.int64

    @cached_property
    def scaling(self) -> Scaling | None:
        """The figures that samples are scaled by, from the training split; None if not scaled."""
        fitted = any(method in ("standardize", "minmax") for method in self._methods.values())
        return fit(self._methods, self._statistics() if fitted else None)

    @cached_property
    def prepare(self) -> Preparation:
        """The function that selects and scales raw samples.

        `prepare(X)` takes samples with all features of the data, such as those of `memmap`.
        """
        return Preparation(self._chosen, self.scaling)

    def arrays(
        self, split: SplitName, limit: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return the samples and labels of a split, held in memory.

        Args:
            split: `train`, `validation` or `test`; it may be empty.
            limit: at most so many samples, evenly spread over the split; only their files are read.

        Returns:
            X, float32 of shape (n, *sample_shape), selected and scaled as declared; and y: class
            indices, int64 of shape (n,), or (n, height, width) for windows with -1 where unknown,
            or float64 of shape (n,) for regression.
        """
        samples = self.committed.split(split)
        if limit is None or len(samples) <= limit:
            X, y = self._rows(split)
            return self._prepared(X), np.array(y[:], dtype=self.label_type)
        chosen = self.positions(split, limit)
        if is_decoded(self.committed, split, self.view, self._source_shape):
            X, y = self._rows(split)
            return self._prepared(X[chosen]), np.array(y[chosen], dtype=self.label_type)
        return self._read(samples.iloc[chosen])

    def positions(self, split: SplitName, limit: int | None = None) -> NDArray[np.int64]:
        """Return the positions in a split of the samples that `arrays` gives."""
        count = len(self.committed.split(split))
        if limit is None or count <= limit:
            return np.arange(count)
        return np.linspace(0, count - 1, limit).astype(np.int64)

    def memmap(self, split: SplitName) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a split as it lies in the decoded cache, however large.

        `prepare` makes of a batch what is declared.

        Returns:
            X, read-only and memory-mapped, in the data's own type, with all features or bands, raw;
            and y: as `arrays` gives it, of windows memory-mapped in a smaller type.
        """
        X, y = self._rows(split)
        return X.whole(), y.whole() if isinstance(y, CheckedArray) else y

    def decoded(self, split: SplitName) -> Decoded:
        """Return where a split lies decoded; the first time it is decoded now."""
        return decoded(self.committed, split, self.view, self._source_shape)

    def labels(self, split: SplitName) -> NDArray[Any]:
        """Return the labels of a split of samples that have one each, as `arrays` gives them."""
        return self._labels(self.committed.split(split))

    def batches(
        self, split: SplitName, size: int | None = None
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
        """Yield a split in its order, as `arrays` gives it, in batches of bounded memory."""
        X, y = self._rows(split)
        size = size or max(1, BATCH_BYTES // (4 * int(np.prod(self._source_shape))))
        for start in range(0, len(X), size):
            part = slice(start, start + size)
            yield self.prepare(X[part]), np.asarray(y[part], dtype=self.label_type)

    def frame(self, split: SplitName) -> pd.DataFrame:
        """Return the samples of a split as a table.

        It has one column a feature, and `label` (class names or numbers).

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

    def torch_dataset(
        self, split: SplitName, transform: Callable[..., Any] | None = None
    ) -> SplitDataset:
        """Return a split as a map-style `torch.utils.data.Dataset`.

        It gives (sample, label) tensors from the decoded cache.

        Args:
            split: which samples.
            transform: `transform(sample, label) -> (sample, label)`, e.g. an augmentation.
        """
        from mlops_assets.datasets.loading.framework_loaders import SplitDataset

        return SplitDataset(
            self.decoded(split),
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
        shuffle: bool | None = None,
        transform: Callable[..., Any] | None = None,
    ) -> torch.utils.data.DataLoader[Any]:
        """Return a split as a `DataLoader` of batches.

        They have float32 samples, and int64 or float32 labels.

        Equal seeds give equal batches in every epoch, with any number of workers, also from a
        random `transform`.

        Args:
            split: which samples.
            batch_size: samples a batch; the last may have fewer.
            seed: of the order, and of what `transform` draws from Python, NumPy and PyTorch.
            workers: processes that read ahead.
            shuffle: another order each epoch; only for `train` if not given.
            transform: `transform(sample, label) -> (sample, label)`.
        """
        from mlops_assets.datasets.loading.framework_loaders import torch_loader

        shuffle = split == "train" if shuffle is None else shuffle
        return torch_loader(
            self.torch_dataset(split, transform), batch_size, seed, workers, shuffle
        )

    def tf_dataset(
        self, split: SplitName, batch_size: int, seed: int, shuffle: bool | None = None
    ) -> tf.data.Dataset[Any]:
        """Return a split as a `tf.data.Dataset` of the batches that `loader` gives.

        Each iteration is an epoch.

        Raises:
            MissingExtra: TensorFlow is not installed.
        """
        from mlops_assets.datasets.loading.framework_loaders import tensorflow_dataset

        shuffle = split == "train" if shuffle is None else shuffle
        return tensorflow_dataset(
            self.torch_dataset(split), self.sample_shape, batch_size, seed, shuffle
        )

    @property
    def _pixels(self) -> tuple[int, ...]:
        return () if self.view in ("row", "pixel") else self.committed.document.input.sides

    @property
    def _source_shape(self) -> tuple[int, ...]:
        return (len(self.source_features), *self._pixels)

    def _rows(self, split: SplitName) -> tuple[CheckedArray, CheckedArray | NDArray[Any]]:
        """Return a split as it lies in the decoded cache; of it, what is used is checked first."""
        found = self.decoded(split)
        return found.samples(), found.labels() if self.view == "window" else self.labels(split)

    def _prepared(self, X: CheckedArray | NDArray[Any]) -> NDArray[np.float32]:
        """Prepare many samples part by part: what is between, as wide as float32, is small."""
        prepared = np.empty((len(X), *self.sample_shape), dtype=np.float32)
        step = max(1, BATCH_BYTES // (4 * int(np.prod(self._source_shape))))
        for start in range(0, len(X), step):
            prepared[start : start + step] = self.prepare(X[start : start + step])
        return prepared

    def _read(self, samples: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Read a few samples straight from their files."""
        X = np.empty((len(samples), *self.sample_shape), dtype=np.float32)
        y = (
            self._labels(samples)
            if self.view != "window"
            else np.empty((len(samples), *self._pixels), dtype=np.int64)
        )
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)
        for path, positions in samples.reset_index(drop=True).groupby("path").indices.items():
            X[positions] = self.prepare(
                read_samples(
                    self.committed, str(path), places[positions], self.view, self._source_shape
                )
            )
            if self.view == "window":
                y[positions] = read_window_indices(self.committed, str(path), places[positions])
        return X, y

    def _labels(self, samples: pd.DataFrame) -> NDArray[Any]:
        if self.task == "regression":
            return samples["label"].to_numpy(dtype=np.float64)
        index = {str(entry["value"]): i for i, entry in enumerate(self.committed.classes or [])}
        return samples["label"].map(index).to_numpy(dtype=np.int64, copy=True)

    def _statistics(self) -> dict[str, list[float | None]]:
        """Statistics of the training split only.

        Of a patch its centre, as what is around may be of another split.
        """
        from mlops_assets.datasets.quality.content.sample_values import SampleValues
        from mlops_assets.datasets.quality.content.values import RunningStatistics, unusable

        nodata, positions = (
            SampleValues(self.committed).nodata,
            np.flatnonzero(self.committed.samples["split"] == "train"),
        )
        found = self.decoded("train")
        X, shown = found.samples(), found.shown()
        centre: Any = (
            slice(None),
            slice(None),
            *((X.shape[2] // 2, X.shape[3] // 2) if self.view == "patch" else ()),
        )
        chosen: Any = slice(None) if self._chosen is None else self._chosen
        running = RunningStatistics(len(self.features))
        step = max(1, BATCH_BYTES // (8 * int(np.prod(X.shape[1:]))))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            part = X[rows][centre][:, chosen]
            seen = None if shown is None else shown[rows][centre][:, chosen]
            running.add(
                part, unusable(part, nodata(positions[start : start + step])[:, chosen], seen)
            )
        return running.document()


def _require_task_fits(committed: CommittedDataset, task: str, kind: View) -> None:
    if task == "regression" and kind == "window":
        raise SpecificationError(
            "regression over windows is not supported; read the scenes as patches"
        )
    if (task == "semantic-segmentation") != (kind == "window"):
        raise SpecificationError(
            f"task {task!r} does not go with samples read as {kind}; see 'scenes: {{read: …}}'"
        )
    if (
        task == "regression"
        and pd.to_numeric(committed.samples["label"], errors="coerce").isna().any()
    ):
        raise SpecificationError(
            f"labels of {committed.reference} are names, not numbers; use task 'classification'"
        )
    if task != "regression" and committed.classes is None:
        raise SpecificationError(
            f"the label of {committed.reference} is a number; use task 'regression'"
        )
