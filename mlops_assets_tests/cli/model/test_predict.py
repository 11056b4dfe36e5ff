"""`mlops predict`, of scenes and of days of an area; both are in the asset graph."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.names import Reference
from mlops_assets.paths import model_item_key
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.components.areas.project import (
    land,
    open_workspace,
    trained_workspace,
)

DAY = "2026-06-01"
# around the scenes of `land`, in degrees
OUTLINE = {
    "type": "Polygon",
    "coordinates": [[[8.9, 42.4], [9.1, 42.4], [9.1, 42.5], [8.9, 42.5], [8.9, 42.4]]],
}
AREA = """\
type: mlops_assets.components.PredictionArea
attributes:
  name: valley
  model: land
  source: {url: landing/valley}
  area: valley.geojson
  start: 2026-01-01
"""


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_workspace(tmp_path_factory.mktemp("area") / "workspace")


@pytest.fixture
def mapped(project: Path, _trained: Path) -> Store:
    """A project that declares the area `valley`, with scenes of two days, and is the cwd."""
    shutil.copytree(_trained, project / "workspace", dirs_exist_ok=True)
    store = open_workspace(project / "workspace")
    folder = project / "workspace/landing/valley"
    land(folder, "west", DAY)
    land(folder, "east", DAY, east=320, seed=1)
    land(folder, "later", "2026-06-03")
    declared = project / "fieldwork/defs/valley/defs.yaml"
    declared.parent.mkdir(parents=True)
    declared.write_text(AREA)
    declared.with_name("valley.geojson").write_text(json.dumps(OUTLINE))
    return store


def materialised(project: Path, key: str) -> list[dg.AssetMaterialization | None]:
    with dg.DagsterInstance.from_config(str(project / "workspace/dagster")) as instance:
        found = instance.fetch_materializations(dg.AssetKey(key.split("/")), limit=9)
        return [record.asset_materialization for record in found.records]


def test_scenes_are_mapped_by_their_days_and_are_in_the_graph(
    mapped: Store, project: Path, mlops: Mlops
) -> None:
    scene = land(project, "plain", None)
    done = mlops("predict", "land", str(scene), "--out", "map.tif", "--outputs", "confidence")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "map.tif"
    (made,) = mapped.registry.maps(MapFilter(model="land"))
    names = {path.name for path in project.glob("map*")}
    assert names == {"map.tif", "map.tif.aux.xml", "map.scores.tif", "map.png"}
    (event,) = materialised(project, "land/maps")
    assert event is not None and event.metadata["map"].value == made.name
    # a map replaces no scene, whatever the source is called
    valley = project / "workspace/landing/valley"
    scene_bytes = (valley / "later.tif").read_bytes()
    for source, out in (("later.json", valley / "later.tif"), ("later.tif", valley)):
        refused = mlops("predict", "land", str(valley / source), "--out", str(out))
        assert refused.code == 1 and "later.tif is a scene of the map" in refused.err
        assert (valley / "later.tif").read_bytes() == scene_bytes
    # two days are two maps, and files of two scenes without a day are refused
    folder = "workspace/landing/valley"
    done = mlops("predict", "land", folder, "--out", "maps", "--datetime", f"{DAY}/..")
    assert done.code == 0, done.err
    assert len(list((project / "maps").glob("*.tif"))) == 2
    other = land(project, "other", None)
    refused = mlops("predict", "land", str(scene), str(other))
    assert refused.code == 1 and "--date YYYY-MM-DD" in refused.err
    assert "1 scene, 1,024 pixels" in mlops("predict", "land", str(scene), "--plan").out


def test_an_mlm_item_stands_for_the_model_version_that_has_its_file(
    mapped: Store, project: Path, mlops: Mlops
) -> None:
    scene = land(project, "plain", None)
    row = mapped.registry.model_version(Reference("land"))
    item = json.loads(mapped.workspace.get(model_item_key("land", row.version)))
    moved = project / "moved.json"
    moved.write_text(json.dumps(item))
    assert mlops("predict", str(moved), str(scene)).code == 0
    (made,) = mapped.registry.maps(MapFilter(model="land"))
    assert made.version == row.version
    (onnx,) = (asset for asset in item["assets"].values() if asset["href"].endswith("model.onnx"))
    onnx["file:checksum"] = "1220" + "0" * 64
    moved.write_text(json.dumps(item))
    refused = mlops("predict", str(moved), str(scene))
    assert refused.code == 1 and f"mlops model import {moved} --model NAME" in refused.err


def test_a_day_of_an_area_is_mapped_within_its_outline(
    mapped: Store, project: Path, mlops: Mlops
) -> None:
    for options, message in (
        ([], "name one: --date"),
        (["--date", DAY, "--grid", "EPSG:32632@20"], "leave out --grid"),
        (["--date", "2026-06-02"], "has no scene of 2026-06-02"),
        (["--date", "2025-06-02"], "has days from 2026-01-01 to"),
    ):
        refused = mlops("predict", "valley", *options)
        assert refused.code == 1, options
        assert message in refused.err and "Traceback" not in refused.err
    for wrong in (["--mask", "scl=nan"], ["--grid", "EPSG:32632@10,20"], ["--bbox", "9;47"]):
        refused = mlops("predict", "land", "workspace/landing/valley", *wrong)
        assert refused.code == 2 and "such as" in refused.err, wrong
    # the day has the form of its partition, however it was written
    done = mlops("predict", "valley", "--day", DAY.replace("-", ""))
    assert done.code == 0, done.err
    (made,) = mapped.registry.maps(MapFilter(area="valley"))
    assert f"{made.name}.tif" in done.out
    (event,) = materialised(project, "valley/prediction")
    assert event is not None and event.partition == DAY
    # the outcome of its check is stated, and the day has a map all the same
    declared = project / "fieldwork/defs/valley/defs.yaml"
    declared.write_text(AREA + "  max_outside: 0\n")
    done = mlops("predict", "valley", "--date", "2026-06-03")
    assert done.code == 0 and "check 'max_outside' failed: " in done.err
    # as is that no map is of that day
    assert "no such map" in mlops("map", "list", "--day", "2026-06-04").out


@pytest.mark.slow
def test_dagster_materialises_a_day_by_itself_in_processes_of_their_own(
    mapped: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_EXECUTOR", "multiprocess")
    monkeypatch.setenv("DAGSTER_HOME", str(project / "workspace/dagster"))
    (project / "workspace/dagster").mkdir(exist_ok=True)
    select = ["--select", "key:valley/prediction,key:valley/record", "--partition", DAY]
    command = ["dagster", "asset", "materialize", "-m", "fieldwork.definitions", *select]
    done = interpreter.run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = mapped.registry.maps(MapFilter(area="valley"))
    assert made.day == DAY
    assert len(materialised(project, "valley/record")) == 1


def test_an_outline_that_cannot_be_read_is_an_error_of_its_declaration(
    mapped: Store, project: Path, mlops: Mlops
) -> None:
    (project / "fieldwork/defs/valley/valley.geojson").write_text("{}")
    refused = mlops("predict", "valley", "--date", DAY)
    assert refused.code == 1
    message = " ".join(refused.err.split())
    assert "valley/defs.yaml:" in message and "area:" in message and "valley.geojson" in message
