"""A model version run over scenes, into one map: part by part, then put together and published.

`make_map` does all of it in one process. Where several do it, one calls `plan_parts`, each calls
`predict_parts` for its parts, and one calls `finish_map`. All of them do only what is not done yet,
so that a map whose process was killed is continued by the same call.

The map is a Cloud-Optimised GeoTIFF of classes or values, with a picture of it, and on request a
second one of probabilities and their measures. It has the scene's georeference if there is one, and
no data where the scenes have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import BrokenScene, Conflict, SpecificationError
from mlops_assets.paths import map_key
from mlops_assets.prediction.assemble import assemble
from mlops_assets.prediction.job import MapJob, Part
from mlops_assets.prediction.maps.made import MadeMap
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.prediction.mosaic import PlacedScene, place
from mlops_assets.prediction.opened import OpenedJob, OpenedScene
from mlops_assets.prediction.parts import PartResult, PlannedScene, SceneState, files_digest
from mlops_assets.prediction.plan import part_tops
from mlops_assets.prediction.writing import part_layers, write_part
from mlops_assets.progress import Step, step
from mlops_assets.registry import Map
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

LOCK_SECONDS = 1.0  # a map takes longer than anyone waits


@dataclass(frozen=True)
class Prediction:
    """A published map.

    Attributes:
        map: its row in the registry.
        raster: the published GeoTIFF of classes or values.
        picture: the published PNG.
        others: further published files: class names for GDAL, and the GeoTIFF of other outputs.
        notes: remarks for people.
        workspace: the workspace that has them.
    """

    map: Map
    raster: FileStat
    picture: FileStat
    others: tuple[FileStat, ...]
    notes: tuple[str, ...]
    workspace: Workspace

    @classmethod
    def of(cls, store: Store, row: Map, made: MadeMap, notes: Sequence[str]) -> Prediction:
        """Return a map that was just published."""
        keys = [map_key(row.model, row.version, row.name, end) for end in made.files]
        published = {file.path: file for file in store.registry.files_at(*keys)}
        raster, *others, picture = (published[key] for key in keys)
        return cls(row, raster, picture, tuple(others), tuple(notes), store.workspace)

    @property
    def files(self) -> tuple[FileStat, ...]:
        """All published files."""
        return (self.raster, self.picture, *self.others)

    @property
    def classes(self) -> NDArray[np.number]:
        """The whole map, (height, width): class values or numbers, and nodata elsewhere."""
        with open_raster(self.workspace.local_path(self.raster.path)) as raster:
            return np.asarray(raster.read(1))


def plan_parts(store: Store, job: MapJob) -> list[Part]:
    """Open the scenes of a job, and return the parts that they are predicted in.

    A part takes some tens of seconds. Scenes that cannot be read have none.

    Args:
        store: workspace and registry.
        job: the map to be made.

    Raises:
        BrokenScene: a scene cannot be read, and it is the only one, or the job demands all.
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take scenes, or cannot give the outputs.
    """
    opened = OpenedJob.of(store, job).continued()
    found: list[Part] = []
    for index in range(len(job.scenes)):
        try:
            with opened.scene(index) as scene:
                found += _planned(opened, scene).parts(index)
        except BrokenScene as error:
            _skip(opened, index, error)
    return found


def predict_parts(store: Store, job: MapJob, parts: Sequence[Part]) -> list[PartResult]:
    """Predict parts of a scene, unless they are there already; the scene is opened once.

    Args:
        store: workspace and registry.
        job: the map to be made.
        parts: of `plan_parts`, all of one scene.

    Returns:
        The parts; `broken` has the reason why their scene cannot be read, and is skipped.

    Raises:
        BrokenScene: the scene cannot be read, and it is the only one, or the job demands all.
        Conflict: the scene's files are not those that were planned with.
    """
    opened = OpenedJob.of(store, job).continued()
    known = [opened.parts.result(part) for part in parts]
    found = [result for result in known if result is not None]
    if len(found) == len(parts):
        return found
    index = parts[0].scene
    try:
        with opened.scene(index) as scene:
            pixels = sum(part.last - part.first for part in parts) * scene.raster.width
            with step(f"predicting {scene.name}", pixels, "pixels") as done:
                return [_predicted(opened, scene, part, done) for part in parts]
    except BrokenScene as error:
        return [_skip(opened, index, error, part) for part in parts]


def finish_map(store: Store, job: MapJob) -> Prediction:
    """Put the parts of a map together, publish it, and remove the parts.

    Args:
        store: workspace and registry.
        job: the map to be made.

    Raises:
        Conflict: a part is missing.
        SpecificationError: scenes are on different grids, none can be read, or no pixel has data.
    """
    return _finished(OpenedJob.of(store, job).continued())


def _finished(opened: OpenedJob) -> Prediction:
    store = opened.store
    row = store.registry.model_version(opened.job.reference)
    with scratch_folder("map") as scratch:
        assembled, notes = assemble(opened, scratch)
        made = MadeMap.of(assembled, row)
        found = Prediction.of(store, publish_map(store, made), made, notes)
    opened.parts.remove()
    return found


def make_map(store: Store, job: MapJob) -> Prediction:
    """Predict every pixel of some scenes that has data, and publish the map.

    A pixel has data where each of the model's bands has: nodata, alpha, masks and NaN hide it.
    Pixels with scores that are not numbers get no class.

    Args:
        store: workspace and registry.
        job: the map to be made; what an interrupted call has left is continued.

    Raises:
        BrokenScene: a scene cannot be read, or lacks what the model takes, and it is the only one,
            or the job demands all.
        Conflict: another process is making this map.
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take scenes; scenes are on different grids; no scene
            can be read, or no pixel has data.
    """
    opened = OpenedJob.of(store, job).continued()
    lock = f"map {job.name} of {job.reference}".replace("/", "-")
    with store.registry.lock(lock, LOCK_SECONDS):
        predict_scenes(opened)
        return _finished(opened)


def predict_scenes(opened: OpenedJob) -> None:
    """Predict all parts of a job that are not there yet.

    Args:
        opened: the job.

    Raises:
        BrokenScene: a scene cannot be read, and it is the only one, or the job demands all.
    """
    for index in range(len(opened.job.scenes)):
        try:
            with opened.scene(index) as scene:
                _predict_scene(opened, scene)
        except BrokenScene as error:
            _skip(opened, index, error)


def _predict_scene(opened: OpenedJob, scene: OpenedScene) -> None:
    planned = _planned(opened, scene)
    pixels = planned.grid.height * planned.grid.width
    with step(f"predicting {scene.name}", pixels, "pixels") as done:
        for part in planned.parts(scene.index):
            _predicted(opened, scene, part, done)


def _planned(opened: OpenedJob, scene: OpenedScene) -> PlannedScene:
    """Return the parts of a scene: those of the interrupted call, if its files are the same."""
    known = opened.parts.scene(scene.index)
    if known is not None and known.planned is not None and known.planned.files == scene.local.files:
        return known.planned
    _require_one_grid(opened, scene)
    planned = PlannedScene(scene.local.files, scene.grid, part_tops(opened, scene), scene.notes)
    opened.parts.put_scene(scene.index, SceneState(planned))
    return planned


def _require_one_grid(opened: OpenedJob, scene: OpenedScene) -> None:
    """Refuse a scene on another grid than the first one before it is predicted.

    Raises:
        SpecificationError: it is; the parts are removed, as no map has both.
    """
    for index in range(scene.index):
        state = opened.parts.scene(index)
        if state is None or state.planned is None:
            continue
        first = PlacedScene(opened.job.scenes[index].name, state.planned.grid, ())
        try:
            place([first, PlacedScene(scene.name, scene.grid, ())])
        except SpecificationError:
            opened.parts.remove()
            raise
        return


def _predicted(opened: OpenedJob, scene: OpenedScene, part: Part, done: Step) -> PartResult:
    """Predict a part of an open scene, unless it is there already."""
    found = opened.parts.result(part)
    if found is not None:
        done.advance((part.last - part.first) * scene.raster.width)
        return found
    if files_digest(scene.local.files) != part.digest:
        raise Conflict(f"{scene.name} has changed while it was mapped; run it again")
    with scratch_folder("part") as scratch:
        layers = {
            name: scratch / f"part{name}.tif"
            for name in part_layers(opened.mapped, opened.is_mosaic)
        }
        result = write_part(opened.mapped, scene, part, layers, done)
        return opened.parts.put(result, layers)


def _skip(
    opened: OpenedJob, index: int, error: BrokenScene, part: Part | None = None
) -> PartResult:
    """Note that a scene cannot be read, unless that fails the map.

    Raises:
        BrokenScene: it does.
    """
    if not opened.is_mosaic:
        opened.parts.remove()
        raise error
    if opened.job.on_broken == "fail":
        raise error
    opened.parts.put_scene(index, SceneState(broken=str(error)))
    return PartResult(part or Part(index, "", 0, 0), broken=str(error))
