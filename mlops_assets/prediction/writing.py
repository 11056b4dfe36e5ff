"""The layers of a map, written row by row while the model runs over a part of a scene."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.prediction.job import Part
from mlops_assets.prediction.mapped import APPLICABILITY, SCORES, MappedModel
from mlops_assets.prediction.maps.geotiff import Layer, number_layer, write_rows
from mlops_assets.prediction.maps.outputs import confidence, measure
from mlops_assets.prediction.opened import OpenedScene, broken
from mlops_assets.prediction.parts import PartResult, open_part
from mlops_assets.prediction.windows.scene_model import DI
from mlops_assets.prediction.windows.strips import Strip
from mlops_assets.progress import Step

PRIORITY = ".priority"  # of the layer that decides between scenes of a mosaic; it is in no map


def part_layers(mapped: MappedModel, is_mosaic: bool) -> dict[str, Layer]:
    """Return the layers of a part: those of the map, and what decides between scenes.

    Args:
        mapped: the model version.
        is_mosaic: whether scenes may overlap.
    """
    priority = {PRIORITY: number_layer(("priority",), "1")}
    decided = is_mosaic and (mapped.classes or APPLICABILITY in mapped.layers)
    return {**mapped.layers, **(priority if decided else {})}


def write_part(
    mapped: MappedModel, scene: OpenedScene, part: Part, layers: Mapping[str, Path], done: Step
) -> PartResult:
    """Write the layers of a part.

    Args:
        mapped: the model version.
        scene: of the part.
        part: rows of the scene.
        layers: name of each of `part_layers` → file.
        done: counts pixels.

    Returns:
        The part, without its layers.

    Raises:
        BrokenScene: the scene cannot be read.
    """
    shape = part.last - part.first, scene.rows.width
    kinds = part_layers(mapped, PRIORITY in layers)
    present: set[int] = set()
    with_data = predicted = 0
    with ExitStack() as stack:
        written = {
            name: stack.enter_context(open_part(path, shape, kinds[name]))
            for name, path in layers.items()
        }
        for strip in _readable(mapped, scene, part):
            first = strip.first - part.first
            with_data += int(strip.known.sum())
            values, usable = _decided(mapped, strip)
            predicted += int(usable.sum())
            write_rows(written[""], first, values[None])
            if mapped.classes:
                present |= set(np.unique(values[usable]).tolist())
            if SCORES in written:
                write_rows(written[SCORES], first, _measured(mapped, strip, usable))
            if APPLICABILITY in written:
                write_rows(written[APPLICABILITY], first, _applicability(mapped, strip, usable))
            if PRIORITY in written:
                write_rows(written[PRIORITY], first, _priority(mapped.scores, strip, usable))
            done.advance(strip.known.size)
    return PartResult(part, with_data, predicted, tuple(sorted(present)))


def _readable(mapped: MappedModel, scene: OpenedScene, part: Part) -> Iterator[Strip]:
    """Yield the strips of a part."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    strips = mapped.strips(scene.rows, (part.first, part.last))
    while True:
        with broken(scene.name):
            try:
                strip = next(strips, None)
            except (RasterioError, CPLE_BaseError) as error:
                raise ValueError(
                    f"cannot be read: {error.__cause__ or error}; replace the file"
                ) from error
        if strip is None:
            return
        yield strip


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


def _applicability(
    mapped: MappedModel, strip: Strip, usable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the rows of the dissimilarity index, and of 1 inside its threshold and 0 outside."""
    rows = np.full((2, *usable.shape), np.nan, dtype=np.float32)
    if usable.any() and mapped.index is not None:
        di = strip.outputs[DI].astype(np.float32, copy=False)
        np.copyto(rows[0], di, where=usable)
        np.copyto(rows[1], mapped.index.applicability.inside(di), where=usable)
    return rows


def _priority(kind: Scores | None, strip: Strip, usable: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the rows of the layer that decides between scenes, the larger the better.

    It is the confidence; of scores that are not probabilities the largest; of numbers and labels
    how like the training data the pixel is, else 0, so that the first scene decides.
    """
    rows = np.full((1, *usable.shape), np.nan, dtype=np.float32)
    if not usable.any():
        return rows
    if "scores" in strip.outputs:
        scores = strip.outputs["scores"].astype(np.float32, copy=False)[:, usable]
        rows[:, usable] = scores.max(axis=0) if kind is None else confidence(scores, kind)
    elif DI in strip.outputs:
        rows[:, usable] = -strip.outputs[DI][usable]
    else:
        rows[:, usable] = 0
    return rows
