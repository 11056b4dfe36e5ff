"""A model version of another workspace, used here while its ONNX file stays there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.errors import (
    ImportRefused,
    IntegrityError,
    MlopsError,
    NotFound,
    SignatureRefused,
    StorageError,
)
from mlops_assets.integrations.model_export.folder import RECORD as EXPORTED_RECORD
from mlops_assets.integrations.model_export.folder import write as export_folder
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.integrations.shared_models.use import ModelUse, UsedModel, use_model
from mlops_assets.lineage.chain import model_lineage
from mlops_assets.lineage.mermaid import mermaid
from mlops_assets.models.promotion import promote
from mlops_assets.models.record import sign_recorded
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.models.verify import verify_all, verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_item_key, model_owner
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.reindex.reindex import reindex
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.models.signing.keys import make_key, sign_with, trust
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Publish = Callable[[str], "Neighbour"]


class Neighbour:
    """Another workspace with a recorded version of `crops`."""

    def __init__(self, store: Store, row: ModelVersion) -> None:
        self.store = store
        self.row = row
        self.record = f"{store.workspace.url}/{model_item_key(row.model, row.version)}"
        self.onnx = f"{model_folder(row.model, row.version)}/model.onnx"

    def files(self) -> list[str]:
        return sorted(self.store.workspace.list(""))

    def replace(self, key: str, content: bytes) -> None:
        self.store.workspace.put(key, content)

    def item(self) -> Any:
        return json.loads(self.store.workspace.get(model_item_key("crops", self.row.version)))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Keys `release`, with which the neighbour signs, and `next`."""
    for name in ("release", "next"):
        make_key(tmp_path, name)
    return tmp_path


@pytest.fixture
def publish(
    tmp_path: Path, keys: Path, _empty_registry: bytes, monkeypatch: pytest.MonkeyPatch
) -> Publish:
    def published(url: str) -> Neighbour:
        database = tmp_path / "other.db"
        database.write_bytes(_empty_registry)
        registry = Registry(f"sqlite:///{database}").acting(local("neighbour"))
        store = Store(Workspace(url, tmp_path / "cache of the other"), registry)
        landing = tmp_path / "landed"
        landing.mkdir()
        crops_table(300).to_csv(landing / "samples.csv", index=False)
        source = {"url": landing.as_uri(), "layout": "table", "table": {"label": "crop"}}
        commit(store.workspace, store.registry, table_specification(source=source))
        with monkeypatch.context() as signing:
            sign_with(signing, keys, "release")
            row = lifecycle(store, model_specification(), recorded=True, depth=4)
        return Neighbour(store, row)

    return published


@pytest.fixture
def other(publish: Publish, tmp_path: Path) -> Neighbour:
    return publish((tmp_path / "other").as_uri())


@pytest.fixture
def data(land_table: Callable[..., Commit]) -> None:
    """The data version `fields@v1` here: other samples of the same kind."""
    land_table(crops_table(200, seed=5))


def used(
    store: Store, record: str, declared: ModelSpecification | None = None, data: str = "fields@v1"
) -> UsedModel:
    request = ModelUse(record, "theirs", Reference.parse(data), "tester")
    return use_model(store, request, declared, lambda _: Unheard())


def row_of(store: Store, found: UsedModel) -> ModelVersion:
    return store.registry.model_version(Reference(found.model, found.version))


