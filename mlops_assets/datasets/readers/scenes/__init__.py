"""Layout `scenes`: rasters of any size with labels as rasters or vectors.

Images and labels are distinguished by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops_assets.datasets.io.rasters import dated
from mlops_assets.datasets.readers.scenes.read_samples import read, read_labels, read_mask
from mlops_assets.datasets.readers.scenes.sampling import sample_scenes
from mlops_assets.datasets.sources.base import Scene, SceneProperties
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import ScenesLayout
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.errors import DataProblems, EmptyLanding

__all__ = ["contents", "find_scenes", "read", "read_labels", "read_mask"]


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """Find scenes by the names of their files, and sample them; see `Layout.contents`.

    Every block of every raster is read once.

    Args:
        landed: the files of the landing.
        specification: the declared dataset, with its scenes layout.

    Returns:
        Patches around labelled pixels, or windows with labelled pixels.

    Raises:
        EmptyLanding: no landed file has the name of an image.
        DataProblems: every problem found, each with its file and the remedy.
        StorageError: files cannot be fetched.
    """
    layout = specification.source.scenes_layout
    scenes, problems = find_scenes([file.path for file in landed.files], layout)
    if not scenes and not problems:
        raise EmptyLanding(
            f"no scene found among {len(landed.files)} landed file(s); images are named "
            f"{' + '.join(layout.image_patterns)}, labels {layout.labels}"
        )
    try:
        found = sample_scenes(landed, scenes, specification, layout) if scenes else None
    except DataProblems as error:
        problems += error.problems
    if problems or found is None:
        raise DataProblems(f"landing of {specification.name}", problems)
    return found


def find_scenes(paths: list[str], layout: ScenesLayout) -> tuple[list[Scene], list[str]]:
    """Return the scenes among landed paths, and a problem for each file without its counterpart."""
    stacks = [_named(paths, pattern, but=layout.labels) for pattern in layout.image_patterns]
    names = sorted(set().union(*stacks))
    problems = [
        f"{next(s[name] for s in stacks if name in s)}: lacks {pattern.replace('*', name)}; add it"
        " or remove the scene"
        for name in names
        for pattern, stack in zip(layout.image_patterns, stacks, strict=True)
        if name not in stack
    ]
    if "*" in layout.labels:
        labels = _named(paths, layout.labels, but=max(layout.image_patterns, key=len))
        problems += [
            f"{stacks[0][name]}: has no labels {layout.labels.replace('*', name)}; add them or"
            " remove the image"
            for name in names
            if name not in labels and name in stacks[0]
        ]
        problems += [
            f"{path}: has no image {layout.image_patterns[0].replace('*', name)}; add it or remove"
            " the labels"
            for name, path in sorted(labels.items())
            if name not in names
        ]
    else:
        labels = dict.fromkeys(names, layout.labels) if layout.labels in paths else {}
        if names and not labels:
            problems.append(f"{layout.labels}: the labels of all scenes are missing; add the file")
    whole = [name for name in names if name in labels and all(name in stack for stack in stacks)]
    bands = band_names_of(layout.image_patterns)
    return [
        Scene(name, [s[name] for s in stacks], labels[name], _properties(name, layout), bands=bands)
        for name in whole
    ], problems


def band_names_of(patterns: Sequence[str]) -> list[str]:
    """Return the names of the bands of stacked files, by their patterns.

    `B04/*.tif` and `*_B04.tif` are B04.
    """
    parts = [
        re.sub(r"[_\-. ]*\*[_\-. ]*", "_", re.sub(r"\.[^./]*$", "", p)).split("/") for p in patterns
    ]
    words = [[word for part in reversed(path) if (word := part.strip("_-. "))] for path in parts]
    short = [found[0] if found else "" for found in words]
    long = ["_".join(reversed(found)) for found in words]
    for names in (short, long):
        if all(names) and len(set(names)) == len(names):
            return names
    return [f"B{number:03d}" for number in range(1, len(patterns) + 1)]


def _properties(name: str, layout: ScenesLayout) -> SceneProperties:
    when = dated(name, layout.date) if layout.date else None
    return {"datetime": when} if when else {}


def _named(paths: list[str], pattern: str, but: str) -> dict[str, str]:
    """Return the paths that match a pattern, by the name in place of its `*`.

    A path that also matches a longer pattern `but` belongs to that one.
    """
    matcher = _matcher(pattern)
    other = _matcher(but)
    found = ((matcher.fullmatch(path), path) for path in paths)
    return {
        match[1]: path
        for match, path in found
        if match and not (len(but) > len(pattern) and other.fullmatch(path))
    }


def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile("([^/]+)".join(map(re.escape, pattern.split("*"))))
