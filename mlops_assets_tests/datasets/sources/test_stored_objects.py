"""Objects of listed files: what was noted comes back, as one and as columns."""

from __future__ import annotations

import pyarrow as pa

from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.sources.stored_objects import StoredObjects
from mlops_assets.storage.packs import Place

SHA256 = [f"{number:x}" * 64 for number in range(5)]
PLACE, OTHER = Place("e" * 64, 1 << 40), Place("f" * 64, 0)


def test_objects_come_back_by_position_and_as_columns() -> None:
    objects = StoredObjects(4)
    assert (objects.count, objects.missing(), 0 in objects) == (0, [0, 1, 2, 3], False)
    objects.put(0, SHA256[1], PLACE)
    objects.put(2, SHA256[2], None)
    objects.put(3, SHA256[3], OTHER)
    assert (objects.count, objects.missing(), 2 in objects, 1 in objects) == (3, [1], True, False)
    assert [objects.sha256(i) for i in range(4)] == [SHA256[1], None, SHA256[2], SHA256[3]]
    assert [objects.place(i) for i in range(4)] == [PLACE, None, None, OTHER]
    assert objects.frame()["sha256"].isna().tolist() == [False, True, False, False]
    objects.put(1, SHA256[4], PLACE)
    objects.put(3, SHA256[3], None)  # of a pack that was damaged
    frame = objects.frame()
    assert frame["sha256"].tolist() == [SHA256[1], SHA256[4], SHA256[2], SHA256[3]]
    assert frame["pack"].astype(object).where(frame["pack"].notna(), None).tolist() == [
        PLACE.pack,
        PLACE.pack,
        None,
        None,
    ]
    assert frame["offset"].dropna().tolist() == [PLACE.offset, PLACE.offset]


def test_nothing_is_known_of_no_files() -> None:
    objects = StoredObjects()
    assert (objects.count, objects.missing(), 7 in objects) == (0, [], False)
    assert (objects.sha256(7), objects.place(7), len(objects.frame())) == (None, None, 0)


def test_paths_are_compared_by_their_checksums() -> None:
    files = Listing(LandedFile(path, 1, "s") for path in ("a", "b", "c", "é"))
    objects = StoredObjects(4)
    for position in (0, 2, 3):
        objects.put(position, SHA256[position], None)
    paths = pa.array(["A", "a", "b", "c", "d", "é"])
    sha256s = pa.array([SHA256[0], SHA256[0], SHA256[1], SHA256[1], SHA256[2], SHA256[3]])
    same = objects.same(files, paths, sha256s)
    assert same.tolist() == [False, True, False, False, False, True]
    assert objects.same(files, paths[:1], sha256s[:1]).tolist() == [False]
    assert objects.same(files, paths[:0], sha256s[:0]).tolist() == []
    assert StoredObjects(4).same(files, paths, sha256s).tolist() == [False] * 6
