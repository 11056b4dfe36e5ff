"""Reading a data version: its manifest, samples and arrays, always from the frozen bytes.

Nothing here looks at the landing.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets import scenes, tables
from mlops_assets.datasets.contents import ClassName, SceneFacts
from mlops_assets.datasets.freezing import version_folder
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import IntegrityError, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.published import read_published
from mlops_assets.storage import Workspace
from mlops_assets.storage.workspace import object_key

SplitName = Literal["train", "validation", "test"]
View = Literal["row", "pixel", "patch", "window"]


@dataclass(frozen=True)
class FrozenDataset:
    """One data version, opened. Every document is checked against its published checksum when it is read."""

    workspace: Workspace
    row: DataVersion
    document: dict[str, Any]
    manifest: pd.DataFrame
    samples: pd.DataFrame

    @classmethod
    def open(cls, workspace: Workspace, registry: Registry, reference: Reference) -> FrozenDataset:
        """Open `dataset@version`.

        Raises:
            NotFound: there is no such version.
            IntegrityError: a document is not as it was published.
        """
        row = registry.data_version(reference)
        folder = version_folder(row.dataset, row.version)
        names = ("version.json", "manifest.parquet", "samples.parquet")
        document, manifest, samples = (read_published(workspace, registry, f"{folder}/{name}") for name in names)
        return cls(
            workspace,
            row,
            json.loads(document),
            pd.read_parquet(io.BytesIO(manifest)),
            pd.read_parquet(io.BytesIO(samples)),
        )

    @property
    def reference(self) -> str:
        """`dataset@version`."""
        return f"{self.row.dataset}@{self.row.version}"

    @cached_property
    def _verified(self) -> set[str]:
        return set()

    @cached_property
    def specification(self) -> DatasetSpecification:
        """The declaration as it was when this version was frozen."""
        return DatasetSpecification.model_validate(self.document["specification"])

    @property
    def classes(self) -> list[ClassName] | None:
        """Classes in the order of their indices, or None where the label is a number."""
        return self.document["classes"]  # type: ignore[no-any-return]

    @property
    def scene_facts(self) -> list[SceneFacts]:
        """What each scene says about itself."""
        return [SceneFacts(**facts) for facts in self.document["scenes"]]

    def local_path(self, path: str) -> Path:
        """Return a local path with the frozen bytes of one landed file; the first time they are hashed again.

        Raises:
            IntegrityError: the bytes are not those that were frozen.
        """
        sha256 = str(self.manifest.loc[self.manifest["path"] == path, "sha256"].iloc[0])
        key = object_key(sha256)
        if key not in self._verified:
            if self.workspace.stat(key).sha256 != sha256:
                raise IntegrityError(f"{key} ({path} of {self.reference}) is not as it was published; land it again")
            self._verified.add(key)
        return self.workspace.local_path(key)

    def split(self, name: SplitName) -> pd.DataFrame:
        """Return the samples of one split, in manifest order."""
        return self.samples[self.samples["split"] == name]


class TrainingData:
    """One data version as a trainer sees it: arrays of raw values and class indices, split by split.

    Attributes:
        reference: `dataset@version`.
        digest: digest of the data version.
        task: `classification`, `semantic-segmentation` or `regression`.
        view: how a sample is shaped: `row` (features), `pixel` (bands), `patch` or `window` (bands, size, size).
        class_names: names in the order of class indices; empty for regression.
        features: names of features or bands.
    """

    def __init__(self, frozen: FrozenDataset, task: str, view: View | None = None) -> None:
        """Open a data version for a task.

        Raises:
            SpecificationError: the data version has no such view, or its labels do not suit the task.
        """
        kind: View = frozen.document["input"]["kind"]
        self.view: View = view or kind
        if self.view != kind and (self.view, kind) != ("pixel", "patch"):
            raise SpecificationError(f"{frozen.reference} is read as {kind}, not as {self.view}; change 'inputs'")
        if task == "regression" and kind == "window":
            raise SpecificationError("regression over windows is not supported; read the scenes as patches")
        if (task == "semantic-segmentation") != (kind == "window"):
            raise SpecificationError(
                f"task {task!r} does not go with samples read as {kind}; see 'scenes: {{read: …}}'"
            )
        if task == "regression" and pd.to_numeric(frozen.samples["label"], errors="coerce").isna().any():
            raise SpecificationError(f"labels of {frozen.reference} are names, not numbers; use task 'classification'")
        if task != "regression" and frozen.classes is None:
            raise SpecificationError(f"the label of {frozen.reference} is a number; use task 'regression'")
        self.frozen, self.task = frozen, task
        self.reference, self.digest = frozen.reference, frozen.row.digest
        self.features: list[str] = frozen.document["features"]
        self.class_names = [entry["name"] for entry in frozen.classes or []] if task != "regression" else []

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch axis."""
        if self.view in ("row", "pixel"):
            return (len(self.features),)
        size = self.frozen.document["input"]["size"]
        return (len(self.features), size, size)

    def arrays(self, split: SplitName, limit: int | None = None) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return the samples and labels of a split.

        Args:
            split: `train`, `validation` or `test`; it may be empty.
            limit: at most so many samples, evenly spread over the split.

        Returns:
            X, float32 of shape (n, *sample_shape), raw values; and y: class indices, int64 of shape (n,), or
            (n, size, size) for windows with -1 where nobody knows, or float64 of shape (n,) for regression.
        """
        samples = self.frozen.split(split)
        if limit is not None and len(samples) > limit:
            samples = samples.iloc[np.linspace(0, len(samples) - 1, limit).astype(int)]
        features = np.empty((len(samples), *self.sample_shape), dtype=np.float32)
        for path in samples["path"].unique():
            inside = (samples["path"] == path).to_numpy()
            features[inside] = self._read(path, samples[inside])
        return features, self._labels(samples)

    def frame(self, split: SplitName) -> pd.DataFrame:
        """Return the samples of a split as a table: one column a feature, and `label` (class names or numbers).

        Raises:
            SpecificationError: samples are patches or windows.
        """
        if len(self.sample_shape) != 1:
            raise SpecificationError(f"{self.reference} is read as {self.view}; a frame needs 'inputs: pixel'")
        X, y = self.arrays(split)
        frame = pd.DataFrame(X, columns=self.features)
        return frame.assign(label=np.array(self.class_names)[y] if self.class_names else y)

    def _read(self, path: str, samples: pd.DataFrame) -> NDArray[np.float32]:
        local = self.frozen.local_path(path)
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)
        size = self.frozen.document["input"]["size"]
        if self.view == "row":
            layout = self.frozen.specification.source.table_layout
            matrix = tables.feature_matrix(tables.read_table(local, path, layout), self.features)
            return np.asarray(matrix[places[:, 0]])
        if self.view == "window":
            return scenes.read_windows(local, places, size)
        if self.view == "pixel":
            return scenes.read_patches(local, places, 1)[:, :, 0, 0]
        return scenes.read_patches(local, places, size)

    def _labels(self, samples: pd.DataFrame) -> NDArray[Any]:
        if self.task == "regression":
            return samples["label"].to_numpy(dtype=np.float64)
        index = {str(entry["value"]): i for i, entry in enumerate(self.frozen.classes or [])}
        if self.view != "window":
            return samples["label"].map(index).to_numpy(dtype=np.int64, copy=True)
        size = self.frozen.document["input"]["size"]
        y = np.empty((len(samples), size, size), dtype=np.int64)
        rasters = {fact.path: fact.labels for fact in self.frozen.scene_facts}
        for path in samples["path"].unique():
            labels = scenes.read_label_raster(self.frozen.local_path(rasters[path]))
            indices = np.full_like(labels, -1)
            for value, i in index.items():
                indices[labels == int(value)] = i
            for n in np.flatnonzero((samples["path"] == path).to_numpy()):
                row, column = samples.iloc[n][["row", "column"]]
                y[n] = indices[row : row + size, column : column + size]
        return y
