"""A model run over rows of a scene, strip by strip: scores, labels or values of each pixel.

Memory grows with the width of a scene, not with its pixels. Strips begin at the same rows whichever
of them are wanted, and have the same values to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.onnx.session import Outputs
from mlops_assets.prediction.scenes.scene import Range, Rows, Scene
from mlops_assets.prediction.windows.overlap import Overlap, Placed
from mlops_assets.prediction.windows.scene_model import DI, SceneModel

PIXELS_AT_ONCE = 4096  # patches of 200 bands and 5 x 5 pixels then take 80 MB
_STRIP_ROWS = 256
_STRIP_BYTES = 128 << 20  # of the scores of a strip


@dataclass(frozen=True)
class Strip:
    """Finished rows of a map.

    Attributes:
        first: the first row.
        known: pixels whose output counts, (rows, width); elsewhere it is 0.
        outputs: `scores` (classes, rows, width), or `label` or `value` (rows, width); and `di`
            (rows, width) where the model has an index.
    """

    first: int
    known: NDArray[np.bool_]
    outputs: Outputs


def pixel_tops(size: tuple[int, int], classes: int) -> range:
    """Return the first row of each strip of `pixel_strips`.

    Args:
        size: height and width of the scene.
        classes: number of scores of a pixel.
    """
    most = max(1, _STRIP_BYTES // (4 * max(classes, 1) * size[1]))
    return range(0, size[0], min(_STRIP_ROWS, most))


def pixel_strips(scene: Scene, model: SceneModel, wanted: Range) -> Iterator[Strip]:
    """Yield the outputs of a model that takes pixels, rows of a table, or patches.

    Beyond the edges pixels are mirrored.

    Args:
        scene: to be read.
        model: takes pixels.
        wanted: first row, one of `pixel_tops`, and one past the last, one of them or the height.
    """
    half = model.size // 2
    height = pixel_tops((scene.height, scene.width), model.classes).step
    tops = range(*wanted, height)
    with scene.read_ahead((top - half, top + height + half) for top in tops) as strips:
        for top, rows in zip(tops, strips, strict=True):
            last = min(top + height, scene.height)
            known = rows.part(top, last).known.copy()
            around = _padded(rows, (top - half, last + half), half)
            yield _of_pixels(scene, model, Rows(top, around, known))


def _padded(rows: Rows, wanted: tuple[int, int], half: int) -> NDArray[np.generic]:
    """Return the values of rows, mirrored beyond the edges of the scene.

    Args:
        rows: those of `wanted` that the scene has.
        wanted: first row and one past the last.
        half: pixels added on the left and on the right.
    """
    above, below = rows.first - wanted[0], wanted[1] - rows.last
    return np.pad(rows.values, ((0, 0), (above, below), (half, half)), mode="symmetric")


def _of_pixels(scene: Scene, model: SceneModel, rows: Rows) -> Strip:
    """Return the outputs of rows.

    Args:
        scene: that they belong to.
        model: see `pixel_strips`.
        rows: `values` have half a patch more than `known` on each side.
    """
    size = model.size
    height = max(PIXELS_AT_ONCE // scene.width, 1)
    found: Outputs = {}
    for top in range(0, len(rows.known), height):
        wanted = rows.known[top : top + height]
        if not wanted.any():
            continue
        part = model.without_nan(
            scene.as_trained(rows.values[:, top : top + len(wanted) + size - 1])
        )
        around = np.lib.stride_tricks.sliding_window_view(part, (size, size), axis=(1, 2))
        X = np.ascontiguousarray(around.transpose(1, 2, 0, 3, 4)[wanted])
        outputs = model.predict(X.reshape(-1, *model.shape))
        for name, values in outputs.items():
            flat = values.reshape(len(X), -1).T if name == "scores" else values.reshape(len(X))
            if name not in found:
                found[name] = np.zeros((*flat.shape[:-1], *rows.known.shape), dtype=flat.dtype)
            found[name][..., top : top + height, :][..., wanted] = flat
    return Strip(rows.first, rows.known, found)


def window_tops(height: int, overlap: Overlap) -> list[int]:
    """Return the first row of each strip of `window_strips`.

    Args:
        height: of the scene.
        overlap: of the windows.
    """
    return [placed.start if overlap.blended else placed.first for placed in overlap.place(height)]


def window_strips(
    scene: Scene, model: SceneModel, overlap: Overlap, wanted: Range
) -> Iterator[Strip]:
    """Yield the scores of a segmentation model; where windows have no data they are not computed.

    Beyond the bottom and the right edge pixels are mirrored, as far as windows reach there.

    Args:
        scene: to be read.
        model: gives `scores` of each pixel of a window.
        overlap: of the windows.
        wanted: first row, one of `window_tops`, and one past the last, one of them or the height.
    """
    first, last = wanted
    rows_of_windows = [
        placed for placed in overlap.place(scene.height) if _counts(placed, overlap, wanted)
    ]
    blend = _Blend(scene, model, overlap, rows_of_windows[0].start)
    ranges = [(placed.start, placed.start + overlap.size) for placed in rows_of_windows]
    with scene.read_ahead(ranges) as strips:
        for place, (placed, rows) in enumerate(zip(rows_of_windows, strips, strict=True)):
            kept = rows if overlap.blended else rows.part(placed.first, placed.last)
            columns = [
                column
                for column in overlap.place(scene.width)
                if _kept_columns(kept.known, column, overlap).any()
            ]
            windows = _run(scene, model, rows, columns)
            if not overlap.blended:
                joined = _joined(kept, placed, windows)
                yield Strip(kept.first, kept.known.copy(), _outputs(model, joined))
                continue
            blend.add(placed, rows, windows)
            below = rows_of_windows[place + 1 :]
            strip = blend.finished(below[0].start if below else last)
            # rows above have parts of windows only
            if strip.first >= first:
                yield strip


def _counts(placed: Placed, overlap: Overlap, wanted: Range) -> bool:
    """Return whether a window has a share in some rows."""
    if overlap.blended:
        return placed.start < wanted[1] and placed.start + overlap.size > wanted[0]
    return placed.first < wanted[1] and placed.last > wanted[0]


def _kept_columns(known: NDArray[np.bool_], column: Placed, overlap: Overlap) -> NDArray[np.bool_]:
    if overlap.blended:
        return known[:, column.start : column.start + overlap.size]
    return known[:, column.first : column.last]


def _run(
    scene: Scene, model: SceneModel, rows: Rows, columns: Sequence[Placed]
) -> Iterator[tuple[Placed, NDArray[np.float32]]]:
    """Yield what is computed of the windows in some columns, in batches.

    It is (classes, height, width), and one more where the model has an index; see `_outputs`.
    """
    size = model.size
    most = model.session.batch_size(model.shape)
    for first in range(0, len(columns), most):
        batch = columns[first : first + most]
        X = np.empty((len(batch), *model.shape), dtype=np.float32)
        for window, column in zip(X, batch, strict=True):
            own = scene.as_trained(rows.values[:, :, column.start : column.start + size])
            missing = ((0, 0), (0, size - own.shape[1]), (0, size - own.shape[2]))
            window[:] = np.pad(own, missing, mode="symmetric") if own.shape != X.shape[1:] else own
            model.without_nan(window)
        outputs = model.predict(X)
        found = outputs["scores"].astype(np.float32, copy=False)
        if DI in outputs:
            found = np.concatenate([found, outputs[DI][:, None]], axis=1, dtype=np.float32)
        yield from zip(batch, found, strict=True)


def _outputs(model: SceneModel, joined: NDArray[np.float32] | None) -> Outputs:
    """Return the outputs of rows of windows.

    Args:
        model: that they are of.
        joined: what is computed of each pixel, (classes, rows, width), and one more where the model
            has an index; None where no window was computed.
    """
    if joined is None:
        return {}
    if model.index is None:
        return {"scores": joined}
    return {"scores": joined[:-1], DI: joined[-1]}


def _joined(
    kept: Rows, placed: Placed, windows: Iterator[tuple[Placed, NDArray[np.float32]]]
) -> NDArray[np.float32] | None:
    """Return the rows that are kept of a row of windows."""
    joined: NDArray[np.float32] | None = None
    height, width = kept.known.shape
    top = placed.first - placed.start
    for column, found in windows:
        if joined is None:
            joined = np.zeros((len(found), height, width), dtype=np.float32)
        left, right = column.first - column.start, column.last - column.start
        joined[:, :, column.first : column.last] = found[:, top : top + height, left:right]
    return joined


class _Blend:
    """Sums of what is computed of windows that overlap, weighted, from top to bottom."""

    def __init__(self, scene: Scene, model: SceneModel, overlap: Overlap, top: int) -> None:
        self._scene = scene
        self._model = model
        self._overlap = overlap
        self._top = top
        self._known = np.zeros((0, scene.width), dtype=bool)
        self._sums: NDArray[np.float32] | None = None
        self._weights = np.zeros((0, scene.width), dtype=np.float32)

    def add(
        self, placed: Placed, rows: Rows, windows: Iterator[tuple[Placed, NDArray[np.float32]]]
    ) -> None:
        """Add a row of windows."""
        height, width = self._scene.height, self._scene.width
        new = rows.last - self._top - len(self._known)
        self._known = np.concatenate([self._known, rows.known[len(rows.known) - new :]])
        self._weights = np.pad(self._weights, ((0, new), (0, 0)))
        if self._sums is not None:
            self._sums = np.pad(self._sums, ((0, 0), (0, new), (0, 0)))
        top = placed.start - self._top
        down = self._overlap.weights(placed, height)[: len(rows.known)]
        for column, found in windows:
            if self._sums is None:
                self._sums = np.zeros((len(found), *self._weights.shape), dtype=np.float32)
            right = min(column.start + self._overlap.size, width)
            across = self._overlap.weights(column, width)[: right - column.start]
            place = (slice(top, top + len(down)), slice(column.start, right))
            weights = down[:, None] * across
            self._weights[place] += weights
            self._sums[(slice(None), *place)] += weights * found[:, : len(down), : len(across)]

    def finished(self, last: int) -> Strip:
        """Return the rows above `last`, to which no window is added any more."""
        rows = last - self._top
        joined: NDArray[np.float32] | None = None
        if self._sums is not None:
            # 0 where no window was computed
            weights = np.maximum(self._weights[:rows], np.finfo(np.float32).tiny)
            joined = np.divide(self._sums[:, :rows], weights, dtype=np.float32)
            self._sums = self._sums[:, rows:]
        strip = Strip(self._top, self._known[:rows], _outputs(self._model, joined))
        self._known, self._weights = self._known[rows:], self._weights[rows:]
        self._top = last
        return strip
