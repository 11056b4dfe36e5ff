"""Samples of scenes: patches around labelled pixels, or windows; every scene is read in strips.

The layouts `scenes` and `stac` find the files of a scene. A georeference is never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.io.rasters import STRIP_ROWS, open_raster, strips
from mlops_assets.datasets.io.remarks import remark_notes
from mlops_assets.datasets.readers.band_order import alpha_notes, order_bands
from mlops_assets.datasets.readers.scenes.open_scene import OpenScene
from mlops_assets.datasets.readers.scenes.raster_labels import RasterLabels
from mlops_assets.datasets.readers.scenes.validation import (
    SceneProblems,
    scale_notes,
    scene_problems,
)
from mlops_assets.datasets.readers.scenes.vector_files import is_vector, sidecars, unsaved
from mlops_assets.datasets.readers.scenes.vector_labels import BurnedLabels, VectorLabels
from mlops_assets.datasets.readers.table_roles import one_spelling
from mlops_assets.datasets.sources.base import Scene
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.datasets.versions.contents import (
    ClassName,
    Contents,
    FileRow,
    file_rows,
    sidecar_rows,
)
from mlops_assets.datasets.versions.sample_shape import PatchShape, WindowShape
from mlops_assets.errors import DataProblems
from mlops_assets.progress import each

Pixel = TypeVar("Pixel", bound=np.generic)
NO_DATA = "no data at the centre"
SEVERAL_GROUPS = "in features of several groups"


class Labels(Protocol):
    """Labels on the grid of a scene."""

    @property
    def unlabelled(self) -> float | None:
        """Value of unlabelled pixels, NaN where labels are numbers; None without such a value."""
        ...

    def rows(self, top: int, bottom: int) -> NDArray[np.int64 | np.float64]:
        """Return the labels of the rows [top, bottom), shape (bottom - top, width)."""
        ...


@dataclass(frozen=True)
class _Part:
    """The samples of one strip of a scene; `n` is their number.

    Attributes:
        places: row and column, (n, 2).
        labels: of patches, (n,); None for windows.
        valid: whether the centre of a patch, or any pixel of a window, has data, (n,).
        pixels: of windows, labelled pixels of each class, (n, classes); None for patches.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.int64 | np.float64] | None
    valid: NDArray[np.bool_]
    pixels: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class _Found:
    images: list[FileRow]
    sidecars: list[FileRow]
    samples: pd.DataFrame
    pixels: NDArray[np.int32] | None
    bands: list[str]
    alpha: list[tuple[str, int]]
    notes: list[str]


def sample_scenes(
    landed: Landed, scenes: Sequence[Scene], specification: DatasetSpecification, sampling: Sampling
) -> Contents:
    """Read and check every scene, and take its samples.

    Raises:
        DataProblems: every problem found, each with its file and the remedy.
    """
    classes: list[ClassName] = [
        {"value": v, "name": n} for v, n in (specification.classes or {}).items()
    ]
    landed.fetch_all(
        [landed.by_path[p] for scene in scenes for p in (*scene.images, scene.labels) if p]
    )
    reader = _Reader(landed, sampling, classes, specification)
    problems: list[str] = []
    found: list[_Found] = []
    for scene in each("reading scenes", scenes, "scenes"):
        try:
            found.append(reader.read(scene))
        except SceneProblems as error:
            problems += error.problems
    outside, notes = reader.outside(complete=not problems)
    # a file that labels many scenes is wrong once
    problems = list(dict.fromkeys(problems + outside))
    images = [row for one in found for row in one.images]
    names = [one.bands for one in found]
    features, others = order_bands(images, names[0] if names else [], specification.bands.names)
    problems += scene_problems(images, names, specification.bands) + others
    samples = pd.concat([one.samples for one in found]) if found else pd.DataFrame()
    if not problems and not len(samples):
        problems.append("no pixel is labelled; check 'unlabelled' and the labels")
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    if specification.split.by is not None:
        samples["group"] = one_spelling({"": samples["group"]})[""]
    rows = images + reader.label_files()
    beside = [row for one in found for row in one.sidecars] + reader.sidecars()
    rows += sidecar_rows(beside, [row["path"] for row in rows])
    return Contents(
        samples=samples.reset_index(drop=True),
        files=file_rows(rows),
        classes=None if sampling.label_is == "number" else classes,
        features=features,
        input=(
            PatchShape(size=sampling.size)
            if sampling.read == "patches"
            else WindowShape(size=sampling.size)
        ),
        notes=[
            *notes,
            *reader.vector_notes(),
            *alpha_notes([one for scene in found for one in scene.alpha]),
            *remark_notes(images),
            *([] if sampling.apply_scale else scale_notes(images)),
            *(note for one in found for note in one.notes),
        ],
        labels=reader.shared_labels(),
        pixels=_joined([one.pixels for one in found]),
    )


