"""The layers of a map, written row by row while the model runs over a scene."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster, WritableRaster
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.mapped import SCORES, MappedModel, wanted_bands
from mlops_assets.prediction.maps.geotiff import open_layer
from mlops_assets.prediction.maps.outputs import measure
from mlops_assets.prediction.scenes.bands import Found, find_bands
from mlops_assets.prediction.scenes.scene import Scene
from mlops_assets.prediction.strips import Strip
from mlops_assets.progress import step
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store


def write_layers(
    store: Store, mapped: MappedModel, scene: Path, folder: Path
) -> tuple[Found, set[int]]:
    """Write the layers of a map as `plain<suffix>.tif`.

    Returns:
        The bands that were read, and the class values in the map.
    """
    with ExitStack() as stack:
        raster = stack.enter_context(open_raster(scene))
        _require_located(raster, scene)
        found = find_bands(raster, scene, wanted_bands(store, mapped), mapped.options.by_position)
        opened = Scene(raster, found.roles, mapped.signature.apply_scale)
        tags = _tags(mapped, scene)
        written = {
            suffix: stack.enter_context(
                open_layer(folder / f"plain{suffix}.tif", raster, layer, tags)
            )
            for suffix, layer in mapped.layers.items()
        }
        pixels = raster.height * raster.width
        done = stack.enter_context(step(f"predicting {scene.name}", pixels, "pixels"))
        present: set[int] = set()
        with_data = predicted = 0
        for strip in mapped.strips(opened):
            with_data += int(strip.known.sum())
            values, usable = _decided(mapped, strip)
            predicted += int(usable.sum())
            _write_rows(written[""], strip.first, values[None])
            if mapped.classes:
                present |= set(np.unique(values[usable]).tolist())
            if SCORES in written:
                _write_rows(written[SCORES], strip.first, _measured(mapped, strip, usable))
            done.advance(strip.known.size)
    if not predicted:
        reason = (
            "its model gives no number for any pixel"
            if with_data
            else "no pixel has data in all bands of the model (by nodata, masks, alpha and NaN)"
        )
        raise SpecificationError(f"{scene.name} has no map: {reason}; choose another scene")
    return found, present


def _decided(mapped: MappedModel, strip: Strip) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Return the first layer's rows, and which pixels have a value: NaN is not a decision."""
    layer = mapped.first
    usable = strip.known
    rows = np.full(usable.shape, layer.nodata, dtype=layer.dtype)
    if not strip.outputs:
        return rows, usable
    if "value" in strip.outputs:
        values = strip.outputs["value"]
        usable = usable & np.isfinite(values)
        rows[usable] = values[usable]
        return rows, usable
    if "label" in strip.outputs:
        indices = strip.outputs["label"].astype(np.int64)
    else:
        scores = strip.outputs["scores"]
        usable = usable & np.isfinite(scores).all(axis=0)
        indices = scores.argmax(axis=0)
    values = np.array([entry.value for entry in mapped.classes], dtype=layer.dtype)
    rows[usable] = values[indices[usable]]
    return rows, usable


def _measured(mapped: MappedModel, strip: Strip, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the rows of the layer of numbers."""
    layer = mapped.layers[SCORES]
    rows = np.full((len(layer.bands), *usable.shape), np.nan, dtype=np.float32)
    if usable.any() and mapped.scores is not None:
        scores = strip.outputs["scores"].astype(np.float32, copy=False)
        rows[:, usable] = measure(scores[:, usable], mapped.scores, mapped.options.outputs)
    return rows


def _write_rows(raster: WritableRaster, first: int, rows: NDArray[np.number]) -> None:
    from rasterio.windows import Window

    raster.write(rows, window=Window(0, first, rows.shape[2], rows.shape[1]))


def _require_located(raster: Raster, scene: Path) -> None:
    """Refuse ground control points, as a map on the scene's grid would have no place.

    Raises:
        SpecificationError: the scene has them, and nothing else.
    """
    if raster.gcps[0] and raster.transform.is_identity:
        raise SpecificationError(
            f"{scene.name} is located by ground control points only; warp it to a grid first:"
            f" gdalwarp -tps {scene.name} warped.tif"
        )


def _tags(mapped: MappedModel, scene: Path) -> dict[str, str]:
    row = mapped.row
    tags = {
        "MLOPS_MODEL": f"{row.model}@{row.version}",
        "MLOPS_DATA": f"{row.dataset}@{row.data_version}",
        "MLOPS_RUN": row.run_id,
        "MLOPS_MODEL_SHA256": sha256_of(mapped.onnx_file),
        "MLOPS_SOURCE": scene.name,
        "MLOPS_SOURCE_SHA256": sha256_of(scene),
    }
    if mapped.overlap is not None:
        tags["MLOPS_WINDOWS"] = str(mapped.overlap)
    return tags
