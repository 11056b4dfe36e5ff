"""Chips: small pictures of samples, as PNG.

Values become colours by a stretch between the 2nd and 98th percentile, as GIS programs do by
default (QGIS, cumulative cut).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import SpecificationError, TrainingDataUnreadable
from mlops_assets.hub.views.samples.band_choice import Composite, chosen_composite
from mlops_assets.hub.views.samples.opened import OpenVersion, open_version
from mlops_assets.hub.views.samples.pixels import (
    Region,
    Sample,
    read_labels,
    read_region,
    read_row,
    region_of,
)
from mlops_assets.hub.views.samples.sample import find_sample
from mlops_assets.hub.views.samples.spread import spread_of
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.text.palette import class_colours

if TYPE_CHECKING:
    from PIL.Image import Image

RENDERER = 1  # raise it with every change of pictures, so that browsers ask again
MIN_SIDE, DEFAULT_SIDE, MAX_SIDE = 32, 160, 1024  # pixels of a chip
CUT = (2.0, 98.0)  # percentiles
OVERLAY = 0.55  # opacity of labels
LINE = "#4477aa"  # Tol's bright scheme; 4.6:1 on white, 4.1:1 on black
MEDIAN = "#8a8a8a"
Stretch = Literal["version", "chip"]


@dataclass(frozen=True)
class ChipRequest:
    """A chip as it is asked for.

    Attributes:
        bands: `true`, `false`, or names of bands; None for the first composite.
        labels: draw labels over the pixels.
        stretch: by the values of the training split, or of the chip alone.
        size: height and width in pixels at most.
        placeholder: draw why a sample cannot be read, instead of an error.
    """

    bands: str | None = None
    labels: bool = False
    stretch: Stretch = "version"
    size: int = DEFAULT_SIDE
    placeholder: bool = False


@dataclass(frozen=True)
class Chip:
    """A picture.

    Attributes:
        content: PNG; None if the caller has it already.
        etag: strong entity tag.
        lasting: whether the picture is the sample's, not a placeholder.
    """

    content: bytes | None
    etag: str
    lasting: bool = True


def chip(
    store: Store, reference: Reference, index: int, asked: ChipRequest, known: str | None = None
) -> Chip:
    """Draw a sample.

    Args:
        store: of the caller.
        reference: to the data version.
        index: position of the sample.
        asked: how.
        known: entity tag of the picture that the caller has.

    Raises:
        NotFound: no such version or sample.
        SpecificationError: no such bands, and no placeholder is asked for.
        TrainingDataUnreadable: the sample cannot be read, and no placeholder is asked for.
    """
    version = open_version(store, reference)
    sample = find_sample(version, index)
    etag = _etag(version, index, asked)
    if known is not None and etag in known:
        return Chip(None, etag)
    side = min(max(asked.size, MIN_SIDE), MAX_SIDE)
    try:
        picture = _drawn(sample, asked, side)
    except (TrainingDataUnreadable, SpecificationError):
        if not asked.placeholder:
            raise
        return Chip(_png(_placeholder(side)), f'"unreadable-{RENDERER}"', lasting=False)
    return Chip(_png(picture), etag)


def _etag(version: OpenVersion, index: int, asked: ChipRequest) -> str:
    # the report defines the stretch
    assessed = version.report is not None
    parts = (RENDERER, version.committed.row.digest, assessed, index, *astuple(asked))
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def _drawn(sample: Sample, asked: ChipRequest, side: int) -> Image:
    if sample.kind == "row":
        return _line(sample, read_row(sample), side)
    committed = sample.committed
    composite = chosen_composite(
        committed.reference, committed.document.features, sample.version.composites, asked.bands
    )
    region = region_of(sample)
    values = read_region(sample, region, composite.indices)
    step = max(1, -(-max(values.shape[1:]) // side))
    pixels = _coloured(values[:, ::step, ::step], _limits(sample, composite, asked, values))
    if asked.labels:
        labels = read_labels(sample, region)
        if labels is not None:
            count = len(sample.committed.classes or [])
            pixels = _overlaid(pixels, labels[::step, ::step], count)
    return _enlarged(pixels, region, step, side)


def _limits(
    sample: Sample, composite: Composite, asked: ChipRequest, values: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the values of black and white of each band, (bands, 2)."""
    spread = spread_of(sample.version) if asked.stretch == "version" else None
    if spread is not None:
        return spread.cut[composite.indices]
    flat = values.reshape(len(values), -1)
    found = np.zeros((len(values), 2))
    for band, own in enumerate(flat):
        known = own[~np.isnan(own)]
        found[band] = np.percentile(known, CUT) if len(known) else (0.0, 1.0)
    return found


