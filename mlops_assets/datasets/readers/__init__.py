"""Reading of landed files: one module a layout, all with the functions of `Layout`.

Where the files lie is the business of the landings; splitting and committing are elsewhere.
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
    """The interface of every layout; its contract is tested for all of them in one suite."""

    def contents(self, landed: Landed, specification: DatasetSpecification) -> Contents:
        """Read and check everything that has landed.

        Raises:
            EmptyLanding: no file is of this layout.
            DataProblems: every problem found, each with its file and the remedy.
        """
        ...

    def read(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64], view: View
    ) -> NDArray[np.generic]:
        """Read samples of one file of a data version.

        Args:
            committed: the data version.
            path: the samples' file.
            places: int64 of shape (n, 2), the samples' row and column.
            view: how a sample is shaped.

        Returns:
            Shape (n, *sample shape) in the data's own type; bands before height and width.
        """
        ...

    def read_shown(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64], view: View
    ) -> NDArray[np.bool_]:
        """Return which values of samples nodata, alpha and masks leave.

        It has the shape that `read` gives.
        """
        ...

    def read_labels(
        self, committed: CommittedDataset, path: str, places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Read the labels of windows.

        They are class values of shape (n, size, size), `unlabelled` where unknown.
        """
        ...


LAYOUTS: Mapping[str, Layout] = {
    "table": table,
    "image_folder": image_folder,
    "scenes": scenes,
    "stac": stac,
}
