"""The whole graph of the shipped example as Dagster sees it, compared with `graph.txt`.

To renew it: `UPDATE_GOLDEN=1 .venv/bin/python -m pytest mlops_assets_tests/test_graph.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetNode

from mlops_assets.definitions import defs

GOLDEN = Path(__file__).with_name("graph.txt")
PROJECT = Path(__file__).parents[1]


def listed(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values)))


def asset_lines(node: AssetNode) -> Iterator[str]:
    """The attributes of an asset that are set, one a line."""
    definition = node.assets_def
    partitions, policy = node.partitions_def, node.backfill_policy
    spec = node.to_asset_spec()
    references = spec.metadata.get("dagster/code_references")
    code = (
        [
            f"{Path(reference.file_path).relative_to(PROJECT)}"
            for reference in references.code_references
            if isinstance(reference, dg.LocalFileCodeReference)
        ]
        if isinstance(references, dg.CodeReferencesMetadataValue)
        else []
    )
    op = definition.op if definition.is_executable else None
    pools = {op.pool} - {None} if op else set()
    fields = {
        "group": node.group_name,
        "after": listed(key.to_user_string() for key in node.parent_keys),
        "owners": listed(node.owners),
        "tags": listed(
            f"{k}={v}" for k, v in node.tags.items() if not k.startswith("dagster/kind/")
        ),
        "kinds": listed(spec.kinds),
        "partitions": partitions.name
        if isinstance(partitions, dg.DynamicPartitionsDefinition)
        else "",
        "runs of a backfill": f"{policy.max_partitions_per_run} partition each" if policy else "",
        "pool": listed(pools),
        "freshness": str(node.freshness_policy or ""),
        "code": listed(code),
    }
    yield f"asset {node.key.to_user_string()}"
    yield from (f"  {name}: {value}" for name, value in fields.items() if value)


def graph_lines(definitions: dg.Definitions) -> Iterator[str]:
    graph = definitions.resolve_asset_graph()
    for asset in sorted(graph.get_all_asset_keys()):
        yield from asset_lines(graph.get(asset))
        for check in sorted(key for key in graph.asset_check_keys if key.asset_key == asset):
            node = graph.get(check)
            traits = [("blocking", node.blocking), ("partitioned", node.partitions_def)]
            how = listed(name for name, has in traits if has) or "unpartitioned"
            yield f"  check {check.name}: {how}"
    repository = definitions.get_repository_def()
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            assets = listed(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            yield f"job {job.name}: {assets or listed(node.name for node in job.nodes)}"
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        targets = listed(target.job_name for target in sensor.targets)
        yield f"sensor {sensor.name}: {targets}, {sensor.default_status.value}"
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        status = schedule.default_status.value
        yield f"schedule {schedule.name}: {schedule.job_name}, {schedule.cron_schedule}, {status}"


# what `MLOPS_CATALOGUES` adds for a dataset or model
REGISTRATION = """\
asset NAME/registration
  group: NAME
  after: NAME/record
  owners: team:examples
  tags: TAGS
  kinds: sqlite, stac
  partitions: indian_pines_versions
  runs of a backfill: 1 partition each
  code: mlops_assets/defs/indian_pines/defs.yaml
  check registered_and_equal: partitioned
"""


def test_catalogues_add_registrations_and_their_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_CATALOGUES", "catalogues.yaml")
    rendered = "\n".join(graph_lines(defs())) + "\n"
    for name, tags in (
        ("indian_pines", "domain=land-cover, sensor=aviris"),
        ("indian_pines_cnn", "domain=land-cover"),
        ("indian_pines_svm", "domain=land-cover"),
    ):
        added = REGISTRATION.replace("NAME", name).replace("TAGS", tags)
        assert added in rendered
        rendered = rendered.replace(added, "")
    sensor = "sensor registration: , RUNNING\n"
    assert sensor in rendered
    assert rendered.replace(sensor, "") == GOLDEN.read_text()


def test_the_graph_of_the_shipped_example_is_as_in_the_golden_file() -> None:
    rendered = "\n".join(graph_lines(defs())) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(rendered)
    assert rendered == GOLDEN.read_text(), "renew it with UPDATE_GOLDEN=1, and read the diff"
