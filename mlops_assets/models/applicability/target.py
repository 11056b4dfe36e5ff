"""Pixels of the scenes that a dataset declares to be mapped, as a model takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.quality.target.area import area_of, read_area
from mlops_assets.datasets.quality.target.document import published_target
from mlops_assets.datasets.quality.target.scenes import read_pixels, scenes_of
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.errors import MlopsError
from mlops_assets.store import Store

MAX_PIXELS = 10_000


def target_pixels(store: Store, data: TrainingData) -> NDArray[np.float32] | str | None:
    """Return pixels of the target area of a data version, as it was last compared.

    Args:
        store: workspace and registry.
        data: a data version, raw, with the bands of the model.

    Returns:
        (n, bands); or why they cannot be read; None if no scenes are declared.

    Raises:
        IntegrityError: the document of the target area is not as it was published.
    """
    committed = data.committed
    report = published_target(store.workspace, store.registry, committed.row)
    if report is None:
        return None
    target = TargetArea.model_validate(report.target_area)
    if not target.scenes:
        return None
    try:
        content = None if target.area is None else read_area(store.workspace, target.area)
        found = read_pixels(
            scenes_of(store.workspace, target.scenes),
            committed.document.features,
            committed.reading,
            area_of(target, content),
            MAX_PIXELS,
        )
    except MlopsError as error:
        return str(error)
    unlike = next((scene.unlike for scene in found if scene.unlike), None)
    if unlike is not None:
        return unlike
    bands = [data.source_features.index(name) for name in data.features]
    values = [scene.values[:, bands] for scene in found if scene.values is not None]
    pixels = np.concatenate(values).astype(np.float32)
    return pixels if len(pixels) else "no pixel of its scenes has data"
