"""Leakage: test and validation samples that training has seen, by group, by place or by content.

Exact: no sample is left out. Near copies are warnings, in `duplicates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.quality.content.places import Places, earth_centred
from mlops_assets.datasets.quality.findings.duplicates import HELD_OUT, ExactCopies
from mlops_assets.datasets.specification.dataset import QualityThresholds

# pixels: footprints that share less only touch, within what resampling and rounding leave of a grid
MIN_SHARED = 0.5
_TRAIN_AT_ONCE = 500_000  # footprints that are held in memory: about 250 MB
_HELD_AT_ONCE = 20_000
PLURALS = {"row": "rows", "patch": "patches", "window": "windows", "image": "images"}
_APART = "use 'split: {{method: spatial_block}}', which keeps a place on one side"
SEEN = {
    "patch": (
        "contain a training pixel; use 'split: {{method: spatial_block, buffer: {buffer}}}' or more"
    ),
    "window": f"overlap a training one; {_APART}",
    "image": f"overlap a training one; {_APART}",
    "row": "",
}


@dataclass(frozen=True)
class Leakage:
    """Samples of validation and test that have been seen in training.

    Attributes:
        held_out: number of validation and test samples.
        groups: groups that are on both sides, sorted.
        seen: positions of held-out samples that show a training sample: its footprint, or of a
            patch its centre.
        sharing: number of held-out samples whose footprint shares ground with that of a training
            sample.
        compared: whether footprints were compared with each other; not those of rows, of a temporal
            split, and of images whose place is unknown.
        on_ground: whether that was so across scenes, too.
        buffer: least buffer of a spatial split that keeps patches apart, pixels, or metres where
            georeferenced.
    """

    held_out: int
    groups: list[str]
    seen: NDArray[np.int64]
    sharing: int
    compared: bool
    on_ground: bool
    buffer: int


@dataclass(frozen=True)
class LeakageFigures:
    """Leakage in numbers, as the check needs it.

    Attributes:
        kind: how a sample is shaped.
        groups: number of groups that are on both sides.
        group: one of them.
        seen, sharing, held_out: numbers of held-out samples, see `Leakage`.
        compared, on_ground, buffer: see `Leakage`.
    """

    kind: str
    groups: int
    group: str | None
    seen: int
    sharing: int
    held_out: int
    compared: bool
    on_ground: bool
    buffer: int

    @classmethod
    def of(cls, found: Leakage, kind: str) -> LeakageFigures:
        """Return the numbers of what was found in samples of a kind."""
        group = found.groups[0] if found.groups else None
        counts = len(found.groups), group, len(found.seen), found.sharing, found.held_out
        return cls(kind, *counts, found.compared, found.on_ground, found.buffer)


def declared_groups(samples: pd.DataFrame, manifest: pd.DataFrame, method: str) -> pd.Series:
    """Return the group of each sample, null where it is only the name of its scene.

    Where the split is by group, every group is kept.
    """
    groups = samples["group"]
    if method == "group":
        return groups
    scenes = samples["path"].map(manifest.drop_duplicates("path").set_index("path")["scene"])
    return groups.where(groups.notna() & (groups.astype(object) != scenes.astype(object)), None)


def find_leakage(
    splits: NDArray[np.object_], groups: pd.Series, places: Places, method: str
) -> Leakage:
    """Find groups on both sides, and held-out samples that show what is trained on.

    A patch is seen if the labelled pixel of a training patch is in it; that the margins of two
    patches overlap is counted in `sharing`. A window or image is seen if it overlaps a training
    one. Places are compared with each other in pixels within a scene, and on the ground also across
    scenes: two dates or two overlapping scenes of one place. A temporal split has the same places
    on both sides by intent, so only a place at the same time counts.

    Args:
        splits: the split of each sample of a data version.
        groups: the group of each, see `declared_groups`.
        places: of the samples.
        method: how they were split.
    """
    train, held = np.flatnonzero(splits == "train"), np.flatnonzero(np.isin(splits, HELD_OUT))
    shared = set(groups.iloc[held].dropna()) & set(groups.iloc[train].dropna())
    seen = sharing = np.zeros(len(held), dtype=bool)
    on_ground = (
        places.kind != "row" and method != "temporal" and any(crs is not None for crs in places.crs)
    )
    compared = on_ground or (places.in_scenes and method != "temporal")
    if compared:
        sharing = overlapping(places, train, held, places.size)
        seen = sharing.copy()
        if places.kind == "patch":
            seen[sharing] = overlapping(places, train, held[sharing], (1, 1))
    # on the ground a place at just this distance is left in, and the grid of blocks is turned
    # against that of the scene
    buffer = places.size[0] // 2
    if on_ground and places.on_ground.all():
        buffer = math.ceil((buffer + 1) * float(places.pixels.max()))
    return Leakage(
        len(held),
        sorted(map(str, shared)),
        held[seen],
        int(sharing.sum()),
        compared,
        on_ground,
        buffer,
    )


def overlapping(
    places: Places, train: NDArray[np.int64], held: NDArray[np.int64], train_size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return whether each held-out sample's footprint shares ground with a training sample's.

    Args:
        places: of the samples.
        train: positions of training samples.
        held: positions of held-out samples.
        train_size: height and width of what counts of a training sample, pixels around its centre.
    """
    import shapely

    found = np.zeros(len(held), dtype=bool)
    for crs, trained in _by_crs(places, train):
        for own in _parts(trained, _TRAIN_AT_ONCE):
            tree = shapely.STRtree(shapely.polygons(places.corners(own, _shrunk(train_size))))
            for other, asked in _by_crs(places, np.flatnonzero(~found), of=held):
                if other != crs:
                    if other is None or crs is None:
                        continue  # their relative position is unknown
                    asked = asked[_near(places, own, held[asked])]
                for some in _parts(asked, _HELD_AT_ONCE):
                    corners = _projected(
                        places.corners(held[some], _shrunk(places.size)), other, crs
                    )
                    hits = tree.query(shapely.polygons(corners), predicate="intersects")[0]
                    found[some[np.unique(hits)]] = True
    return found


