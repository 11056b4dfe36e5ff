"""Layout `scenes`: rasters of any size, each with a label raster, read as patches or windows.

Reads and checks; splitting and freezing are elsewhere. No georeference is ever made up.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.contents import ClassName, Contents, SceneFacts
from mlops_assets.datasets.landing import LandedFile
from mlops_assets.datasets.rasters import STRIP_ROWS, open_raster, read_strip
from mlops_assets.datasets.specification import DatasetSpecification, ScenesLayout
from mlops_assets.errors import DataProblems, EmptyLanding


def pair_scenes(
    files: list[LandedFile], layout: ScenesLayout
) -> tuple[dict[str, tuple[LandedFile, LandedFile]], list[str]]:
    """Return scene name → (image, labels), and a problem for each image or label raster that stands alone."""
    images, labels = _named(files, layout.images), _named(files, layout.labels)
    pairs = {name: (images[name], labels[name]) for name in images if name in labels}
    problems = [
        f"{images[name].path}: has no label raster {layout.labels.replace('*', name)}; add it or remove the image"
        for name in sorted(images.keys() - labels.keys())
    ]
    problems += [
        f"{labels[name].path}: has no image {layout.images.replace('*', name)}; add it or remove the labels"
        for name in sorted(labels.keys() - images.keys())
    ]
    return pairs, problems


def read_contents(files: list[LandedFile], specification: DatasetSpecification) -> Contents:
    """Read and check every scene of a landing; every block of every raster is read once.

    Raises:
        EmptyLanding: no file matches the patterns.
        DataProblems: every problem found, each with its file and the remedy.
    """
    layout = specification.source.scenes or ScenesLayout()
    pairs, problems = pair_scenes(files, layout)
    if not pairs and not problems:
        raise EmptyLanding(
            f"no scene found among {len(files)} landed file(s); images are looked for as {layout.images}, "
            f"label rasters as {layout.labels}"
        )
    classes: list[ClassName] = [{"value": v, "name": n} for v, n in (specification.classes or {}).items()]
    facts: list[SceneFacts] = []
    samples: list[pd.DataFrame] = []
    band_names: list[str] = []
    for image, label_file in pairs.values():
        try:
            fact, found, band_names = _read_scene(image, label_file, layout, classes)
        except ValueError as error:
            problems.append(str(error))
            continue
        facts.append(fact)
        samples.append(found)
    problems += _check_alike(facts, specification)
    if not problems and not any(len(found) for found in samples):
        problems.append("no pixel is labelled; check 'unlabelled' and the label rasters")
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    return Contents(
        samples=pd.concat(samples).reset_index(drop=True),
        paths=[file.path for pair in pairs.values() for file in pair],
        classes=classes,
        features=specification.bands.names or band_names,
        input={"kind": "patch" if layout.read == "patches" else "window", "size": layout.size},
        scenes=facts,
    )


def read_label_raster(local: Path) -> NDArray[np.int64]:
    """Return a label raster as an array of shape (height, width).

    Raises:
        ValueError: it cannot be read or is not one band of whole numbers.
    """
    with open_raster(local) as raster:
        if raster.count != 1 or not np.issubdtype(np.dtype(raster.dtypes[0]), np.integer):
            raise ValueError(f"has {raster.count} band(s) of {raster.dtypes[0]}; labels are one band of whole numbers")
        return np.asarray(raster.read(1), dtype=np.int64)


def read_patches(local: Path, centres: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Read patches around pixels, in strips so that memory does not grow with the scene.

    Args:
        local: the image.
        centres: int64 of shape (n, 2), row and column of each centre pixel.
        size: height and width of a patch, odd.

    Returns:
        float32 of shape (n, bands, size, size); beyond the scene's edge pixels are mirrored.
    """
    half = size // 2
    with open_raster(local) as raster:
        patches = np.empty((len(centres), raster.count, size, size), dtype=np.float32)
        for top in range(0, raster.height, STRIP_ROWS):
            inside = np.flatnonzero((centres[:, 0] >= top) & (centres[:, 0] < top + STRIP_ROWS))
            if not len(inside):
                continue
            padded = read_strip(raster, top, min(top + STRIP_ROWS, raster.height), half)
            for index in inside:
                row, column = centres[index, 0] - top, centres[index, 1]
                patches[index] = padded[:, row : row + size, column : column + size]
    return patches


