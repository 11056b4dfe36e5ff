"""What counts as landed, and what makes a landing count as changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_assets.datasets.landing import fingerprint, landing_folder, list_landing
from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage import Workspace


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    for name in ("b.csv", "a/z.csv", ".hidden.csv", ".git/c.csv", "a/.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_files_are_listed_by_path_without_hidden_ones(landing: Path) -> None:
    files = list_landing(landing)
    assert [(file.path, file.size) for file in files] == [("a/z.csv", 7), ("b.csv", 5)]
    assert all(file.local.read_text() == file.path for file in files)


@pytest.mark.parametrize("made", [[], ["sub"], ["sub", "sub/.hidden"]])
def test_a_landing_without_a_file_is_empty(tmp_path: Path, made: list[str]) -> None:
    for name in made:
        (tmp_path / "x" / name).mkdir(parents=True)
    with pytest.raises(EmptyLanding, match="is empty" if made else "does not exist"):
        list_landing(tmp_path / "x")


def test_a_link_out_of_the_landing_is_refused_and_one_within_is_followed(landing: Path, tmp_path: Path) -> None:
    (landing / "again.csv").symlink_to(landing / "b.csv")
    assert [file.path for file in list_landing(landing)] == ["a/z.csv", "again.csv", "b.csv"]
    (tmp_path / "secret").write_text("secret")
    (landing / "link.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match=r"link\.csv links out of the landing"):
        list_landing(landing)


def test_a_broken_link_is_not_landed(landing: Path) -> None:
    (landing / "broken.csv").symlink_to(landing / "gone")
    assert len(list_landing(landing)) == 2


def test_a_file_knows_whether_it_is_still_as_listed(landing: Path) -> None:
    first, second = list_landing(landing)
    assert first.unchanged() and second.unchanged()
    first.local.write_text("longer than before")
    second.local.unlink()
    assert not first.unchanged() and not second.unchanged()


def test_the_fingerprint_changes_with_path_size_and_time_only(landing: Path) -> None:
    def now() -> str:
        return fingerprint(list_landing(landing))

    seen = [now()]
    assert now() == seen[0]
    (landing / ".hidden.csv").write_text("changed")
    assert now() == seen[0]
    (landing / "b.csv").write_text("longer text")
    seen.append(now())
    os.utime(landing / "b.csv", ns=(1, 1))
    seen.append(now())
    (landing / "b.csv").rename(landing / "c.csv")
    seen.append(now())
    (landing / "c.csv").unlink()
    seen.append(now())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("url", ["landing/x", "{root}/landing/x", "file://{root}/landing/x"])
def test_a_landing_is_relative_to_the_workspace_absolute_or_a_file_url(tmp_path: Path, url: str) -> None:
    workspace = Workspace((tmp_path / "w").as_uri())
    assert landing_folder(workspace, url.format(root=workspace.root)) == workspace.root / "landing" / "x"


def test_a_file_url_is_unquoted(tmp_path: Path) -> None:
    assert landing_folder(Workspace(tmp_path.as_uri()), "file:///data/my%20fields") == Path("/data/my fields")