def assert_used(store: Store, other: Neighbour, tmp_path: Path) -> None:
    before = other.files()
    found = used(store, other.record)
    assert found.outcome is not None and all(stage.passed for stage in found.outcome.stages)
    row = row_of(store, found)
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    # it is read there and is not here, though all of the lifecycle went over it
    assert not store.workspace.exists(key)
    path = published_path(store.workspace, store.registry, key)
    assert path.read_bytes() == other.store.workspace.get(other.onnx)
    assert row.metrics["accuracy"] > 0.8 and row.stage == "recorded"
    verified = verify_model(store, row)
    assert verified.passed, verified.problems
    assert verify_all(store).passed
    assert promote(store, row, []).version == row.version
    # lineage leads to the other workspace and its data
    lineage = model_lineage(store, Reference("theirs", "production"))
    assert lineage.run is not None
    assert lineage.run.imported["workspace"] == other.store.workspace.url
    assert lineage.run.imported["trained_on"] == "fields@v1"
    assert lineage.run.imported["trained_on_digest"] == other.row.data_digest
    assert "trained there on fields@v1" in mermaid(lineage)
    # the record names the bytes there, an export has them
    item = json.loads(store.workspace.get(model_item_key(row.model, row.version)))
    assert item["assets"]["model"]["href"] == f"{other.store.workspace.url}/{other.onnx}"
    export_folder(ExportSource.open(store, row), tmp_path / "exported")
    exported = tmp_path / "exported"
    assert (exported / "model.onnx").read_bytes() == path.read_bytes()
    # the bundles are over files that are there
    assert "model_signing verify" not in (exported / "README.md").read_text()
    record = json.loads((exported / EXPORTED_RECORD).read_text())
    assert record["assets"]["model"]["href"] == "./model.onnx"
    # once more, nothing is new; and the other workspace was only read
    again = used(store, other.record)
    assert (again.new, again.version, again.signatures) == (False, found.version, [])
    assert other.files() == before


def test_a_version_in_another_folder_is_used_without_a_copy(
    store: Store, other: Neighbour, data: None, tmp_path: Path
) -> None:
    assert_used(store, other, tmp_path)


@pytest.mark.services
def test_a_version_in_a_bucket_is_used_without_a_copy(
    store: Store, publish: Publish, data: None, tmp_path: Path, bucket: Bucket
) -> None:
    other = publish(bucket.url)
    assert_used(store, other, tmp_path)
    row = store.registry.model_version(Reference("theirs", "production"))
    # a copy under its checksum serves, and verify sees what is there
    content = other.store.workspace.get(other.onnx)
    other.replace(other.onnx, content + b"\0")
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    assert published_path(store.workspace, store.registry, key).read_bytes() == content
    (problem,) = verify_model(store, row).problems
    assert "has other bytes than when it was taken into use" in problem


