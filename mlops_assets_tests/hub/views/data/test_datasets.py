"""Lists of datasets and versions: what is there, for whom, and what each version changed."""

from __future__ import annotations

import pytest

from mlops_assets.errors import NotFound
from mlops_assets.hub.views.data.dataset import dataset
from mlops_assets.hub.views.data.datasets import datasets
from mlops_assets.hub.views.data.files.changes import version_changes
from mlops_assets.hub.views.data.version import data_version, descendants
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility
from mlops_assets.processing.declared_datasets import NO_DATASETS, DeclaredDatasets
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store
from mlops_assets_tests.conftest import table_specification
from mlops_assets_tests.datasets.committed_images import (
    image,
    images,
    images_specification,
    land_images,
)
from mlops_assets_tests.hub.views.data.declared import declaring, viewing
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def grown(store: Store, *more: str) -> None:
    """Commit the images, and again with others in place of the last one."""
    files = images()
    land_images(store, files)
    last = max(files)
    files.pop(last)
    for seed, path in enumerate(more, 50):
        files[path] = images()[last] if seed == 50 else image(seed)
    land_images(store, files)


def test_declared_datasets_are_listed_with_and_without_a_version(store: Store) -> None:
    grown(store, "train/oats/1.npy", "train/oats/2.npy", "test/oats/1.npy")
    declared = declaring(images_specification(title="Tiles"), table_specification("later"))
    found = datasets(store, declared)
    assert [(each.name, each.kind, each.versions) for each in found.datasets] == [
        ("fields", "not declared", 1),
        ("later", "landing", 0),
        ("tiles", "landing", 2),
    ]
    _, later, tiles = found.datasets
    assert later.newest is None and later.quality.state == "not assessed"
    assert tiles.newest is not None and (tiles.newest.version, tiles.title) == ("v2", "Tiles")
    assert tiles.size == sum(row.size for row in store.registry.data_versions("tiles"))
    undeclared = datasets(store, DeclaredDatasets({}, {}, {"tiles": "no source"}))
    assert [each.kind for each in undeclared.datasets] == ["not declared"] * 2
    assert undeclared.left_out == {"tiles": "no source"}


def test_a_page_compares_its_oldest_version_with_the_one_on_the_next_page(store: Store) -> None:
    grown(store, "train/oats/1.npy", "train/oats/2.npy", "test/oats/1.npy")
    store.registry.tag("tiles", "v1", "first")
    (newest,) = dataset(store, NO_DATASETS, "tiles", page=1, rows=1).timeline
    assert (newest.before, newest.samples_added) == ("v1", 2)
    assert (newest.classes_added, newest.classes_removed) == (["oats"], [])
    last = dataset(store, NO_DATASETS, "tiles", page=2, rows=1)
    assert [each.version.tags for each in last.timeline] == [["first"]]
    assert last.timeline[0].samples_added is None and last.versions == 2
    assert dataset(store, NO_DATASETS, "tiles", page=9).timeline == []


def test_changes_count_files_by_path_and_new_bytes_by_content(store: Store) -> None:
    # of three new files one has the bytes of a file that was there, under another path
    grown(store, "train/wheat/9.npy", "train/wheat/1.npy", "train/wheat/8.npy")
    found = version_changes(store, Reference("tiles", "v2"))
    size = len(images()["test/maize/1.npy"])
    assert vars(found.files) == {
        "added": 2,
        "removed": 1,
        "changed": 1,
        "new_bytes": 2 * size,
    }
    first = version_changes(store, Reference("tiles", "v1"))
    assert first.before is None and (first.files.added, first.files.new_bytes) == (12, 12 * size)
    assert first.kept.objects + first.kept.packed == 12 and not first.kept.referenced


def test_what_a_caller_may_not_see_is_in_no_list_number_or_comparison(store: Store) -> None:
    grown(store, "train/oats/1.npy", "train/oats/2.npy", "test/oats/1.npy")
    row = store.registry.data_version(Reference("tiles", "v1"))
    set_visibility(store, row, Visibility.PRIVATE)
    seen = viewing(store)
    view = dataset(seen, NO_DATASETS, "tiles")
    assert [each.version.version for each in view.timeline] == ["v2"] and view.versions == 1
    assert view.timeline[0].before is None
    assert datasets(seen, NO_DATASETS).datasets[1].versions == 1
    assert version_changes(seen, Reference("tiles", "v2")).before is None
    with pytest.raises(NotFound):
        data_version(seen, NO_DATASETS, Reference("tiles", "v1"))
    set_visibility(store, store.registry.data_version(Reference("tiles", "v2")), Visibility.PRIVATE)
    with pytest.raises(NotFound, match="has no version"):
        dataset(seen, NO_DATASETS, "tiles")


def test_a_data_version_names_what_it_is_and_what_was_made_from_it(store: Store) -> None:
    lifecycle(store, model_specification(), recorded=True, depth=4)
    row = store.registry.data_versions()[0]
    store.registry.tag(row.dataset, row.version, "first")
    found = data_version(store, NO_DATASETS, Reference(row.dataset, "first"))
    assert found.named == f"{row.dataset}@first" and found.version.version == "v1"
    assert found.collection == f"{row.dataset}-v1" and found.before is None
    assert sum(each.train or 0 for each in found.classes) == row.counts["train"]
    assert found.left_out == row.samples - sum(row.counts.values())
    made = descendants(store, Reference(row.dataset))
    assert [each.kind for each in made.models] == ["model version"] and made.data == []


def test_a_wrong_declaration_is_named_where_there_is_nothing_else_to_show(store: Store) -> None:
    with pytest.raises(NotFound, match="does not declare it correctly:\nno source"):
        dataset(store, DeclaredDatasets({}, {}, {"plots": "no source"}), "plots")
