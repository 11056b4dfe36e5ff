"""Records of private versions are in a catalogue of their own, and nowhere in the other one."""

from __future__ import annotations

import json
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pystac.validation import validate_dict

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.errors import Forbidden
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import dataset_collection_key
from mlops_assets.principals import Principal, Role, Visibility, local
from mlops_assets.processing.produce import ProcessingJob, produce
from mlops_assets.registry import Registry
from mlops_assets.registry.files import publication
from mlops_assets.reindex.reindex import reindex
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.models import summaries
from mlops_assets.stac.training_dml import TRAINING_DML
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.processing.test_lineage import open_store, open_version
from mlops_assets_tests.processing.test_produce import processed
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

FIELDS = Reference("fields", "v1")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of fields; thinned fields and a model of crops from the first."""
    root = tmp_path_factory.mktemp("published") / "workspace"
    store = open_store(root)
    folder = root / "landing" / "fields"
    folder.mkdir(parents=True)
    for number in range(3):
        crops_table(600 + number).to_csv(folder / "samples.csv", index=False)
        commit(store.workspace, store.registry, table_specification())
        write_dataset_record(store.workspace, store.registry, open_version(store, "fields"))
        if number == 0:
            produce(store, ProcessingJob(processed()))
            write_dataset_record(store.workspace, store.registry, open_version(store, "thinned"))
            lifecycle(store, model_specification(), "v1", recorded=True)
    store.registry.close()
    return root


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    return open_store(Path(shutil.copytree(published, tmp_path / "workspace")))


def documents(store: Store, root: str) -> dict[str, dict[str, Any]]:
    return {key: json.loads(store.workspace.get(key)) for key in store.workspace.list(root)}


def consistent(store: Store, root: str) -> set[str]:
    """Check that a catalogue is valid, complete and closed; return the keys of its documents."""
    found = documents(store, root)
    reached, waiting = set(), [f"{root}/catalog.json"] if found else []
    while waiting:
        key = waiting.pop()
        reached.add(key)
        assert len(validate_dict(found[key], extensions=[])) == 1
        for link in found[key]["links"]:
            if "://" in link["href"]:  # a scene of a map
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(key), link["href"]))
            assert store.workspace.exists(target), (key, link)
            if link["rel"] in ("child", "item"):
                waiting.append(target)
            if link["rel"] in ("root", "parent", "collection", "successor-version"):
                assert target.startswith(f"{root}/")
        for asset in found[key].get("assets", {}).values():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(key), asset["href"]))
            assert store.workspace.exists(target), (key, asset)
    assert reached == {key for key in found if not key.endswith(TRAINING_DML)}
    return reached


def related(store: Store, key: str, *relations: str) -> list[str]:
    links = json.loads(store.workspace.get(key))["links"]
    return [
        posixpath.normpath(posixpath.join(posixpath.dirname(key), link["href"]))
        for link in links
        if link["rel"] in relations
    ]


def test_a_private_version_leaves_the_catalogue_and_comes_back_as_it_was(store: Store) -> None:
    before = documents(store, "catalog")
    row = store.registry.data_version(Reference("fields", "v2"))
    assert set_visibility(store, row, Visibility.PRIVATE, "under embargo") == []
    consistent(store, "catalog")
    assert not [key for key in store.workspace.list("catalog") if "/fields/v2/" in key]
    assert not re.search("fields[@/-]v2", json.dumps(documents(store, "catalog")))
    first, third = (dataset_collection_key("fields", version) for version in ("v1", "v3"))
    assert related(store, first, "successor-version") == [third]
    private = consistent(store, "private")
    assert dataset_collection_key("fields", "v2", private=True) in private
    assert verify_all(store).problems == []
    row = store.registry.data_version(Reference("fields", "v2"))
    assert row.visibility_reason == "under embargo"
    set_visibility(store, row, Visibility.PUBLISHED)
    assert documents(store, "catalog") == before
    assert list(store.workspace.list("private")) == []
    assert verify_all(store).problems == []


def test_records_of_what_was_made_from_private_data_name_it_without_a_link(store: Store) -> None:
    before = documents(store, "catalog")
    warnings = set_visibility(store, store.registry.data_version(FIELDS), Visibility.PRIVATE)
    model = store.registry.model_version(Reference("crops"))
    assert len(warnings) == 2
    assert warnings[0].startswith(
        f"crops@{model.version} is workspace, and the data it was made from, fields@v1, are private"
    )
    consistent(store, "catalog")
    item = f"catalog/models/crops/{model.version}/{model.version}.json"
    thinned = dataset_collection_key("thinned", "v1")
    assert related(store, item, "derived_from") == related(store, thinned, "derived_from") == []
    found = documents(store, "catalog")
    assert found[item]["properties"]["mlops:private_inputs"] == ["fields@v1"]
    assert found[thinned]["mlops:private_inputs"] == ["fields@v1"]
    # a private model links to private data
    assert set_visibility(store, model, Visibility.PRIVATE) == []
    consistent(store, "private")
    hidden = item.replace("catalog/", "private/")
    assert set(related(store, hidden, "derived_from")) == {
        dataset_collection_key("fields", "v1", private=True)
    }
    assert not [key for key in store.workspace.list("catalog") if "/crops/" in key]
    # and to what is not private, in the other catalogue
    set_visibility(store, store.registry.data_version(FIELDS), Visibility.WORKSPACE)
    assert set(related(store, hidden, "derived_from")) == {dataset_collection_key("fields", "v1")}
    set_visibility(store, model, Visibility.WORKSPACE)
    assert documents(store, "catalog") == before
    assert verify_all(store).problems == []


def test_the_description_of_all_versions_is_not_that_of_one_that_has_become_private(
    store: Store,
) -> None:
    before = documents(store, "catalog")
    embargoed = model_specification(title="Under embargo", description="New.", keywords=["secret"])
    lifecycle(store, embargoed, "v2", recorded=True)
    assert "Under embargo" in json.dumps(documents(store, "catalog"))
    set_visibility(store, store.registry.model_version(Reference("crops")), Visibility.PRIVATE)
    assert documents(store, "catalog") == before
    assert documents(store, "private")["private/models/crops/collection.json"]["title"] == (
        "Under embargo"
    )


def test_versions_that_are_private_from_the_start_are_never_in_the_catalogue(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = documents(store, "catalog")
    monkeypatch.setenv("MLOPS_VISIBILITY", "private")
    crops_table(700).to_csv(tmp_path / "workspace/landing/fields/samples.csv", index=False)
    ann = store.acting(Principal("ann", frozenset({Role.SCIENTIST})))
    commit(ann.workspace, ann.registry, table_specification())
    write_dataset_record(ann.workspace, ann.registry, open_version(ann, "fields"))
    lifecycle(ann, model_specification(), "v4", recorded=True)
    model = ann.registry.model_version(Reference("crops"))
    assert (model.stage, model.visibility) == ("recorded", "private")
    assert documents(store, "catalog") == before
    assert consistent(store, "private") >= {
        "private/catalog.json",
        dataset_collection_key("fields", "v4", private=True),
        f"private/models/crops/{model.version}/{model.version}.json",
    }
    rows = store.registry.model_versions("crops")
    rows[-1].framework = "pytorch"
    assert summaries(rows, False, {})["mlm:framework"] == ["scikit-learn"]
    # a record that somebody else writes keeps what they do not see
    monkeypatch.setenv("MLOPS_VISIBILITY", "private")
    bob = store.acting(Principal("bob", frozenset({Role.SCIENTIST})))
    crops_table(800).to_csv(tmp_path / "workspace/landing/fields/samples.csv", index=False)
    assert commit(bob.workspace, bob.registry, table_specification()).version.version == "v5"
    write_dataset_record(bob.workspace, bob.registry, open_version(bob, "fields"))
    assert dataset_collection_key("fields", "v4", private=True) in consistent(store, "private")
    assert verify_all(store).problems == []


def test_who_may_not_change_it_writes_nothing(store: Store) -> None:
    before = {**documents(store, "catalog"), **documents(store, "private")}
    row = store.registry.data_version(FIELDS)
    with pytest.raises(Forbidden, match="bob may not make fields@v1 private"):
        set_visibility(
            store.acting(Principal("bob", frozenset({Role.SCIENTIST}))), row, Visibility.PRIVATE
        )
    assert {**documents(store, "catalog"), **documents(store, "private")} == before
    operator = store.acting(Principal("eve", frozenset({Role.OPERATOR})))
    set_visibility(operator, row, Visibility.PRIVATE)
    assert store.registry.data_version(FIELDS).visibility == "private"


def test_bytes_that_a_killed_process_left_are_removed_by_the_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    row = store.registry.data_version(FIELDS)
    with monkeypatch.context() as patch:
        complete = publication._complete
        calls: Iterator[Callable[..., object]] = iter([complete, killed])
        patch.setattr(publication, "_complete", lambda *given: next(calls)(*given))
        with pytest.raises(Killed):
            set_visibility(store, row, Visibility.PRIVATE)
    assert [key for key in store.workspace.list("catalog") if "/fields/v1/" in key]
    publication.complete_publications(store.workspace, store.registry)
    assert not [key for key in store.workspace.list("catalog") if "/fields/v1/" in key]
    consistent(store, "catalog")
    consistent(store, "private")
    assert verify_all(store).problems == []


@pytest.mark.parametrize("with_log", [True, False])
def test_a_lost_registry_is_rebuilt_with_what_was_private(
    store: Store, tmp_path: Path, with_log: bool
) -> None:
    row = store.registry.model_version(Reference("crops"))
    set_visibility(store, row, Visibility.PRIVATE)
    set_visibility(store, store.registry.data_version(FIELDS), Visibility.PRIVATE)
    store.registry.close()
    if not with_log:
        shutil.rmtree(tmp_path / "workspace/log")
    url = f"sqlite:///{tmp_path / 'again.db'}"
    reindex(Workspace(store.workspace.url), url, local("tester"))
    again = Registry(url)
    visible = {row.version: row.visibility for row in again.data_versions("fields")}
    assert visible == {"v1": "private", "v2": "workspace", "v3": "workspace"}
    assert again.model_version(Reference("crops")).visibility == "private"
    assert again.model_version(Reference("crops")).stage == "recorded"
    again.close()
