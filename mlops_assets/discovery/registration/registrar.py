"""Registration of versions with all catalogues of a project, one version at a time.

A registration is compared with what it is to be, and brought there: repeating it does no harm, and
a process that is killed leaves nothing behind that the next attempt does not find. When that is, is
decided in `plan`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from mlops_assets.discovery.registration.arrival import Destination, delete, deprecate, register
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.credentials import credentials
from mlops_assets.discovery.registration.declaration import read_catalogues
from mlops_assets.discovery.registration.open_catalogue import open_catalogue
from mlops_assets.discovery.registration.outgoing import outgoing
from mlops_assets.discovery.registration.plan import Due, Target, delay, due, identity, wanted
from mlops_assets.errors import IntegrityError, NotFound, SettingsError
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion
from mlops_assets.registry.records import registrations as rows
from mlops_assets.registry.records.lookup import find_published, find_published_items
from mlops_assets.registry.records.registrations import Arrived, Key, RecordedVersion, State
from mlops_assets.registry.schema import Registration, RegistrationAttempt
from mlops_assets.registry.session import now
from mlops_assets.registry.store import version_key
from mlops_assets.settings import Settings
from mlops_assets.stac.found_records import add_published
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject

MAX_FAILURES = 3  # in a row, after which a catalogue is left for later


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt to register a version with a catalogue.

    Attributes:
        reference: of the version.
        catalogue: name of the catalogue.
        state: of the record there; None if nothing is to be there.
        url: of the record there.
        error: why it is not as it is to be there; None if it is.
        retry: when that is attempted again; None if only after a change.
        after: seconds that the catalogue asks to wait; None if it names none.
    """

    reference: str
    catalogue: str
    state: State | None
    url: str
    error: str | None = None
    retry: datetime | None = None
    after: float | None = None

    @property
    def is_there(self) -> bool:
        """Whether the catalogue has the record, deprecated or not."""
        return self.state in (State.REGISTERED, State.DEPRECATED)

    @property
    def summary(self) -> str:
        """What came of it, in a line."""
        subject = f"{self.reference} with {self.catalogue}"
        if self.error is None:
            return f"{subject}: {self.state or 'not visible enough'}"
        again = "a change" if self.retry is None else f"{self.retry:%Y-%m-%d %H:%M} UTC"
        return f"{subject}: {self.error} (tried again after {again})"


@dataclass(frozen=True)
class Listed:
    """A version that a catalogue has, or is to have.

    Attributes:
        reference: of the version.
        key: version and catalogue.
        url: of the record there.
        row: its registration; None if that was never attempted.
        attempt: the newest one.
    """

    reference: str
    key: Key
    url: str
    row: Registration | None
    attempt: RegistrationAttempt | None


