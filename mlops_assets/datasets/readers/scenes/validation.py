"""Checks that the files of a scene are on one grid, and that scenes are of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mlops_assets.datasets.specification.description import Bands
from mlops_assets.datasets.versions.contents import FileRow, bands_read

_REMEDIES: tuple[tuple[Literal["dtype", "count"], str], ...] = (
    ("dtype", "convert them to one type"),
    ("count", "their numbers of bands must agree"),
)


class SceneProblems(ValueError):
    """Problems that keep a scene from being used: the first one of each of its files."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = [f"{path}: {text}" for path, text in problems.items()]
        super().__init__("; ".join(self.problems))


def same_grid(one: FileRow, other: FileRow) -> bool:
    """Return whether two georeferenced rasters have one CRS and corners within 0.1 pixels."""
    from rasterio.crs import CRS

    if one["crs"] != other["crs"] and CRS.from_string(one["crs"]) != CRS.from_string(other["crs"]):
        return False
    corners = np.array([[0, 0, 1], [other["width"], 0, 1], [0, other["height"], 1]])
    apart = corners @ np.subtract(_transform(one), _transform(other)).reshape(2, 3).T
    return bool(np.abs(apart).max() < _pixel(other) / 10)


def grid_problems(parts: Sequence[FileRow]) -> dict[str, str]:
    """Return why image files of one scene cannot be stacked on the first, by path."""
    first = parts[0]
    problems = {}
    for part in parts[1:]:
        if (part["height"], part["width"]) != (first["height"], first["width"]):
            problems[part["path"]] = (
                f"is {part['height']} x {part['width']} pixels, {first['path']} is"
                f" {first['height']} x {first['width']}; bring the bands of a scene onto one grid"
            )
        elif (part["crs"] is None) != (first["crs"] is None) or (
            part["crs"] and not same_grid(part, first)
        ):
            problems[part["path"]] = (
                f"has another georeference than {first['path']}; bring them onto one grid"
            )
    return problems


def scene_problems(
    images: Sequence[FileRow], names: Sequence[Sequence[str]], declared: Bands
) -> list[str]:
    """Return why scenes cannot be samples of one dataset.

    Args:
        images: manifest rows of all image files.
        names: band names of each scene.
        declared: the declared bands.
    """
    if not images:
        return []
    first = images[0]
    problems = []
    of_part = {facts["part"]: facts for facts in reversed(images)}
    for facts in images[1:]:
        like = of_part[facts["part"]]  # bands of a stack may differ in type, scenes may not
        for key, remedy in _REMEDIES:
            if facts[key] != like[key]:
                problems.append(
                    f"{facts['path']}: has {key} {facts[key]}, {like['path']} has {like[key]};"
                    f" {remedy}"
                )
        if (facts["crs"] is None) != (first["crs"] is None):
            bare = facts if facts["crs"] is None else first
            problems.append(
                f"{bare['path']}: has no georeference, others have; add it or leave it out"
            )
        elif facts["crs"] and not _one_scale(facts, first):
            problems.append(
                f"{facts['path']}: has pixels of {_size(facts)}, {first['path']} of {_size(first)};"
                " bring them to one resolution"
            )
    counts = {len(bands) for bands in names}
    for name in ("names", "center_wavelengths", "common_names"):
        entries = getattr(declared, name)
        if entries is not None and len(counts) == 1 and len(entries) not in counts:
            problems.append(
                f"bands.{name} has {len(entries)} entries, the scenes have {counts.pop()} bands"
            )
            break
    return problems


def scale_notes(images: Sequence[FileRow]) -> list[str]:
    """Return a note where scales and offsets differ.

    Equal numbers are then different physical values.
    """
    of_part: dict[int | None, FileRow] = {}
    other = []
    for facts in images:
        like = of_part.setdefault(facts["part"], facts)
        if _scaling(facts) != _scaling(like):
            other.append((facts, like))
    if not other:
        return []
    facts, like = other[0]
    more = f" ({len(other)} file(s))" if len(other) > 1 else ""
    return [
        f"{facts['path']}{more}: has {_scales(facts)}, {like['path']} has {_scales(like)}; equal"
        " numbers are different physical values there, and are used as stored; declare"
        " 'apply_scale: true', or bring them to one scale and offset"
    ]


def _scaling(facts: FileRow) -> list[tuple[float, float]]:
    """Return scale and offset of each band that is read, in the order of the features."""
    read = bands_read(facts)
    scales = facts["scales"] or [1.0] * len(read)
    offsets = facts["offsets"] or [0.0] * len(read)
    own = dict(zip(sorted(read), zip(scales, offsets, strict=True), strict=True))
    return [own[band] for band in read]


def _scales(facts: FileRow) -> str:
    distinct = list(
        dict.fromkeys(f"scale {scale:g} and offset {offset:g}" for scale, offset in _scaling(facts))
    )
    return distinct[0] + (" and others" if len(distinct) > 1 else "")


def _one_scale(one: FileRow, other: FileRow) -> bool:
    """Return whether the pixels of two rasters have one unit, and one size within a hundredth."""
    from rasterio.crs import CRS

    kinds = {CRS.from_string(facts["crs"]).is_geographic for facts in (one, other)}
    sizes = _pixel(one), _pixel(other)
    return len(kinds) == 1 and abs(sizes[0] - sizes[1]) <= max(sizes) / 100


def _pixel(facts: FileRow) -> float:
    """Return the smaller side of a pixel of a georeferenced raster, in units of its CRS."""
    transform = _transform(facts)
    return float(min(np.hypot(transform[0], transform[3]), np.hypot(transform[1], transform[4])))


def _size(facts: FileRow) -> str:
    return f"{_pixel(facts):g} units of {facts['crs']}"


def _transform(facts: FileRow) -> list[float]:
    transform = facts["transform"]
    if transform is None:
        raise ValueError(f"{facts['path']}: has no georeference")
    return transform
