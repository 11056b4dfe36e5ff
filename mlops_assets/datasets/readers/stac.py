"""Layout `stac`: Items are scenes, or whole images.

A scene has a label asset, a whole image a class or number as a property.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from mlops_assets.datasets.readers.scenes.read_samples import read, read_labels, read_mask
from mlops_assets.datasets.readers.scenes.sampling import sample_scenes
from mlops_assets.datasets.readers.scenes.scene_classification import whole_scenes
from mlops_assets.datasets.readers.table_roles import as_text, one_spelling
from mlops_assets.datasets.sources.base import Scene
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents, DescribedScenes, file_rows
from mlops_assets.text.json_values import Json, JsonObject

__all__ = ["contents", "read", "read_labels", "read_mask"]


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
