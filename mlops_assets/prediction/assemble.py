"""The parts of a map put together: its layers, as plain files and as published ones.

Nothing is predicted or published here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.errors import Conflict, SpecificationError
from mlops_assets.prediction.job import as_json
from mlops_assets.prediction.mapped import APPLICABILITY
from mlops_assets.prediction.maps.geotiff import write_cog
from mlops_assets.prediction.maps.made import AssembledMap, MappedScene, SkippedScene
from mlops_assets.prediction.maps.picture import draw
from mlops_assets.prediction.mosaic import Contained, Mosaic, PlacedScene, place
from mlops_assets.prediction.opened import OpenedJob
from mlops_assets.prediction.parts import PartResult, PlannedScene
from mlops_assets.progress import step
from mlops_assets.text.json_values import JsonObject


def assemble(opened: OpenedJob, scratch: Path) -> tuple[AssembledMap, list[str]]:
    """Put the parts of a map together.

    Args:
        opened: the job.
        scratch: receives the files.

    Returns:
        The map, and remarks for people.

    Raises:
        Conflict: a part is missing.
        SpecificationError: scenes are on different grids, none can be read, or no pixel has data.
    """
    job, mapped = opened.job, opened.mapped
    joined = join_parts(opened, scratch)
    planned, skipped, contained = joined.planned, joined.skipped, joined.contained
    with step("writing the map"):
        files = [
            file
            for suffix, layer in mapped.layers.items()
            for file in write_cog(joined.layers[suffix], scratch / f"map{suffix}.tif", layer)
        ]
    legend = [entry for entry in mapped.classes if entry.value in contained.classes]
    picture = scratch / "map.png"
    area = scratch / f"map{APPLICABILITY}.tif" if APPLICABILITY in mapped.layers else None
    title = f"{mapped.wanted.model}, {job.name}"
    picture.write_bytes(draw(scratch / "map.tif", legend, title, area))
    assembled = AssembledMap(
        name=job.name,
        files={file.name.removeprefix("map"): file for file in (*files, picture)},
        layers={f"{suffix}.tif": layer for suffix, layer in mapped.layers.items()},
        scenes=tuple(
            MappedScene(job.scenes[index], scene.files) for index, scene in planned.items()
        ),
        settings=_settings(opened),
        area=job.area,
        day=job.day,
        skipped=tuple(
            SkippedScene(job.scenes[index].name, reason) for index, reason in skipped.items()
        ),
        outside=contained.outside,
    )
    notes = [*job.notes, *(note for scene in planned.values() for note in scene.notes)]
    notes += [f"skipped: {reason}" for reason in skipped.values()]
    if contained.outside is not None:
        notes.append(f"{contained.outside:.1%} of the pixels are outside the area of applicability")
    return assembled, notes


@dataclass(frozen=True)
class JoinedParts:
    """The parts of a map, put together.

    Attributes:
        layers: suffix of each layer → plain GeoTIFF.
        planned: scenes that were opened, by their index in the job.
        skipped: why others could not be read.
        contained: what is in the map.
    """

    layers: dict[str, Path]
    planned: dict[int, PlannedScene]
    skipped: dict[int, str]
    contained: Contained


def join_parts(opened: OpenedJob, scratch: Path) -> JoinedParts:
    """Put the parts of a map together, into one plain GeoTIFF for each of its layers.

    Args:
        opened: the job.
        scratch: receives the files.

    Raises:
        Conflict: a part is missing.
        SpecificationError: scenes are on different grids, none can be read, or no pixel has data.
    """
    job, mapped = opened.job, opened.mapped
    planned, skipped = _states(opened)
    if not planned:
        opened.parts.remove()
        raise SpecificationError(
            f"no scene of {job.name} can be read:\n" + "\n".join(skipped.values())
        )
    results = {index: _results(opened, index, scene) for index, scene in planned.items()}
    _require_values([one for found in results.values() for one in found], opened)
    grid, placed = place(
        [
            PlacedScene(job.scenes[index].name, scene.grid, results[index])
            for index, scene in planned.items()
        ]
    )
    layers = {suffix: scratch / f"plain{suffix}.tif" for suffix in mapped.layers}
    mosaic = Mosaic(opened.parts, placed, grid, mapped.layers)
    with step("putting the map together", grid.height * grid.width, "pixels") as done:
        contained = mosaic.write(layers.__getitem__, _tags(opened, planned), done)
    return JoinedParts(layers, planned, skipped, contained)


def _settings(opened: OpenedJob) -> JsonObject:
    """Return what decides the pixels beside the scenes and the model."""
    overlap, index = opened.mapped.overlap, opened.mapped.index
    return {
        "outputs": list(opened.job.options.outputs),
        "windows": None if overlap is None else str(overlap),
        **({} if index is None else {"applicability": index.sha256}),
        **as_json(opened.job.reading),
    }


def _states(opened: OpenedJob) -> tuple[dict[int, PlannedScene], dict[int, str]]:
    """Return the scenes that were opened, and why others cannot be read, by index.

    Raises:
        Conflict: one was not opened yet.
    """
    planned: dict[int, PlannedScene] = {}
    skipped: dict[int, str] = {}
    for index, scene in enumerate(opened.job.scenes):
        state = opened.parts.scene(index)
        if state is not None and state.planned is not None:
            planned[index] = state.planned
        elif state is not None and state.broken is not None:
            skipped[index] = state.broken
        else:
            raise Conflict(f"{scene.name} of {opened.job.name} was not planned; run it again")
    return planned, skipped


def _results(opened: OpenedJob, index: int, planned: PlannedScene) -> list[PartResult]:
    """Return the parts of a scene.

    Raises:
        Conflict: one is missing.
    """
    found = []
    for part in planned.parts(index):
        result = opened.parts.result(part)
        if result is None:
            raise Conflict(
                f"rows {part.first} to {part.last} of {opened.job.scenes[index].name} were not"
                f" predicted, or another process has just published {opened.job.name}; run it again"
            )
        found.append(result)
    return found


def _require_values(results: Sequence[PartResult], opened: OpenedJob) -> None:
    """Refuse a map without a value; its parts are removed, as they never become one.

    Raises:
        SpecificationError: no pixel has one.
    """
    if any(result.predicted for result in results):
        return
    opened.parts.remove()
    names = ", ".join(scene.name for scene in opened.job.scenes)
    if any(result.with_data for result in results):
        reason = "its model gives no number for any pixel"
    else:
        reason = "no pixel has data in all bands of the model (by nodata, masks, alpha and NaN)"
    raise SpecificationError(f"{names} has no map: {reason}; choose another scene")


def _tags(opened: OpenedJob, planned: dict[int, PlannedScene]) -> dict[str, str]:
    files = [file for scene in planned.values() for file in scene.files]
    tags = {
        "MLOPS_MODEL_SHA256": opened.model_sha256,
        **opened.mapped.origin,
        "MLOPS_SOURCE": " ".join(file.href.rpartition("/")[2] for file in files),
        "MLOPS_SOURCE_SHA256": " ".join(file.sha256 for file in files),
    }
    if opened.mapped.overlap is not None:
        tags["MLOPS_WINDOWS"] = str(opened.mapped.overlap)
    if opened.mapped.index is not None:
        tags |= opened.mapped.index.tags
    return tags
