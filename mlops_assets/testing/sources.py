"""The contract of a source: listing, fetching and noticing changes of landed files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import pytest

from mlops_assets.datasets.sources import Landing, fingerprint
from mlops_assets.errors import DataProblems, EmptyLanding, StorageError

SPECIAL_NAMES = ["a b.csv", "a+b&c=d.csv", "a#b.csv", "a%20b.csv", "b/日本.csv", "b/é.csv"]
LARGE = bytes(range(256)) * 40_000


class LandingPlace(Protocol):
    """A place that the suite lands files in, and that the source reads."""

    @property
    def url(self) -> str:
        """The URL or path that errors name."""
        ...

    def put(self, path: str, content: bytes) -> None:
        """Land a file, or replace it so that the source can notice.

        Args:
            path: POSIX path below the landing.
            content: its bytes.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file."""
        ...

    def open(self) -> Landing:
        """Return the landing as the source gives it, with nothing read yet."""
        ...


class SourceContract:
    """The guarantees of a source that the platform relies on.

    Subclass it, and override the fixture `place`.
    """

    @pytest.fixture
    def place(self) -> LandingPlace:
        """Return an empty place, for one test."""
        pytest.fail("override the fixture 'place': return an empty LandingPlace of your source")

    def test_files_are_listed_by_path_with_their_sizes_and_fetched_byte_for_byte(
        self, place: LandingPlace, tmp_path: Path
    ) -> None:
        contents = {path: b"x" * size for size, path in enumerate(reversed(SPECIAL_NAMES))}
        contents["large.csv"] = LARGE
        for path, content in contents.items():
            place.put(path, content)
        landing = place.open()
        files = landing.list()
        assert [file.path for file in files] == sorted(contents)
        fetched = tmp_path / "fetched"
        for file in files:
            local = landing.fetch(file, fetched)
            assert file.size == len(contents[file.path])
            assert local.read_bytes() == contents[file.path]
            if landing.copies:
                assert local.relative_to(fetched).as_posix() == file.path

    def test_unchanged_files_are_listed_alike_and_a_changed_one_is_noticed(
        self, place: LandingPlace, tmp_path: Path
    ) -> None:
        for path in ("a.csv", "b.csv", "c.csv"):
            place.put(path, b"first")
        landing = place.open()
        files = landing.list()
        assert landing.list() == place.open().list() == files
        assert list(landing.changed(files)) == []
        # as long as before
        place.put("b.csv", b"other")
        assert list(landing.changed(files)) == ["b.csv"]
        assert fingerprint(landing.list()) != fingerprint(files)
        if landing.copies:
            with pytest.raises(StorageError, match=r"b\.csv changed .*; "):
                landing.fetch(files[1], tmp_path / "fetched")
        assert landing.fetch(files[2], tmp_path / "fetched").read_bytes() == b"first"

    def test_a_removed_file_is_noticed(self, place: LandingPlace, tmp_path: Path) -> None:
        for path in ("a.csv", "b.csv"):
            place.put(path, b"first")
        landing = place.open()
        files = landing.list()
        place.delete("b.csv")
        assert list(landing.changed(files)) == ["b.csv"]
        if landing.copies:
            with pytest.raises(StorageError, match=r"b\.csv"):
                landing.fetch(files[1], tmp_path / "fetched")


class ListingSourceContract(SourceContract):
    """The guarantees of a source that finds its files, rather than being given their names.

    Subclass it, and override the fixture `place`.
    """

    def test_an_empty_landing_is_an_error_that_names_the_url(self, place: LandingPlace) -> None:
        with pytest.raises(EmptyLanding, match=re.escape(place.url)):
            place.open().list()

    def test_hidden_files_are_not_landed(self, place: LandingPlace) -> None:
        for path in (".hidden", ".git/config", "a.csv", "b/.c.csv"):
            place.put(path, b"x")
        assert [file.path for file in place.open().list()] == ["a.csv"]

    def test_all_names_that_cannot_be_committed_are_reported_at_once(
        self, place: LandingPlace
    ) -> None:
        for path in ("A.csv", "a.csv", "b.csv", f"{'d/' * 300}e.csv"):
            place.put(path, b"x")
        with pytest.raises(DataProblems) as raised:
            place.open().list()
        assert len(raised.value.problems) == 2