def test_its_stages_are_reported_and_its_partition_added(
    store: Store, other: Neighbour, data: None
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        request = ModelUse(other.record, "theirs", Reference.parse("fields@v1"), "tester")
        found = use_model(
            store, request, None, lambda known: DagsterReporter(store, known, instance)
        )
        assert found.outcome is not None and found.outcome.notes == []
        assert "trained in another workspace, on fields@v1 there" in str(found.outcome)
        for stage in ("trained_model", "onnx_model", "evaluation", "record"):
            key = dg.AssetKey(["theirs", stage])
            (event,) = instance.fetch_materializations(key, limit=5).records
            assert event.partition_key == "v1"
        assert instance.get_dynamic_partitions("fields_versions") == ["v1"]
    card = store.workspace.get(f"{model_folder('theirs', found.version)}/model-card.md").decode()
    assert "It is used from another workspace" in card and "Parity is claimed there" in card


def test_a_map_made_with_it_is_that_of_the_other_workspace(
    store: Store, land_scenes: Callable[..., Commit], tmp_path: Path, _empty_registry: bytes
) -> None:
    (tmp_path / "theirs.db").write_bytes(_empty_registry)
    registry = Registry(f"sqlite:///{tmp_path / 'theirs.db'}").acting(local("neighbour"))
    there = Store(Workspace((tmp_path / "theirs").as_uri()), registry)
    specification = scenes_specification()
    write_scene(there.workspace.root / specification.source.url, crs="EPSG:32632")
    commit(there.workspace, there.registry, specification)
    model = model_specification("land", dataset="scenes", inputs="pixel")
    theirs = lifecycle(there, model, recorded=True, depth=4)
    land_scenes(size=40, seed=3, crs="EPSG:32632")
    record = f"{there.workspace.url}/{model_item_key('land', theirs.version)}"
    ours = row_of(store, used(store, record, data="scenes@v1"))
    scene = store.workspace.root / "landing/scenes/images/a.tif"
    expected = map_scene(there, theirs, scene, "map").classes
    np.testing.assert_array_equal(map_scene(store, ours, scene, "map").classes, expected)
    assert len(np.unique(expected)) > 1


def test_what_changes_or_vanishes_there_is_reported_by_name(
    store: Store, other: Neighbour, data: None, tmp_path: Path
) -> None:
    row = row_of(store, used(store, other.record))
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    content = other.store.workspace.get(other.onnx)
    flipped = content[:-1] + bytes([content[-1] ^ 1])

    def problems(expected: type[MlopsError]) -> str:
        (problem,) = verify_model(store, row).problems
        with pytest.raises(expected) as refusal:
            published_path(store.workspace, store.registry, key)
        assert str(refusal.value) == problem
        with pytest.raises(MlopsError):
            promote(store, row, [])
        assert store.registry.aliases("theirs") == {}
        return problem

    other.replace(other.onnx, flipped)
    assert "has other bytes than when it was taken into use" in problems(IntegrityError)
    other.store.workspace.remove(other.onnx)
    assert f"{other.onnx} is missing from {other.store.workspace.url}" in problems(StorageError)
    other.replace(other.onnx, content)
    assert verify_model(store, row).passed
    shutil.move(other.store.workspace.root, tmp_path / "moved")
    gone = problems(StorageError)
    assert f"the other workspace {other.store.workspace.url} is not there" in gone
    assert not other.store.workspace.root.exists()


def test_its_signatures_there_are_demanded_by_the_trust_of_this_workspace(
    store: Store, other: Neighbour, data: None, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, keys, {"name": "next", "file": "next.pub"})
    with pytest.raises(SignatureRefused, match=r"which .*trust\.yaml does not trust"):
        used(store, other.record)
    assert not store.registry.runs("theirs") and not store.registry.model_versions("theirs")
    trust(monkeypatch, keys, {"name": "release", "file": "release.pub"})
    # a key of this workspace does not sign what others have made
    sign_with(monkeypatch, keys, "next")
    row = row_of(store, used(store, other.record))
    assert verify_model(store, row).passed
    promote(store, row, [])
    with pytest.raises(SignatureRefused, match="and is signed there"):
        sign_recorded(store, row)
    # a key is revoked here, whatever is thought of it there
    fingerprint = sha256_of(keys / "release.pub")
    trust(
        monkeypatch,
        keys,
        {"name": "release", "file": "release.pub"},
        {"name": "next", "file": "next.pub"},
        revoked=[{"fingerprint": fingerprint, "reason": "laptop stolen"}],
    )
    assert "revoked key" in "; ".join(verify_model(store, row).problems)
    for act in (lambda: promote(store, row, [], "baseline"), lambda: ExportSource.open(store, row)):
        with pytest.raises(SignatureRefused, match="laptop stolen"):
            act()
    # until it is signed there with the next one, and used again
    sign_recorded(other.store, other.row)
    assert len(used(store, other.record).signatures) == 1
    assert verify_model(store, row).passed
    item = json.loads(store.workspace.get(model_item_key(row.model, row.version)))
    assert sum("signature" in asset["roles"] for asset in item["assets"].values()) == 4


def test_a_signature_is_over_the_file_that_is_used(
    store: Store, other: Neighbour, data: None, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file there, with a record and checksums that suit it, has no signature."""
    trust(monkeypatch, keys, {"name": "release", "file": "release.pub"})
    second = lifecycle(other.store, model_specification(), recorded=True, depth=3)
    stranger = other.store.workspace.get(f"{model_folder('crops', second.version)}/model.onnx")
    found = other.store.workspace.put(other.onnx, stranger)
    item = other.item()
    item["assets"]["model"] |= {"file:checksum": f"1220{found.sha256}", "file:size": found.size}
    other.replace(model_item_key("crops", other.row.version), json.dumps(item).encode())
    with pytest.raises(SignatureRefused, match=r"is over other files: model\.onnx has changed"):
        used(store, other.record)
    # nor does the bundle of another version serve
    bundles = {
        name: asset for name, asset in item["assets"].items() if "signature" in asset["roles"]
    }
    record = model_item_key("crops", second.version)
    theirs = json.loads(other.store.workspace.get(record))
    for asset in bundles.values():
        name = Path(asset["href"]).name
        content = other.store.workspace.get(
            f"{model_folder('crops', other.row.version)}/signatures/{name}"
        )
        other.replace(f"{model_folder('crops', second.version)}/signatures/{name}", content)
        asset["href"] = asset["href"].replace(other.row.version, second.version)
    theirs["assets"] |= bundles
    other.replace(record, json.dumps(theirs).encode())
    with pytest.raises(SignatureRefused, match="which is another model version"):
        used(store, f"{other.store.workspace.url}/{record}")


def test_a_file_changed_there_together_with_the_registry_here_is_found(
    store: Store, other: Neighbour, data: None, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(monkeypatch, keys, {"name": "release", "file": "release.pub"})
    row = row_of(store, used(store, other.record))
    stranger = other.store.workspace.put(other.onnx, b"another model")
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    changed = FileStat(key, stranger.sha256, stranger.size)
    store.registry.add_files(model_owner(row.model, row.version), [changed])
    with pytest.raises(SignatureRefused, match=r"is over other files: model\.onnx has changed"):
        promote(store, row, [])


def test_a_registry_rebuilt_from_the_workspace_still_has_the_version(
    store: Store, other: Neighbour, data: None, tmp_path: Path
) -> None:
    row = row_of(store, used(store, other.record))
    registry = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    reindex(store.workspace, registry, local("tester"))
    rebuilt = Store(store.workspace, Registry(registry).acting(local("tester")))
    found = verify_model(rebuilt, rebuilt.registry.model_version(Reference("theirs", row.version)))
    assert found.passed, found.problems


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("https://example.org/catalog/models/crops/v1-a/v1-a.json", "is not the record of a model"),
        ("{url}/catalog/models/crops/v1-a/other.json", "is not the record of a model version"),
        ("{url}/private/models/crops/v1-a/v1-a.json", "is not the record of a model version"),
        ("{url}/x/../catalog/models/crops/v1-a/v1-a.json", "is not the record of a model version"),
        ("s3://user:secret@bucket/catalog/models/crops/v1-a/v1-a.json", "credentials in it"),
    ],
)
def test_a_url_that_is_not_one_of_a_record_is_refused(
    record: str, problem: str, store: Store, data: None, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match=problem):
        used(store, record.format(url=(tmp_path / "other").as_uri()))


def _without_run(item: Any) -> None:
    del item["assets"]["run_json"]


def _elsewhere(item: Any) -> None:
    item["assets"]["model"]["href"] = "s3://third/workspace/models/a/v1/model.onnx"


def _outside(item: Any) -> None:
    item["assets"]["run_json"]["href"] = "../../../../../../etc/passwd"


def _other_sum(item: Any) -> None:
    item["assets"]["run_json"]["file:checksum"] = f"1220{'0' * 64}"


def _no_provenance(item: Any) -> None:
    for name in [name for name in item["assets"] if name.startswith("provenance_")]:
        del item["assets"][name]


def _not_a_sum(item: Any) -> None:
    item["assets"]["model"]["file:checksum"] = "md5:1234"


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        (_without_run, IntegrityError, r"does not link runs/.*/run\.json with its checksum"),
        (_elsewhere, ImportRefused, "has its ONNX file s3://third/workspace/"),
        (_outside, IntegrityError, "does not link runs/"),
        (_other_sum, IntegrityError, "is not as its record .* states"),
        (_no_provenance, IntegrityError, r"does not link .*\.provenance\.sigstore\.json with"),
        (_not_a_sum, IntegrityError, r"assets\.model\.file:checksum"),
    ],
    ids=[
        "no run.json",
        "of a third workspace",
        "outside",
        "another checksum",
        "no provenance",
        "no checksum",
    ],
)
def test_a_record_that_does_not_suffice_is_refused(
    change: Callable[[Any], None],
    error: type[MlopsError],
    problem: str,
    store: Store,
    other: Neighbour,
    data: None,
) -> None:
    item = other.item()
    change(item)
    other.replace(model_item_key("crops", other.row.version), json.dumps(item).encode())
    with pytest.raises(error, match=problem):
        used(store, other.record)
    assert not store.registry.runs("theirs") and not store.registry.model_versions("theirs")


def test_a_model_that_does_not_suit_the_data_is_refused(
    store: Store, other: Neighbour, land_table: Callable[..., Commit]
) -> None:
    table = crops_table(200, seed=5)
    land_table(table.assign(crop=table["crop"].replace({"wheat": "rye"})))
    with pytest.raises(ImportRefused, match=r"predicts the classes .*; nothing was written"):
        used(store, other.record)
    assert not store.registry.runs("theirs")
