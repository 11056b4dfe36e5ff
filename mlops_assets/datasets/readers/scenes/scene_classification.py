"""Whole scenes as samples; the label of a scene is a property of its Item."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import pandas as pd

from mlops_assets.datasets.io.rasters import strips
from mlops_assets.datasets.io.remarks import EMPTY, remark_notes
from mlops_assets.datasets.readers.band_order import alpha_notes, order_bands
from mlops_assets.datasets.readers.scenes.open_scene import OpenScene
from mlops_assets.datasets.readers.scenes.validation import (
    SceneProblems,
    scale_notes,
    scene_problems,
)
from mlops_assets.datasets.readers.table_columns import values_by_text
from mlops_assets.datasets.sources.base import Scene
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import StacLayout
from mlops_assets.datasets.versions.contents import (
    NO_PIXEL,
    ClassName,
    Contents,
    FileRow,
    file_rows,
    sidecar_rows,
)
from mlops_assets.datasets.versions.sample_shape import ImageShape
from mlops_assets.errors import DataProblems
from mlops_assets.progress import each


def whole_scenes(
    landed: Landed, scenes: Sequence[Scene], specification: DatasetSpecification, layout: StacLayout
) -> Contents:
    """Read and check every scene as one sample.

    Raises:
        DataProblems: every problem found, each with its file and the remedy.
    """
    problems: list[str] = []
    rows: list[FileRow] = []
    sidecars: list[FileRow] = []
    alpha: list[tuple[str, int]] = []
    samples: list[dict[str, object]] = []
    bands: list[list[str]] = []
    names = values_by_text(
        [{"value": v, "name": n} for v, n in (specification.classes or {}).items()]
    )
    landed.fetch_all([landed.by_path[path] for scene in scenes for path in scene.images])
    for scene in each("reading scenes", scenes, "scenes"):
        try:
            label = _label(scene, layout, names)
        except ValueError as error:
            label = ""
            problems.append(str(error))
        try:
            with ExitStack() as opened:
                images = OpenScene(landed, scene, opened, specification.bands.names)
                images.require_usable()
                valid = [
                    images.valid(top, bottom).any() for top, bottom in strips(images.rasters[0])
                ]
                images.require_usable()
                middle = pd.DataFrame(
                    [[(images.rasters[0].height - 1) / 2, (images.rasters[0].width - 1) / 2]]
                )
                place = images.coordinates(middle.to_numpy())
        except SceneProblems as error:
            problems += error.problems
            continue
        if not any(valid):
            images.rows[0]["remarks"] = [EMPTY, *(images.rows[0]["remarks"] or [])]
        rows += images.rows
        sidecars += images.sidecars
        alpha += images.alpha
        bands.append(images.bands)
        samples.append(
            {
                "path": scene.images[0],
                "row": 0,
                "column": 0,
                "label": label,
                "group": str(scene.properties.get("group", scene.name)),
                "time": images.rows[0]["datetime"],
                "longitude": None if place is None else place[0][0],
                "latitude": None if place is None else place[1][0],
                "declared_split": str(scene.properties.get("split", "")).strip().lower(),
                "reason": None if any(valid) else NO_PIXEL,
            }
        )
    features, others = order_bands(rows, bands[0] if bands else [], specification.bands.names)
    problems += scene_problems(rows, bands, specification.bands) + others
    sizes = {(row["height"], row["width"]) for row in rows}
    if len(sizes) > 1:
        problems.append(
            f"images have {len(sizes)} sizes"
            f" ({', '.join(f'{h} x {w}' for h, w in sorted(sizes)[:5])}); bring them to one"
        )
    if problems:
        raise DataProblems(f"landing of {specification.name}", problems)
    height, width = sizes.pop()
    frame = pd.DataFrame(samples)
    return Contents(
        samples=frame,
        files=file_rows(rows + sidecar_rows(sidecars, [row["path"] for row in rows])),
        classes=_classes(frame, specification, layout),
        features=features,
        input=ImageShape(height=height, width=width),
        notes=[
            *alpha_notes(alpha),
            *remark_notes(rows),
            *([] if layout.apply_scale else scale_notes(rows)),
        ],
    )


def _label(scene: Scene, layout: StacLayout, names: dict[str, str]) -> str | float:
    value = scene.properties["label"]
    if layout.label_is == "number":
        try:
            return float(str(value))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Item {scene.name}: {layout.label} is {value!r}, which is not a number; correct it"
            ) from error
    if names and str(value) not in names:
        raise ValueError(
            f"Item {scene.name}: {layout.label} is {value!r}, which is not a declared class; add it"
            " to 'classes' or correct it"
        )
    return names.get(str(value), str(value))


def _classes(
    samples: pd.DataFrame, specification: DatasetSpecification, layout: StacLayout
) -> list[ClassName] | None:
    if layout.label_is == "number":
        return None
    if specification.classes:
        return [{"value": v, "name": n} for v, n in specification.classes.items()]
    return [{"value": name, "name": name} for name in sorted(samples["label"].unique())]
