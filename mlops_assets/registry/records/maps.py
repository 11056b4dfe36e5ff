"""Maps that model versions have made: published with their files and records, and listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Text, and_, cast, select

from mlops_assets.principals import Role
from mlops_assets.registry.records.rows import PublishedRecords
from mlops_assets.registry.schema import Map, ModelVersion, StacItem
from mlops_assets.registry.session import RegistrySession, drop_files, existing, publish_records
from mlops_assets.storage.checksums import MULTIHASH_SHA256

__all__ = ["Map", "MapFilter", "Maps"]


@dataclass(frozen=True)
class MapFilter:
    """Values that maps are to have; None for any. Names are those of the columns of `Map`."""

    model: str | None = None
    version: str | None = None
    dataset: str | None = None
    data_version: str | None = None
    collection: str | None = None
    area: str | None = None
    day: str | None = None
    name: str | None = None
    item: str | None = None


class Maps(RegistrySession):
    """Maps that model versions have made."""

    def publish_map(self, row: Map, records: PublishedRecords, dropped: Iterable[str] = ()) -> None:
        """Publish a map with its files and its record, in place of one of the same name.

        Args:
            row: the map.
            records: its files, its Item and what links it.
            dropped: files of the map before that this one does not have.

        Raises:
            NotFound: its model version does not exist.
        """
        with self.transaction("publish map", Role.SCIENTIST) as session:
            key = (row.model, row.version)
            existing(session.get(ModelVersion, key), "@".join(key))
            session.merge(row)
            drop_files(session, dropped)
            session.flush()
            publish_records(session, records)

    def maps(
        self, wanted: MapFilter = MapFilter(), limit: int | None = None, skip: int = 0
    ) -> list[Map]:
        """Return maps, newest first.

        Args:
            wanted: values that they have.
            limit: maps at most; all if None.
            skip: maps to leave out before, of former pages.
        """
        values = {name: value for name, value in asdict(wanted).items() if value is not None}
        query = (
            select(Map)
            .filter_by(**values)
            .order_by(Map.created.desc(), Map.name, Map.model, Map.version)
            .limit(limit)
            .offset(skip)
        )
        with self.reading() as session:
            return list(session.scalars(query))

    def maps_with(self, sha256: str) -> list[Map]:
        """Return the maps whose Item has a checksum, of its own files or of scenes, newest first.

        Args:
            sha256: the checksum.
        """
        query = (
            select(Map)
            .join(StacItem, and_(StacItem.collection == Map.collection, StacItem.id == Map.item))
            .where(
                cast(StacItem.document, Text).contains(
                    f'"{MULTIHASH_SHA256}{sha256}"', autoescape=True
                )
            )
            .order_by(Map.created.desc(), Map.name)
        )
        with self.reading() as session:
            return list(session.scalars(query))

    def map_collections(self) -> list[str]:
        """Return the ids of the STAC Collections of maps."""
        query = select(Map.collection).distinct().order_by(Map.collection)
        with self.reading() as session:
            return list(session.scalars(query))
