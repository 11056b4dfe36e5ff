"""Every asset of the shipped example, materialised once by Dagster's CLI alone.

The commands follow from the graph: assets of the same partitions that may be made in one run are
one command. An asset that cannot be made so needs a recipe here, or the test fails.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.cli.demo import land_rows
from mlops_assets.definitions import defs
from mlops_assets_tests import interpreter

# two trainings of the example
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
MODULE = ["-m", "mlops_assets.definitions"]
# what is not materialised by itself → the job that reports it
JOBS = {"maps": "predict", "workspace": "verify"}
# what Dagster only observes, at each commit
OBSERVED = {"source"}


def kind_of(partitions: dg.PartitionsDefinition | None) -> str:
    """What the partition of an asset is: a name of `partition`."""
    if partitions is None:
        return ""
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return "version"
    if isinstance(partitions, dg.DailyPartitionsDefinition):
        return "day"
    raise AssertionError(f"{partitions} has no recipe: which of its partitions is made here?")


def commands(graph: dg.AssetGraph) -> Iterator[tuple[str, list[str]]]:
    """Kinds of partitions with the assets that one command makes, in the order of the graph."""
    stages: dict[tuple[int, str], list[str]] = {}
    stage_of: dict[dg.AssetKey, int] = {}
    kinds = {key: kind_of(graph.get(key).partitions_def) for key in graph.get_all_asset_keys()}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        stage_of[key] = max(
            (stage_of[each] + (kinds[each] != kinds[key]) for each in node.parent_keys), default=0
        )
        if node.is_materializable:
            stages.setdefault((stage_of[key], kinds[key]), []).append(key.to_user_string())
    for (_, kind), names in sorted(stages.items()):
        yield kind, sorted(names)


def test_each_asset_is_made_by_the_dagster_cli_alone(tmp_path: Path) -> None:
    pytest.importorskip("tensorly", reason="needs the extra 'demo'")
    workspace = tmp_path / "workspace"
    home = workspace / "dagster"
    home.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    environment = kept | {
        "MLOPS_WORKSPACE": str(workspace),
        "MLOPS_BACKUP": str(tmp_path / "backups"),
        "DAGSTER_HOME": str(home),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = interpreter.run(["dagster", *arguments], tmp_path, env=environment, timeout=1200)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-4000:]}"
        return done

    landing = workspace / "landing" / "indian_pines"
    land_rows(landing, rows=slice(None))
    graph = defs().resolve_asset_graph()
    day = next(
        definition.get_last_partition_key()
        for definition in (graph.get(key).partitions_def for key in graph.get_all_asset_keys())
        if isinstance(definition, dg.DailyPartitionsDefinition)
    )
    partitions: Mapping[str, list[str]] = {
        "": [],
        "version": ["--partition", "v1"],
        "day": ["--partition", str(day)],
    }
    for kind, names in commands(graph):
        select = ["--select", ",".join(f'key:"{name}"' for name in names)]
        run("asset", "materialize", *MODULE, *select, *partitions[kind])
    config = tmp_path / "predict.json"
    scene = landing / "images" / "indian_pines.tif"
    asked = {"model": "indian_pines_cnn", "sources": [str(scene)]}
    config.write_text(json.dumps({"ops": {"predict__plan": {"config": asked}}}))
    run("job", "execute", *MODULE, "-j", "predict", "-c", str(config))
    asked["model"] = "indian_pines_svm"
    config.write_text(json.dumps({"ops": {"predict__plan": {"config": asked}}}))
    run("job", "execute", *MODULE, "-j", "predict", "-c", str(config))
    run("job", "execute", *MODULE, "-j", "verify")

    with dg.DagsterInstance.from_config(str(home)) as instance:
        made = {
            key
            for key in graph.get_all_asset_keys()
            if instance.get_latest_materialization_event(key) is not None
        }
        observed = {
            key
            for key in graph.get_all_asset_keys() - made
            if instance.fetch_observations(key, limit=1).records
        }
        checked = {
            key
            for key in graph.asset_check_keys
            if instance.get_latest_asset_check_evaluation_record(key) is not None
        }
    for key in graph.get_all_asset_keys() - made:
        assert key.path[-1] in OBSERVED | JOBS.keys(), f"{key} has no recipe"
        assert key in observed or key.path[-1] == "workspace", key
    assert graph.asset_check_keys - checked == set()
