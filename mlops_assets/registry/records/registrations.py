"""Registrations of versions with the catalogues of others: what there is, and what was attempted.

What is registered when, and the requests to catalogues, are the business of
`discovery.registration`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from mlops_assets.paths import record_owner
from mlops_assets.principals import Role
from mlops_assets.registry.schema import (
    DataVersion,
    File,
    ModelVersion,
    Registration,
    RegistrationAttempt,
)
from mlops_assets.registry.session import RegistrySession, now


class State(StrEnum):
    """What a catalogue has of a version."""

    REGISTERING = "registering"  # nothing, or a part
    REGISTERED = "registered"
    DEPRECATED = "deprecated"
    DELETED = "deleted"  # nothing any more, or nothing at all


@dataclass(frozen=True)
class RecordedVersion:
    """A version whose record is published.

    Attributes:
        name: of the dataset or model.
        version: of it.
        data_version: itself, or that of the dataset that the model was trained on.
        dataset: that the data version is of.
        visibility: one of `Visibility`.
        checksums: sha256 of the checksums of the documents of its record.
    """

    name: str
    version: str
    data_version: str
    dataset: str
    visibility: str
    checksums: str

    @property
    def is_data(self) -> bool:
        """Whether it is a data version, not a model version."""
        return self.name == self.dataset and self.version == self.data_version

    @property
    def reference(self) -> str:
        """Its reference."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Key:
    """A version and a catalogue.

    Attributes:
        catalogue: name of the catalogue.
        name: of the dataset or model.
        version: of it.
    """

    catalogue: str
    name: str
    version: str

    @property
    def values(self) -> tuple[str, str, str]:
        """The key of rows about it."""
        return self.catalogue, self.name, self.version


@dataclass(frozen=True)
class Arrived:
    """What has arrived at a catalogue.

    Attributes:
        state: of the record there.
        url: of the record there.
        collection_sha256: of the Collection as it was sent; None if nothing is there, or if it is
            that of a model and was left as it is.
        items_sha256: of the Items as they were sent.
    """

    state: State
    url: str
    collection_sha256: str | None = None
    items_sha256: str | None = None


def recorded_versions(
    registry: RegistrySession, name: str | None = None, version: str | None = None
) -> list[RecordedVersion]:
    """Return the versions that have a published record, data versions first.

    Args:
        registry: has them.
        name: of the dataset or model; all by default.
        version: of it; all by default.
    """
    files = select(File.owner, File.sha256).order_by(File.owner, File.path)
    if name is not None and version is not None:
        files = files.where(File.owner == record_owner(name, version))
    else:
        start = "record:" if name is None else record_owner(name, "")
        files = files.where(File.owner.startswith(start, autoescape=True))
    data = select(DataVersion.dataset, DataVersion.version, DataVersion.visibility).order_by(
        DataVersion.dataset, DataVersion.number
    )
    models = select(
        ModelVersion.model,
        ModelVersion.version,
        ModelVersion.data_version,
        ModelVersion.dataset,
        ModelVersion.visibility,
    ).order_by(ModelVersion.created)
    if name is not None:
        data = data.where(DataVersion.dataset == name)
        models = models.where(ModelVersion.model == name)
    if version is not None:
        data = data.where(DataVersion.version == version)
        models = models.where(ModelVersion.version == version)
    with registry.reading() as session:
        checksums = dict(_checksums(session, files))
        versions = [
            (dataset, own, own, dataset, visibility)
            for dataset, own, visibility in session.execute(data)
        ]
        versions += [
            (model, own, data_version, dataset, visibility)
            for model, own, data_version, dataset, visibility in session.execute(models)
        ]
    return [
        RecordedVersion(*columns, checksums[owner])
        for columns in versions
        if (owner := record_owner(*columns[:2])) in checksums
    ]


def _checksums(session: Session, files: Select[str, str]) -> Iterator[tuple[str, str]]:
    """Yield owner, and sha256 of the checksums of its files."""
    for owner, rows in groupby(session.execute(files), lambda row: row.owner):
        digest = hashlib.sha256()
        for row in rows:
            digest.update(row.sha256.encode())
        yield str(owner), digest.hexdigest()


def registrations(registry: RegistrySession, name: str | None = None) -> dict[Key, Registration]:
    """Return all registrations, or those of one dataset or model."""
    query = select(Registration)
    with registry.reading() as session:
        rows = session.scalars(query if name is None else query.where(Registration.name == name))
        return {Key(row.catalogue, row.name, row.version): row for row in rows}


