"""Index of the objects that are in packs: the pack of each, and where in it.

It only saves work: manifests state where the files of a version are, and an object that is not in
the index is stored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mlops_assets.principals import Role
from mlops_assets.registry.files.landed_files import INSERT
from mlops_assets.registry.schema import PackedObject
from mlops_assets.registry.session import RegistrySession
from mlops_assets.storage.packs import Place

_AT_ONCE = 500  # checksums in one statement
T = TypeVar("T")


class PackedObjects(RegistrySession):
    """Objects in packs."""

    def packed(self, sha256s: Iterable[str]) -> dict[str, Place]:
        """Return the places of those objects that are in packs.

        Args:
            sha256s: checksums of the objects, hexadecimal.
        """
        table = PackedObject.__table__.c
        places: dict[str, Place] = {}
        with self.reading() as session:
            if session.scalar(select(table.sha256).limit(1)) is None:
                return places
            for some in portions(sha256s):
                query = select(table.sha256, table.pack, table.offset).where(table.sha256.in_(some))
                for sha256, pack, offset in session.execute(query):
                    places[sha256] = Place(pack, offset)
        return places

    def entries_of(self, pack: str) -> dict[int, str]:
        """Return the checksums of the objects that the index has in a pack, by offset.

        Args:
            pack: sha256 (hex) of the pack.
        """
        table = PackedObject.__table__.c
        query = select(table.offset, table.sha256).where(table.pack == pack)
        with self.reading() as session:
            return {row.offset: row.sha256 for row in session.execute(query)}

    def remember_packed(self, places: Mapping[str, Place]) -> None:
        """Remember where objects are; the newest place of an object counts.

        Args:
            places: by checksum, in packs that have been stored.
        """
        if places:
            with self.transaction("remember packed objects", Role.SCIENTIST) as session:
                index_packed(session, places)

    def forget_packed(self, sha256s: Iterable[str]) -> None:
        """Forget where objects are, which are single objects from now on.

        Args:
            sha256s: checksums of the objects, hexadecimal.
        """
        for some in portions(sorted(sha256s)):
            with self.transaction("forget packed objects", Role.SCIENTIST) as session:
                session.execute(delete(PackedObject).where(PackedObject.sha256.in_(some)))


def index_packed(session: Session, places: Mapping[str, Place]) -> None:
    """Write places into the index.

    Args:
        session: the transaction.
        places: by checksum.
    """
    added = INSERT[session.get_bind().dialect.name](PackedObject)
    changed = {name: added.excluded[name] for name in ("pack", "offset")}
    rows = (
        {"sha256": sha256, "pack": place.pack, "offset": place.offset}
        # in one order, as writers of the same rows in another would wait for each other forever
        for sha256, place in sorted(places.items())
    )
    statement = added.on_conflict_do_update(index_elements=["sha256"], set_=changed)
    for some in portions(rows):
        session.execute(statement, some)


def portions(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """Yield values some at a time, as many as one statement takes."""
    remaining = iter(values)
    while some := list(islice(remaining, _AT_ONCE)):
        yield some
