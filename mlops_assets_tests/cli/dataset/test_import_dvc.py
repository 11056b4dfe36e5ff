"""`mlops import dvc` in a project: versions, tags, partitions and records."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from mlops_assets.paths import dataset_collection_key
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.integrations.dvc.repositories import DvcByHand


def test_tagged_commits_become_assessed_versions_with_their_tags(
    project: Path, mlops: Mlops, tmp_path: Path
) -> None:
    repository = DvcByHand(tmp_path / "repository")
    content = (project / "workspace/landing/samples/samples.csv").read_bytes()
    first, _, last = content.rstrip(b"\n").rpartition(b"\n")
    repository.add("data", {"samples.csv": first + b"\n"})
    repository.commit("first", "v1", "spring/2024", when="2024-03-01T00:00:00Z")
    repository.add("data", {"samples.csv": first + b"\n" + last + b"\n"})
    second = repository.commit("second", "autumn", when="2024-09-01T00:00:00Z")
    repository.commit("no data", "same", when="2024-10-01T00:00:00Z")
    command = ("import", "dvc", str(repository.folder), "--dataset", "samples", "--path", "data")
    outcome = mlops(*command, "--all-tags", "--json")
    assert outcome.code == 0, outcome.err
    rows = outcome.json
    assert [(row["version"], row["new"], row["tags"]) for row in rows] == [
        ("v1", True, ["spring-2024", "git-v1"]),
        ("v2", True, ["autumn"]),
        ("v2", False, ["same"]),
    ]
    shown = mlops("dataset", "show", "samples@autumn", "--json").json
    assert shown["imported_from"] == f"{repository.folder.as_uri()}@{second} data"
    assert (shown["tags"], shown["message"]) == (["autumn", "same"], "second")
    assert any(check["passed"] for check in shown["checks"])
    home = project / "workspace" / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for key in ("landing", "training_data", "record"):
            assert instance.get_latest_materialization_event(dg.AssetKey(["samples", key]))
        assert instance.get_dynamic_partitions("samples_versions") == ["v1", "v2"]
    record = project / "workspace" / dataset_collection_key("samples", "v2")
    assert second in record.read_text()
    # again, nothing is new
    again = mlops(*command, "--rev", "autumn", "--json").json
    assert [(row["version"], row["new"]) for row in again] == [("v2", False)]
    refused = mlops("import", "dvc", str(tmp_path / "absent"), "--dataset", "samples")
    assert (refused.code, "absent is not there" in refused.err) == (1, True)
    undeclared = mlops("import", "dvc", str(repository.folder), "--dataset", "absent")
    assert (undeclared.code, "'absent' is not declared" in undeclared.err) == (1, True)
