"""The chain from data to what it was made from: verification, records, and a lost registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.recall.ancestry import ancestors, input_problems, processing_of
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.recall.verify import verify
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.errors import IntegrityError
from mlops_assets.models.verify import verify_all, verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.principals import local
from mlops_assets.processing.produce import ProcessingJob, produce
from mlops_assets.registry import Registry
from mlops_assets.reindex.reindex import reindex
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.processing.test_produce import processed
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

THINNER = processed("thinner", inputs=["thinned", "fields"])


def open_store(root: Path) -> Store:
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


def open_version(store: Store, name: str) -> CommittedDataset:
    return CommittedDataset.open(store.workspace, store.registry, Reference(name))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fields, every other row of them, and of those and the fields again; a model on the last."""
    root = tmp_path_factory.mktemp("published") / "workspace"
    store = open_store(root)
    folder = root / "landing" / "fields"
    folder.mkdir(parents=True)
    crops_table(600).to_csv(folder / "samples.csv", index=False)
    commit(store.workspace, store.registry, table_specification())
    write_dataset_record(store.workspace, store.registry, open_version(store, "fields"))
    for specification in (processed(), THINNER):
        produce(store, ProcessingJob(specification))
    lifecycle(store, model_specification(dataset="thinner"), recorded=True)
    store.registry.close()
    return root


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    """A copy of that workspace, to do harm to."""
    return open_store(Path(shutil.copytree(published, tmp_path / "workspace")))


def test_a_version_and_a_model_are_verified_with_all_that_they_were_made_from(
    store: Store,
) -> None:
    row = store.registry.data_version(Reference("thinner"))
    found = ancestors(store.workspace, store.registry, row)
    assert [version.dataset for version in found] == ["thinned", "fields"]
    read = verify(store.workspace, store.registry, Reference("thinner"))
    assert (read.passed, read.files) == (True, sum(version.files for version in (row, *found)))
    model = store.registry.model_version(Reference("crops"))
    assert verify_model(store, model).problems == []
    assert verify_all(store).problems == []
    # a bit of the data at the far end of the chain
    local_path = open_version(store, "fields").local_path("samples.csv")
    local_path.chmod(0o644)
    local_path.write_bytes(local_path.read_bytes().replace(b"wheat", b"wheet", 1))
    (damage,) = verify(store.workspace, store.registry, Reference("thinner")).damages
    assert (damage.path, damage.fault) == ("fields@v1: samples.csv", "changed")
    (problem,) = verify_model(store, model).problems
    assert "its bytes are not those that were published" in problem


def test_a_damaged_file_names_the_command_that_makes_it_again_and_is_repaired(
    store: Store, tmp_path: Path
) -> None:
    committed = open_version(store, "thinned")
    digest = str(committed.manifest["sha256"].iloc[0])
    stored = tmp_path / "workspace" / object_key(digest)
    stored.chmod(0o644)
    stored.write_bytes(b"x" * stored.stat().st_size)
    with pytest.raises(IntegrityError, match="commit thinned --input v1'"):
        recall(committed, tmp_path / "recalled", copy=True)
    assert not produce(store, ProcessingJob(processed())).created
    assert verify(store.workspace, store.registry, Reference("thinned")).passed


def test_inputs_that_the_registry_does_not_have_as_they_were_are_problems(store: Store) -> None:
    row = store.registry.data_version(Reference("thinner"))
    processing = processing_of(store.workspace, store.registry, row)
    assert processing is not None
    assert list(input_problems(store.registry, "thinner@v1", processing)) == []
    first, second = processing.inputs
    inputs = [
        first.model_copy(update={"version": "v7"}),
        second.model_copy(update={"digest": "0" * 64}),
    ]
    changed = processing.model_copy(update={"inputs": inputs})
    absent, other = input_problems(store.registry, "thinner@v1", changed)
    assert absent.startswith("thinner@v1 was made from thinned@v7, which is not in the registry")
    assert other.startswith("thinner@v1 was made from fields@v1 with digest 000000000000…")


def test_inputs_function_code_and_parameters_are_in_the_digest_and_the_commit_is_not(
    store: Store,
) -> None:
    committed = open_version(store, "thinned")
    processing = committed.document.processing
    assert processing is not None

    def digest(**changes: object) -> str:
        changed = processing.model_copy(update=changes)
        document = committed.document.model_copy(update={"processing": changed})
        return digest_of_documents(committed.manifest, committed.samples, document)

    other_input = processing.inputs[0].model_copy(update={"digest": "0" * 64})
    assert digest(code={"commit": "1a2b3c4d5e6f"}) == committed.row.digest
    changed = {
        digest(inputs=[other_input]),
        digest(function="a:b"),
        digest(source="0" * 64),
        digest(parameters={"every": 5}),
    }
    assert len(changed | {committed.row.digest}) == 5


def test_the_record_links_to_those_of_the_inputs_that_are_recorded(store: Store) -> None:
    collection = json.loads(store.workspace.get("catalog/datasets/thinner/v1/collection.json"))
    links = [link["href"] for link in collection["links"] if link["rel"] == "derived_from"]
    assert links == ["../../fields/v1/collection.json"]
    assert collection["mlops:processing"]["parameters"] == {"every": 2}
    write_dataset_record(store.workspace, store.registry, open_version(store, "thinned"))
    write_dataset_record(store.workspace, store.registry, open_version(store, "thinner"))
    collection = json.loads(store.workspace.get("catalog/datasets/thinner/v1/collection.json"))
    links = [link["href"] for link in collection["links"] if link["rel"] == "derived_from"]
    assert links == ["../../thinned/v1/collection.json", "../../fields/v1/collection.json"]


def test_a_registry_made_anew_of_the_documents_knows_the_inputs(
    store: Store, tmp_path: Path
) -> None:
    row = store.registry.data_version(Reference("thinned"))
    before = processing_of(store.workspace, store.registry, row)
    shutil.rmtree(store.workspace.root / "log")
    url = f"sqlite:///{tmp_path / 'anew.db'}"
    reindex(store.workspace, url, local("tester"))
    anew = Store(store.workspace, Registry(url).acting(local("tester")))
    assert processing_of(anew.workspace, anew.registry, row) == before
    assert verify_all(anew).problems == []
    assert produce(anew, ProcessingJob(processed())).created is False
    anew.registry.close()
