"""Chains down to files, and up from a file, as the functions and commands return them."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mlops_assets.errors import NotFound
from mlops_assets.lineage.chain import model_lineage
from mlops_assets.lineage.deployments import deployments_of_file
from mlops_assets.lineage.files import checksum_of, file_lineage
from mlops_assets.lineage.made_from import made_from
from mlops_assets.lineage.mermaid import mermaid
from mlops_assets.models.approval.standing import trained_by
from mlops_assets.names import Reference
from mlops_assets.paths import object_key, prediction_owner, predictions_folder
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import Deployment, Run
from mlops_assets.storage import FileStat
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops, mlops
from mlops_assets_tests.processing.test_lineage import open_store, open_version, published

__all__ = ["mlops", "published"]

CROPS = Reference("crops")


@pytest.fixture
def store(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Fields, thinned fields, thinner ones of both, and a model of crops on the last."""
    root = Path(shutil.copytree(published, tmp_path / "workspace"))
    monkeypatch.setenv("MLOPS_WORKSPACE", str(root))
    return open_store(root)


def landed_sha256(published: Path) -> str:
    content = (published / "landing/fields/samples.csv").read_bytes()
    return hashlib.sha256(content).hexdigest()


def test_a_chain_goes_from_metrics_to_the_checksum_of_every_file(
    store: Store, published: Path
) -> None:
    row = store.registry.model_version(CROPS)
    store.registry.promote(row, [])
    store.registry.tag("fields", "v1", "harvest")
    found = model_lineage(store, CROPS)
    run = store.registry.run(row.run_id)
    assert (found.reference, found.aliases) == (f"crops@{row.version}", ["production"])
    assert found.metrics == row.metrics
    assert found.run is not None
    assert (found.run.run_id, found.run.parameters, found.run.code_version) == (
        run.run_id,
        run.parameters,
        run.code_version,
    )
    assert found.run.environment is not None
    assert store.workspace.exists(object_key(found.run.environment))
    assert found.evaluation.keys() == {"model.onnx", "metrics.json"}
    thinner, thinned, fields = found.data
    assert (thinner.inputs, thinned.inputs, fields.inputs) == (
        ["thinned@v1", "fields@v1"],
        ["fields@v1"],
        [],
    )
    assert (thinned.landing, fields.function) == (None, None)
    assert thinned.function is not None and thinned.code is not None
    assert fields.landing is not None and fields.landing.endswith("/landing/fields")
    assert fields.tags == ["harvest"]
    for data in found.data:
        version = store.registry.data_version(Reference.parse(data.reference))
        samples = {split: count.samples for split, count in data.splits.items()}
        assert samples == version.counts
        assert data.digest == version.digest
    (file,) = fields.files
    assert (file.path, file.sha256) == ("samples.csv", landed_sha256(published))
    assert file.samples == store.registry.data_version(Reference("fields")).counts


def test_a_flowchart_joins_all_of_the_chain_and_no_name_breaks_it(store: Store) -> None:
    found = model_lineage(store, CROPS)
    assert found.run is not None
    hostile = replace(found.run, created_by='ann"] --> x[<b>`#&;\n')
    drawn = mermaid(replace(found, run=hostile))
    first, *lines = drawn.splitlines()
    assert first == "flowchart LR"
    nodes, edges = set(), []
    for line in lines:
        if node := re.fullmatch(r'  (\w+)\["([^"]*)"\]', line):
            nodes.add(node[1])
            assert re.fullmatch(r"(?:[^<>&`\\;#]|<br/>|#\d+;)*", node[2]), line
        else:
            ends = line.strip().split(" --> ")
            edges += list(pairwise(ends))
    assert nodes == {end for edge in edges for end in edge}
    reached = {"metrics"}
    for _ in edges:
        reached |= {end for start, end in edges if start in reached}
    assert reached == nodes
    assert nodes >= {"evaluation", "model", "run", "code", "parameters", "environment"}
    assert nodes >= {"data0", "data1", "data2", "data0files", "data1files", "data2files"}


def test_a_chain_states_what_is_not_visible_and_refuses_an_unknown_metric(store: Store) -> None:
    row = store.registry.data_version(Reference("thinned"))
    store.registry.set_visibility(row, Visibility.PRIVATE)
    bob = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    found = model_lineage(bob, CROPS, "accuracy")
    assert list(found.metrics) == ["accuracy"]
    assert [data.reference for data in found.data] == ["thinner@v1", "fields@v1"]
    assert (found.hidden, found.unknown) == (["thinned@v1"], [])
    assert "thinned@v1<br/>you may not see it" in mermaid(found)
    with pytest.raises(NotFound, match=r"crops@v1-\w+ has no metric 'iou'; it has .*accuracy"):
        model_lineage(store, CROPS, "iou")


