"""Figures: small whatever is drawn, the same every time, and there only if they make sense."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlops_assets.datasets.quality import figures
from mlops_assets.datasets.quality.content.places import Places, places_of
from mlops_assets.datasets.quality.content.values import RunningStatistics, band_values
from mlops_assets.datasets.quality.findings.separation import Separation
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.sample_shape import PatchShape, RowShape
from mlops_assets_tests.datasets.quality.findings.test_leakage import files

pytestmark = pytest.mark.usefixtures("drawn")


def colours(png: bytes) -> set[str]:
    """Return the splits' colours that are in a picture, about."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
    found = np.unique(picture, axis=0).astype(int)
    wanted = {
        name: [int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in figures.COLOURS.values()
    }
    return {name for name, rgb in wanted.items() if (np.abs(found - rgb).max(axis=1) < 12).any()}


def scattered(number: int, scenes: int, georeferenced: bool) -> tuple[Places, NDArray[Any]]:
    rng = np.random.default_rng(0)
    samples = pd.DataFrame(
        {
            "path": [f"{i:03d}" for i in rng.integers(0, scenes, number)],
            "row": rng.integers(0, 3000, number),
            "column": rng.integers(0, 3000, number),
            "longitude": rng.uniform(3, 4, number) if georeferenced else np.nan,
            "latitude": rng.uniform(59, 60, number) if georeferenced else np.nan,
        }
    )
    manifest = files(*({"path": f"{i:03d}"} for i in range(scenes)))
    splits = rng.choice(np.array([*SPLITS, None], dtype=object), number)
    return places_of(samples, manifest, PatchShape(size=1)), splits


@pytest.mark.parametrize(
    ("scenes", "georeferenced"), [(1, True), (1, False), (3, False), (50, False)]
)
def test_a_map_of_many_scattered_samples_is_small(scenes: int, georeferenced: bool) -> None:
    places, splits = scattered(200_000, scenes, georeferenced)
    names = [f"{i:03d}" for i in range(scenes)]
    png = figures.sample_map(places, splits, names, "title")
    assert png is not None
    assert len(png) < 100_000
    assert set(figures.COLOURS.values()) <= colours(png)


def test_a_map_is_the_same_every_time() -> None:
    places, splits = scattered(figures.MAX_POINTS + 1, 3, False)
    first, second = (figures.sample_map(places, splits, ["a", "b", "c"], "title") for _ in range(2))
    assert first == second


def test_rows_without_a_place_have_no_map() -> None:
    rows = pd.DataFrame(
        {"path": "t", "row": [0, 1], "column": -1, "longitude": np.nan, "latitude": np.nan}
    )
    places = places_of(rows, files({"path": "t"}), RowShape())
    assert (
        figures.sample_map(places, np.array(["train", "test"], dtype=object), ["t"], "title")
        is None
    )


@pytest.mark.parametrize("classes", [1, 16, 300])
def test_counts_of_many_classes_are_small(classes: int) -> None:
    counts = pd.DataFrame(
        np.random.default_rng(0).integers(0, 10_000, (classes, 3)),
        index=[f"class with a name of some length {i}" for i in range(classes)],
        columns=list(SPLITS),
    )
    png = figures.class_counts(counts, "samples", "title")
    assert len(png) < 100_000
    assert set(figures.COLOURS.values()) <= colours(png)


@pytest.mark.parametrize("bands", [1, 5, 300])
def test_histograms_of_many_bands_are_small_and_of_none_empty(bands: int) -> None:
    drawn = np.random.default_rng(0).normal(size=(500, bands))
    drawn[:, 0] = np.nan
    found = band_values(
        RunningStatistics(bands), drawn, None, [f"a band of some name {i}" for i in range(bands)]
    )
    png = figures.band_histograms(found, "title")
    assert len(png) < 100_000
    assert (figures.COLOURS["train"] in colours(png)) == (bands > 1)


@pytest.mark.parametrize("furthest", [0.0, 20.0, 1e6])
def test_distances_of_any_range_are_drawn(furthest: float) -> None:
    png = figures.distances(
        Separation("m", np.linspace(0, furthest, 5000), 5000, 5000, 10.0), "title"
    )
    assert len(png) < 100_000
    # then the line lies on the axis
    assert figures.COLOURS["test"] in colours(png) or furthest == 0
