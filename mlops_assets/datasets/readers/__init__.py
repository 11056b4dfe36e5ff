"""Readers of landed files: one module a layout, each with the functions of `Layout`.

Where files land is in `datasets/sources`; splitting and committing have rooms of their own. A new
reader is a module with these functions, an entry of `LAYOUTS`, and its options in
`datasets/specification/source.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.readers import image_folder, scenes, stac, table
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents

if TYPE_CHECKING:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset

View = Literal["row", "pixel", "patch", "window", "image"]


class Layout(Protocol):
    """The interface of every layout; one contract suite tests all of them.

    A sample has the shape of its view: `row` (features,), `pixel` (bands,), `patch`, `window` and
    `image` (bands, height, width).
    """

    def contents(self, landed: Landed, specification: DatasetSpecification) -> Contents:
        """Find the samples in a landing, and check every file that they are read from.

        Args:
            landed: the files of the landing, and what is known of them from the newest version.
            specification: the declared dataset.

        Returns:
            Samples, files, classes and features; the samples have no split yet.

        Raises:
            EmptyLanding: no file is of this layout.
            DataProblems: every problem found, each with its file and the remedy.
            StorageError: files cannot be fetched.
        """
        ...

    def read(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64], view: View
    ) -> NDArray[np.generic]:
        """Read samples of one file of a data version.

        Args:
            committed: the data version.
            path: landed path of the samples' file; of a stack of files the first.
            places: int64 of shape (n, 2), the samples' row and column as `Contents.samples` has
                them.
            view: shape of a sample.

        Returns:
            Shape (n, *sample shape): the file's own type, or float32 in physical units if the
            specification applies scale and offset.

        Raises:
            ValueError: the file cannot be read.
            StorageError: the file cannot be fetched.
        """
        ...

    def read_mask(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64], view: View
    ) -> NDArray[np.bool_]:
        """Read which values of samples are valid by nodata, alpha and masks.

        Args:
            committed: the data version.
            path: landed path of the samples' file; of a stack of files the first.
            places: int64 of shape (n, 2), the samples' row and column.
            view: shape of a sample.

        Returns:
            Bool of the shape that `read` returns, true where a value is valid.

        Raises:
            ValueError: the file cannot be read.
            StorageError: the file cannot be fetched.
        """
        ...

    def read_labels(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Read the labels of windows.

        Args:
            committed: the data version.
            path: landed path of the windows' image; of a stack of files the first.
            places: int64 of shape (n, 2), row and column of each window's upper left pixel.

        Returns:
            Class values, int64 of shape (n, size, size), `unlabelled` where unknown.

        Raises:
            SpecificationError: the samples are not windows; their labels are in the samples' table.
            ValueError: the labels cannot be read.
            StorageError: the labels cannot be fetched.
        """
        ...


LAYOUTS: Mapping[str, Layout] = {
    "table": table,
    "image_folder": image_folder,
    "scenes": scenes,
    "stac": stac,
}