@dataclass(frozen=True)
class Registrar:
    """Registers versions of a project with catalogues.

    Attributes:
        store: workspace and registry.
        targets: the catalogues.
        clock: returns the current time.
    """

    store: Store
    targets: Sequence[Target]
    clock: Callable[[], datetime] = now

    def due(self, retry: bool = False, names: Collection[str] | None = None) -> list[Due]:
        """Return what is to be registered now, of versions that the principal need not see.

        Args:
            retry: whatever has failed, also what was refused or is to be tried again later.
            names: of datasets and models; all by default.
        """
        registry = self.store.registry.unrestricted()
        versions = [
            version
            for version in rows.recorded_versions(registry)
            if names is None or version.name in names
        ]
        known, attempts = rows.registrations(registry), rows.attempts(registry)
        moment = None if retry else self.clock()
        return [
            each
            for target in self.targets
            for each in due(target, versions, known, attempts, moment)
        ]

    def state(self) -> str:
        """Return a text that changes with whatever registrations follow from."""
        entry = self.store.registry.newest_entry()
        declared = [(target.declared.model_dump_json(), target.files) for target in self.targets]
        number = 0 if entry is None else entry[0]
        return f"{number}:{hashlib.sha256(repr(declared).encode()).hexdigest()}"

    def has_retry(self) -> bool:
        """Return whether an attempt is to be repeated now."""
        names = [target.name for target in self.targets]
        retry = rows.next_retry(self.store.registry, names)
        return retry is not None and retry <= self.clock()

    def register_due(self, retry: bool = False) -> Iterator[Outcome]:
        """Register what is due; leave a catalogue that asks to wait or fails for later.

        Args:
            retry: whatever has failed, also what was refused or is to be tried again later.

        Yields:
            What came of each.
        """
        done: set[Due] = set()
        failures: Counter[str] = Counter()
        while left := [each for each in self.due(retry) if replace(each, tried=None) not in done]:
            for each in left:
                done.add(replace(each, tried=None))
                name = each.catalogue
                if failures[name] >= MAX_FAILURES:
                    continue
                outcome = self._register(self.target(name), each.version.name, each.version.version)
                failures[name] = failures[name] + 1 if outcome.retry is not None else 0
                if outcome.after:
                    failures[name] = MAX_FAILURES
                yield outcome

    def listing(self) -> list[Listed]:
        """Return what the catalogues have, and are to have, of the versions that one may see."""
        known, attempts = (
            rows.registrations(self.store.registry),
            rows.attempts(self.store.registry),
        )
        found = []
        for version in rows.recorded_versions(self.store.registry):
            for target in self.targets:
                key = Key(target.name, version.name, version.version)
                row = known.get(key)
                if wanted(target, version, row) is not None:
                    url = target.url(version)
                    found.append(Listed(version.reference, key, url, row, attempts.get(key)))
        return found

    def register_data_version(self, name: str, data_version: str) -> list[Outcome]:
        """Register a data version, or all versions of a model that were trained on it.

        Args:
            name: of the dataset or model.
            data_version: the version of the dataset, or of that of the model.

        Raises:
            Conflict: another process is registering a version of it and does not end.
            NotFound: there is no record yet.
            StorageError: workspace or registry cannot be read or written.
        """
        versions = [
            recorded.version
            for recorded in rows.recorded_versions(self.store.registry.unrestricted(), name)
            if recorded.data_version == data_version
        ]
        if not versions:
            raise _no_record(f"{name} on {data_version}")
        return [outcome for version in versions for outcome in self.register(name, version)]

    def register(self, name: str, version: str, catalogue: str | None = None) -> list[Outcome]:
        """Bring the registrations of a version to what they are to be, and compare them.

        An error of a catalogue, or of the record, is in the outcome, and is noted with when it is
        tried again.

        Args:
            name: of the dataset or model.
            version: of it.
            catalogue: name of the one catalogue; all by default.

        Raises:
            Conflict: another process is registering a version of it and does not end.
            NotFound: no catalogue has that name, or the version has no record.
            StorageError: workspace or registry cannot be read or written.
        """
        targets = self.targets if catalogue is None else [self.target(catalogue)]
        return [self._register(target, name, version) for target in targets]

    def withdraw(
        self,
        row: DataVersion | ModelVersion,
        catalogue: str,
        state: State,
        reason: str | None = None,
    ) -> Outcome:
        """Withdraw a version from a catalogue whatever its visibility, until it is readmitted.

        Args:
            row: the version.
            catalogue: name of the catalogue.
            state: that it is to have there, `deprecated` or `deleted`.
            reason: why, for the log.

        Raises:
            Forbidden: the principal is neither its creator nor an operator.
            NotFound: there is no such catalogue, or no record.
        """
        name, version = version_key(row)
        target = self.target(catalogue)
        url = target.url(self._recorded(name, version))
        self.store.registry.require_owner(row, f"withdraw {name}@{version} from {catalogue}")
        rows.withdraw(self.store.registry, Key(catalogue, name, version), state, reason, url)
        return self._register(target, name, version)

    def readmit(self, row: DataVersion | ModelVersion, catalogue: str) -> Outcome:
        """Register a version with a catalogue; its visibility decides again if it was withdrawn.

        Args:
            row: the version.
            catalogue: name of the catalogue.

        Raises:
            Forbidden: it was withdrawn, and the principal is neither its creator nor an operator.
            NotFound: there is no such catalogue, or no record.
        """
        name, version = version_key(row)
        target, key = self.target(catalogue), Key(catalogue, name, version)
        known, _ = rows.registration(self.store.registry, key)
        if known is not None and known.withdrawn is not None:
            action = f"register {name}@{version} with {catalogue} again"
            self.store.registry.require_owner(row, action)
            rows.readmit(self.store.registry, key)
        return self._register(target, name, version)

    def target(self, name: str) -> Target:
        """Return a catalogue.

        Raises:
            NotFound: none has that name.
        """
        found = [target for target in self.targets if target.name == name]
        if not found:
            names = ", ".join(target.name for target in self.targets)
            raise NotFound(f"there is no catalogue {name!r}; MLOPS_CATALOGUES declares {names}")
        return found[0]

    def _recorded(self, name: str, version: str) -> RecordedVersion:
        found = rows.recorded_versions(self.store.registry.unrestricted(), name, version)
        if not found:
            raise _no_record(f"{name}@{version}")
        return found[0]

    def _register(self, target: Target, name: str, version: str) -> Outcome:
        registry = self.store.registry
        key = Key(target.name, name, version)
        # one at a time of all that may have the same Collection
        with (
            step(f"registering {name}@{version} with {target.name}"),
            registry.lock(f"registration-{target.name}-{name}"),
        ):
            recorded = self._recorded(name, version)
            before, attempt = rows.registration(registry, key)
            state = wanted(target, recorded, before)
            url = target.url(recorded)
            if state is None:
                return Outcome(recorded.reference, target.name, None, url)
            basis = target.basis(recorded, state)
            again = attempt is not None and attempt.basis == basis
            failures = 1 + (attempt.failures if attempt is not None and again else 0)
            before = rows.begin(registry, key, self._attempt(key, basis, failures), url)
            outcome = Outcome(recorded.reference, target.name, State(before.state), url)
            try:
                arrived = self._bring(target, recorded, state, before)
            except IntegrityError as error:
                outcome = replace(outcome, error=str(error))
            except CatalogueError as error:
                retry = self.clock() + delay(failures, error.after) if error.temporary else None
                outcome = replace(outcome, error=str(error), retry=retry, after=error.after)
            else:
                rows.succeed(registry, key, arrived)
                return replace(outcome, state=arrived.state)
            rows.fail(registry, key, str(outcome.error), self.clock(), outcome.retry)
            return outcome

    def _attempt(self, key: Key, basis: str, failures: int) -> RegistrationAttempt:
        """Return an attempt that begins now, and is repeated if its process is killed."""
        moment = self.clock()
        return RegistrationAttempt(
            catalogue=key.catalogue,
            name=key.name,
            version=key.version,
            basis=basis,
            failures=failures,
            error=None,
            tried=moment,
            retry=moment + delay(failures),
        )

    def _bring(
        self, target: Target, recorded: RecordedVersion, state: State, before: Registration
    ) -> Arrived:
        """Bring the record of a version to the state that it is to have at a catalogue."""
        collection, item = identity(recorded)
        to = Destination(target.catalogue, target.url(recorded), collection, item)
        if state == State.DELETED:
            return delete(to)
        own = self._document(target, collection, None)
        items = partial(self._items, target, collection, item)
        if state == State.DEPRECATED:
            return deprecate(to, own, items)
        return register(to, own, items, before)

    def _document(self, target: Target, collection: str, item: str | None) -> JsonObject:
        """Return a Collection or Item as a catalogue is to have it."""
        store = self.store
        found = find_published(store.registry, collection, item, target.reader)
        if found is None:
            # of a workspace whose records no hub has served yet
            add_published(store.workspace, store.registry)
            found = find_published(store.registry, collection, item, target.reader)
        if found is None:
            raise IntegrityError(
                f"the record {item or collection} is published and cannot be read: run 'mlops"
                " verify', then record that version again"
            )
        return outgoing(found, target.addresses)

    def _items(self, target: Target, collection: str, item: str | None) -> Iterator[JsonObject]:
        """Return the Items of a data version, or that of a model version, one after the other."""
        if item is not None:
            return iter([self._document(target, collection, item)])
        found = find_published_items(self.store.registry, collection, target.reader)
        return (outgoing(record, target.addresses) for record in found)


def _no_record(subject: str) -> NotFound:
    return NotFound(f"{subject} has no record yet: materialise its asset record first")


def open_registrar(store: Store, settings: Settings) -> Registrar:
    """Return the registrar of a project; nothing is asked of its catalogues yet.

    Args:
        store: workspace and registry.
        settings: name the declaration of the catalogues.

    Raises:
        SettingsError: there is none, or it is invalid.
    """
    if settings.catalogues is None:
        raise SettingsError(
            "MLOPS_CATALOGUES is not set: let it name a YAML file with the catalogues; see"
            " docs/registration.md"
        )
    declared = read_catalogues(settings.catalogues)
    files = (declared.files or store.workspace.url).rstrip("/")
    return Registrar(
        store,
        [
            Target(each, open_catalogue(each, credentials(each)), files)
            for each in declared.catalogues
        ],
    )
