"""The picture of a map, with a legend or a colour bar, drawn from a decimated read of its file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.prediction.maps.geotiff import MapClass
from mlops_assets.text.figures import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES = 6.0  # of the longer side of the map
_DPI = 100
# of the longer side of the map: more would be left out of the picture again
PICTURE_SIDE = round(_INCHES * _DPI)
_MIN_INCHES = 3.0
_LEGEND_INCHES = 2.8
_CLASSES_A_COLUMN = 24
_VEIL = (0.45, 0.45, 0.45, 0.7)  # over what is outside the area of applicability
# of the values of a map of numbers, the colours span this range
_PERCENTILES = (2, 98)


def draw(
    path: Path, classes: Sequence[MapClass], title: str, applicability: Path | None = None
) -> bytes:
    """Return a map as a PNG, however large it is.

    What is outside the area of applicability is greyed out.

    Args:
        path: a GeoTIFF of one band.
        classes: those that are in the legend; none if the map has numbers.
        title: of the picture.
        applicability: the GeoTIFF beside it whose second band is 1 inside and 0 outside the area of
            applicability; None if that is unknown.
    """
    from matplotlib.figure import Figure

    with open_raster(path) as raster:
        longer = max(raster.height, raster.width)
        shrunk = max(longer, PICTURE_SIDE) / PICTURE_SIDE
        shape = (max(1, round(raster.height / shrunk)), max(1, round(raster.width / shrunk)))
        values = raster.read(1, out_shape=shape)
        size = _INCHES * raster.width / longer, _INCHES * raster.height / longer
    width, height = (max(side, _MIN_INCHES) for side in size)
    figure = Figure(figsize=(width + _LEGEND_INCHES, height), layout="constrained")
    axes = figure.subplots()
    axes.set(title=drawn(title), xticks=[], yticks=[])
    # a map of one row would be a hair's breadth otherwise
    aspect: Literal["equal", "auto"] = "equal" if min(size) > _INCHES / 20 else "auto"
    outside = None if applicability is None else _outside(applicability, shape)
    if classes:
        axes.imshow(_coloured(values, classes), interpolation="nearest", aspect=aspect)
    else:
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, _PERCENTILES) if known.size else (0, 1)
        image = axes.imshow(values, interpolation="nearest", aspect=aspect, vmin=low, vmax=high)
        figure.colorbar(image, ax=axes, shrink=0.8)
    if outside is not None:
        veil = np.zeros((*shape, 4), dtype=np.float32)
        veil[outside] = _VEIL
        axes.imshow(veil, interpolation="nearest", aspect=aspect)
    _add_legend(figure, classes, outside is not None and bool(outside.any()))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _coloured(values: NDArray[np.number], classes: Sequence[MapClass]) -> NDArray[np.uint8]:
    """Return red, green, blue and alpha of each pixel; transparent where there is no class."""
    pixels = np.zeros((*values.shape, 4), dtype=np.uint8)
    for entry in classes:
        pixels[values == entry.value] = (*entry.colour, 255)
    return pixels


def _outside(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels of the picture are outside the area of applicability."""
    with open_raster(path) as raster:
        return np.asarray(raster.read(2, out_shape=shape) == 0)


def _add_legend(figure: Figure, classes: Sequence[MapClass], outside: bool) -> None:
    """Add the classes, and what is greyed out; nothing if there is neither."""
    from matplotlib.patches import Patch

    handles = [
        Patch(color=f"#{bytes(entry.colour).hex()}", label=drawn(entry.name)) for entry in classes
    ]
    if outside:
        handles.append(Patch(facecolor=_VEIL, label="outside the area\nof applicability"))
    if not handles:
        return
    figure.legend(
        handles=handles,
        loc="outside right center",
        ncols=-(-len(handles) // _CLASSES_A_COLUMN),
        fontsize=8,
        frameon=False,
    )
