"""Pages of the files of a data version, from manifests of several row groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_assets.datasets.versions import manifest
from mlops_assets.errors import IntegrityError
from mlops_assets.hub.views.data.files.listing import FileQuery, version_files
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.datasets.committed_images import images, land_images

V1 = Reference("tiles", "v1")


@pytest.fixture
def tiles(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Twelve images in row groups of five; one is larger than the others."""
    monkeypatch.setattr(manifest, "_ROWS_AT_ONCE", 5)
    land_images(store, {**images(), "train/wheat/2.npy": images()["train/wheat/2.npy"]})
    return store


def paths(store: Store, query: FileQuery) -> list[str]:
    return [each.file.path for each in version_files(store, V1, query).listed]


def test_pages_of_all_files_are_in_order_across_row_groups(tiles: Store) -> None:
    known = sorted(images())
    whole = FileQuery(rows=4)
    found = [path for page in (1, 2, 3, 4) for path in paths(tiles, replace(whole, page=page))]
    assert found == known
    assert paths(tiles, FileQuery(rows=5, page=2)) == known[5:10]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"text": "WHEAT/1"}, lambda path: path.endswith("wheat/1.npy")),
        ({"split": "test"}, lambda path: path.startswith("test/")),
        ({"label": "maize"}, lambda path: "/maize/" in path),
        (
            {"split": "train", "label": "wheat", "text": "2"},
            lambda path: path == "train/wheat/2.npy",
        ),
        ({"split": "left out"}, lambda path: False),
        ({"label": "no such class"}, lambda path: False),
        ({"text": ".*"}, lambda path: False),
    ],
)
def test_filters_are_applied_to_all_files(
    asked: dict[str, Any], expected: Any, tiles: Store
) -> None:
    found = version_files(tiles, V1, FileQuery(rows=3, **asked))
    wanted = [path for path in sorted(images()) if expected(path)]
    assert (found.matching, found.files) == (len(wanted), 12)
    assert [each.file.path for each in found.listed] == wanted[:3]


def test_a_file_has_its_splits_classes_and_where_its_bytes_are(tiles: Store) -> None:
    (found,) = version_files(tiles, V1, FileQuery(text="test/maize/1")).listed
    assert (found.splits, found.labels) == ({"test": 1}, {"maize": 1})
    assert found.file.size == len(images()["test/maize/1.npy"])
    assert found.file.kept in ("object", "pack") and len(found.file.sha256) == 64


def test_files_are_ordered_by_size_and_by_path_among_equals(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_ROWS_AT_ONCE", 5)
    from mlops_assets.datasets.commit.commit import commit
    from mlops_assets_tests.conftest import scenes_specification, write_scene

    folder = store.workspace.root / "landing/scenes"
    for name, size in (("a", 24), ("b", 48), ("c", 24)):
        write_scene(folder, name, size=size)
    commit(store.workspace, store.registry, scenes_specification())
    reference = Reference("scenes", "v1")
    largest = version_files(store, reference, FileQuery(order="largest", rows=3)).listed
    assert "b" in largest[0].file.path
    sizes = [each.file.size for each in largest]
    assert sizes == sorted(sizes, reverse=True)
    smallest = version_files(store, reference, FileQuery(order="smallest", rows=99)).listed
    again = [(each.file.size, each.file.path) for each in smallest]
    assert again == sorted(again)
    labels = [each for each in smallest if each.file.role == "labels"]
    assert labels and all(each.splits == {} for each in labels)
    image = next(each for each in smallest if each.file.role == "image")
    assert "left out" in image.splits and set(image.labels) == {"water", "land"}


def test_a_manifest_that_has_changed_is_not_shown(tiles: Store) -> None:
    assert version_files(tiles, V1, FileQuery(text="wheat")).matching == 6
    path = tiles.workspace.root / "datasets/tiles/v1/manifest.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="not as it was published"):
        version_files(tiles, V1, FileQuery(text="maize"))
