"""`mlops model approve`, `reject` and `deprecate`, as people with their own roles use them."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets_tests.cli.conftest import Mlops

APPROVAL = "approval: {required: true, own_work: false}"


def evaluations(home: Path, partition: str) -> list[tuple[bool, str]]:
    """The evaluations of the check `approved` in Dagster, oldest first."""
    key = dg.AssetCheckKey(dg.AssetKey(["samples_forest", "record"]), "approved")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    found = [record.evaluation for record in reversed(records)]
    assert {one.partition for one in found if one} == {partition}
    return [(one.passed, str(one.description)) for one in found if one]


@pytest.mark.slow
def test_a_version_goes_into_production_with_the_decision_of_another_person(
    committed: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = committed / "fieldwork" / "defs" / "samples" / "defs.yaml"
    declared.write_text(f"{declared.read_text()}  auto_promote: true\n  {APPROVAL}\n")
    trained = mlops("train", "samples_forest", "-p", "n_estimators=5", "--json")
    assert trained.code == 0, trained.err
    assert "waits for approval" in trained.err
    version = f"samples_forest@{trained.json['version']}"

    promoted = mlops("model", "promote", version)
    assert promoted.code == 1
    assert "samples_forest@production is protected" in promoted.err
    own = mlops("model", "approve", version, "--reason", "mine")
    assert own.code == 1
    assert "tester may not approve" in own.err

    monkeypatch.setenv("MLOPS_USER", "ben")
    monkeypatch.setenv("MLOPS_ROLES", "scientist")
    refused = mlops("model", "approve", version, "--reason", "good")
    assert refused.code == 1
    assert "this needs the role approver" in refused.err
    assert mlops("model", "approve", version).code == 2
    monkeypatch.setenv("MLOPS_ROLES", "approver")
    assert mlops("model", "reject", version, "--reason", "too few trees").code == 0
    approved = mlops("model", "approve", version, "--reason", "enough trees")
    assert approved.code == 0, approved.err
    assert f"samples_forest@production is {version}" in approved.out

    shown = mlops("model", "show", "samples_forest@production", "--json").json
    assert [(made["decision"], made["by"], made["reason"]) for made in shown["decisions"]] == [
        ("rejected", "ben", "too few trees"),
        ("approved", "ben", "enough trees"),
    ]
    files = {Path(file["path"]).name: file["sha256"] for file in shown["files"]}
    assert shown["decisions"][1]["sha256"] == {
        "model.onnx": files["model.onnx"],
        "metrics.json": files["metrics.json"],
        "record": files[f"{trained.json['version']}.json"],
    }
    assert [(p["by"], p["reason"]) for p in shown["promotions"]] == [("ben", "enough trees")]
    lines = mlops("model", "show", "samples_forest@production").out
    assert "production by ben: enough trees" in lines
    assert [passed for passed, _ in evaluations(committed / "workspace" / "dagster", "v1")] == [
        False,
        False,
        True,
    ]

    deprecating = ("model", "deprecate", version, "--reason", "the sensor has ended")
    assert "is in production" in mlops(*deprecating).err
    assert mlops(*deprecating, "--force").code == 0
    (listed,) = mlops("model", "list", "--json").json
    assert listed["deprecated"] is True
    (record,) = (committed / "workspace" / "catalog").rglob(f"{trained.json['version']}.json")
    assert json.loads(record.read_text())["properties"]["deprecated"] is True
    assert mlops("model", "verify").code == 0
