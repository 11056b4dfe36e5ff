"""The cost of a map before it is made, from a few windows of the real scene and model.

Nothing here is published.
"""

from __future__ import annotations

import resource
import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.errors import BrokenScene
from mlops_assets.prediction.job import MapJob, Part
from mlops_assets.prediction.maps.geotiff import write_cog
from mlops_assets.prediction.opened import OpenedJob, OpenedScene
from mlops_assets.prediction.scenes.found import Bounds, FoundScene
from mlops_assets.prediction.writing import part_layers, write_part
from mlops_assets.progress import Step
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

PART_SECONDS = 30.0
# smaller scenes are one part, which is not measured
MIN_MEASURED_PIXELS = 2048 * 2048
# also where the measured windows had no data
MAX_PART_PIXELS = 8192 * 8192
# number and width of the strips that are predicted, for a plan, and for the size of parts
_PLAN_SAMPLES = (3, 1024)
_PART_SAMPLES = (3, 256)
_PICTURE_SECONDS = 0.5  # whatever the size of the map
_GDAL_CACHE_BYTES = 128 << 20


@dataclass(frozen=True)
class Speed:
    """The speed of a model on a scene, on this machine.

    Attributes:
        predicting: seconds for a pixel of the scene, with or without data.
        finishing: seconds for a pixel of the map.
        buffers: bytes for a column of the scene.
    """

    predicting: float
    finishing: float
    buffers: float


@dataclass(frozen=True)
class Plan:
    """The cost of a map.

    Attributes:
        scenes: that are read.
        pixels: of the scenes.
        bytes: of the scenes' files; None if unknown.
        seconds: of one process on this machine.
        memory: peak of one process, in bytes.
        broken: scenes that cannot be read, and why, as far as they were opened.
    """

    scenes: int
    pixels: int
    bytes: int | None
    seconds: float
    memory: int
    broken: tuple[str, ...] = ()


def plan(store: Store, job: MapJob) -> Plan:
    """Return the cost of a map.

    The first scene is opened, and windows of it are predicted; the other scenes are assumed to be
    like it, as large as their bounds are beside its own.

    Args:
        store: workspace and registry.
        job: the map to be made.

    Raises:
        BrokenScene: no scene can be read.
        SignatureRefused: a signature of the model is required, and none is accepted.
        SpecificationError: the model does not take scenes, or cannot give the outputs.
    """
    opened = OpenedJob.of(store, job)
    broken: list[str] = []
    for index in range(len(job.scenes)):
        started = time.perf_counter()
        try:
            with opened.scene(index) as scene:
                opening = time.perf_counter() - started
                return _plan_like(opened, scene, opening, broken)
        except BrokenScene as error:
            if job.on_broken == "fail" or not opened.is_mosaic:
                raise
            broken.append(str(error))
    raise BrokenScene(f"no scene of {job.name} can be read:\n" + "\n".join(broken))


def _plan_like(
    opened: OpenedJob, scene: OpenedScene, opening: float, broken: Sequence[str]
) -> Plan:
    job, grid = opened.job, scene.grid
    rest = job.scenes[len(broken) :]
    own = grid.height * grid.width
    pixels = round(sum(own * _relative_size(other, scene.local.found) for other in rest))
    sizes = [other.size for other in rest]
    read = sum(file.size for file in scene.local.files)
    if len(rest) == 1:
        sizes = [read]
    speed = measure(opened, scene, _PLAN_SAMPLES)
    seconds = (
        opening * pixels / own + pixels * (speed.predicting + speed.finishing) + _PICTURE_SECONDS
    )
    return Plan(
        len(rest),
        pixels,
        None if None in sizes else sum(size or 0 for size in sizes),
        seconds,
        round(_peak_memory() + speed.buffers * grid.width + _GDAL_CACHE_BYTES),
        tuple(broken),
    )


def _relative_size(scene: FoundScene, other: FoundScene) -> float:
    """Return how large a scene is beside another one: by bounds, else by bytes, else as large."""
    if scene.bounds and other.bounds:
        return _extent(scene.bounds) / _extent(other.bounds)
    if scene.size and other.size:
        return scene.size / other.size
    return 1.0


def _extent(bounds: Bounds) -> float:
    west, south, east, north = bounds
    return max(((east - west) % 360) * (north - south), sys.float_info.epsilon)


def part_tops(opened: OpenedJob, scene: OpenedScene) -> tuple[int, ...]:
    """Return the first row of each part of a scene.

    Args:
        opened: the job.
        scene: one of its scenes.
    """
    grid = scene.grid
    if grid.height * grid.width <= MIN_MEASURED_PIXELS:
        return (0,)
    pixels = PART_SECONDS / measure(opened, scene, _PART_SAMPLES).predicting
    return grouped(
        opened.mapped.tops((grid.height, grid.width)),
        max(1, round(min(pixels, MAX_PART_PIXELS) / grid.width)),
    )


def grouped(tops: Sequence[int], rows: int) -> tuple[int, ...]:
    """Return the first row of each group of strips.

    Args:
        tops: the first row of each strip.
        rows: of a group, about.
    """
    found = [tops[0]]
    for top in tops[1:]:
        if top - found[-1] >= rows:
            found.append(top)
    return tuple(found)


def measure(opened: OpenedJob, scene: OpenedScene, strips: tuple[int, int]) -> Speed:
    """Predict some windows of a scene, spread over it, and return the speed.

    Args:
        opened: the job.
        scene: one of its scenes.
        strips: number of the strips that are predicted, and their width.
    """
    with scratch_folder("sample") as scratch:
        samples = _samples(opened, scene, strips)
        first, part = samples[0]
        tracemalloc.start()
        # what is loaded at the first call is not counted
        _predict_sample(opened, first, part, scratch)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        predicting = finishing = 0.0
        pixels = 0
        for sample, part in samples:
            started = time.perf_counter()
            layers = _predict_sample(opened, sample, part, scratch)
            predicted = time.perf_counter()
            for name, layer in opened.mapped.layers.items():
                write_cog(layers[name], scratch / f"map{name}.tif", layer)
            predicting += predicted - started
            finishing += time.perf_counter() - predicted
            pixels += (part.last - part.first) * sample.rows.width
    return Speed(predicting / pixels, finishing / pixels, peak / first.rows.width)


def _samples(
    opened: OpenedJob, scene: OpenedScene, strips: tuple[int, int]
) -> list[tuple[OpenedScene, Part]]:
    """Return strips of a few columns, from the upper left to the lower right."""
    grid = scene.grid
    count, width = strips[0], min(grid.width, strips[1])
    tops = opened.mapped.tops((grid.height, width))
    ends = (*tops[1:], grid.height)
    found = []
    for number in range(1, count + 1):
        share = number / (count + 1)
        place = int(share * len(tops))
        left = int(share * (grid.width - width))
        sample = replace(scene, rows=scene.rows.cropped((left, left + width)))
        found.append((sample, Part(scene.index, "", tops[place], ends[place])))
    return found


def _predict_sample(
    opened: OpenedJob, sample: OpenedScene, part: Part, scratch: Path
) -> dict[str, Path]:
    layers = {
        name: scratch / f"sample{name}.tif" for name in part_layers(opened.mapped, opened.is_mosaic)
    }
    write_part(opened.mapped, sample, part, layers, Step("a sample"))
    return layers


def _peak_memory() -> int:
    """Return the peak memory of this process so far, in bytes."""
    # kilobytes, except on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
