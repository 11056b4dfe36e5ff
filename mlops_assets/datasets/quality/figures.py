"""Figures of the quality report.

They show class counts, band histograms, the distance between splits, a map of samples, and
distances to training of an area that is to be mapped.

Each is a PNG below 100 kB, as it goes into the events of Dagster. Other modules give the findings.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from mlops_assets.datasets.quality.content.places import Places
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.quality.content.values import BandValues
from mlops_assets.datasets.quality.findings.separation import Separation
from mlops_assets.datasets.quality.target.distances import Distances
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.text.figures import drawn

# Tol's bright scheme, safe for colour-blind
COLOURS = {
    "train": "#4477aa",
    "validation": "#ccbb44",
    "test": "#ee6677",
}
TARGET = "#228833"
MAX_PANELS = 16  # histograms; of more bands, an even selection is drawn
MAX_CLASSES = 40
MAX_POINTS = 20_000
MAX_SCENES = 6
MAX_STEPS = 500  # of the distribution of distances to a target area
PALETTE = 64
WIDE = 50  # times the limit or smallest median, from which on distances have a logarithmic axis


def class_counts(counts: pd.DataFrame, unit: str, title: str) -> bytes:
    """Return a PNG of counts by class and split, on a logarithmic axis."""
    largest = counts.loc[
        counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:MAX_CLASSES]
    ][::-1]
    figure = Figure(figsize=(7, 1.4 + 0.34 * len(largest)), layout="constrained")
    axes = figure.subplots()
    splits = [split for split in SPLITS if counts[split].sum()]
    for number, split in enumerate(splits):
        offset = (0.5 * (len(splits) - 1) - number) * 0.8 / len(splits)
        axes.barh(
            np.arange(len(largest)) + offset,
            largest[split],
            0.8 / len(splits),
            color=COLOURS[split],
        )
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(largest)), [_short(str(name)) for name in largest.index], fontsize=8)
    title += "" if len(largest) == len(counts) else f", the {len(largest)} largest of {len(counts)}"
    axes.set(xlabel=f"{unit} (logarithmic)", title=title, ylim=(-0.6, len(largest) - 0.4))
    axes.grid(axis="x", alpha=0.3)
    _legend(figure, splits)
    return png(figure)


def band_histograms(found: BandValues, title: str) -> bytes:
    """Return a PNG with a histogram of each band on training samples.

    Of more bands than panels, an even selection is drawn.
    """
    bands = np.unique(
        np.linspace(0, len(found.features) - 1, min(len(found.features), MAX_PANELS)).astype(int)
    )
    across = min(4, len(bands))
    down = -(-len(bands) // across)
    figure = Figure(figsize=(2.3 * across, 1.6 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, band in zip(panels, bands, strict=False):
        low, high = found.edges[band]
        if not np.isnan(low):
            edges = np.linspace(low, high, found.histograms.shape[1] + 1) if high > low else None
            axes.stairs(found.histograms[band], edges, fill=True, color=COLOURS["train"])
        axes.set_title(_short(found.features[band]), fontsize=8)
        axes.tick_params(labelsize=6)
        axes.set_yticks([])
    for axes in panels[len(bands) :]:
        axes.set_axis_off()
    some = (
        ""
        if len(bands) == len(found.features)
        else f", {len(bands)} of {len(found.features)} bands"
    )
    figure.suptitle(f"{title}{some}", fontsize=10)
    return png(figure)


def distances(found: Separation, title: str) -> bytes:
    """Return a PNG of the share of test samples by distance to the nearest training sample."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    some = found.distances[np.unique(np.linspace(0, len(found.distances) - 1, 2000).astype(int))]
    axes.step(some, np.linspace(0, 1, len(some)), where="post", color=COLOURS["test"])
    axes.axvline(found.limit, color="grey", linestyle="--", linewidth=1)
    axes.text(
        found.limit, 1.02, f"{found.limit:.4g} {found.unit}", fontsize=8, color="grey", ha="center"
    )
    if some[-1] > WIDE * found.limit > 0:
        axes.set_xscale("symlog", linthresh=found.limit)
    axes.set(
        xlabel=f"distance to the nearest training sample, {found.unit}",
        ylabel="share of test samples",
        ylim=(0, 1),
        xlim=(0, max(float(some[-1]), found.limit) * 1.1),
    )
    axes.set_title(title, pad=18)
    axes.grid(alpha=0.3)
    return png(figure)


