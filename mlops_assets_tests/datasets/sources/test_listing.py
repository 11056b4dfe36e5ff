"""The listing of a landing: files come back as they were listed, in order, and by path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.datasets.io.named_files import beside
from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.listing import Listing

FILES = st.builds(
    LandedFile,
    path=st.text(min_size=1, max_size=5),
    size=st.integers(0, 2**62),
    stamp=st.text(max_size=5),
    href=st.none() | st.text(max_size=3),
    modified=st.none() | st.floats(0, 2e9),
)


@settings(deadline=None)
@given(st.lists(FILES, max_size=6, unique_by=lambda file: file.path))
def test_files_come_back_as_they_were_in_the_order_of_their_paths(files: list[LandedFile]) -> None:
    listing = Listing(files)
    expected = sorted(files, key=lambda file: file.path)
    assert list(listing) == expected
    assert [file.modified for file in listing] == [file.modified for file in expected]
    known = [file.modified for file in files if file.modified is not None]
    assert listing.last_change == max(known, default=None)
    assert listing[1:-1] == expected[1:-1]
    if expected:
        assert listing[-1] == expected[-1]
    assert dict(listing.by_path) == {file.path: file for file in files}
    assert listing == Listing(reversed(files))


@pytest.mark.parametrize("changed", ["path", "size", "stamp", "href"])
def test_listings_with_another_file_differ(changed: str) -> None:
    fields = {"path": "a", "size": 1, "stamp": "1", "href": "x"}
    other = {**fields, changed: 2 if changed == "size" else "b"}
    assert Listing([LandedFile(**fields)]) != Listing([LandedFile(**other)])  # type: ignore[arg-type]


def test_a_path_that_was_not_listed_is_not_found() -> None:
    by_path = Listing([LandedFile(path, 1, "1") for path in "bd"]).by_path
    assert [path in by_path for path in "abcde"] == [False, True, False, True, False]
    with pytest.raises(KeyError, match="c"):
        by_path["c"]


def test_files_beside_a_raster_begin_like_it_in_its_own_folder() -> None:
    beside_a = ["f.x/a.aux.xml", "f.x/a.tfw", "f.x/a.tif", "f.x/a.tif.ovr"]
    other = ["f.tif", "f.x/a", "f.x/a-b.tif", "f.x/a.b/c.tif", "f.x/a/b.tfw", "f.x/a0.tfw"]
    paths = sorted([*beside_a, *other])
    assert beside("f.x/a", paths) == beside_a
    assert beside("f.x/a.tif", paths) == [path for path in beside_a if path != "f.x/a.tif"]
    assert beside("f.tif", paths) == []
