"""Landed files of a folder, refused names and links, and changes of a landing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.datasets.sources import fingerprint, landing_url, open_landing
from mlops_assets.datasets.sources.base import name_problem
from mlops_assets.datasets.sources.folder import CLOCK_SECONDS, FolderLanding
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.specification.source import Source
from mlops_assets.errors import DataProblems, EmptyLanding, StorageError
from mlops_assets.storage import Workspace
from mlops_assets_tests.datasets.readers.landing import await_tick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    for name in ("b.csv", "a/z.csv", ".hidden.csv", ".git/c.csv", "a/.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def listed(folder: Path) -> Listing:
    return FolderLanding(folder).list()


def refused(folder: Path) -> list[str]:
    with pytest.raises(DataProblems) as raised:
        listed(folder)
    # on any terminal and in any log
    assert all(problem.isprintable() for problem in raised.value.problems)
    return raised.value.problems


def test_files_are_listed_by_path_without_hidden_ones(folder: Path, tmp_path: Path) -> None:
    files = listed(folder)
    assert [(file.path, file.size) for file in files] == [("a/z.csv", 7), ("b.csv", 5)]
    landing = FolderLanding(folder)
    assert all(landing.fetch(file, tmp_path).read_text() == file.path for file in files)
    assert [file.modified for file in files] == [
        (folder / file.path).stat().st_mtime for file in files
    ]


@pytest.mark.parametrize("made", [[], ["sub"], ["sub", "sub/.hidden"]])
def test_a_landing_without_a_file_is_empty(tmp_path: Path, made: list[str]) -> None:
    for name in made:
        (tmp_path / "x" / name).mkdir(parents=True)
    with pytest.raises(EmptyLanding, match="is empty" if made else "does not exist"):
        listed(tmp_path / "x")


def test_a_landing_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(EmptyLanding, match=r"x does not exist; create the folder"):
        listed(tmp_path / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_reported(folder: Path) -> None:
    (folder / "a").chmod(0)
    with pytest.raises(StorageError, match="check its permissions"):
        listed(folder)
    (folder / "a").chmod(0o700)


# links


def test_a_link_within_the_landing_is_followed(folder: Path) -> None:
    (folder / "again.csv").symlink_to(folder / "b.csv")
    (folder / "a" / "up.csv").symlink_to("../b.csv")
    assert [file.path for file in listed(folder)] == ["a/up.csv", "a/z.csv", "again.csv", "b.csv"]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("../secret", "links out of the landing"),
        ("/etc/passwd", "links out of the landing"),
        ("../gone", "links out of the landing"),
        ("gone", "is a link to nothing; remove it"),
        ("a", "is a link to a folder; put the folder itself there"),
        (".", "is a link to a folder"),
        ("link.csv", "is a link to (itself|nothing); remove it"),
        ("a/back.csv", "is a link to (itself|nothing); remove it"),
    ],
    ids=[
        "out",
        "out absolutely",
        "out to nothing",
        "dangling",
        "folder",
        "own folder",
        "itself",
        "in a circle",
    ],
)
def test_a_link_that_cannot_be_followed_is_refused_with_its_name(
    folder: Path, tmp_path: Path, target: str, problem: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "link.csv").symlink_to(target)
    if target == "a/back.csv":
        (folder / "a" / "back.csv").symlink_to("../link.csv")
    found = refused(folder)
    assert any(re.match(f"link.csv: {problem}", text) for text in found)
    assert not any("secret" in text or "passwd" in text for text in found)


def test_a_folder_behind_a_link_out_of_the_landing_is_not_entered(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.csv").write_text("x")
    (folder / "data").symlink_to(tmp_path / "other")
    assert refused(folder) == ["data: links out of the landing; put the file itself there"]


def test_a_landing_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert [file.path for file in listed(tmp_path / "link")] == ["a/z.csv", "b.csv"]


# names


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("new\nline.csv", r"new\\nline\.csv: the name has control characters; rename the file"),
        ("bell\x07.csv", r"bell\\x07\.csv: the name has control characters"),
        ("back\\slash.csv", r"back\\slash\.csv: the name has a backslash"),
        (
            "B.CSV",
            r"b\.csv: differs from B\.CSV only by case or accent, so one would overwrite the other",
        ),
        ("long/" * 101 + "longest.csv", r"the path has 516 characters; 512 at most"),
    ],
    ids=["line", "control", "backslash", "case", "length"],
)
def test_a_name_that_cannot_be_written_back_everywhere_is_refused(
    folder: Path, name: str, problem: str
) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("x")
    (found,) = refused(folder)
    assert re.search(problem, found), found


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not make such names")
def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.csv")).write_text("x")
    (found,) = refused(folder)
    assert found == "caf\\udce9.csv: the name is not UTF-8; rename the file"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems make one file of both")
def test_names_that_differ_by_the_spelling_of_an_accent_are_refused(folder: Path) -> None:
    for name in ("caf\u00e9.csv", "cafe\u0301.csv"):
        (folder / name).write_text("x")
    (found,) = refused(folder)
    assert "only by case or accent" in found


def test_all_names_and_links_that_cannot_be_used_are_reported_at_once(folder: Path) -> None:
    (folder / "B.csv").write_text("x")
    (folder / "a" / "bell\x07.csv").write_text("x")
    (folder / "gone.csv").symlink_to("nothing")
    assert sorted(text.split(":")[0] for text in refused(folder)) == [
        "a/bell\\x07.csv",
        "b.csv",
        "gone.csv",
    ]


def test_a_folder_may_be_called_like_a_file(folder: Path) -> None:
    (folder / "c.csv").mkdir()
    (folder / "c.csv" / "d.csv").write_text("x")
    assert [file.path for file in listed(folder)] == ["a/z.csv", "b.csv", "c.csv/d.csv"]


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.text(max_size=20))
def test_a_name_that_is_accepted_stays_below_any_folder_it_is_written_to(path: str) -> None:
    if name_problem(path) is None:
        resolved = Path(os.path.normpath(Path("/target", path)))
        assert resolved.is_relative_to("/target") and resolved != Path("/target")
        assert path.isprintable() and path.encode().decode() == path


# changes


def test_a_landing_knows_which_files_are_no_longer_as_listed(folder: Path) -> None:
    landing = FolderLanding(folder)
    files = landing.list()
    assert landing.changed(files) == []
    (folder / "a/z.csv").write_text("longer than before")
    assert landing.changed(files) == ["a/z.csv"]
    (folder / "b.csv").unlink()
    assert landing.changed(files) == ["a/z.csv", "b.csv"]


def rewrite(path: Path) -> None:
    stat = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace(path: Path) -> None:
    stat = path.stat()
    other = path.with_name(".other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_file_of_the_same_size_whose_time_was_put_back_has_another_stamp(
    folder: Path, change: Callable[[Path], None]
) -> None:
    landing = FolderLanding(folder)
    before = landing.list()
    await_tick(folder / "b.csv")
    change(folder / "b.csv")
    assert landing.changed(before) == ["b.csv"]
    now = landing.list()
    assert [(a.size, a.stamp != b.stamp) for a, b in zip(before, now, strict=True)] == [
        (7, False),
        (5, True),
    ]


def test_a_file_is_settled_once_it_is_older_than_the_clock_is_fine(folder: Path) -> None:
    file, _ = listed(folder)
    changed = max(map(int, file.stamp.split("-"))) / 1e9
    landing = FolderLanding(folder)
    assert not landing.settled(file, changed)
    assert not landing.settled(file, changed + CLOCK_SECONDS - 0.1)
    assert landing.settled(file, changed + CLOCK_SECONDS + 0.1)
    # an old time says nothing about when the file was written
    os.utime(folder / file.path, ns=(1, 1))
    assert not landing.settled(listed(folder)[0], changed + CLOCK_SECONDS - 0.1)


def test_the_fingerprint_changes_with_path_size_and_time_only(folder: Path) -> None:
    def now() -> str:
        return fingerprint(listed(folder))

    seen = [now()]
    assert now() == seen[0]
    (folder / ".hidden.csv").write_text("changed")
    assert now() == seen[0]
    (folder / "b.csv").write_text("longer text")
    seen.append(now())
    os.utime(folder / "b.csv", ns=(1, 1))
    seen.append(now())
    (folder / "b.csv").rename(folder / "c.csv")
    seen.append(now())
    (folder / "c.csv").unlink()
    seen.append(now())
    assert len(set(seen)) == len(seen)


# where


@pytest.mark.parametrize(
    "url", ["landing/x", "{root}/landing/x", "file://{root}/landing/x", "file://{root}/landing/x/"]
)
def test_a_landing_is_relative_to_the_workspace_absolute_or_a_file_url(
    tmp_path: Path, url: str
) -> None:
    workspace = Workspace((tmp_path / "w").as_uri())
    source = Source.model_validate(
        {"url": url.format(root=workspace.root), "layout": "image_folder"}
    )
    landing = open_landing(workspace, source)
    assert isinstance(landing, FolderLanding)
    assert landing.folder == workspace.root / "landing" / "x"
    assert (
        landing.url
        == landing_url(workspace, source.url)
        == (workspace.root / "landing" / "x").as_uri()
    )


def test_a_file_url_is_unquoted(tmp_path: Path) -> None:
    source = Source(url="file:///data/my%20fields", layout="image_folder")
    landing = open_landing(Workspace(tmp_path.as_uri()), source)
    assert isinstance(landing, FolderLanding) and landing.folder == Path("/data/my fields")
