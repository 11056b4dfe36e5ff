"""What has landed and is not committed, and what a commit of it would publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.errors import Conflict, Forbidden, NotFound, SpecificationError
from mlops_assets.hub.data_commits import start_commit
from mlops_assets.hub.orchestration.launcher import Launched, NoLauncher
from mlops_assets.hub.views.data.landing import landing
from mlops_assets.hub.views.data.preview import commit_preview
from mlops_assets.names import Reference
from mlops_assets.processing.declared_datasets import NO_DATASETS
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, table_specification
from mlops_assets_tests.datasets.committed_images import (
    image,
    images,
    images_specification,
    land_images,
)
from mlops_assets_tests.hub.views.data.declared import declaring, viewing

TILES = declaring(images_specification())


class Recorder(NoLauncher):
    """A launcher that notes the datasets it is asked to commit."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def commit(self, store: Store, dataset: str) -> Launched:
        self.asked.append(dataset)
        return Launched("run-1")


def folder(store: Store) -> Path:
    return store.workspace.root / "landing/tiles"


def test_a_landing_is_compared_file_by_file_with_the_newest_version(store: Store) -> None:
    land_images(store)
    same = landing(store, TILES, "tiles")
    assert (same.files, same.is_new, same.newest) == (12, False, "v1")
    (folder(store) / "train/wheat/3.npy").write_bytes(image(77))
    (folder(store) / "test/wheat/2.npy").unlink()
    (folder(store) / "train/maize/1.npy").write_bytes(image(78) + b"\0")
    touched = folder(store) / "train/maize/2.npy"
    os.utime(touched, (4e9, 4e9))
    found = landing(store, TILES, "tiles")
    assert (found.added, found.changed, found.touched, found.removed) == (1, 1, 1, 1)
    assert [file.path for file in found.first] == ["train/wheat/3.npy"]
    assert found.added_size == len(image(77)) and found.is_new
    assert found.fingerprint != same.fingerprint


def test_a_landing_without_files_or_with_names_that_cannot_be_is_no_error(store: Store) -> None:
    empty = landing(store, TILES, "tiles")
    assert (empty.files, empty.problems, empty.newest) == (0, [], None)
    folder(store).mkdir(parents=True)
    (folder(store) / "a\\b.npy").write_bytes(image(1))
    found = landing(store, TILES, "tiles")
    assert len(found.problems) == 1 and "backslash" in found.problems[0]
    with pytest.raises(NotFound, match="declares tiles"):
        landing(store, TILES, "others")


@pytest.mark.parametrize("layout", ["images", "table", "scenes"])
def test_a_preview_has_the_digest_and_the_split_of_the_commit(
    layout: str,
    store: Store,
    land_table: Callable[..., Commit],
    land_scenes: Callable[..., Commit],
) -> None:
    if layout == "images":
        specification = images_specification()
        for path, content in images().items():
            (folder(store) / path).parent.mkdir(parents=True, exist_ok=True)
            (folder(store) / path).write_bytes(content)
    elif layout == "table":
        specification = table_specification()
        land_table()
    else:
        specification = scenes_specification()
        land_scenes()
    declared = declaring(specification)
    before = commit_preview(store, declared, specification.name, range(2))
    if layout == "images":
        assert before.unchanged is None and store.registry.data_versions("tiles") == []
    row = commit(store.workspace, store.registry, specification).version
    found = commit_preview(store, declared, specification.name)
    assert (found.digest, found.unchanged, found.problems) == (row.digest, "v1", [])
    assert before.digest == row.digest and before.fingerprint == found.fingerprint
    (own,) = found.seeds
    assert own.declared and {
        split: sum(getattr(each, split) for each in own.classes)
        for split in ("train", "validation", "test")
    } == {"validation": 0, **row.counts}
    assert (found.files, found.size) == (row.files, row.size)


def test_problems_of_a_landing_are_listed_instead_of_a_split(store: Store) -> None:
    found = commit_preview(store, TILES, "tiles")
    assert found.seeds == [] and found.digest is None
    assert "landing/tiles" in found.problems[0]
    land_images(store)
    (folder(store) / "train/wheat/1.npy").write_bytes(b"no image")
    found = commit_preview(store, TILES, "tiles")
    assert any("train/wheat/1.npy" in problem for problem in found.problems)
    with pytest.raises(Forbidden, match="preview"):
        commit_preview(viewing(store), TILES, "tiles")


def test_a_commit_is_launched_only_as_it_was_previewed(store: Store) -> None:
    land_images(store)
    launcher = Recorder()
    seen = commit_preview(store, TILES, "tiles").fingerprint
    assert start_commit(store, launcher, TILES, "tiles", seen) == Launched("run-1")
    (folder(store) / "train/wheat/3.npy").write_bytes(image(77))
    with pytest.raises(Conflict, match="changed since"):
        start_commit(store, launcher, TILES, "tiles", seen)
    with pytest.raises(Forbidden):
        start_commit(viewing(store), launcher, TILES, "tiles")
    with pytest.raises(NotFound):
        start_commit(store, launcher, NO_DATASETS, "tiles")
    assert launcher.asked == ["tiles"]
    assert store.registry.data_version(Reference("tiles")).version == "v1"


def test_data_made_by_a_function_has_no_landing(store: Store) -> None:
    from mlops_assets.processing.declared_datasets import DeclaredDatasets
    from mlops_assets.processing.specification import ProcessedDatasetSpecification

    made = ProcessedDatasetSpecification.model_validate(
        {
            "name": "made",
            "source": {"layout": "table", "table": {"label": "crop"}},
            "inputs": ["tiles"],
            "function": "a.b:c",
        }
    )
    declared = DeclaredDatasets({}, {"made": made}, {})
    with pytest.raises(SpecificationError, match="made from tiles"):
        landing(store, declared, "made")
