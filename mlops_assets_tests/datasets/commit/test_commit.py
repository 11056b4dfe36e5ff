"""Committing: the same content is the same version anywhere, and nothing is published by halves."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    DataProblems,
    EmptyLanding,
    MlopsError,
    SpecificationError,
    StorageError,
)
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)

Land = Callable[..., Commit]


def landing(store: Store, specification: DatasetSpecification | None = None) -> Path:
    folder = store.workspace.root / (specification or table_specification()).source.url
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def again(store: Store, specification: DatasetSpecification | None = None) -> Commit:
    return commit(store.workspace, store.registry, specification or table_specification())


def assert_nothing_published(store: Store) -> None:
    assert store.registry.data_versions() == []
    assert store.registry.files() == []


# identity


def test_the_same_content_is_the_same_version(store: Store, land_table: Land) -> None:
    first, second = land_table(), land_table()
    assert (first.created, second.created) == (True, False)
    assert first.version.version == second.version.version == "v1"
    assert len(store.registry.data_versions()) == 1


def test_scenes_that_did_not_change_are_the_same_version(store: Store, land_scenes: Land) -> None:
    assert land_scenes().created
    assert not again(store, scenes_specification()).created


def test_the_digest_is_the_same_in_another_workspace(
    tmp_path: Path, land_table: Land, land_scenes: Land
) -> None:
    elsewhere = Workspace((tmp_path / "else where").as_uri())
    other = Store(elsewhere, Registry("sqlite://").acting(local("somebody else")))
    crops_table().to_csv(landing(other) / "samples.csv", index=False)
    write_scene(landing(other, scenes_specification()))
    assert land_table().version.digest == again(other).version.digest
    assert land_scenes().version.digest == again(other, scenes_specification()).version.digest


def test_touching_a_file_changes_nothing(store: Store, land_table: Land) -> None:
    land_table()
    os.utime(landing(store) / "samples.csv", ns=(1, 1))
    assert not again(store).created


def test_files_that_the_layout_does_not_read_are_noted_and_change_nothing(
    store: Store, land_table: Land
) -> None:
    land_table()
    (landing(store) / "readme.md").write_text("hello")
    found = again(store)
    assert not found.created
    assert "readme.md is not read by this layout" in found.notes


@pytest.mark.parametrize("name", ["more.zip", "sub/more.TAR.GZ", "more.7z"])
def test_an_archive_is_reported_and_not_unpacked(store: Store, land_table: Land, name: str) -> None:
    (landing(store) / name).parent.mkdir(exist_ok=True)
    (landing(store) / name).write_bytes(b"PK")
    for number in range(30):
        (landing(store) / f"{number}.md").write_text("hello")
    notes = land_table().notes
    assert notes[0] == f"{name} is an archive and is not read; unpack it into the landing"
    assert notes[-1] == "10 more files are not read by this layout"


def test_a_landing_with_only_an_archive_is_reported_as_empty(store: Store) -> None:
    (landing(store) / "fields.zip").write_bytes(b"PK")
    with pytest.raises(
        EmptyLanding,
        match=r"no table found .*; fields\.zip is an archive and is not read; unpack it",
    ):
        again(store)


def test_how_the_landing_is_watched_or_titled_changes_nothing(
    store: Store, land_table: Land
) -> None:
    land_table()
    assert not again(
        store, table_specification(sensor={"interval_seconds": 99}, title="Fields")
    ).created


def relabelled(frame: pd.DataFrame) -> pd.DataFrame:
    other = "maize" if frame["crop"][0] == "wheat" else "wheat"
    return frame.assign(crop=[other, *frame["crop"][1:]])


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        (relabelled, {}),
        (lambda frame: frame.assign(ndvi_01=frame["ndvi_01"] + 0.001), {}),
        (lambda frame: frame.iloc[:-1], {}),
        (lambda frame: frame, {"split": {"seed": 1}}),
        (lambda frame: frame, {"split": {"fractions": {"train": 0.5, "test": 0.5}}}),
        (
            lambda frame: frame,
            {"classes": {"wheat": "Wheat", "maize": "Maize", "fallow": "Fallow"}},
        ),
        (
            lambda frame: frame,
            {
                "source": {
                    "url": "landing/fields",
                    "layout": "table",
                    "table": {"label": "crop", "exclude": ["ndvi_06"]},
                }
            },
        ),
        (
            lambda frame: frame,
            {
                "source": {
                    "url": "landing/fields",
                    "layout": "table",
                    "table": {"label": "crop", "group": "farm"},
                }
            },
        ),
    ],
    ids=["label", "value", "one row less", "seed", "fractions", "class names", "features", "group"],
)
def test_other_content_is_a_new_version(
    land_table: Land, change: Callable[[pd.DataFrame], pd.DataFrame], changes: dict[str, Any]
) -> None:
    frame = crops_table()
    first = land_table(frame).version
    second = land_table(change(frame), table_specification(**changes))
    assert second.created
    assert (second.version.version, second.version.number) == ("v2", 2)
    assert second.version.digest != first.digest


def test_going_back_gives_the_first_version_again(store: Store, land_table: Land) -> None:
    first = land_table()
    land_table(relabelled(crops_table()))
    assert land_table().version.version == first.version.version
    assert store.registry.data_version(Reference("fields")).version == "v2"


def test_a_renamed_file_is_a_new_version_that_shares_its_object(
    store: Store, land_table: Land
) -> None:
    land_table()
    (landing(store) / "samples.csv").rename(landing(store) / "renamed.csv")
    assert again(store).created
    assert len(list(store.workspace.list("objects"))) == 1


# what is published


def test_the_row_records_content_and_principal(land_table: Land) -> None:
    row = land_table(crops_table(300)).version
    assert (row.dataset, row.version, row.created_by, row.files, row.samples) == (
        "fields",
        "v1",
        "tester",
        1,
        300,
    )
    assert sum(row.counts.values()) == 300
    assert row.specification["source"]["table"]["label"] == "crop"
    assert row.size == len(crops_table(300).to_csv(index=False))


def test_only_registered_files_are_stored_under_the_datasets(
    store: Store, land_table: Land, land_scenes: Land
) -> None:
    land_table()
    land_table(crops_table(seed=1))
    land_scenes()
    registered = store.registry.files()
    assert sorted(store.workspace.list("datasets")) == [file.path for file in registered]
    assert [store.workspace.stat(file.path) for file in registered] == registered
    assert len(registered) == 9


def test_a_version_stays_readable_when_its_landing_is_gone(store: Store, land_table: Land) -> None:
    land_table()
    (landing(store) / "samples.csv").unlink()
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    assert committed.local_path("samples.csv").read_text() == crops_table().to_csv(index=False)


def test_datasets_of_one_workspace_count_their_versions_apart(land_table: Land) -> None:
    land_table()
    assert land_table(specification=table_specification("other")).version.version == "v1"


# what is not published


@pytest.mark.parametrize("make", [False, True])
def test_an_empty_or_missing_landing_publishes_nothing(store: Store, make: bool) -> None:
    if make:
        landing(store)
    with pytest.raises(EmptyLanding):
        again(store)
    assert_nothing_published(store)


def test_an_emptied_landing_leaves_the_published_version(store: Store, land_table: Land) -> None:
    land_table()
    (landing(store) / "samples.csv").unlink()
    with pytest.raises(EmptyLanding):
        again(store)
    assert [row.version for row in store.registry.data_versions()] == ["v1"]


@pytest.mark.parametrize(
    ("frame", "changes", "error", "message"),
    [
        (crops_table().assign(ndvi_01=float("nan")), {}, DataProblems, "missing value"),
        (
            crops_table().assign(crop=["rye", *["wheat", "maize"] * 149, "wheat"]),
            {"split": {"seed": 1}},
            DataProblems,
            r"class rye \(rye\) has 1 sample\(s\), none of them in training",
        ),
        (
            crops_table(),
            {"classes": {"wheat": "w", "maize": "m", "fallow": "f", "rye": "Rye"}},
            DataProblems,
            r"class rye \(Rye\) has no sample",
        ),
        (crops_table(1), {}, SpecificationError, "puts no sample into"),
    ],
    ids=["bad value", "class outside of training", "class without sample", "one row"],
)
def test_data_that_cannot_be_used_publishes_nothing(
    store: Store,
    land_table: Land,
    frame: pd.DataFrame,
    changes: dict[str, Any],
    error: type[MlopsError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        land_table(frame, table_specification(**changes))
    assert_nothing_published(store)
    assert list(store.workspace.list("datasets")) == []


@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("x"), Path.unlink], ids=["written", "removed"]
)
def test_a_file_that_changes_meanwhile_publishes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Any]
) -> None:
    crops_table().to_csv(landing(store) / "samples.csv", index=False)
    put_object = Workspace.put_object

    def change_after(self: Workspace, content: bytes | Path, anew: bool = False) -> FileStat:
        stored = put_object(self, content, anew)
        if isinstance(content, Path):
            change(content)
        return stored

    monkeypatch.setattr(Workspace, "put_object", change_after)
    with pytest.raises(
        StorageError, match=r"samples\.csv changed while being committed; nothing was published"
    ):
        again(store)
    assert_nothing_published(store)


def test_a_crash_before_publication_is_made_good_by_committing_again(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Registry, "publish_data_version", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            land_table()
    assert_nothing_published(store)
    found = again(store)
    assert (found.version.version, found.created) == ("v1", True)
    assert (
        len(CommittedDataset.open(store.workspace, store.registry, Reference("fields")).samples)
        == 300
    )
    assert sorted(store.workspace.list("datasets")) == [
        file.path for file in store.registry.files()
    ]


def test_other_data_after_a_crash_takes_the_place_of_what_was_left(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Registry, "publish_data_version", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            land_table()
    assert land_table(crops_table(200)).version.version == "v1"
    assert (
        len(CommittedDataset.open(store.workspace, store.registry, Reference("fields")).samples)
        == 200
    )


def test_a_full_disk_publishes_nothing(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("obstore.put", full)
    with pytest.raises(StorageError, match="No space left"):
        land_table()
    assert_nothing_published(store)


def test_a_commit_waits_for_another_one_of_the_same_dataset(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []
    lock = Registry.lock

    def counted(self: Registry, name: str) -> AbstractContextManager[None]:
        held.append(name)
        return lock(self, name)

    monkeypatch.setattr(Registry, "lock", counted)
    with pytest.raises(EmptyLanding):
        again(store)
    assert held == ["fields"]


def test_who_commits_is_no_part_of_the_content(store: Store, land_table: Land) -> None:
    land_table()
    other = store.acting(local("somebody else"))
    assert not commit(other.workspace, other.registry, table_specification()).created


def test_other_column_names_of_a_file_without_header_are_a_new_version(store: Store) -> None:
    rows = "\n".join(f"{i},{i / 7:.3f},{'ab'[i % 2]},{'xy'[i // 2 % 2]}" for i in range(200))
    (landing(store) / "a.csv").write_text(rows + "\n")

    def named(*columns: str) -> DatasetSpecification:
        table = {
            "label": "crop",
            "group": "farm",
            "features": ["red", "nir"],
            "columns": [*columns, "crop", "farm"],
        }
        source = {"url": "landing/fields", "layout": "table", "table": table}
        return table_specification(
            source=source, split={"method": "group", "fractions": {"train": 0.5, "test": 0.5}}
        )

    assert again(store, named("red", "nir")).created
    assert again(store, named("nir", "red")).created


def test_units_are_those_of_features(store: Store, land_table: Callable[..., Commit]) -> None:
    with pytest.raises(
        SpecificationError, match="units: there is no feature ndvi_99; there are farm, ndvi_01"
    ):
        land_table(specification=table_specification(units={"ndvi_99": "1"}))
    assert store.registry.data_versions("fields") == []