def test_a_model_is_shown_traced_and_verified_without_its_hidden_data(
    store: Store, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = store.registry.model_version(CROPS)
    for name in ("fields", "thinner"):
        data = store.registry.data_version(Reference(name))
        store.registry.set_visibility(data, Visibility.PRIVATE)
    monkeypatch.setenv("MLOPS_USER", "bob")
    monkeypatch.setenv("MLOPS_ROLES", "viewer")
    shown = mlops("model", "show", "crops", "--json").json
    assert (shown["run_id"], "parameters" in shown) == (row.run_id, False)
    hidden = f"the run of crops@{row.version} is on thinner@v1, which bob may not see"
    assert shown["hidden"].startswith(hidden)
    assert hidden in mlops("model", "show", "crops").out.replace("\n", " ")

    chain = mlops("model", "lineage", "crops", "--json").json
    assert (chain["run"], chain["data"]) == (None, [])
    assert (chain["hidden"], chain["unknown"]) == (["thinner@v1"], [])
    assert "made from data that you may not see" in mlops("model", "lineage", "crops").out

    verified = mlops("model", "verify", "crops", "--json")
    assert verified.code == 0, verified.err
    assert verified.json["hidden"] == [f"run {row.run_id}", "thinner@v1"]
    assert "thinner@v1 is hidden from you" in mlops("model", "verify", "crops").out
    assert mlops("verify").code == 0
    # it was made from private fields
    read = mlops("dataset", "verify", "thinned@v1", "--json")
    assert (read.code, read.json["hidden"]) == (0, ["fields@v1"]), read.err

    # who approves needs to know that it is not their own work
    bob = store.acting(Principal("bob", frozenset({Role.APPROVER})))
    assert trained_by(bob.registry, row) == store.registry.run(row.run_id).created_by
    with store.registry.transaction("harm") as session:
        session.delete(session.get(Run, row.run_id))
    assert "no run begins with" in mlops("model", "verify", "crops").err


def test_a_version_and_its_file_lead_to_their_deployments(store: Store, mlops: Mlops) -> None:
    model = store.registry.model_version(CROPS)
    (onnx,) = store.registry.files_at(f"models/crops/{model.version}/model.onnx")

    def deploy(action: str, version: str = model.version) -> None:
        details = {"folder": "/srv/crops"}
        store.registry.record_deployment(
            Deployment(
                service='crops"] --> x',
                model="crops",
                version=version,
                engine="kserve",
                action=action,
                sha256=onnx.sha256,
                details=details,
                reason="spring",
            )
        )

    deploy("deployed")
    (made,) = model_lineage(store, CROPS).deployments
    assert (made.active, made.engine, made.place, made.deployed_by) == (
        True,
        "kserve",
        "/srv/crops",
        store.user,
    )
    drawn = mermaid(model_lineage(store, CROPS))
    assert "  deployment0 --> model\n" in drawn and '"] --> x' not in drawn
    assert "deployed (active), kserve" in drawn
    followed = mlops("lineage", "--file", onnx.sha256, "--json").json
    assert followed["deployments"][0]["reference"] == f"crops@{model.version}"
    assert "deployments: 1" in mlops("lineage", "--file", onnx.sha256).out
    deploy("undeployed")
    ended, first = model_lineage(store, CROPS).deployments
    assert (ended.action, ended.active, first.active) == ("undeployed", False, False)
    store.registry.set_visibility(model, Visibility.PRIVATE)
    bob = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    assert bob.registry.deployments() == []
    assert deployments_of_file(bob.registry, onnx.sha256) == []


def test_a_file_is_followed_to_all_that_it_is_in(store: Store, published: Path) -> None:
    model = store.registry.model_version(CROPS)
    sha256 = landed_sha256(published)
    found = file_lineage(store, sha256)
    (place,) = found.landed
    assert (place.path, place.size) == (
        "samples.csv",
        (published / "landing/fields/samples.csv").stat().st_size,
    )
    assert place.landing == f"{store.workspace.url}/landing/fields"
    (use,) = found.data
    assert (use.reference, use.files[0].path) == ("fields@v1", "samples.csv")
    assert use.files[0].samples == store.registry.data_version(Reference("fields")).counts
    assert (found.runs, found.models) == ([], [])
    # the file of the data that the model was trained on
    trained_on = str(open_version(store, "thinner").manifest["sha256"].iloc[0])
    found = file_lineage(store, trained_on)
    # the second thinning has copied its first input
    assert [use.reference for use in found.data] == ["thinned@v1", "thinner@v1"]
    assert [(run.run_id, run.model_version) for run in found.runs] == [
        (model.run_id, model.version)
    ]
    assert found.models == [f"crops@{model.version}"]
    # a file of the model version itself
    (onnx,) = store.registry.files_at(f"models/crops/{model.version}/model.onnx")
    found = file_lineage(store, onnx.sha256)
    (own,) = found.published
    assert (own.path, own.owner) == (onnx.path, f"model:crops@{model.version}")
    assert found.models == [f"crops@{model.version}"]
    with pytest.raises(NotFound, match="has the sha256 0000"):
        file_lineage(store, "0" * 64)
    with pytest.raises(NotFound, match="nowhere is neither a file nor a sha256"):
        checksum_of("nowhere")


def test_a_map_is_made_from_the_data_of_its_model(store: Store) -> None:
    model = store.registry.model_version(CROPS)
    key = f"{predictions_folder('crops', model.version)}/scene.tif"
    sha256 = hashlib.sha256(b"map").hexdigest()
    store.registry.add_files(
        prediction_owner("crops", model.version), [FileStat(path=key, sha256=sha256, size=3)]
    )
    assert file_lineage(store, sha256).models == [f"crops@{model.version}"]
    data = store.registry.data_version(Reference("thinner"))
    (trained, predicted) = made_from(store.registry, data)
    assert (trained.kind, predicted.kind) == ("model version", "map")
    assert (predicted.reference, predicted.names) == (key, [f"crops@{model.version}"])
    store.registry.set_visibility(model, Visibility.PRIVATE)
    bob = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    assert made_from(bob.registry, data) == []


def test_nobody_learns_from_a_checksum_what_they_may_not_see(store: Store, published: Path) -> None:
    model = store.registry.model_version(CROPS)
    (onnx,) = store.registry.files_at(f"models/crops/{model.version}/model.onnx")
    store.registry.set_visibility(
        store.registry.data_version(Reference("fields")), Visibility.PRIVATE
    )
    store.registry.set_visibility(model, Visibility.PRIVATE)
    bob = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    for sha256 in (landed_sha256(published), onnx.sha256):
        file_lineage(store, sha256)
        with pytest.raises(NotFound):
            file_lineage(bob, sha256)


def test_the_commands_print_chains_lists_and_files(
    store: Store, published: Path, mlops: Mlops
) -> None:
    model = store.registry.model_version(CROPS)
    drawn = mlops("model", "lineage", "crops")
    assert drawn.out == mermaid(model_lineage(store, CROPS)), drawn.err
    chain = mlops("model", "lineage", "crops", "--json").json
    assert chain["data"][2]["files"][0]["sha256"] == landed_sha256(published)
    assert mlops("model", "lineage", "crops", "--metric", "iou").code == 1

    store.registry.tag("thinner", "v1", "spring")
    (listed,) = mlops("model", "list", "--data", "thinner@spring", "--json").json
    assert (listed["version"], listed["data_version"]) == (model.version, "v1")
    assert (
        "no model version was trained on fields@v1"
        in mlops("model", "list", "--data", "fields").out
    )
    assert mlops("model", "list", "--data", "fields@v9").code == 1
    (made,) = mlops("dataset", "show", "thinner@spring", "--json").json["made"]
    assert (made["kind"], made["reference"]) == ("model version", f"crops@{model.version}")
    assert f"crops@{model.version}" in mlops("dataset", "show", "thinner").out
    assert mlops("dataset", "show", "fields", "--json").json["made"] == []

    path = published / "landing/fields/samples.csv"
    by_path = mlops("lineage", "--file", str(path), "--json").json
    assert by_path == mlops("lineage", "--file", landed_sha256(published), "--json").json
    assert by_path["data"][0]["reference"] == "fields@v1"
    shown = mlops("lineage", "--file", str(path)).out
    assert "fields@v1" in shown and "landed in" in shown
    assert mlops("lineage", "--file", "0" * 64).code == 1


def test_the_commands_set_and_show_a_visibility(store: Store, mlops: Mlops) -> None:
    done = mlops("dataset", "visibility", "thinner@v1", "private", "--reason", "under embargo")
    assert done.out == "thinner@v1 is private, was workspace\n", done.err
    assert "is workspace, and the data it was made from, thinner@v1, are private" in done.err
    shown = mlops("dataset", "show", "thinner", "--json").json
    assert (shown["visibility"], shown["visibility_reason"]) == ("private", "under embargo")
    version = store.registry.model_version(CROPS).version
    done = mlops("model", "visibility", f"crops@{version}", "published")
    assert done.out == f"crops@{version} is published, was workspace\n", done.err
    assert mlops("model", "visibility", f"crops@{version}", "published").out.endswith("already\n")
    assert mlops("model", "list", "--json").json[0]["visibility"] == "published"
    assert mlops("verify").code == 0
    assert mlops("dataset", "visibility", "thinner", "private").code == 2
    assert mlops("dataset", "visibility", "thinner@v1", "secret").code == 2
