"""Metadata of an ONNX file that QGIS's plugin Deepness reads, so that users set nothing by hand.

Its keys are those of the plugin's documentation, and each value is JSON:
https://qgis-plugin-deepness.readthedocs.io, "Adding metadata to ONNX model".
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.stac.asset_fields import pixel_size
from mlops_assets.stac.mlm.receptive_field import receptive_field

if TYPE_CHECKING:
    import onnx

# the plugin divides values by 255 before it standardises them
_DIVISOR = 255
_MAX_OVERLAP = 50  # percent of a tile
_ROUNDING = 3  # digits of a pixel's size in metres


def deepness_metadata(model: onnx.ModelProto, data: TrainingData) -> dict[str, str]:
    """Return the plugin's metadata of a model; none for models that do not draw maps of classes.

    Args:
        model: takes raw values, and has scaling inside.
        data: what it was trained on, raw.
    """
    if data.view != "window" or not data.class_names:
        return {}
    bands, height, width = data.sample_shape
    found: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {str(index): name for index, name in enumerate(data.class_names)},
        # one name in the plugin's documentation, the other in its code
        "tiles_size": height,
        "tile_size": height,
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1 / _DIVISOR] * bands,
        # the largest score decides, however small
        "seg_thresh": 0.0,
    }
    field = receptive_field(model.graph)
    if field is not None:
        seen = max(own / side for own, side in zip(field, (height, width), strict=True))
        found["tiles_overlap"] = min(_MAX_OVERLAP, math.ceil(100 * seen / 2))
    size = _pixel_size(data)
    if size is not None:
        found["resolution"] = round(100 * size, _ROUNDING)
    return {key: json.dumps(value) for key, value in found.items()}


def _pixel_size(data: TrainingData) -> float | None:
    """Return the size of a pixel in metres; None if it is unknown or differs between scenes."""
    rows = data.committed.manifest
    known = rows[rows["transform"].notna() & rows["crs"].notna()]
    grids = {
        (crs, (*transform[:2], 0.0, *transform[3:5], 0.0))
        for crs, transform in zip(known["crs"], known["transform"], strict=True)
    }
    sizes = {pixel_size(crs, grid) for crs, grid in grids}
    metres = {round(size, _ROUNDING) for size in sizes if size is not None}
    return metres.pop() if len(metres) == 1 and None not in sizes else None