def leakage_check(
    found: LeakageFigures, copies: ExactCopies, thresholds: QualityThresholds
) -> Check:
    """Stop training on a split that leaks, and describe the fix.

    Args:
        found: what has been seen in training.
        copies: exact copies within and across splits.
        thresholds: how many copies are allowed.
    """
    problems = []
    if found.groups:
        problems.append(
            f"{found.groups} group(s) are in training and outside of it, e.g. {found.group!r}; use"
            " 'method: group'"
        )
    held_out = PLURALS[found.kind]
    share = found.seen / max(found.held_out, 1)
    if share:
        seen = SEEN[found.kind].format(buffer=found.buffer)
        problems.append(
            f"{found.seen} of {found.held_out} held-out {held_out} ({share:.1%}) {seen}"
        )
    if copies.held_out > thresholds.max_duplicates:
        problems.append(
            f"{copies.held_out:.1%} of held-out {held_out} have exactly the values of a training"
            f" one, allowed are {thresholds.max_duplicates:.1%} ({copies.compared} samples"
            " compared); remove the copies, use 'method: random', or raise 'quality:"
            " {max_duplicates: …}' if they are natural"
        )
    where = "in their scenes and on the ground" if found.on_ground else "in their scenes"
    text = (
        "no group or copy of training is in validation or test beyond what is allowed"
        f" ({found.held_out} "
    )
    text += f"{held_out})" + (
        f", and no place, {where}" if found.compared else "; places were not compared"
    )
    return outcome(
        "leakage",
        not problems,
        "; ".join(problems) or text,
        groups=found.groups,
        seen=share,
        sharing_ground=found.sharing / max(found.held_out, 1),
        copies=copies.held_out,
    )


def _by_crs(
    places: Places, chosen: NDArray[np.int64], of: NDArray[np.int64] | None = None
) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """Yield the chosen positions (of samples, or into `of`) by the CRS of their files."""
    files = places.file[chosen if of is None else of[chosen]]
    codes, systems = pd.factorize(places.crs, use_na_sentinel=False)
    for code, crs in enumerate(systems):
        own = chosen[codes[files] == code]
        if len(own):
            yield crs if isinstance(crs, str) else None, own


def _parts(items: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _near(places: Places, train: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which held-out samples may overlap a training sample, by distance on the ground."""
    from scipy.spatial import cKDTree

    near = np.zeros(len(held), dtype=bool)
    known, asked = places.on_ground[train], places.on_ground[held]
    if known.any() and asked.any():
        # twice what two half diagonals come to
        reach = 2 * float(places.pixels.max() * np.hypot(*places.size))
        tree = cKDTree(earth_centred(places.longitude[train][known], places.latitude[train][known]))
        points = earth_centred(places.longitude[held][asked], places.latitude[held][asked])
        near[asked] = np.isfinite(tree.query(points, distance_upper_bound=reach)[0])
    return near


def _projected(
    corners: NDArray[np.float64], source: str | None, target: str | None
) -> NDArray[np.float64]:
    from rasterio.warp import transform

    if source == target:
        return corners
    x, y = transform(source, target, *corners.reshape(-1, 2).T)
    return np.stack([x, y], axis=1).reshape(corners.shape)


def _shrunk(size: tuple[int, int]) -> tuple[float, float]:
    return size[0] - MIN_SHARED, size[1] - MIN_SHARED
