"""The cost of a map before it is made, from a few windows of the real scene and model.

Nothing here is published.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import BrokenScene
from mlops_assets.prediction.job import MapJob, Part
from mlops_assets.prediction.maps.geotiff import Layer, MapGrid, open_layer, write_cog, write_rows
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
_SAMPLE_WIDTH = 1024
_NARROW = 256
_BUFFERED = 5
_SAMPLES = 3  # one above the other
_SAMPLE_SECONDS = 0.3
_FINISHED_BYTES = 4 << 20  # of a sample that is written as a map
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
    return cost_of(OpenedJob.of(store, job))


def cost_of(opened: OpenedJob) -> Plan:
    """Return the cost of a map whose model is loaded; see `plan`."""
    job = opened.job
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
    speed = measure(opened, scene)
    seconds = (
        opening * pixels / own + pixels * (speed.predicting + speed.finishing) + _PICTURE_SECONDS
    )
    return Plan(
        len(rest),
        pixels,
        None if None in sizes else sum(size or 0 for size in sizes),
        seconds,
        round(_memory() + speed.buffers * grid.width + _GDAL_CACHE_BYTES),
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
    pixels = PART_SECONDS * _pixels_a_second(opened, scene)
    return grouped(
        opened.mapped.tops((grid.height, grid.width)),
        max(1, round(min(pixels, MAX_PART_PIXELS) / grid.width)),
    )


def _pixels_a_second(opened: OpenedJob, scene: OpenedScene) -> float:
    """Return the speed on one narrow strip, which is near enough for the size of parts."""
    sample, part = _sample(opened, scene, _SAMPLES // 2, 1, _NARROW)
    with scratch_folder("sample") as scratch:
        # what is loaded at the first call is not counted
        _predict_sample(opened, sample, part, scratch)
        started = time.perf_counter()
        _predict_sample(opened, sample, part, scratch)
        seconds = time.perf_counter() - started
    return (part.last - part.first) * sample.rows.width / seconds


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


def measure(opened: OpenedJob, scene: OpenedScene) -> Speed:
    """Predict some windows of a scene, spread over it, and return the speed.

    Args:
        opened: the job.
        scene: one of its scenes.
    """
    with scratch_folder("sample") as scratch:
        # what is loaded, and what is reserved for a batch, is not counted
        _run_batch(opened, scene)
        tracemalloc.start()
        # as many strips as are read, used and written at once
        narrow, part = _sample(opened, scene, 0, _BUFFERED, _NARROW)
        _predict_sample(opened, narrow, part, scratch)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        first, part = _sample(opened, scene, 0, 1)
        strips = _strips_in(_SAMPLE_SECONDS, lambda: _predict_sample(opened, first, part, scratch))
        seconds = 0.0
        pixels = 0
        for number in range(_SAMPLES):
            sample, part = _sample(opened, scene, number, strips)
            started = time.perf_counter()
            layers = _predict_sample(opened, sample, part, scratch)
            seconds += time.perf_counter() - started
            pixels += (part.last - part.first) * sample.rows.width
        finishing = sum(
            _seconds_a_pixel(layers[name], scratch / f"plain{name}.tif", layer)
            for name, layer in opened.mapped.layers.items()
        )
    return Speed(seconds / pixels, finishing, peak / narrow.rows.width)


def _run_batch(opened: OpenedJob, scene: OpenedScene) -> None:
    """Run the model on as many samples as it takes at once, all of them 0."""
    model, overlap = opened.mapped.model, opened.mapped.overlap
    samples = model.session.batch_size(model.shape)
    if overlap is not None:
        samples = min(samples, len(overlap.place(scene.grid.width)))
    model.predict(np.zeros((samples, *model.shape), dtype=np.float32))


def _strips_in(seconds: float, work: Callable[[], object]) -> int:
    """Return the number of strips that take some seconds, from the work on one."""
    started = time.perf_counter()
    work()
    return max(1, round(seconds / (time.perf_counter() - started)))


def _sample(
    opened: OpenedJob, scene: OpenedScene, number: int, strips: int, columns: int = _SAMPLE_WIDTH
) -> tuple[OpenedScene, Part]:
    """Return strips of a few columns, the first sample above and left of the others.

    Args:
        opened: the job.
        scene: one of its scenes.
        number: of the sample.
        strips: how many, fewer where the scene ends.
        columns: how many, fewer where the scene ends.
    """
    grid = scene.grid
    width = min(grid.width, columns)
    tops = (*opened.mapped.tops((grid.height, width)), grid.height)
    share = (number + 1) / (_SAMPLES + 1)
    first = int(share * (len(tops) - 1))
    last = min(first + strips, len(tops) - 1)
    left = int(share * (grid.width - width))
    sample = replace(scene, rows=scene.rows.cropped((left, left + width)))
    return sample, Part(scene.index, "", tops[first], tops[last])


def _predict_sample(
    opened: OpenedJob, sample: OpenedScene, part: Part, scratch: Path
) -> dict[str, Path]:
    layers = {
        name: scratch / f"sample{name}.tif" for name in part_layers(opened.mapped, opened.is_mosaic)
    }
    write_part(opened.mapped, sample, part, layers, Step("a sample"))
    return layers


def _seconds_a_pixel(sample: Path, plain: Path, layer: Layer) -> float:
    """Return how long a pixel of a layer takes from its part to the map.

    Args:
        sample: the layer of a part, which is written again and again until it is large.
        plain: of a new file.
        layer: its bands.
    """
    with open_raster(sample) as raster:
        rows, grid = np.asarray(raster.read()), MapGrid.of(raster)
    times = max(1, _FINISHED_BYTES // rows.nbytes)
    started = time.perf_counter()
    with open_layer(plain, replace(grid, height=times * grid.height), layer, {}) as written:
        for number in range(times):
            write_rows(written, number * grid.height, rows)
    write_cog(plain, plain.with_name(f"cog{plain.name}"), layer)
    return (time.perf_counter() - started) / (times * grid.height * grid.width)


def _memory() -> int:
    """Return the memory of this process, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)
