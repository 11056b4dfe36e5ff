"""Layout `stac`: Items are scenes, or whole images.

A scene has a label asset, a whole image a class or number as a property.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.readers.scenes import read_samples
from mlops_assets.datasets.readers.scenes.sampling import sample_scenes
from mlops_assets.datasets.readers.scenes.scene_classification import whole_scenes
from mlops_assets.datasets.readers.table_roles import as_text, one_spelling
from mlops_assets.datasets.sources.base import Scene
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents, DescribedScenes, file_rows
from mlops_assets.text.json_values import Json, JsonObject

if TYPE_CHECKING:
    from mlops_assets.datasets.versions.committed_dataset import CommittedDataset


_SPELLED: tuple[Literal["label", "group", "split"], ...] = ("label", "group", "split")


def contents(landed: Landed, specification: DatasetSpecification) -> Contents:
    """Find the samples of scenes that Items describe; see `Layout.contents`.

    Args:
        landed: the files of the landing.
        specification: the declared dataset, with its stac layout.

    Returns:
        Patches or windows of scenes with a label asset, else one sample an Item.

    Raises:
        DataProblems: every problem found, each with its file and the remedy.
        StorageError: files cannot be fetched.
    """
    layout = specification.source.stac_layout
    scenes = _spelled(landed.scenes)
    sample = sample_scenes if layout.labels else whole_scenes
    found = sample(landed, scenes, specification, layout)
    catalogue = file_rows([{"path": layout.catalog, "role": "catalog"}])
    files = pd.concat([found.files, catalogue], ignore_index=True)
    return replace(
        found, files=files, described=_described(scenes), notes=[*found.notes, *_zoneless(scenes)]
    )


def _zoneless(scenes: Sequence[Scene]) -> list[str]:
    """Return a note if there are times without a zone."""
    names = [scene.name for scene in scenes if scene.zoneless]
    more = f" ({len(names)} Items)" if len(names) > 1 else ""
    return [f"Item {names[0]}{more}: times without a zone are taken as UTC"] if names else []


def _described(scenes: Sequence[Scene]) -> list[DescribedScenes]:
    """Return each description of scenes once, with the names of the scenes that have it."""
    entries: dict[str, JsonObject] = {}
    names: dict[str, list[Json]] = defaultdict(list)
    for scene in scenes:
        if scene.described:
            text = json.dumps(scene.described, sort_keys=True)
            names[text].append(scene.name)
            entries.setdefault(text, {**scene.described, "scenes": names[text]})
    return [DescribedScenes.model_validate(entry) for entry in entries.values()]


def _spelled(scenes: Sequence[Scene]) -> list[Scene]:
    """Return scenes with one spelling of labels, groups and splits in all Items.

    Columns of tables are spelled alike in the same way.
    """
    properties = [scene.properties.copy() for scene in scenes]
    for role in _SPELLED:
        having = [found for found in properties if role in found]
        texts = pd.Series([as_text(found[role]) for found in having], dtype="str")
        for found, text in zip(having, one_spelling({"": texts})[""], strict=True):
            found[role] = text
    return [
        replace(scene, properties=found) for scene, found in zip(scenes, properties, strict=True)
    ]


def read(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.generic]:
    """Read samples of a scene; see `Layout.read`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2): centre of a patch or pixel, upper left pixel of a window.
        view: shape of a sample.

    Returns:
        Shape (n, bands) of pixels, else (n, bands, size, size), or (n, bands, height, width) of
        whole images: the type of the files, or float32 in physical units.

    Raises:
        ValueError: the file cannot be read.
        StorageError: the file cannot be fetched.
    """
    return read_samples.read(committed, path, places, view)


def read_mask(
    committed: CommittedDataset, path: str, places: NDArray[np.int64], view: str
) -> NDArray[np.bool_]:
    """Read which values of samples are valid; see `Layout.read_mask`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2): centre of a patch or pixel, upper left pixel of a window.
        view: shape of a sample.

    Returns:
        Bool of the shape that `read` returns, true where a value is valid.

    Raises:
        ValueError: the file cannot be read.
        StorageError: the file cannot be fetched.
    """
    return np.asarray(read_samples.read(committed, path, places, view, mask=True), dtype=bool)


def read_labels(
    committed: CommittedDataset, path: str, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Read the labels of windows; see `Layout.read_labels`.

    Args:
        committed: the data version.
        path: landed path of the scene's first image.
        places: int64 of shape (n, 2), row and column of each window's upper left pixel.

    Returns:
        Class values, int64 of shape (n, size, size), `unlabelled` where unknown.

    Raises:
        SpecificationError: the samples are not windows.
        ValueError: the labels cannot be read.
        StorageError: the labels cannot be fetched.
    """
    return read_samples.read_labels(
        committed, path, places, committed.specification.source.stac_layout
    )
