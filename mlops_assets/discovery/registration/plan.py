"""What each catalogue is to have of a version, and when that is to be seen to.

It follows from records, visibility and declarations; nothing is queued when one of them changes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mlops_assets.discovery.links import Addresses
from mlops_assets.discovery.registration.catalogue import Catalogue
from mlops_assets.discovery.registration.declaration import DeclaredCatalogue
from mlops_assets.principals import GUEST_ROLES, Principal, Role, Visibility
from mlops_assets.registry.records.registrations import Key, RecordedVersion, State
from mlops_assets.registry.schema import Registration, RegistrationAttempt

FIRST_RETRY = timedelta(seconds=30)
LAST_RETRY = timedelta(hours=6)
MAX_AFTER = timedelta(days=1)  # that a catalogue may ask to wait
# no principal has that name, whose private versions its reader would see
_READER = " of a catalogue"


@dataclass(frozen=True)
class Target:
    """A catalogue that versions are registered with.

    Attributes:
        declared: as the project declares it.
        catalogue: takes the records.
        files: URL under which it finds the files of the workspace.
    """

    declared: DeclaredCatalogue
    catalogue: Catalogue
    files: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.declared.name

    @property
    def addresses(self) -> Addresses:
        """The addresses of records there."""
        return Addresses(self.catalogue.api, self.files)

    @property
    def reader(self) -> Principal:
        """A principal who sees what the catalogue may have."""
        published = self.declared.visible == Visibility.PUBLISHED
        return Principal(_READER, GUEST_ROLES if published else frozenset({Role.VIEWER}))

    def url(self, version: RecordedVersion) -> str:
        """Return the URL of the record of a version there."""
        collection, item = identity(version)
        if item is None:
            return self.addresses.collection(collection)
        return self.addresses.item(collection, item)

    def basis(self, version: RecordedVersion, wanted: State) -> str:
        """Return the sha256 of what a registration follows from."""
        parts = (self.declared.model_dump_json(), self.files, version.checksums, wanted)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Due:
    """A version that is to be registered now.

    Attributes:
        version: the version.
        catalogue: name of the catalogue.
        basis: of the registration.
        tried: when that was attempted last; None if never.
    """

    version: RecordedVersion
    catalogue: str
    basis: str = field(repr=False)
    tried: datetime | None


def identity(version: RecordedVersion) -> tuple[str, str | None]:
    """Return Collection and Item of the record of a version; no Item for a data version."""
    own = f"{version.name}-{version.version}"
    return (own, None) if version.is_data else (version.name, own)


def wanted(target: Target, version: RecordedVersion, row: Registration | None) -> State | None:
    """Return what a catalogue is to have of a version; None if nothing was ever to be there.

    Args:
        target: the catalogue.
        version: the version.
        row: its registration there.
    """
    if row is not None and row.withdrawn is not None:
        return State(row.withdrawn)
    least = target.declared.visible
    if Visibility.narrowest(version.visibility, least) == least:
        return State.REGISTERED
    return None if row is None else State.DEPRECATED


def due(
    target: Target,
    versions: Sequence[RecordedVersion],
    rows: Mapping[Key, Registration],
    attempts: Mapping[Key, RegistrationAttempt],
    moment: datetime | None,
) -> list[Due]:
    """Return what is to be registered with a catalogue now, what was not tried for longest first.

    While the catalogue fails, that is one version, until one succeeds; none as long as it asks to
    wait.

    Args:
        target: the catalogue.
        versions: with a record.
        rows: the registrations.
        attempts: to register.
        moment: the current time; None if whatever has failed is due, also what was refused.
    """
    never = datetime.min.replace(tzinfo=UTC)
    found = sorted(
        _due(target, versions, rows, attempts, moment), key=lambda each: each.tried or never
    )
    newest = _newest(target, attempts)
    if moment is None or newest is None or newest.error is None or newest.retry is None:
        return found
    if newest.retry > moment and newest.retry - newest.tried > _longest(newest.failures):
        return []
    return found[:1]


def _due(
    target: Target,
    versions: Sequence[RecordedVersion],
    rows: Mapping[Key, Registration],
    attempts: Mapping[Key, RegistrationAttempt],
    moment: datetime | None,
) -> Iterator[Due]:
    for version in versions:
        key = Key(target.name, version.name, version.version)
        state = wanted(target, version, rows.get(key))
        if state is None:
            continue
        basis = target.basis(version, state)
        attempt = attempts.get(key)
        if attempt is None or attempt.basis != basis:
            yield Due(version, target.name, basis, None if attempt is None else attempt.tried)
        elif attempt.failures and _is_over(attempt.retry, moment):
            yield Due(version, target.name, basis, attempt.tried)


def _is_over(retry: datetime | None, moment: datetime | None) -> bool:
    """Return whether the wait until a retry is over."""
    return moment is None or (retry is not None and retry <= moment)


def _newest(
    target: Target, attempts: Mapping[Key, RegistrationAttempt]
) -> RegistrationAttempt | None:
    """Return the newest attempt that has ended; None if there is none."""
    ended = [
        attempt
        for key, attempt in attempts.items()
        if key.catalogue == target.name and (attempt.error is not None or not attempt.failures)
    ]
    return max(ended, key=lambda attempt: attempt.tried, default=None)


def delay(failures: int, after: float | None = None) -> timedelta:
    """Return how long to wait before an attempt is repeated: longer each time, and never the same.

    Args:
        failures: attempts in a row that have failed.
        after: seconds that the catalogue asks to wait.
    """
    asked = min(timedelta(seconds=max(after or 0, 0)), MAX_AFTER)
    return max(_longest(failures) * random.uniform(0.5, 1), asked)  # nosec B311


def _longest(failures: int) -> timedelta:
    """Return the longest wait, unless a catalogue asks for a longer one."""
    return min(FIRST_RETRY * (1 << min(failures - 1, 20)), LAST_RETRY)
