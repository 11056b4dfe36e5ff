"""Recalling a data version.

Byte for byte what was landed, nothing else, and never over anything else.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.recall import destinations, objects
from mlops_assets.datasets.recall.destinations import STAGING, open_target
from mlops_assets.datasets.recall.objects import StoredBytes
from mlops_assets.datasets.recall.recall import recall, selected_files
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    Conflict,
    IntegrityError,
    MlopsError,
    NotFound,
    SpecificationError,
    StorageError,
)
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.progress import Step, listening
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, table_specification, write_scene
from mlops_assets_tests.datasets.committed_images import (
    damage,
    image,
    images,
    images_specification,
    land_images,
    object_path,
    tree,
)
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket
from mlops_assets_tests.servers.web import WebFolder
from mlops_assets_tests.steps import Steps

WHEAT = "test/wheat/1.npy"


@pytest.fixture
def committed(store: Store) -> CommittedDataset:
    return land_images(store)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "recalled"


@pytest.fixture
def other_device(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the workspace, where nothing can be linked."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


# what is written


def test_the_files_come_back_byte_for_byte_and_nothing_else(
    committed: CommittedDataset, target: Path
) -> None:
    done = recall(committed, target)
    assert tree(target) == images()
    assert (done.reference, done.files, done.samples, done.kept) == ("tiles@v1", 12, 12, 0)
    assert done.size == sum(map(len, images().values()))
    assert sum(done.written.values()) == 12
    assert {path.name for path in target.iterdir()} == {"train", "validation", "test"}


def test_a_recalled_folder_has_the_same_digest_in_another_workspace(
    store: Store,
    tmp_path: Path,
    target: Path,
    land_table: Callable[..., Commit],
    land_scenes: Callable[..., Commit],
) -> None:
    land_images(store)
    land_table()
    write_scene(store.workspace.root / scenes_specification().source.url, "b", seed=1)
    land_scenes()
    other = Workspace((tmp_path / "other").as_uri())
    for declared in (images_specification(), table_specification(), scenes_specification()):
        committed = CommittedDataset.open(store.workspace, store.registry, Reference(declared.name))
        recall(committed, target / declared.name)
        source = declared.source.model_copy(update={"url": (target / declared.name).as_uri()})
        again = commit(
            other,
            Registry("sqlite://"),
            declared.model_copy(update={"source": source}),
        )
        assert again.version.digest == committed.row.digest


def test_a_recalled_folder_with_sidecars_is_committed_beside_its_source_and_left_as_it_is(
    store: Store, target: Path, land_scenes: Callable[..., Commit]
) -> None:
    landing = store.workspace.root / scenes_specification().source.url
    write_scene(landing, "b", seed=1)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        open_raster(landing / "images/b.tif", "r+") as raster,
    ):
        raster.write_mask(np.full(raster.shape, 255, dtype=np.uint8))
    land_scenes()
    declared = scenes_specification()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference(declared.name))
    recall(committed, target)  # hard links, where the file system has no clones
    source = declared.source.model_copy(update={"url": target.as_uri()})
    copy = declared.model_copy(update={"name": "copy", "source": source})
    again = commit(store.workspace, store.registry, copy)
    assert again.version.digest == committed.row.digest
    before = {path: path.stat().st_ctime_ns for path in target.rglob("*.tif*")}
    committed.raster_path("images/b.tif")
    assert {path: path.stat().st_ctime_ns for path in target.rglob("*.tif*")} == before


def test_an_old_version_comes_back_as_it_was(store: Store, target: Path) -> None:
    first = land_images(store)
    land_images(store, {**images(), WHEAT: image(99), "train/wheat/3.npy": image(100)})
    recall(first, target)
    assert tree(target) == images()


def test_files_share_their_bytes_with_the_workspace_and_cannot_be_written_to(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    if set(recall(committed, target).written) == {"cloned"}:
        pytest.skip("this file system clones, so nothing is linked")
    recalled, stored = target / WHEAT, object_path(store, committed, WHEAT)
    assert recalled.samefile(stored)
    assert recalled.stat().st_mode & 0o222 == 0


def test_copies_share_nothing_and_can_be_written_to(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    assert recall(committed, target, copy=True).written == {"copied": 12}
    assert not (target / WHEAT).samefile(object_path(store, committed, WHEAT))
    assert (target / WHEAT).stat().st_mode & 0o200
    (target / WHEAT).write_bytes(b"mine now")
    assert object_path(store, committed, WHEAT).read_bytes() == images()[WHEAT]


def test_copies_take_the_place_of_links(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    recall(committed, target)
    recall(committed, target, copy=True)
    assert not (target / WHEAT).samefile(object_path(store, committed, WHEAT))
    assert tree(target) == images()


def test_files_are_copied_to_another_file_system(
    committed: CommittedDataset, other_device: Path
) -> None:
    assert recall(committed, other_device / "recalled").written == {"copied": 12}
    assert tree(other_device / "recalled") == images()


def test_progress_is_reported_of_every_file(committed: CommittedDataset, target: Path) -> None:
    (target / "test").mkdir(parents=True)
    recall(committed, target, splits=["test"])
    with listening(Steps()) as steps:
        recall(committed, target)
    assert [(step.what.split()[0], step.total, step.done) for step in steps] == [
        ("comparing", 12, 12),
        ("writing", 8, 8),
    ]
    assert all(step.done_size == step.size for step in steps)


# a part of it


@pytest.mark.parametrize(
    ("splits", "classes", "expected"),
    [
        (["test"], None, lambda path: path.startswith("test/")),
        (["train", "test"], None, lambda path: not path.startswith("validation/")),
        (None, ["wheat"], lambda path: "/wheat/" in path),
        (["test"], ["wheat"], lambda path: path.startswith("test/wheat/")),
        ([], [], lambda path: True),
    ],
)
def test_a_split_or_a_class_comes_back_alone(
    committed: CommittedDataset,
    target: Path,
    splits: list[str] | None,
    classes: list[str] | None,
    expected: Callable[[str], bool],
) -> None:
    done = recall(committed, target, splits, classes)
    assert tree(target) == {path: content for path, content in images().items() if expected(path)}
    assert done.samples == done.files == len(tree(target))


def test_classes_are_named_by_name_or_value(store: Store) -> None:
    committed = land_images(
        store,
        specification=images_specification(classes={"wheat": "Winter wheat", "maize": "Maize"}),
    )
    by_name, by_value = (
        selected_files(committed, classes=[name])[0] for name in ("Winter wheat", "wheat")
    )
    assert (
        by_name["path"].tolist()
        == by_value["path"].tolist()
        == [path for path in sorted(images()) if "wheat" in path]
    )


def test_with_a_scene_come_its_labels(
    store: Store, land_scenes: Callable[..., Commit], target: Path
) -> None:
    write_scene(store.workspace.root / scenes_specification().source.url, "b", size=16, seed=1)
    land_scenes()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes"))
    samples = committed.samples.assign(
        split=committed.samples["path"].map({"images/a.tif": "train", "images/b.tif": "test"})
    )
    recall(dataclasses.replace(committed, samples=samples), target, splits=["test"])
    assert set(tree(target)) == {"images/b.tif", "labels/b.tif"}


def test_labels_of_no_scene_in_particular_come_with_every_part(committed: CommittedDataset) -> None:
    roles = committed.manifest["role"].where(
        committed.manifest["path"] != "train/maize/1.npy", "labels"
    )
    shared = dataclasses.replace(committed, manifest=committed.manifest.assign(role=roles))
    paths = selected_files(shared, ["test"], ["wheat"])[0]["path"].tolist()
    assert paths == ["test/wheat/1.npy", "test/wheat/2.npy", "train/maize/1.npy"]


def test_a_table_comes_back_whole(
    store: Store, land_table: Callable[..., Commit], target: Path
) -> None:
    land_table()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    done = recall(committed, target, splits=["test"], classes=["wheat"])
    assert (done.files, set(tree(target))) == (1, {"samples.csv"})
    assert 0 < done.samples < 100


@pytest.mark.parametrize(
    ("splits", "classes", "error", "message"),
    [
        (
            ["tset"],
            None,
            SpecificationError,
            "tset: no such split; choose from train, validation, test",
        ),
        (
            None,
            ["rye"],
            SpecificationError,
            "rye: no such class in tiles@v1, which has maize, wheat",
        ),
    ],
)
def test_unknown_versions_splits_and_classes_cannot_be_recalled(
    committed: CommittedDataset,
    target: Path,
    splits: list[str] | None,
    classes: list[str] | None,
    error: type[MlopsError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        recall(committed, target, splits, classes)
    assert not target.exists()


def test_a_part_without_samples_is_not_found(store: Store, target: Path) -> None:
    files = {
        path: content
        for path, content in images().items()
        if not path.startswith("validation/wheat/")
    }
    with pytest.raises(NotFound, match="tiles@v1 has no sample of validation and wheat"):
        recall(land_images(store, files), target, ["validation"], ["wheat"])


def test_windows_and_numbers_have_no_class_to_choose(
    store: Store,
    land_scenes: Callable[..., Commit],
    land_table: Callable[..., Commit],
    target: Path,
) -> None:
    windows = scenes_specification(
        source={
            "url": "landing/scenes",
            "layout": "scenes",
            "scenes": {"read": "windows", "size": 16},
        },
        split={"method": "random"},
    )
    land_scenes(windows)
    with pytest.raises(SpecificationError, match="hold many classes each; choose by split only"):
        selected_files(
            CommittedDataset.open(store.workspace, store.registry, Reference("scenes")),
            classes=["water"],
        )
    numbers = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "ndvi_01", "features": ["ndvi_02"]},
    }
    land_table(specification=table_specification(source=numbers))
    with pytest.raises(SpecificationError, match="is a number; it has no classes"):
        selected_files(
            CommittedDataset.open(store.workspace, store.registry, Reference("fields")),
            classes=["1"],
        )


# what is there already


def test_recalling_again_changes_nothing(committed: CommittedDataset, target: Path) -> None:
    recall(committed, target, copy=True)
    before = {path: (target / path).stat() for path in images()}
    done = recall(committed, target)
    assert (done.kept, done.written) == (12, {})
    assert {path: (target / path).stat().st_ino for path in images()} == {
        p: s.st_ino for p, s in before.items()
    }


def test_a_full_folder_keeps_its_own_files(committed: CommittedDataset, target: Path) -> None:
    (target / "test").mkdir(parents=True)
    mine = {"notes.txt": b"mine", "test/mine.npy": b"mine, too", ".hidden": b""}
    for path, content in mine.items():
        (target / path).write_bytes(content)
    recall(committed, target)
    assert tree(target) == images() | mine


def test_other_files_of_the_same_name_are_all_reported_and_nothing_is_written(
    committed: CommittedDataset, target: Path
) -> None:
    for path in (WHEAT, "train/maize/1.npy"):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
    (target / WHEAT).write_bytes(b"mine")
    (target / "train/maize/1.npy").write_bytes(image(5))  # as long as it should be
    before = tree(target)
    with pytest.raises(
        Conflict, match=r"holds 2 other file\(s\) under names of tiles@v1; nothing was written"
    ) as raised:
        recall(committed, target)
    assert f"- {WHEAT}: has other bytes\n  - train/maize/1.npy: has other bytes" in str(
        raised.value
    )
    assert "--force" in str(raised.value)
    assert tree(target) == before
    assert recall(committed, target, force=True).written
    assert tree(target) == images()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_in_the_place_of_a_file_is_never_replaced(
    committed: CommittedDataset, target: Path, force: bool
) -> None:
    (target / WHEAT).mkdir(parents=True)
    (target / "train").write_text("a file where a folder must be")
    with pytest.raises(Conflict, match=r"holds 5 other file\(s\)"):
        recall(committed, target, force=force)
    assert tree(target) == {"train": b"a file where a folder must be"}


@pytest.mark.parametrize("force", [False, True])
def test_a_link_on_the_way_is_not_followed(
    committed: CommittedDataset, target: Path, tmp_path: Path, force: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "wheat").mkdir(parents=True)
    target.mkdir()
    (target / "test").symlink_to(elsewhere)
    with pytest.raises(
        Conflict, match=r"test/wheat/1\.npy: a folder, or a link on the way to it, is in the way"
    ):
        recall(committed, target, force=force)
    assert list(elsewhere.rglob("*.npy")) == []
    assert [path.name for path in target.iterdir()] == ["test"]


def test_a_link_made_after_the_inspection_is_not_followed(
    committed: CommittedDataset, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write = destinations.FolderTarget.write

    def planting(
        self: destinations.FolderTarget, file: objects.StoredFile, chunks: Iterator[bytes]
    ) -> destinations.How:
        if not (target / "test").is_symlink():
            (target / "test").symlink_to(elsewhere)
        return write(self, file, chunks)

    monkeypatch.setattr(destinations.FolderTarget, "write", planting)
    with pytest.raises(StorageError, match="nothing is written through links"):
        recall(committed, target)
    assert list(elsewhere.rglob("*.npy")) == []


def test_a_link_in_the_place_of_a_file_is_replaced_by_force_only_and_never_followed(
    committed: CommittedDataset, target: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(images()[WHEAT])
    (target / WHEAT).parent.mkdir(parents=True)
    # even the size of the link is that of the file
    padding = len(images()[WHEAT]) - len(f"{tmp_path}/precious")
    (target / WHEAT).symlink_to(f"{tmp_path}{'/' * padding}/precious")
    assert (target / WHEAT).lstat().st_size == len(images()[WHEAT])
    with pytest.raises(Conflict, match=r"test/wheat/1\.npy: has other bytes"):
        recall(committed, target)
    recall(committed, target, force=True)
    assert not (target / WHEAT).is_symlink()
    assert precious.read_bytes() == images()[WHEAT]
    assert tree(target) == images()


def test_the_target_itself_may_be_a_link(
    committed: CommittedDataset, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    target.symlink_to(tmp_path / "disk")
    recall(committed, target)
    assert tree(tmp_path / "disk") == images()


# where nothing can be written


def test_a_file_is_no_target(committed: CommittedDataset, target: Path) -> None:
    target.write_text("mine")
    with pytest.raises(StorageError, match="is a file; name a folder"):
        recall(committed, target)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("inside", ["", "objects", "landing/tiles", "new/folder"])
def test_the_workspace_is_no_target(
    store: Store, committed: CommittedDataset, tmp_path: Path, inside: str
) -> None:
    (tmp_path / "link").symlink_to(store.workspace.root)
    before = tree(store.workspace.root)
    for root in (str(store.workspace.root), str(tmp_path / "link"), store.workspace.url):
        with pytest.raises(StorageError, match="is inside the workspace"):
            recall(committed, f"{root}/{inside}", force=True)
    assert tree(store.workspace.root) == before


def test_a_folder_above_the_workspace_does_not_let_files_into_it(store: Store) -> None:
    specification = images_specification()
    pattern = specification.source.image_folder_layout.model_copy(
        update={"pattern": "workspace/{split}/{label}/*"}
    )
    source = specification.source.model_copy(update={"image_folder": pattern})
    files = {f"workspace/{path}": content for path, content in images().items()}
    committed = land_images(store, files, specification.model_copy(update={"source": source}))
    with pytest.raises(Conflict, match=r"holds 12 other file\(s\)"):
        recall(committed, store.workspace.root.parent, force=True)
    assert not (store.workspace.root / "test").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/sys/recalled", "/sys/recalled could not be written: access denied"),
        (
            "https://example.org/x",
            "https://example.org/x: files can be recalled to a folder, or to s3://",
        ),
    ],
)
def test_an_unwritable_target_is_reported(
    committed: CommittedDataset, target: str, message: str
) -> None:
    with pytest.raises(StorageError, match=message):
        recall(committed, target)


@pytest.mark.parametrize(
    "path", ["../outside.npy", "/etc/outside.npy", "train/../../outside.npy", "a\\b.npy", "a\nb"]
)
def test_names_that_lead_elsewhere_are_refused_whoever_wrote_the_manifest(
    committed: CommittedDataset, target: Path, path: str
) -> None:
    manifest = committed.manifest.assign(path=[path, *committed.manifest["path"][1:]])
    with pytest.raises(IntegrityError, match="cannot be written back"):
        recall(dataclasses.replace(committed, manifest=manifest), target)
    assert not target.exists()


# damage and interruption


def test_missing_and_truncated_objects_are_all_reported_and_nothing_is_written(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    object_path(store, committed, WHEAT).unlink()
    damage(object_path(store, committed, "train/maize/1.npy"), b"short")
    with pytest.raises(
        IntegrityError, match=r"2 file\(s\) of tiles@v1 are not as they were committed"
    ) as raised:
        recall(committed, target)
    assert "nothing was written" in str(raised.value)
    assert "test/wheat/1.npy: " in str(raised.value)
    assert "train/maize/1.npy: " in str(raised.value)
    assert "has 5 bytes, not" in str(raised.value)
    assert "--rehash" in str(raised.value)
    assert not target.exists()


def test_a_tampered_object_is_reported_when_it_is_copied_and_the_rest_is_written(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    for path in (WHEAT, "train/maize/1.npy"):
        damage(object_path(store, committed, path))
    with pytest.raises(
        IntegrityError, match=r"2 file\(s\) of tiles@v1 .* 10 of 12 files are in"
    ) as raised:
        recall(committed, target, copy=True)
    assert "test/wheat/1.npy: " in str(raised.value)
    assert tree(target) == {
        p: c for p, c in images().items() if p not in (WHEAT, "train/maize/1.npy")
    }


def test_damage_is_made_good_by_committing_anew(
    store: Store, committed: CommittedDataset, target: Path
) -> None:
    damage(object_path(store, committed, WHEAT))
    commit(store.workspace, store.registry, images_specification(), rehash=True)
    recall(committed, target, copy=True)
    assert tree(target) == images()


def test_an_interrupted_recall_is_carried_on(
    committed: CommittedDataset, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_GROUP_FILES", 2)

    class Stop(Steps):
        def begin(self, step: Step) -> None:
            super().begin(step)
            if step.what.startswith("writing"):
                monkeypatch.setattr(step, "advance", self.stop)

        def stop(self, more: int = 1, size: int = 0) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(Stop()) as steps:
        recall(committed, target, copy=True)
    assert [step.failed for step in steps] == [False, True]
    left = tree(target)
    assert left
    assert left.items() <= images().items()
    done = recall(committed, target, copy=True)
    assert (done.kept, done.written) == (
        len(left),
        {"copied": 12 - len(left)} if len(left) < 12 else {},
    )
    assert tree(target) == images()


def test_the_remains_of_a_killed_recall_are_removed(
    committed: CommittedDataset, target: Path
) -> None:
    (target / STAGING).mkdir(parents=True)
    (target / STAGING / "0").write_bytes(b"half")
    recall(committed, target)
    assert tree(target) == images()


def test_a_link_in_the_place_of_our_own_folder_is_not_followed(
    committed: CommittedDataset, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    target.mkdir()
    (target / STAGING).symlink_to(tmp_path / "precious")
    recall(committed, target)
    assert tree(target) == images()
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_two_recalls_to_one_folder_do_not_mix(committed: CommittedDataset, target: Path) -> None:
    content = StoredBytes(committed.workspace)
    with (
        open_target(committed.workspace, str(target), content, copy=False).writing(),
        pytest.raises(Conflict, match="another recall is writing to"),
    ):
        recall(committed, target)
    recall(committed, target)
    assert tree(target) == images()


def test_a_full_disk_is_reported_and_leaves_no_partial_file(
    committed: CommittedDataset, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left on device; free space"):
        recall(committed, target, copy=True)
    assert tree(target) == {}


def test_a_file_of_which_a_full_disk_takes_a_part_is_not_recalled(
    committed: CommittedDataset, target: Path
) -> None:
    # as on a full disk, what fits is written, and only the next call fails
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(image(0)) - 5, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large; free space"):
            recall(committed, target, copy=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert tree(target) == {}


# buckets


def test_a_bucket_gets_the_files_keeps_identical_ones_and_refuses_others(
    committed: CommittedDataset, bucket: Bucket
) -> None:
    url = f"{bucket.url}/some where/tiles"
    assert recall(committed, url, splits=["test"]).written == {"copied": 4}
    assert recall(committed, url).kept == 4
    assert {path: bucket.get(path) for path in bucket.paths()} == {
        f"some where/tiles/{path}": content for path, content in images().items()
    }
    bucket.put(f"some where/tiles/{WHEAT}", image(99))
    bucket.put("some where/tiles/train/maize/1.npy", b"mine")
    with pytest.raises(Conflict, match=r"holds 2 other file\(s\)"):
        recall(committed, url)
    assert bucket.get("some where/tiles/train/maize/1.npy") == b"mine"
    assert recall(committed, url, force=True).written == {"copied": 2}
    assert bucket.get(f"some where/tiles/{WHEAT}") == images()[WHEAT]


@pytest.mark.parametrize("at_once", [1 << 20, 10], ids=["whole", "streamed"])
def test_a_tampered_object_is_not_uploaded(
    store: Store,
    committed: CommittedDataset,
    s3: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    monkeypatch.setattr(destinations, "AT_ONCE", at_once)
    damage(object_path(store, committed, WHEAT))
    with pytest.raises(IntegrityError, match=r"11 of 12 files are in s3://"):
        recall(committed, s3.url)
    assert {path: s3.get(path) for path in s3.paths()} == {
        p: c for p, c in images().items() if p != WHEAT
    }


def test_a_bucket_that_refuses_is_named(
    committed: CommittedDataset, faulty_s3: FaultyBucket
) -> None:
    faulty_s3.faults.add(f"*{WHEAT}", status=403)
    with pytest.raises(
        StorageError, match=r"test/wheat/1\.npy could not be written: access denied"
    ):
        recall(committed, faulty_s3.url)


@pytest.fixture
def remote(s3: Bucket, tmp_path: Path) -> Store:
    """A workspace in a bucket."""
    return Store(
        Workspace(f"{s3.url}/workspace", tmp_path / "cache"),
        Registry("sqlite://").acting(local("tester")),
    )


def land_remotely(remote: Store, s3: Bucket) -> CommittedDataset:
    for path, content in images().items():
        s3.put(f"workspace/landing/tiles/{path}", content)
    commit(remote.workspace, remote.registry, images_specification())
    return CommittedDataset.open(remote.workspace, remote.registry, Reference("tiles"))


def test_a_workspace_in_a_bucket_gives_its_files_to_folders_and_buckets(
    remote: Store, s3: Bucket, target: Path
) -> None:
    committed = land_remotely(remote, s3)
    assert recall(committed, target).written == {"copied": 12}
    assert tree(target) == images()
    recall(committed, f"{s3.url}/elsewhere")
    assert {path: s3.get(path) for path in s3.paths("elsewhere")} == {
        f"elsewhere/{p}": c for p, c in images().items()
    }
    with pytest.raises(StorageError, match="is inside the workspace"):
        recall(committed, f"{s3.url}/workspace/landing")


def test_a_tampered_object_in_a_bucket_is_not_written(
    remote: Store, s3: Bucket, target: Path
) -> None:
    committed = land_remotely(remote, s3)
    sha256 = str(committed.manifest.set_index("path").loc[WHEAT, "sha256"])
    s3.put(f"workspace/objects/sha256/{sha256[:2]}/{sha256[2:]}", image(99))
    with pytest.raises(
        IntegrityError, match=r"test/wheat/1\.npy: s3://.* is not as it was published"
    ):
        recall(committed, target)
    assert tree(target) == {p: c for p, c in images().items() if p != WHEAT}


# kept by reference


def by_reference(committed: CommittedDataset, url: str) -> CommittedDataset:
    """The same version, with its files left where they were."""
    return dataclasses.replace(
        committed, manifest=committed.manifest.assign(href=url + "/" + committed.manifest["path"])
    )


def test_files_kept_by_reference_are_fetched_and_checked(
    committed: CommittedDataset, https_folder: WebFolder, target: Path
) -> None:
    for path, content in images().items():
        (https_folder.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (https_folder.folder / path).write_bytes(content)
    elsewhere = by_reference(committed, https_folder.url)
    assert recall(elsewhere, target).written == {"copied": 12}
    assert tree(target) == images()
    (https_folder.folder / WHEAT).write_bytes(image(99))
    with pytest.raises(
        IntegrityError, match=r"test/wheat/1\.npy: http://.* is not as it was published"
    ):
        recall(elsewhere, target.with_name("again"))
    (https_folder.folder / WHEAT).unlink()
    with pytest.raises(StorageError, match=r"test/wheat/1\.npy could not be read: it is not there"):
        recall(elsewhere, target.with_name("third"))
