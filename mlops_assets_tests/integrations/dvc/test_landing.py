"""Data of a DVC repository as a landing: what is read, what is refused, and what is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import (
    DataProblems,
    IntegrityError,
    MlopsError,
    NotFound,
    SettingsError,
    StorageError,
)
from mlops_assets.integrations.dvc.git import cloned
from mlops_assets.integrations.dvc.landing import landing_of_revision
from mlops_assets.lineage.chain import data_lineage
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.integrations.dvc.repositories import DvcByHand

CROPS = crops_table().to_csv(index=False).encode()
MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def repository(tmp_path: Path) -> DvcByHand:
    return DvcByHand(tmp_path / "repository")


def imported(store: Store, repository: DvcByHand, rev: str = "HEAD", path: str = "data") -> Commit:
    made = landing_of_revision(str(repository.folder), rev, path)
    return commit(store.workspace, store.registry, table_specification(), made=made)


def landed(
    repository: DvcByHand, folder: Path, rev: str = "HEAD", path: str | None = None
) -> dict[str, bytes]:
    landing = landing_of_revision(str(repository.folder), rev, path).landing
    return {file.path: landing.fetch(file, folder).read_bytes() for file in landing.list()}


# what is read


@pytest.mark.parametrize("legacy", [False, True], ids=["dvc-3", "dvc-2"])
def test_files_and_folders_of_dvc_files_and_of_pipelines_are_read(
    tmp_path: Path, legacy: bool
) -> None:
    repository = DvcByHand(tmp_path / "repository", legacy)
    repository.add("data/notes.csv", b"a,b\r\n1,2\r\n")
    repository.add("data/images", {"x/1.tif": b"\0\r\n1", "2.tif": b"2"})
    # a stage in a folder, whose output's path starts in the stage's own
    repository.write("flow/dvc.yaml", "stages:\n  make: {wdir: ../data, cmd: x, outs: [made]}\n")
    stage = f"make:\n    cmd: x\n    outs:\n    - {repository.entry('made', {'m.csv': b'm'})}\n"
    repository.write("flow/dvc.lock", f"schema: '2.0'\nstages:\n  {stage}")
    repository.commit("all")
    everything = {
        "data/images/2.tif": b"2",
        "data/images/x/1.tif": b"\0\r\n1",
        "data/made/m.csv": b"m",
        "data/notes.csv": b"a,b\r\n1,2\r\n",
    }
    assert landed(repository, tmp_path / "all") == everything
    # below a folder, inside of what DVC has as one, and of one file
    below = {path.removeprefix("data/"): content for path, content in everything.items()}
    assert landed(repository, tmp_path / "below", path="data") == below
    assert landed(repository, tmp_path / "in", path="data/images/x") == {"1.tif": b"\0\r\n1"}
    assert landed(repository, tmp_path / "one", path="data/notes.csv") == {
        "notes.csv": b"a,b\r\n1,2\r\n"
    }


def test_what_was_not_pushed_is_read_from_the_cache_of_a_repository_on_this_machine(
    repository: DvcByHand, tmp_path: Path
) -> None:
    repository.add("data/a.csv", b"a")
    repository.commit("a")
    repository.remote.rename(repository.folder / ".dvc" / "cache")
    repository.remote.mkdir()
    assert landed(repository, tmp_path / "files") == {"data/a.csv": b"a"}


# what is recorded


def test_a_commit_is_a_version_with_its_origin_and_the_digest_of_the_same_content_landed(
    store: Store, repository: DvcByHand, tmp_path: Path
) -> None:
    repository.add("data/crops.csv", CROPS)
    commit_hash = repository.commit("Add crops\n\nSurveyed in May.")
    found = imported(store, repository)
    assert (found.created, found.version.version) == (True, "v1")
    opened = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    origin = opened.document.origin
    assert origin is not None
    assert origin.model_dump() == {
        "repository": repository.folder.as_uri(),
        "commit": commit_hash,
        "path": "data",
        "authored": "2024-05-01T12:00:00+02:00",
        "message": "Add crops\n\nSurveyed in May.",
    }
    assert data_lineage(store, found.version).landing == origin.reference
    recall(opened, tmp_path / "recalled")
    assert (tmp_path / "recalled" / "crops.csv").read_bytes() == CROPS
    # the same files from a folder are the same version, whose document keeps its origin
    folder = store.workspace.root / "landing" / "fields"
    folder.mkdir(parents=True)
    (folder / "crops.csv").write_bytes(CROPS)
    again = commit(store.workspace, store.registry, table_specification())
    assert (again.created, again.version.digest) == (False, found.version.digest)


def test_of_the_next_commit_only_what_has_changed_is_read(
    store: Store, repository: DvcByHand
) -> None:
    repository.add("data/a.csv", CROPS)
    repository.commit("first", "first")
    first = imported(store, repository, "first")
    repository.add("data/b.csv", crops_table(seed=1).to_csv(index=False).encode())
    repository.commit("second")
    found = imported(store, repository)
    assert (found.version.version, found.version.files) == ("v2", 2)
    assert found.landed.known.count == 1
    # an older commit is recognised by its content
    assert imported(store, repository, "first").version.version == first.version.version


def test_tagged_commits_come_in_the_order_of_their_dates(repository: DvcByHand) -> None:
    repository.commit("later", "a", "later", when="2024-06-01T00:00:00Z")
    repository.git("checkout", "--quiet", "--orphan", "old")
    repository.commit("earlier", "z", when="2023-06-01T00:00:00Z")
    with cloned(str(repository.folder)) as clone:
        assert [list(revision.tags) for revision in clone.tagged()] == [["z"], ["a", "later"]]


# what is refused: nothing is published


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("outs: [", "data.dvc: is not valid YAML"),
        ("outs: {}", "data.dvc: 'outs' is not a list"),
        ("- outs", "data.dvc: the document is not a mapping"),
        ("outs: [{path: a.csv}]", "a.csv has no md5"),
        ("outs: [{path: a.csv, md5: 12, hash: md5}]", "not an md5"),
        (f"outs: [{{path: a.csv, md5: {MD5}, hash: blake3}}]", "only md5"),
        (f"outs: [{{path: ../a.csv, md5: {MD5}}}]", "'../a.csv' leads out"),
        (f"outs: [{{path: /etc/passwd, md5: {MD5}}}]", "'/etc/passwd' leads out"),
        (f"outs: [{{path: 's3://b/a.csv', md5: {MD5}}}]", "outside of the repository"),
        (f"wdir: ../..\nouts: [{{path: a.csv, md5: {MD5}}}]", "wdir '../..' leads out"),
        (f"outs: [{{path: link/a.csv, md5: {MD5}}}]", "link, which is a symbolic link"),
        (f"outs: [{{path: a, md5: {MD5}}}, {{path: a/b, md5: {MD5}}}]", "a/b is inside of a"),
    ],
)
def test_a_file_of_dvc_that_cannot_be_used_is_named(
    store: Store, repository: DvcByHand, document: str, problem: str
) -> None:
    repository.write("data.dvc", document)
    (repository.folder / "link").symlink_to("/etc")
    repository.commit("wrong")
    with pytest.raises(DataProblems) as raised:
        imported(store, repository)
    assert problem in str(raised.value)
    assert store.registry.data_versions() == []


def test_a_file_of_dvc_that_is_a_link_is_not_followed(repository: DvcByHand) -> None:
    repository.add("data/a.csv", b"a")
    (repository.folder / "other.dvc").symlink_to("data/a.csv.dvc")
    repository.commit("linked")
    with pytest.raises(DataProblems, match=r"other\.dvc is a symbolic link"):
        landing_of_revision(str(repository.folder), "HEAD")


@pytest.mark.parametrize("name", ["../a.csv", "/a.csv", "b/../../a.csv", "b\\a.csv", "b//a.csv"])
def test_a_folder_whose_list_leaves_it_is_refused(repository: DvcByHand, name: str) -> None:
    repository.add("data", {name: b"a"})
    repository.commit("leaves")
    with pytest.raises(DataProblems, match="leads out of the folder"):
        landing_of_revision(str(repository.folder), "HEAD")


def test_an_object_with_other_bytes_is_named(store: Store, repository: DvcByHand) -> None:
    repository.add("data/crops.csv", CROPS)
    repository.commit("crops")
    for path in repository.remote.rglob("*"):
        if path.is_file():
            path.write_bytes(CROPS[:-1])
    with pytest.raises(IntegrityError, match=r"crops\.csv: its object [0-9a-f]{32} in file://"):
        imported(store, repository)
    assert store.registry.data_versions() == []


def test_a_list_of_files_with_other_bytes_is_named(repository: DvcByHand) -> None:
    repository.add("data", {"a.csv": b"a"})
    repository.commit("a")
    for path in repository.remote.rglob("*.dir"):
        path.write_bytes(b"[]")
    with pytest.raises(IntegrityError, match="folder data: its object"):
        landing_of_revision(str(repository.folder), "HEAD")


def test_objects_that_were_not_pushed_are_named(repository: DvcByHand) -> None:
    repository.add("data", {"a.csv": b"a", "b.csv": b"b"})
    repository.commit("a")
    repository.object(repository.push(b"b")).unlink()
    landing = landing_of_revision(str(repository.folder), "HEAD").landing
    with pytest.raises(StorageError, match=r"1 object\(s\) .*/b\.csv .* run 'dvc push'"):
        landing.list()


def test_a_remote_that_is_away_is_named(repository: DvcByHand) -> None:
    repository.add("data", {"a.csv": b"a"})
    repository.commit("a")
    repository.remote.rename(repository.remote.with_name("elsewhere"))
    with pytest.raises(StorageError, match="storage is not there; mount it"):
        landing_of_revision(str(repository.folder), "HEAD")


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("", "has no DVC remote; name one"),
        ("[core\nremote = x", "could not be read"),
        ("[core]\nremote = other\n", "has no DVC remote 'other'"),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = hdfs://a/b\n", "hdfs:// is not supported"),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = s3://me:hush@b/p\n", "has credentials"),
        (
            "[core]\nremote = r\n['remote \"r\"']\nurl = s3://b/p\nendpointurl = http://10.0.0.1\n",
            "is at the endpoint http://10.0.0.1; set AWS_ENDPOINT_URL",
        ),
    ],
)
def test_a_remote_that_cannot_be_used_is_named(
    repository: DvcByHand, monkeypatch: pytest.MonkeyPatch, config: str, problem: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    repository.add("data/a.csv", b"a")
    repository.write(".dvc/config", config)
    repository.commit("a")
    with pytest.raises(SettingsError) as raised:
        landing_of_revision(str(repository.folder), "HEAD").landing.list()
    assert problem in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("https://me:hush@example.org/r.git", SettingsError, "has credentials"),
        ("https://hush@example.org/r.git", SettingsError, "has credentials"),
        ("ext::sh -c touch% started", StorageError, "is not there"),
        ("--upload-pack=touch started", StorageError, "is not there"),
        ("ftp://example.org/r.git", SettingsError, "ftp:// are not supported"),
        ("http://127.0.0.1:1/r.git", StorageError, "could not be cloned"),
    ],
)
def test_a_repository_that_cannot_be_cloned_is_named_and_no_command(
    tmp_path: Path, name: str, kind: type[MlopsError], problem: str
) -> None:
    with pytest.raises(kind) as raised, cloned(name):
        pass
    assert problem in str(raised.value)
    assert "hush" not in str(raised.value)
    assert not (tmp_path / "started").exists()


def test_neither_the_repository_nor_the_users_configuration_starts_anything(
    repository: DvcByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {started}\ncat\n")
    script.chmod(0o755)
    repository.add("data/a.csv", b"a")
    repository.write(".gitattributes", "* filter=own\n")
    repository.commit("a")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / hook).write_bytes(script.read_bytes())
        (hooks / hook).chmod(0o755)
    settings = (
        f"[core]\nfsmonitor = {script}\nhooksPath = {hooks}\n"
        f"[uploadpack]\npackObjectsHook = {script}\n"
        f'[filter "own"]\nsmudge = {script}\nclean = {script}\n'
    )
    with (repository.folder / ".git" / "config").open("a") as config:
        config.write(settings)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(settings)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    assert landed(repository, tmp_path / "files") == {"data/a.csv": b"a"}
    assert not started.exists()


@pytest.mark.parametrize(("rev", "path"), [("absent", None), ("HEAD", "absent"), ("--all", None)])
def test_a_revision_or_a_path_that_is_not_there_is_named(
    repository: DvcByHand, rev: str, path: str | None
) -> None:
    repository.add("data/a.csv", b"a")
    repository.commit("a", "tagged")
    with pytest.raises(NotFound, match=f"'{rev if rev != 'HEAD' else path}'.*(tagged|data/a.csv)"):
        landing_of_revision(str(repository.folder), rev, path)
