"""Deployments: whole folders under one link, rollbacks and ends, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from mlops_assets.errors import (
    ExportError,
    Forbidden,
    NotFound,
    PromotionRefused,
    SignatureRefused,
    StorageError,
)
from mlops_assets.integrations.deployment.deploy import deploy, undeploy
from mlops_assets.integrations.deployment.served import files_check
from mlops_assets.integrations.deployment.standing import active_deployment
from mlops_assets.integrations.model_export import triton
from mlops_assets.models.approval.decisions import deprecate
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.serving.specification import Engine
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store
from mlops_assets_tests.integrations.deployment.service import service, versions
from mlops_assets_tests.models.signing.keys import make_key, trust


@pytest.mark.parametrize("engine", ["kserve", "triton", "docker", "seldon"])
def test_every_engine_has_the_published_file_and_a_change_of_it_is_found(
    engine: Engine, store: Store, tmp_path: Path
) -> None:
    _, row = versions(store)
    specification = service(engine=engine, out=str(tmp_path / "out"))
    made = deploy(store, specification, row, "first")
    current = tmp_path / "out" / "current"
    assert current.resolve() == made.folder
    (onnx,) = current.resolve().rglob("model.onnx")
    published = store.workspace.stat(f"{model_folder('land', row.version)}/model.onnx").sha256
    assert hashlib.sha256(onnx.read_bytes()).hexdigest() == published == made.record.sha256
    assert files_check(store.registry, specification).passed
    assert all(str(current) in step for step in made.next_steps if "{" in step or "cur" in step)
    onnx.chmod(0o644)
    onnx.write_bytes(b"another model")
    check = files_check(store.registry, specification)
    assert not check.passed and f"{onnx.relative_to(current.resolve())} has changed" in (
        check.description
    )
    assert deploy(store, specification, row).folder == made.folder
    assert files_check(store.registry, specification).passed
    assert {own.name for own in (tmp_path / "out").iterdir()} == {"current", current.resolve().name}


def test_an_older_version_is_a_rollback_and_an_end_leaves_its_files(
    store: Store, tmp_path: Path
) -> None:
    older, newer = versions(store)
    specification = service(engine="kserve", out=str(tmp_path / "out"))
    first = deploy(store, specification, newer)
    back = deploy(store, specification, older, "it is wrong in spring", chosen=True)
    assert (first.rollback, back.rollback, back.previous) == (False, True, newer.version)
    assert back.record.deployed_by == "tester" and back.record.details["rollback"] == "true"
    url = "s3://models/served/land/"
    for made in (first, back):
        assert made.folder is not None
        manifest = yaml.safe_load((made.folder / "inferenceservice.yaml").read_text())
        model = manifest["spec"]["predictor"]["model"]
        # another URL for each version, so that the cluster loads it
        assert model["storageUri"] == url + made.row.version
    ended = undeploy(store, specification, "the season is over")
    assert (ended.record.action, ended.record.version) == ("undeployed", older.version)
    assert active_deployment(store.registry, "land_service") is None
    assert not (tmp_path / "out" / "current").exists() and back.folder and back.folder.exists()
    with pytest.raises(NotFound, match="serves nothing"):
        undeploy(store, specification)
    # after the end, what was served before is not rolled back from
    assert not deploy(store, specification, newer).rollback


def test_only_what_was_promoted_and_is_not_withdrawn_is_deployed(store: Store) -> None:
    older, newer = versions(store)
    with pytest.raises(PromotionRefused, match="never promoted to canary"):
        deploy(store, service(alias="canary"), newer)
    # our own server serves what the alias names, and nothing else
    with pytest.raises(PromotionRefused, match="mlops model rollback land"):
        deploy(store, service(), older)
    deprecate(store, older, "wrong labels")
    with pytest.raises(PromotionRefused, match="deprecated"):
        deploy(store, service(engine="triton"), older)
    assert store.registry.deployments() == []


def test_whoever_may_not_deploy_writes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, row = versions(store)
    specification = service(engine="triton", out=str(tmp_path / "out"))
    scientist = store.acting(Principal("eve", frozenset({Role.SCIENTIST})))
    with pytest.raises(Forbidden, match="approver"):
        deploy(scientist, specification, row)
    inside = service(engine="triton", out=str(store.workspace.root / "models"))
    with pytest.raises(StorageError, match="inside the workspace"):
        deploy(store, inside, row)
    set_visibility(store, row, Visibility.PRIVATE)
    private = store.registry.model_version(Reference("land", row.version))
    with pytest.raises(ExportError, match="mlops model visibility"):
        deploy(store, specification, private)
    make_key(tmp_path, "a")
    trust(monkeypatch, tmp_path, {"name": "a", "file": "a.pub"}, required=True)
    with pytest.raises(SignatureRefused, match="has no signature"):
        deploy(store, service(), private)
    assert not (tmp_path / "out").exists() and store.registry.deployments() == []


def test_files_that_cannot_be_written_leave_the_former_ones_current(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = versions(store)
    specification = service(engine="triton", out=str(tmp_path / "out"))
    deploy(store, specification, older, chosen=True)
    before = (tmp_path / "out" / "current").resolve()

    def full(source: object, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(triton, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        deploy(store, specification, newer)
    assert (tmp_path / "out" / "current").resolve() == before
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert [made.version for made in store.registry.deployments()] == [older.version]