def attempts(registry: RegistrySession, name: str | None = None) -> dict[Key, RegistrationAttempt]:
    """Return the newest attempt to register each version, or those of one dataset or model."""
    query = select(RegistrationAttempt)
    if name is not None:
        query = query.where(RegistrationAttempt.name == name)
    with registry.reading() as session:
        rows = session.scalars(query)
        return {Key(row.catalogue, row.name, row.version): row for row in rows}


def registration(
    registry: RegistrySession, key: Key
) -> tuple[Registration | None, RegistrationAttempt | None]:
    """Return the registration of one version with one catalogue, and the newest attempt."""
    with registry.reading() as session:
        return (
            session.get(Registration, key.values),
            session.get(RegistrationAttempt, key.values),
        )


def next_retry(registry: RegistrySession, catalogues: Collection[str]) -> datetime | None:
    """Return when the next attempt is to be repeated; None if none is.

    Args:
        registry: has the attempts.
        catalogues: names of those that are declared.
    """
    query = select(func.min(RegistrationAttempt.retry)).where(
        RegistrationAttempt.failures > 0, RegistrationAttempt.catalogue.in_(catalogues)
    )
    with registry.reading() as session:
        return session.scalar(query)


def begin(
    registry: RegistrySession, key: Key, attempt: RegistrationAttempt, url: str
) -> Registration:
    """Record that an attempt begins, before anything is sent; return what arrived before.

    Args:
        registry: receives it.
        key: version and catalogue.
        attempt: with when it is repeated if its process is killed.
        url: of the record in the catalogue.
    """
    action = f"register {key.name}@{key.version} with {key.catalogue}"
    with registry.transaction(action, Role.SCIENTIST) as session:
        row = _registration(session, key, url)
        session.merge(attempt)
        return row


def succeed(registry: RegistrySession, key: Key, arrived: Arrived) -> None:
    """Record that the record of a version is in a catalogue as it is to be.

    Args:
        registry: receives it.
        key: version and catalogue.
        arrived: what is there.
    """
    action = f"note {key.name}@{key.version} as {arrived.state} with {key.catalogue}"
    with registry.transaction(action, Role.SCIENTIST) as session:
        row = session.get_one(Registration, key.values)
        if row.state != arrived.state:
            row.state, row.since = arrived.state, now()
        row.collection_sha256 = arrived.collection_sha256
        row.items_sha256 = arrived.items_sha256
        row.url = arrived.url
        attempt = session.get_one(RegistrationAttempt, key.values)
        attempt.failures, attempt.error, attempt.retry = 0, None, None


def fail(
    registry: RegistrySession, key: Key, error: str, moment: datetime, retry: datetime | None
) -> None:
    """Record why an attempt has failed.

    Args:
        registry: receives it.
        key: version and catalogue.
        error: why.
        moment: when.
        retry: when it is repeated; None if only after a change.
    """
    with registry.transaction("note failed registration", Role.SCIENTIST) as session:
        attempt = session.get_one(RegistrationAttempt, key.values)
        attempt.error, attempt.tried, attempt.retry = error, moment, retry


def withdraw(
    registry: RegistrySession, key: Key, state: State, reason: str | None, url: str
) -> None:
    """Record that a version is withdrawn from a catalogue.

    Whether the principal may decide that is checked by the caller.

    Args:
        registry: receives it.
        key: version and catalogue.
        state: that it is to have there, `deprecated` or `deleted`.
        reason: why, for the log.
        url: of the record in the catalogue.
    """
    action = f"withdraw {key.name}@{key.version} from {key.catalogue}"
    with registry.transaction(action, Role.SCIENTIST) as session:
        row = _registration(session, key, url)
        row.withdrawn, row.reason = state, reason


def readmit(registry: RegistrySession, key: Key) -> None:
    """Record that a version is no longer withdrawn from a catalogue.

    Args:
        registry: receives it.
        key: version and catalogue.
    """
    action = f"readmit {key.name}@{key.version} to {key.catalogue}"
    with registry.transaction(action, Role.SCIENTIST) as session:
        row = session.get_one(Registration, key.values)
        row.withdrawn, row.reason = None, None


def _registration(session: Session, key: Key, url: str) -> Registration:
    """Return the registration of a version, which is added if there is none."""
    row = session.get(Registration, key.values)
    if row is None:
        row = Registration(
            catalogue=key.catalogue,
            name=key.name,
            version=key.version,
            state=State.REGISTERING,
            url=url,
            since=now(),
        )
        session.add(row)
    return row
