"""Identities of landed files.

A file that was hashed and stored once is recognised by path, size and stamp.

They only save work: a version is made of checksums, and forgetting every identity changes no
version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from mlops_assets.principals import Role
from mlops_assets.registry.schema import Base, LandedIdentity, PackedObject
from mlops_assets.registry.session import RegistrySession
from mlops_assets.storage.packs import Place

Identity = tuple[str, int, str, str]  # path, size, stamp, sha256
INSERT: dict[str, Callable[[type[Base]], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class LandedFiles(RegistrySession):
    """Identities of landed files."""

    def landed(self, source: str) -> Iterator[Identity]:
        """Yield the known identities of the files of a landing, in no order.

        Args:
            source: URL of the landing.
        """
        table = LandedIdentity.__table__.c
        query = select(table.path, table.size, table.stamp, table.sha256).where(
            table.source == source
        )
        with self.reading() as session:
            for row in session.execute(query.execution_options(yield_per=10_000)):
                yield row[0], row[1], row[2], row[3]

    def landed_objects(self, source: str) -> Iterator[tuple[Identity, Place | None]]:
        """Yield the known identities of the files of a landing, and the places of those in packs.

        They are in no order. One query for all takes a fraction of asking for the places of some
        at a time.

        Args:
            source: URL of the landing.
        """
        table, packs = LandedIdentity.__table__.c, PackedObject.__table__.c
        query = (
            select(table.path, table.size, table.stamp, table.sha256, packs.pack, packs.offset)
            .outerjoin_from(
                LandedIdentity.__table__,
                PackedObject.__table__,
                table.sha256 == packs.sha256,
            )
            .where(table.source == source)
        )
        with self.reading() as session:
            for path, size, stamp, sha256, pack, offset in session.execute(
                query.execution_options(yield_per=10_000)
            ):
                place = None if pack is None else Place(pack, offset)
                yield (path, size, stamp, sha256), place

    def remember_landed(self, source: str, files: Iterable[Identity]) -> None:
        """Remember files of a landing that have been stored; the newest identity of a path counts.

        Args:
            source: URL of the landing.
            files: identities of the files.
        """
        rows = [
            {"source": source, "path": path, "size": size, "stamp": stamp, "sha256": sha256}
            # in one order, as for another dataset of this landing, see `index_packed`
            for path, size, stamp, sha256 in sorted(files)
        ]
        if not rows:
            return
        with self.transaction("remember landed files", Role.SCIENTIST) as session:
            added = INSERT[session.get_bind().dialect.name](LandedIdentity)
            changed = {name: added.excluded[name] for name in ("size", "stamp", "sha256")}
            session.execute(
                added.on_conflict_do_update(index_elements=["source", "path"], set_=changed), rows
            )
