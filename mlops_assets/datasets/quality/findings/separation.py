"""Distances of test samples from the nearest training sample.

Near samples are alike, and make a model look better than it is. Overlap is in `leakage`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.content.places import APART, Places, earth_centred
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.specification.dataset import QualityThresholds

PERCENTILES = (5, 25, 50, 75, 95)
MAX_ASKED = 200_000  # test samples; of training all samples are used
# A sensor's point spread function mixes the light of neighbouring pixels: Huang et al. (2002),
# Impact of sensor's point spread function on land cover characterization, Remote Sensing of
# Environment 80, 203-212.
MIN_PIXELS = 2
# Two positions by satellite navigation in the open, of 4.9 m each (GPS.gov, GPS Accuracy), are one
# place below this.
MIN_METRES = 10.0


@dataclass(frozen=True)
class Separation:
    """Distances of test samples to the nearest training sample.

    Attributes:
        unit: `m` on the ground, or `px` within scenes.
        distances: sorted, of the test samples asked for; those in a scene without any training
            sample are left out.
        asked: number of test samples asked for.
        test: number of test samples.
        limit: distance below which is a warning.
    """

    unit: str
    distances: NDArray[np.float64]
    asked: int
    test: int
    limit: float


def separation(
    places: Places, splits: NDArray[np.object_], thresholds: QualityThresholds
) -> Separation | None:
    """Measure how far test samples are from training; None if it is unknown where they are.

    On the ground where all of both are georeferenced, else in pixels within each scene.
    """
    from scipy.spatial import cKDTree

    train, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    asked = draw(test, MAX_ASKED)
    least = float(max(MIN_PIXELS, min(places.size)))
    if places.on_ground[train].all() and places.on_ground[test].all():
        points = [earth_centred(places.longitude[i], places.latitude[i]) for i in (train, asked)]
        unit = "m"
        # adjacent samples do not count as near, and pixels of a scene differ slightly in size
        limit = 0.99 * least * float(places.pixels.min()) if len(places.pixels) else MIN_METRES
    elif places.in_scenes:
        points = [places.points(i) for i in (train, asked)]
        unit = "px"
        limit = least
    else:
        return None
    distances = cKDTree(points[0]).query(points[1], workers=-1)[0]
    if unit == "px":
        distances = distances[distances < APART / 2]
    if thresholds.min_distance is not None:
        limit = thresholds.min_distance
    return Separation(unit, np.sort(distances), len(asked), len(test), limit)


def separation_check(found: Separation | None) -> Check:
    """Warn of test samples that are nearer to training than the threshold."""
    name = "distance_between_splits"
    if found is None:
        return outcome(name, True, "not measured: it is unknown where the samples are")
    if not len(found.distances):
        return outcome(name, True, "no test sample is in a scene with training samples")
    near = float((found.distances < found.limit).mean())
    least, median = float(found.distances[0]), float(np.median(found.distances))
    text = (
        f"test samples are {least:.4g} {found.unit} or more from training, half of them"
        f" {median:.4g} {found.unit}"
    )
    if near:
        text += (
            f"; {near:.1%} are nearer than {found.limit:.4g} {found.unit}: use 'split: {{method:"
            " spatial_block}' with a buffer, or expect worse results elsewhere"
        )
    return outcome(
        name,
        not near,
        text,
        unit=found.unit,
        least=least,
        median=median,
        limit=found.limit,
        nearer=near,
    )
