"""Maps of several scenes, in parts, by processes that are killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.sources.base import together
from mlops_assets.errors import (
    BrokenScene,
    Conflict,
    DiskFull,
    IntegrityError,
    MlopsError,
    SpecificationError,
    StorageError,
)
from mlops_assets.models.onnx.session import Outputs
from mlops_assets.prediction import plan as planning
from mlops_assets.prediction.job import MapJob, Part
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.maps.geotiff import (
    MapClass,
    MapGrid,
    class_layer,
    number_layer,
    write_rows,
)
from mlops_assets.prediction.mosaic import Mosaic, PlacedScene, place
from mlops_assets.prediction.opened import OpenedJob
from mlops_assets.prediction.opened import broken as of_scene
from mlops_assets.prediction.parts import PartResult, Parts, open_part
from mlops_assets.prediction.plan import Speed, grouped, plan
from mlops_assets.prediction.predict import (
    Prediction,
    finish_map,
    make_map,
    plan_parts,
    predict_parts,
)
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.reading import Grid, Reading
from mlops_assets.prediction.windows.strips import Strip
from mlops_assets.prediction.writing import _priority
from mlops_assets.progress import Step
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.prediction.killed import OUTPUTS
from mlops_assets_tests.prediction.networks import VERSION, scene, with_network
from mlops_assets_tests.servers.buckets import Bucket

ROOT = Path(__file__).parents[2]
SHAPES = {"a": ((0, 0), (70, 90)), "b": ((40, 50), (80, 60)), "c": ((20, -10), (60, 75))}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return with_network(tmp_path)


@pytest.fixture
def scenes(tmp_path: Path) -> tuple[FoundScene, ...]:
    """Three scenes of a day that overlap."""
    for seed, (name, (corner, shape)) in enumerate(SHAPES.items()):
        scene(tmp_path / f"{name}.tif", corner, shape, seed)
    return tuple(
        FoundScene(
            name, (tmp_path / f"{name}.tif").as_uri(), datetime(2026, 5, 1, hour, tzinfo=UTC)
        )
        for hour, name in enumerate(SHAPES)
    )


def job_of(scenes: tuple[FoundScene, ...], name: str = "day", **changes: object) -> MapJob:
    return replace(
        MapJob(name, "crops", VERSION, scenes, OUTPUTS),
        **changes,  # type: ignore[arg-type]
    )


def layers_of(found: Prediction) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """Classes and confidence."""
    (scores,) = [file for file in found.others if file.path.endswith(".scores.tif")]
    with open_raster(found.workspace.local_path(scores.path)) as raster:
        return found.classes, np.asarray(raster.read(1))


def is_clean(store: Store) -> bool:
    return not [*store.workspace.list("parts")]


def test_a_map_killed_three_times_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    def run(folder: Path, file: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlops_assets_tests.prediction.killed", str(folder)]
        return subprocess.run(
            [*command, str(file)], capture_output=True, text=True, check=False, cwd=ROOT
        )

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        with_network(tmp_path / name)
        scene(tmp_path / name / "scene.tif", (0, 0), (203, 90))
    whole = run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    parts = int(whole.stdout)
    assert parts > 5
    # before the second layer of a part, before its document, and while the map is published
    for file, left in ((3, 1), (6, 4), (3 * parts, 1)):
        assert run(tmp_path / "killed", file).returncode == -signal.SIGKILL
        assert len([*(tmp_path / "killed/workspace/parts").rglob("*")]) > left
    last = run(tmp_path / "killed", 0)
    assert last.returncode == 0, last.stderr
    assert int(last.stdout) < parts
    folders = [
        tmp_path / name / f"workspace/predictions/crops/{VERSION}" for name in ("whole", "killed")
    ]
    for end in (".tif", ".scores.tif", ".png"):
        one, other = ((folder / f"map{end}").read_bytes() for folder in folders)
        assert one == other
    assert not [path for path in (tmp_path / "killed/workspace/parts").rglob("*") if path.is_file()]


def test_a_mosaic_has_the_more_confident_pixel(
    store: Store, scenes: tuple[FoundScene, ...]
) -> None:
    found = make_map(store, job_of(scenes))
    left, height, width = 10, 120, 120
    classes = np.full((height, width), 255, dtype=np.uint8)
    confidence = np.full((height, width), np.nan, dtype=np.float32)
    for each in scenes:
        (row, column), (rows, columns) = SHAPES[each.name]
        own = slice(row, row + rows), slice(column + left, column + left + columns)
        new_classes, new = layers_of(make_map(store, job_of((each,), each.name)))
        better = ~np.isnan(new) & ~(new <= confidence[own])
        classes[own][better] = new_classes[better]
        confidence[own][better] = new[better]
    np.testing.assert_array_equal(layers_of(found)[0], classes)
    np.testing.assert_array_equal(layers_of(found)[1], confidence)
    with open_raster(store.workspace.local_path(found.raster.path)) as raster:
        assert raster.transform[:6] == (10, 0, 499_900, 0, -10, 5_200_000)
        tags = raster.tags()
    assert tags["MLOPS_SOURCE"] == "a.tif b.tif c.tif"
    assert found.map.name == "day" and is_clean(store)


def test_a_full_disk_is_no_broken_scene(
    store: Store,
    scenes: tuple[FoundScene, ...],
    s3: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "remote").mkdir()
    shutil.copy(tmp_path / "b.tif", tmp_path / "remote/far.tif")
    s3.land(tmp_path / "remote", "remote")
    far = FoundScene("far", f"{s3.url}/remote/far.tif")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(StorageError, match="has 0 left; free space there") as raised:
        make_map(store, job_of((scenes[0], far)))
    assert not isinstance(raised.value, BrokenScene)
    assert store.registry.maps() == []

    # nor where several files of an Item are copied at once
    def full(_: int) -> None:
        raise DiskFull("no room")

    with pytest.raises(DiskFull):
        together(full, [1, 2])


def test_data_of_the_model_that_is_gone_is_no_broken_scene(
    store: Store, scenes: tuple[FoundScene, ...]
) -> None:
    opened = OpenedJob.of(store, job_of(scenes))
    wanted = opened.mapped.wanted
    for ask in (wanted.describe, wanted.resolution):
        with (
            pytest.raises(MlopsError, match=r"what crops@.* was trained on") as raised,
            of_scene("a"),
        ):
            ask()
        assert not isinstance(raised.value, BrokenScene)


def test_the_order_of_scenes_does_not_change_a_byte(
    store: Store, scenes: tuple[FoundScene, ...]
) -> None:
    one = make_map(store, job_of(scenes, "one"))
    other = make_map(store, job_of(scenes[::-1], "other"))
    assert one.raster.sha256 == other.raster.sha256
    assert [file.sha256 for file in one.others] == [file.sha256 for file in other.others]


def test_numbers_are_those_of_the_first_scene(tmp_path: Path) -> None:
    layer = number_layer(("yield",), "t/ha")
    parts = Parts(Workspace((tmp_path / "workspace").as_uri()), "0" * 64)
    values = [np.full((1, 3, 4), 1, np.float32), np.full((1, 3, 4), 2, np.float32)]
    values[0][0, 2, 3] = np.nan
    placed = []
    for index, rows in enumerate(values):
        with open_part(tmp_path / "part.tif", (3, 4), layer) as raster:
            write_rows(raster, 0, rows)
        result = parts.put(PartResult(Part(index, "0", 0, 3)), {"": tmp_path / "part.tif"})
        grid = MapGrid(3, 4, (10.0, 0.0, 20.0 * index, 0.0, -10.0, -10.0 * index), None)
        placed.append(PlacedScene(str(index), grid, [result]))
    grid, placed = place(placed)
    mosaic = Mosaic(parts, placed, grid, {"": layer})
    mosaic.write(lambda name: tmp_path / "map.tif", {}, Step("a mosaic"))
    nan = np.nan
    expected = [
        [1, 1, 1, 1, nan, nan],
        [1, 1, 1, 1, 2, 2],
        [1, 1, 1, 2, 2, 2],
        [nan, nan, 2, 2, 2, 2],
    ]
    with open_raster(tmp_path / "map.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), expected)


def test_what_decides_between_scenes() -> None:
    usable = np.array([[True, False]])
    outputs: Outputs = {
        "value": np.ones((1, 2), np.float32),
        "di": np.array([[0.25, 9]], np.float32),
    }
    np.testing.assert_array_equal(
        _priority(None, Strip(0, usable, outputs), usable), [[[-0.25, np.nan]]]
    )
    del outputs["di"]
    np.testing.assert_array_equal(
        _priority(None, Strip(0, usable, outputs), usable), [[[0, np.nan]]]
    )
    logits: Outputs = {"scores": np.array([[[2.0, 0]], [[1.0, 0]]], np.float32)}
    found = _priority("logits", Strip(0, usable, logits), usable)
    np.testing.assert_allclose(found, [[[np.e / (1 + np.e), np.nan]]], rtol=1e-6)


def test_broken_scenes_are_skipped_and_reported(
    store: Store, scenes: tuple[FoundScene, ...], tmp_path: Path
) -> None:
    expected = make_map(store, job_of(scenes[:2], "good"))
    truncated, other = tmp_path / "truncated.tif", tmp_path / "other.tif"
    content = (tmp_path / "a.tif").read_bytes()
    truncated.write_bytes(content[: len(content) // 2])
    with open_raster(
        other, "w", driver="GTiff", height=9, width=9, count=1, dtype="uint8"
    ) as raster:
        raster.write(np.ones((1, 9, 9), np.uint8))
    broken = (FoundScene("truncated", truncated.as_uri()), FoundScene("other", other.as_uri()))
    found = make_map(store, job_of((*scenes[:2], *broken)))
    assert found.raster.sha256 == expected.raster.sha256
    assert [note.split(":")[0] for note in found.notes] == ["skipped", "skipped"]
    assert "other.tif has 1 bands" in found.notes[0] and "truncated: " in found.notes[1]
    with pytest.raises(BrokenScene, match=r"other\.tif has 1 bands"):
        make_map(store, job_of((*scenes[:2], *broken), on_broken="fail"))
    with pytest.raises(
        SpecificationError, match=r"no scene .* can be read:\n.*other.*\n.*truncated"
    ):
        make_map(store, job_of(broken))
    with pytest.raises(BrokenScene):
        make_map(store, job_of(broken[:1]))
    kept = {key.split("/")[1] for key in store.workspace.list("parts")}
    # those of the map that fails, as other scenes of it can be read
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("shifted", "crs", "message"),
    [
        ((0, 0.5), "EPSG:32632", r"the pixels of d .* are not those of a .*; declare the grid"),
        ((0, 0), "EPSG:32633", r"d is in EPSG:32633, a in EPSG:32632; declare the grid of the map"),
    ],
    ids=["half a pixel", "another zone"],
)
def test_scenes_on_different_grids_need_a_declared_one(
    shifted: tuple[float, float],
    crs: str,
    message: str,
    store: Store,
    scenes: tuple[FoundScene, ...],
    tmp_path: Path,
) -> None:
    scene(tmp_path / "d.tif", shifted, (40, 40), 3, crs)  # type: ignore[arg-type]
    both = (scenes[0], FoundScene("d", (tmp_path / "d.tif").as_uri()))
    with pytest.raises(SpecificationError, match=message):
        make_map(store, job_of(both))
    # before hours of prediction, and nothing is left that no map could have
    with pytest.raises(SpecificationError, match=message):
        plan_parts(store, job_of(both))
    assert is_clean(store)
    if crs == "EPSG:32632":
        found = make_map(store, job_of(both, reading=Reading(grid=Grid(crs, 20))))
        with open_raster(store.workspace.local_path(found.raster.path)) as raster:
            assert raster.transform.a == 20


def test_parts_by_several_processes_are_one_map(
    store: Store, scenes: tuple[FoundScene, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make_map(store, job_of(scenes, "whole"))
    monkeypatch.setattr(planning, "MIN_MEASURED_PIXELS", 0)
    monkeypatch.setattr(planning, "PART_SECONDS", 0.0)
    job = MapJob.from_json(job_of(scenes, "parts").as_json())
    parts = plan_parts(store, job)
    assert len(parts) > 6
    assert plan_parts(store, job) == parts
    for part in parts[1:]:
        predict_parts(store, job, [Part.from_json(part.as_json())])
    with pytest.raises(Conflict, match=r"rows 0 to \d+ of a were not predicted"):
        finish_map(store, job)
    predict_parts(store, job, [parts[0]])
    found = finish_map(store, job)
    assert found.raster.sha256 == expected.raster.sha256
    assert is_clean(store)


def test_one_process_makes_a_map(store: Store, scenes: tuple[FoundScene, ...]) -> None:
    with (
        store.registry.lock(f"map day of crops@{VERSION}"),
        pytest.raises(Conflict, match="another process is writing map day"),
    ):
        make_map(store, job_of(scenes))


def test_a_part_that_has_changed_is_not_used(store: Store, scenes: tuple[FoundScene, ...]) -> None:
    job = job_of(scenes[:1])
    (part,) = plan_parts(store, job)
    predict_parts(store, job, [part])
    (layer,) = [key for key in store.workspace.list("parts") if key.endswith("/000000-000070.tif")]
    content = bytearray(store.workspace.get(layer))
    content[-1] ^= 1
    store.workspace.put(layer, bytes(content))
    with pytest.raises(IntegrityError, match="has changed since it was written; remove parts/"):
        finish_map(store, job)


@pytest.mark.parametrize("shape", [(3000, 3000), (100, 200_000)], ids=["large", "wide"])
def test_a_part_of_nothing_but_nodata_can_be_read(shape: tuple[int, int], tmp_path: Path) -> None:
    layer = class_layer([MapClass(1, "crop", (0, 0, 0))])
    with open_part(tmp_path / "part.tif", shape, layer) as raster:
        for top in range(0, shape[0], 124):
            rows = min(124, shape[0] - top)
            write_rows(raster, top, np.full((1, rows, shape[1]), layer.nodata, layer.dtype))
    with open_raster(tmp_path / "part.tif") as raster:
        assert (raster.read(1) == layer.nodata).all()


def test_a_scene_that_changes_is_predicted_anew(
    store: Store, scenes: tuple[FoundScene, ...], tmp_path: Path
) -> None:
    job = job_of(scenes[:1])
    (part,) = plan_parts(store, job)
    predict_parts(store, job, [part])
    scene(tmp_path / "a.tif", *SHAPES["a"], seed=9)
    expected = make_map(store, job_of(scenes[:1], "other")).raster.sha256
    assert make_map(store, job).raster.sha256 == expected


def test_parts_begin_where_strips_do() -> None:
    assert grouped([0, 30, 60, 90, 120], 50) == (0, 60, 120)
    assert grouped([0, 30], 1) == (0, 30)
    assert grouped([0], 9) == (0,)


def test_a_plan_adds_up(
    store: Store, scenes: tuple[FoundScene, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "measure", lambda *measured: Speed(1.0, 0.5, 1000.0))
    half = replace(scenes[0], bounds=(9.0, 47.0, 10.0, 48.0), size=100)
    whole = replace(scenes[1], bounds=(9.0, 47.0, 11.0, 48.0), size=200)
    found = plan(store, job_of((half, whole)))
    pixels = 70 * 90 * 3
    assert (found.scenes, found.pixels, found.bytes) == (2, pixels, 300)
    assert found.seconds == pytest.approx(1.5 * pixels, rel=0.01)
    assert is_clean(store)
    assert plan(store, job_of((scenes[0],))).bytes == (Path(scenes[0].href[7:]).stat().st_size)


def test_a_plan_measures_the_real_model(store: Store, scenes: tuple[FoundScene, ...]) -> None:
    found = plan(store, job_of(scenes, options=Options()))
    assert found.pixels == 3 * 70 * 90 and found.seconds > 0 and found.memory > 50 << 20