class _Reader:
    """Reads one scene after another.

    One file may label several of them; a vector file is then read once.
    """

    def __init__(
        self,
        landed: Landed,
        sampling: Sampling,
        classes: list[ClassName],
        specification: DatasetSpecification,
    ) -> None:
        self._landed = landed
        self._sampling = sampling
        self._classes = classes
        self._by = specification.split.by
        self._bands = specification.bands.names
        self._vectors: dict[str, VectorLabels | ValueError] = {}
        # vector file → which of its features are in some scene
        self._touched: dict[str, NDArray[np.bool_]] = {}
        # label file → first image of each scene it labels, and the scene's name
        self._owners: dict[str, dict[str, str]] = {}
        self._rasters: dict[str, FileRow] = {}  # facts of label rasters
        self._sidecars: dict[str, list[str]] = {}  # label file → what belongs to it

    def read(self, scene: Scene) -> _Found:
        """Read one scene.

        Raises:
            SceneProblems: it cannot be used.
        """
        with ExitStack() as opened:
            images = OpenScene(self._landed, scene, opened, self._bands)
            try:
                labels = self._labels(opened, scene, images)
            except ValueError as error:
                if not isinstance(error, SceneProblems):
                    images.problems[scene.labels or scene.name] = str(error)
                raise SceneProblems(images.problems) from error
            samples, pixels = self._samples(scene, images, labels)
        conflicts = getattr(labels, "conflicts", 0)
        if conflicts:
            images.notes.append(
                f"{scene.labels}: {conflicts} pixel(s) of {scene.name} are claimed by features of"
                " different labels and are unlabelled"
            )
        self._owners.setdefault(scene.labels or "", {})[scene.images[0]] = scene.name
        return _Found(
            images.rows, images.sidecars, samples, pixels, images.bands, images.alpha, images.notes
        )

    def outside(self, complete: bool) -> tuple[list[str], list[str]]:
        """Return problems and notes on features outside of every scene.

        A file for many scenes may have features beyond them, but not most of its features; a
        scene's own file may have none.

        Args:
            complete: whether all scenes could be read; if not, files for many are not checked.
        """
        own = "*" in getattr(self._sampling, "labels", "*")
        problems = []
        notes = []
        for path, inside in self._touched.items():
            lost = int((~inside).sum())
            if not lost or not (own or complete):
                continue
            scenes = ", ".join([*self._owners.get(path, {}).values()][:3])
            text = (
                f"{path}: {lost} of {len(inside)} feature(s) lie outside of every scene it labels"
                f" ({scenes}), the first is number {int(np.argmin(inside)) + 1}"
            )
            if own or lost > len(inside) / 2:
                problems.append(f"{text}; correct their coordinates or remove them")
            else:
                notes.append(f"{text}; they are not used")
        return problems, notes

    def vector_notes(self) -> list[str]:
        """Return notes on the features of vector files, each file once."""
        read = {
            path: found for path, found in self._vectors.items() if isinstance(found, VectorLabels)
        }
        return [f"{path}: {note}" for path, found in read.items() for note in found.notes]

    def label_files(self) -> list[FileRow]:
        """Return the rows of label files; one that labels several scenes is of none."""
        return [
            {
                "path": path,
                "role": "labels",
                **self._rasters.get(path, {}),
                "scene": self._only_scene(path),
            }
            for path in self._owners
        ]

    def sidecars(self) -> list[FileRow]:
        """Return the rows of what belongs to label files."""
        return [
            {"path": other, "role": "sidecar", "scene": self._only_scene(path)}
            for path in self._owners
            for other in self._sidecars.get(path, ())
        ]

    def _only_scene(self, labels: str) -> str | None:
        scenes = self._owners[labels]
        return next(iter(scenes.values())) if len(scenes) == 1 else None

    def shared_labels(self) -> dict[str, str]:
        """Return first image of a scene → its label file, if several files label several scenes."""
        shared = {path: scenes for path, scenes in self._owners.items() if len(scenes) > 1}
        if len(shared) < 2:
            return {}
        return {image: path for path, scenes in shared.items() for image in scenes}

    def _labels(self, opened: ExitStack, scene: Scene, images: OpenScene) -> Labels:
        """Open the labels of a scene, even if its images cannot be used: labels may be wrong, too.

        Raises:
            ValueError: the labels cannot be used.
            SceneProblems: the images cannot be used.
        """
        path = scene.labels or ""
        if is_vector(path):
            vectors = self._read_vectors(path)
            images.require_usable()
            return self._burned(path, vectors, images.rasters[0])
        if self._by is not None:
            raise ValueError(
                f"is a raster, which has no {self._by!r}; 'split: {{by: …}}' needs vector labels"
            )
        raster = opened.enter_context(open_raster(self._landed.raster(path)))
        self._sidecars[path] = self._landed.sidecars(path, raster.files)
        labels = RasterLabels(raster, self._sampling)
        images.require_usable()
        labels.require_grid_of(images.rows[0])
        self._rasters[path] = labels.facts
        return labels

    def _read_vectors(self, path: str) -> VectorLabels:
        if path not in self._vectors:
            self._sidecars[path] = sidecars(path, self._landed.by_path)
            files = {
                PurePosixPath(p).name: self._landed.local(self._landed.by_path[p])
                for p in (path, *self._sidecars[path])
            }
            try:
                problem = unsaved(path, self._landed.by_path)
                if problem:
                    raise ValueError(problem)
                self._vectors[path] = VectorLabels(
                    PurePosixPath(path).name, files, self._sampling, self._classes, self._by
                )
            except ValueError as error:
                self._vectors[path] = error
        found = self._vectors[path]
        if isinstance(found, ValueError):
            raise found
        return found

    def _burned(self, path: str, vectors: VectorLabels, raster: Raster) -> BurnedLabels:
        labels = vectors.onto(raster)
        self._touched[path] = (
            self._touched.get(path, np.zeros(len(labels.inside), dtype=bool)) | labels.inside
        )
        return labels

    def _samples(
        self, scene: Scene, images: OpenScene, labels: Labels
    ) -> tuple[pd.DataFrame, NDArray[np.int32] | None]:
        """Return the samples of a scene, and of windows the pixels of each class."""
        classes = [int(entry["value"]) for entry in self._classes]
        known = set(classes)
        parts: list[_Part] = []
        strange: set[int] = set()
        lost = 0  # labelled pixels of windows that are not whole
        for top, bottom in self._strips(images.rasters[0]):
            valid = images.valid(top, bottom)
            try:
                values = labels.rows(top, bottom)
            except ValueError as error:
                images.problems.setdefault(scene.labels or scene.name, str(error))
                continue
            if self._sampling.label_is == "class":
                present = set(np.unique(values).tolist())
                strange |= present - known - {labels.unlabelled}
            if self._sampling.read == "windows":
                parts.append(_windows(values, labels, classes, self._sampling.size, top, valid))
                lost += _beyond_windows(
                    _labelled(values, labels.unlabelled) & valid, self._sampling.size
                )
            else:
                parts.append(_pixels(values, labels, top, valid))
        if strange:
            images.problems[scene.labels or scene.name] = (
                f"has label value(s) {', '.join(map(str, sorted(strange)[:10]))} that are not"
                " declared classes; add them to 'classes' or correct the labels"
            )
        images.require_usable()
        if lost:
            images.notes.append(
                f"{scene.labels}: {lost:,} labelled pixel(s) of {scene.name} lie in windows that"
                " its right or lower edge cuts off and are not used; choose a 'size' that divides"
                f" {images.rasters[0].height} and {images.rasters[0].width}, or land the scene with"
                " a margin"
            )
        places = np.concatenate([part.places for part in parts]).reshape(-1, 2)
        side = self._sampling.size if self._sampling.read == "windows" else 1
        longitude, latitude = images.coordinates(places + (side - 1) / 2) or (None, None)
        found = pd.DataFrame(
            {
                "path": scene.images[0],
                "row": places[:, 0],
                "column": places[:, 1],
                "label": _texts([part.labels for part in parts], self._sampling),
                "group": str(scene.properties.get("group", scene.name)),
                "longitude": longitude,
                "latitude": latitude,
                "time": images.rows[0]["datetime"],
                "reason": (
                    pd.Series(NO_DATA, index=range(len(places)), dtype=object).mask(
                        np.concatenate([part.valid for part in parts]), None
                    )
                ),
            }
        )
        if isinstance(labels, BurnedLabels) and labels.group_names is not None:
            self._group(found, labels, labels.group_names, images.rasters[0])
        if "split" in scene.properties:
            found["declared_split"] = str(scene.properties["split"]).strip().lower()
        return found, _joined([part.pixels for part in parts])

    def _group(
        self,
        samples: pd.DataFrame,
        labels: BurnedLabels,
        groups: NDArray[np.object_],
        raster: Raster,
    ) -> None:
        """Give samples the group of their feature; those in features of several are left out."""
        names = np.array([*groups, None], dtype=object)  # -1, outside of all features, has no group
        for top, bottom in self._strips(raster):
            inside = samples.index[(samples["row"] >= top) & (samples["row"] < bottom)]
            rows = samples.loc[inside, "row"].to_numpy() - top
            columns = samples.loc[inside, "column"].to_numpy()
            codes, several = labels.group_rows(top, bottom)
            samples.loc[inside, "group"] = names[codes[rows, columns]]
            samples.loc[inside[several[rows, columns]], "reason"] = SEVERAL_GROUPS

    def _strips(self, raster: Raster) -> Iterator[tuple[int, int]]:
        size = self._sampling.size
        if self._sampling.read == "patches":
            return strips(raster)
        step = max(size, STRIP_ROWS // size * size)
        return ((top, min(top + step, raster.height)) for top in range(0, raster.height, step))


def _labelled(
    values: NDArray[np.int64 | np.float64], unlabelled: float | None
) -> NDArray[np.bool_]:
    if unlabelled is None:
        return np.ones(values.shape, dtype=bool)
    return np.asarray(~np.isnan(values) if np.isnan(unlabelled) else values != unlabelled)


def _pixels(
    values: NDArray[np.int64 | np.float64], labels: Labels, top: int, valid: NDArray[np.bool_]
) -> _Part:
    rows, columns = np.nonzero(_labelled(values, labels.unlabelled))
    places = np.column_stack([rows + top, columns])
    return _Part(places, values[rows, columns], valid[rows, columns])


def _windows(
    values: NDArray[np.int64 | np.float64],
    labels: Labels,
    classes: Sequence[int],
    size: int,
    top: int,
    valid: NDArray[np.bool_],
) -> _Part:
    height, width = (extent // size for extent in values.shape)

    def blocks(pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        return pixels[: height * size, : width * size].reshape(height, size, width, size)

    def any_in_each(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray(blocks(mask).any(axis=(1, 3)))

    rows, columns = np.nonzero(any_in_each(_labelled(values, labels.unlabelled)))
    chosen = blocks(values)[rows, :, columns]
    return _Part(
        np.column_stack([rows * size + top, columns * size]),
        None,
        any_in_each(valid)[rows, columns],
        np.stack([(chosen == value).sum(axis=(1, 2), dtype=np.int32) for value in classes], axis=1),
    )


def _beyond_windows(labelled: NDArray[np.bool_], size: int) -> int:
    """Count labelled pixels that lie in no whole window."""
    height, width = (extent // size * size for extent in labelled.shape)
    return int(labelled.sum() - labelled[:height, :width].sum())


def _joined(parts: Sequence[NDArray[np.int32] | None]) -> NDArray[np.int32] | None:
    """Return pixel counts of all parts; None for patches."""
    counts = [part for part in parts if part is not None]
    return np.concatenate(counts) if counts else None


def _texts(
    parts: list[NDArray[np.int64 | np.float64] | None], sampling: Sampling
) -> NDArray[np.float64 | np.str_] | None:
    values = [part for part in parts if part is not None]
    if not values:
        return None
    joined = np.concatenate(values)
    return joined.astype(np.float64) if sampling.label_is == "number" else joined.astype(str)