def read_windows(local: Path, corners: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Read square windows given by their upper left pixels (n, 2); float32 of shape (n, bands, size, size)."""
    from rasterio.windows import Window

    with open_raster(local) as raster:
        return np.stack([raster.read(window=Window(int(c), int(r), size, size)).astype(np.float32) for r, c in corners])


def _named(files: list[LandedFile], pattern: str) -> dict[str, LandedFile]:
    before, after = pattern.split("*")
    matcher = re.compile(f"{re.escape(before)}([^/]+){re.escape(after)}")
    found = ((matcher.fullmatch(file.path), file) for file in files)
    return {match.group(1): file for match, file in found if match}


def _read_scene(
    image: LandedFile, label_file: LandedFile, layout: ScenesLayout, classes: list[ClassName]
) -> tuple[SceneFacts, pd.DataFrame, list[str]]:
    from rasterio.warp import transform_bounds

    try:
        with open_raster(image.local) as raster:
            for top in range(0, raster.height, STRIP_ROWS):  # a truncated file opens well and fails only here
                raster.read(window=((top, min(top + STRIP_ROWS, raster.height)), (0, raster.width)))
            crs = raster.crs
            fact = SceneFacts(
                path=image.path,
                labels=label_file.path,
                height=raster.height,
                width=raster.width,
                count=raster.count,
                dtype=raster.dtypes[0],
                crs=crs.to_string() if crs else None,
                transform=list(raster.transform)[:6] if crs else None,
                bbox=list(transform_bounds(crs, "EPSG:4326", *raster.bounds)) if crs else None,
            )
            names = [text or f"B{i:03d}" for i, text in enumerate(raster.descriptions, start=1)]
    except ValueError as error:
        raise ValueError(f"{image.path}: {error}") from error
    try:
        labels = read_label_raster(label_file.local)
    except ValueError as error:
        raise ValueError(f"{label_file.path}: {error}") from error
    if labels.shape != (fact.height, fact.width):
        raise ValueError(
            f"{label_file.path}: is {labels.shape[0]} x {labels.shape[1]} pixels, its image {image.path} is "
            f"{fact.height} x {fact.width}; labels must lie on the image's grid"
        )
    with open_raster(label_file.local) as raster:
        crs, transform = raster.crs, list(raster.transform)[:6]
    if fact.crs and crs and (crs.to_string() != fact.crs or not _same_grid(transform, fact)):
        raise ValueError(
            f"{label_file.path}: has another georeference than its image {image.path}; labels must lie on its grid"
        )
    known = {int(entry["value"]) for entry in classes}
    unknown = sorted(set(np.unique(labels).tolist()) - known - {layout.unlabelled})
    if unknown:
        raise ValueError(
            f"{label_file.path}: has label value(s) {', '.join(map(str, unknown[:10]))} that are no declared class; "
            "add them to 'classes' or correct the labels"
        )
    return fact, _scene_samples(image.path, labels, layout), names


def _same_grid(transform: list[float], fact: SceneFacts) -> bool:
    """Say whether a transform puts the scene's corners where its own does, to a tenth of a pixel."""
    own = fact.transform or []
    corners = np.array([[0, 0, 1], [fact.width, 0, 1], [0, fact.height, 1]])
    apart = corners @ np.subtract(transform, own).reshape(2, 3).T
    pixel = min(np.hypot(own[0], own[3]), np.hypot(own[1], own[4]))
    return bool(np.abs(apart).max() < pixel / 10)


def _scene_samples(path: str, labels: NDArray[np.int64], layout: ScenesLayout) -> pd.DataFrame:
    labelled = np.ones(labels.shape, dtype=bool) if layout.unlabelled is None else labels != layout.unlabelled
    if layout.read == "patches":
        rows, columns = np.nonzero(labelled)
        text: list[str] | None = labels[rows, columns].astype(str).tolist()
    else:
        size, text = layout.size, None
        corners = [
            (row, column)
            for row in range(0, labels.shape[0] - size + 1, size)
            for column in range(0, labels.shape[1] - size + 1, size)
            if labelled[row : row + size, column : column + size].any()
        ]
        rows, columns = np.array(corners, dtype=np.int64).reshape(-1, 2).T
    return pd.DataFrame({"path": path, "row": rows, "column": columns, "label": text, "group": None})


def _check_alike(facts: list[SceneFacts], specification: DatasetSpecification) -> list[str]:
    if not facts:
        return []
    first, problems = facts[0], []
    for fact in facts[1:]:
        if fact.count != first.count:
            problems.append(f"{fact.path}: has {fact.count} bands, {first.path} has {first.count}; bands must agree")
        if fact.dtype != first.dtype:
            problems.append(f"{fact.path}: is {fact.dtype}, {first.path} is {first.dtype}; convert them to one type")
    for key in ("names", "center_wavelengths"):
        declared = getattr(specification.bands, key)
        if declared is not None and len(declared) != first.count:
            problems.append(f"bands.{key} has {len(declared)} entries, {first.path} has {first.count} bands")
    return problems
