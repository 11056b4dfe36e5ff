"""Layout `stac`: Items are scenes with a label asset each, or whole images with a class or number as a property."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.contents import Contents
from mlops_assets.datasets.landed import Landed
from mlops_assets.datasets.layouts import scene_reading
from mlops_assets.datasets.layouts.labelled_scenes import whole_scenes
from mlops_assets.datasets.layouts.sampling import sample_scenes
from mlops_assets.datasets.specification import DatasetSpecification

if TYPE_CHECKING:
    from mlops_assets.datasets.versions import FrozenDataset


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """See `Layout.contents`."""
    layout = specification.source.stac_layout
    if layout.labels:
        return sample_scenes(landed, landed.scenes, specification, layout)
    return whole_scenes(landed, landed.scenes, specification, layout)


def read(frozen: FrozenDataset, path: str, places: NDArray[np.int64], view: str) -> NDArray[Any]:
    """See `Layout.read`."""
    return scene_reading.read(frozen, path, places, view)


def read_labels(frozen: FrozenDataset, path: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """See `Layout.read_labels`."""
    return scene_reading.read_labels(frozen, path, places, frozen.specification.source.stac_layout)