def target_distances(spaces: Sequence[Distances], title: str) -> bytes:
    """Return a PNG of the share of samples and of the area by distance, a panel for each space."""
    figure = Figure(figsize=(5.2 * len(spaces), 3.8), layout="constrained")
    panels = figure.subplots(1, len(spaces), squeeze=False).ravel()
    for axes, found in zip(panels, spaces, strict=True):
        curves = (
            (found.sample, COLOURS["train"], "training samples, from the nearest other"),
            (found.test, COLOURS["test"], "test samples"),
            (found.target, TARGET, "pixels of the map"),
        )
        for distances, colour, label in curves:
            share = np.linspace(0, 1, MAX_STEPS)
            axes.step(np.quantile(distances, share), share, where="post", color=colour, label=label)
        medians = [float(np.median(distances)) for distances, _, _ in curves]
        smallest = min((median for median in medians if median > 0), default=0.0)
        if max(medians) > WIDE * smallest > 0:
            axes.set_xscale("symlog", linthresh=smallest)
        what = "on the ground, m" if found.unit == "m" else "between bands, standard deviations"
        axes.set(xlabel=f"distance {what}", ylabel="share", ylim=(0, 1), xlim=(0, None))
        digits = ",.0f" if found.wasserstein >= 1000 else ".4g"
        axes.set_title(f"W {found.wasserstein:{digits}} {found.unit}", fontsize=9)
        axes.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(drawn(title), fontsize=10)
    return png(figure)


def sample_map(
    places: Places, splits: NDArray[np.generic], names: list[str], title: str
) -> bytes | None:
    """Return a PNG of where the samples of each split are, or None if unknown.

    Args:
        places: of the samples.
        splits: the split of each sample.
        names: name of each scene, for maps by scene.
        title: of the figure.
    """
    some = draw(np.flatnonzero(pd.notna(splits)), MAX_POINTS)
    if places.on_ground[some].all():
        figure = Figure(figsize=(6.5, 5.5), layout="constrained")
        axes = figure.subplots()
        x, y = places.longitude[some], places.latitude[some]
        _points(axes, x, y, splits[some])
        axes.set(xlabel="longitude, °", ylabel="latitude, °")
        axes.set_aspect(1 / max(np.cos(np.radians(float(np.mean(y)))), 0.05), adjustable="box")
        axes.ticklabel_format(useOffset=False)
        axes.tick_params(labelsize=7)
        panel_count = 1
    elif places.in_scenes:
        scene = places.scene[places.file[some]]
        largest = (
            pd.Series(scene)
            .value_counts(sort=True)
            .sort_index()
            .sort_values(ascending=False, kind="stable")
        )
        chosen = largest.index[:MAX_SCENES].tolist()
        panel_count = len(chosen)
        across = min(3, panel_count)
        figure = Figure(
            figsize=(
                1.5 + 4.5 * across / min(across, 2),
                0.9 + 4.4 * -(-panel_count // across) / min(across, 2),
            ),
            layout="constrained",
        )
        panels = figure.subplots(-(-panel_count // across), across, squeeze=False).ravel()
        for axes, number in zip(panels, chosen, strict=False):
            inside = some[scene == number]
            row, column = places.centres[inside].T
            _points(axes, column, row, splits[inside])
            axes.set_title(_short(names[number]), fontsize=8)
            axes.set_aspect("equal", adjustable="box")
            axes.invert_yaxis()
            axes.tick_params(labelsize=6)
        for axes in panels[panel_count:]:
            axes.set_axis_off()
        panels[0].set_xlabel("column, pixels", fontsize=7)
        panels[0].set_ylabel("row, pixels", fontsize=7)
        title += "" if panel_count == len(largest) else f", {panel_count} of {len(largest)} scenes"
    else:
        return None
    _legend(figure, SPLITS)
    figure.suptitle(title, fontsize=10)
    return png(figure)


def _points(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], splits: NDArray[np.generic]
) -> None:
    for split in SPLITS:
        own = splits == split
        size = float(np.clip(160 / max(len(x), 1) ** 0.5, 1.2, 6))
        axes.plot(x[own], y[own], "s", color=COLOURS[split], markersize=size, markeredgewidth=0)


def _legend(figure: Figure, splits: Sequence[str]) -> None:
    handles = [Patch(color=COLOURS[split], label=split) for split in splits]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False
    )


def _short(text: str, most: int = 28) -> str:
    """Leave out the middle of a long name, as paths and classes often differ at their end."""
    return drawn(text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-most // 2 :]}")


def png(figure: Figure) -> bytes:
    """Return a figure as a small PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    # a palette is a quarter of the size, also of a map of points scattered at random
    picture = (
        Image.open(buffer)
        .convert("RGB")
        .quantize(PALETTE, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    )
    small = io.BytesIO()
    picture.save(small, format="png", optimize=True)
    return small.getvalue()