def _coloured(values: NDArray[np.float32], limits: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return red, green, blue and opacity, (height, width, 4)."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        shares = np.where(high > low, (values - low) / np.where(high > low, high - low, 1), 0.5)
    colours = (np.clip(np.where(known, shares, 0), 0, 1) * 255).round().astype(np.uint8)
    if len(colours) == 1:
        colours = np.repeat(colours, 3, axis=0)
    opacity = np.where(known.all(axis=0), 255, 0).astype(np.uint8)
    return np.dstack([*colours, opacity])


def _overlaid(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], classes: int
) -> NDArray[np.uint8]:
    palette = np.array(
        [[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in class_colours(classes)]
    )
    known = labels >= 0
    found = pixels.copy()
    mixed = pixels[known][:, :3] * (1 - OVERLAY) + palette[labels[known]] * OVERLAY
    found[known, :3] = mixed.round().astype(np.uint8)
    found[known, 3] = 255
    return found


def _enlarged(pixels: NDArray[np.uint8], region: Region, step: int, side: int) -> Image:
    """Enlarge pixels by a whole factor, and outline the sample within its surroundings."""
    from PIL import Image, ImageDraw

    factor = max(1, side // max(pixels.shape[:2]))
    picture = Image.fromarray(pixels.repeat(factor, axis=0).repeat(factor, axis=1))
    if region.inner is not None:
        top, left, height, width = (number * factor // step for number in region.inner)
        draw = ImageDraw.Draw(picture)
        # dark and light, so that it is seen on any ground
        for margin, colour in ((2, "black"), (1, "white")):
            box = (
                left - margin,
                top - margin,
                left + width - 1 + margin,
                top + height - 1 + margin,
            )
            draw.rectangle(box, outline=colour)
    return picture


def _line(sample: Sample, values: NDArray[np.float32], side: int) -> Image:
    """Draw the features of a row as a line, with the median of training in grey."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(picture)
    spread = spread_of(sample.version)
    curves: list[tuple[NDArray[Any], str]] = [(values, LINE)]
    if spread is None:
        known = values[np.isfinite(values)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    else:
        curves.insert(0, (spread.median, MEDIAN))
        low, high = spread.axis
    shares = np.linspace(0.05, 0.95, max(len(values), 2))[: len(values)] * (side - 1)
    for curve, colour in curves:
        span = np.where(np.asarray(high) > low, np.asarray(high) - low, 1)
        heights = (1 - np.clip((curve - low) / span, 0, 1) * 0.9 - 0.05) * (side - 1)
        points = [
            (float(x), float(y)) for x, y in zip(shares, heights, strict=True) if np.isfinite(y)
        ]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2, joint="curve")
        for x, y in points if len(points) <= side // 8 else []:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    return picture


def _placeholder(side: int) -> Image:
    """Draw a crossed box; the page has the reason as text."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGBA", (side, side), "#8a8a8a40")
    draw = ImageDraw.Draw(picture)
    edge = side - 1
    for line in ((0, 0, edge, edge), (0, edge, edge, 0)):
        draw.line(line, fill="#8a8a8a", width=2)
    draw.rectangle((0, 0, edge, edge), outline="#8a8a8a")
    draw.text(
        (side / 2, side / 2),
        "cannot be read",
        anchor="mm",
        fill="white",
        stroke_width=2,
        stroke_fill="#444444",
    )
    return picture


def _png(picture: Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "PNG", compress_level=3)
    return sink.getvalue()
