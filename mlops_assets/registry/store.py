"""The registry as one object. Every change is one transaction, published whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import defer

from mlops_assets.errors import Forbidden
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry.all_models import AllModels
from mlops_assets.registry.data_versions import DataVersions
from mlops_assets.registry.files.landed_files import LandedFiles
from mlops_assets.registry.files.packed_objects import PackedObjects
from mlops_assets.registry.files.removals import Removals
from mlops_assets.registry.git_deliveries import GitDeliveries
from mlops_assets.registry.locks import Locks
from mlops_assets.registry.model_versions import ModelVersions
from mlops_assets.registry.promotion.alarms import Alarms
from mlops_assets.registry.promotion.decisions import Decisions
from mlops_assets.registry.promotion.deployments import Deployments
from mlops_assets.registry.promotion.outbox import Outbox
from mlops_assets.registry.records.maps import Maps
from mlops_assets.registry.records.rows import PublishedRecords, follow_visibility
from mlops_assets.registry.runs import Runs
from mlops_assets.registry.schema import DataVersion, ModelVersion
from mlops_assets.registry.session import drop_files, existing, now, publish_records
from mlops_assets.registry.sessions import Sessions
from mlops_assets.registry.tokens import Tokens
from mlops_assets.registry.totals import WithTotals
from mlops_assets.registry.visibility import sees_all

__all__ = ["Registry", "now", "open_registry"]


class Registry(
    DataVersions,
    Runs,
    ModelVersions,
    AllModels,
    Decisions,
    Deployments,
    Alarms,
    Outbox,
    Maps,
    LandedFiles,
    PackedObjects,
    Removals,
    Tokens,
    Sessions,
    GitDeliveries,
    WithTotals,
    Locks,
):
    """The registry at one SQLAlchemy URL: versions, runs, maps, files, tokens and locks.

    A change is one transaction with one entry in the log, published whole or not at all. Every
    method may raise Forbidden if the principal does not have the role it needs, and StorageError if
    the database cannot be read or written.

    Attributes:
        url: SQLAlchemy URL.
        principal: reads and changes the registry through this object.
    """

    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of all datasets, and of all models."""
        with self.reading() as session:
            datasets, models = (
                list(session.scalars(select(column).distinct().order_by(column)))
                for column in (DataVersion.dataset, ModelVersion.model)
            )
        return datasets, models

    def versions_beside(
        self, row: DataVersion | ModelVersion, later: bool, limit: int
    ) -> list[DataVersion | ModelVersion]:
        """Return versions of the same dataset or model, the nearest first.

        They are in the same catalogue: all are private, or none is.

        Args:
            row: the version.
            later: whether they are newer than it; older if not.
            limit: versions at most.

        Returns:
            Their rows, without documents.
        """
        query: Select[Any]
        if isinstance(row, DataVersion):
            columns: tuple[Any, Any] = (DataVersion.number, DataVersion.version)
            place: tuple[object, str] = row.number, row.version
            query = select(DataVersion).where(DataVersion.dataset == row.dataset)
            documents = (DataVersion.specification, DataVersion.counts)
        else:
            columns = (ModelVersion.created, ModelVersion.version)
            place = row.created, row.version
            query = select(ModelVersion).where(ModelVersion.model == row.model)
            documents = (ModelVersion.signature, ModelVersion.metrics)
        is_private = type(row).visibility == Visibility.PRIVATE
        query = query.where(
            is_private if row.visibility == Visibility.PRIVATE else ~is_private,
            tuple_(*columns) > place if later else tuple_(*columns) < place,
        )
        query = query.order_by(*(each if later else each.desc() for each in columns)).limit(limit)
        query = query.options(*(defer(each, raiseload=True) for each in documents))
        with self.reading() as session:
            return list(session.scalars(query))

    def require_owner(self, row: DataVersion | ModelVersion, action: str) -> Role:
        """Return the role by which the principal decides on a version.

        Args:
            row: the version.
            action: on it, for the message, such as "hide it".

        Raises:
            Forbidden: the principal is neither its creator nor an operator.
        """
        if sees_all(self.principal):
            return Role.OPERATOR
        creator = (
            row.created_by if isinstance(row, DataVersion) else self.run(row.run_id).created_by
        )
        if creator != self.principal.name:
            raise Forbidden(
                f"{self.principal.name} may not {action}: this needs the role operator; or ask its"
                f" creator, {creator or 'who is unknown'}"
            )
        return Role.SCIENTIST

    def set_visibility(
        self,
        row: DataVersion | ModelVersion,
        visibility: Visibility,
        reason: str | None = None,
        records: PublishedRecords | None = None,
        dropped: Iterable[str] = (),
    ) -> None:
        """Change who may see a data version or a model version; the log states who, when and why.

        Args:
            row: the version.
            visibility: as it is to be.
            reason: why.
            records: of the catalogues, that are published with it.
            dropped: published files that are published no more; whoever publishes next removes
                their bytes.

        Raises:
            Forbidden: the principal is neither its creator nor an operator.
            NotFound: there is no such version.
        """
        key = version_key(row)
        action = f"make {'@'.join(key)} {visibility}"
        with self.transaction(action, self.require_owner(row, action)) as session:
            found: DataVersion | ModelVersion
            if isinstance(row, DataVersion):
                found = existing(session.get(DataVersion, key), "@".join(key))
            else:
                found = existing(session.get(ModelVersion, key), "@".join(key))
            if found.visibility != visibility:
                found.visibility, found.visibility_reason = visibility, reason
            drop_files(session, dropped)
            session.flush()
            if records is not None:
                publish_records(session, records)
            follow_visibility(session, found)


def version_key(row: DataVersion | ModelVersion) -> tuple[str, str]:
    """Return dataset and version, or model and version."""
    name = row.dataset if isinstance(row, DataVersion) else row.model
    return name, row.version


@lru_cache(maxsize=8)
def open_registry(url: str) -> Registry:
    """Return a registry, opened once a process.

    Args:
        url: SQLAlchemy URL.

    Raises:
        SettingsError: the URL is not valid.
        StorageError: the database cannot be opened, or was written by a newer release.
    """
    return Registry(url)
