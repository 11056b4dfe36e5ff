"""The published file of a day of the request log: found, verified, and its notes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.errors import IntegrityError, NameRefused
from mlops_assets.names import check_name
from mlops_assets.paths import INFERENCE, requests_key, segments_folder
from mlops_assets.registry.files.verified_read import stat_published
from mlops_assets.serving.request_log.spool import COUNTER
from mlops_assets.storage import FileStat
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

_METADATA = "mlops"


@dataclass(frozen=True)
class DayNotes:
    """Facts of a day that are not requests, in the metadata of its file.

    Attributes:
        dropped: id of a writer → requests that it has dropped.
        deleted: digests of requests that were deleted on demand, which stay left out.
    """

    dropped: Mapping[str, int] = field(default_factory=dict)
    deleted: frozenset[str] = frozenset()

    def joined(self, other: DayNotes) -> DayNotes:
        """Return both notes as one; of a writer the larger number of drops counts."""
        writers = sorted({*self.dropped, *other.dropped})
        dropped = {
            name: max(self.dropped.get(name, 0), other.dropped.get(name, 0)) for name in writers
        }
        return DayNotes(dropped, self.deleted | other.deleted)

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the file."""
        document = {"dropped": dict(self.dropped), "deleted": sorted(self.deleted)}
        return {_METADATA: json.dumps(document, sort_keys=True)}

    @classmethod
    def of(cls, path: Path, key: str) -> DayNotes:
        """Return the notes of a file.

        Args:
            path: of the file.
            key: of the file, for messages.

        Raises:
            IntegrityError: it is not a file of the log.
        """
        try:
            document = json.loads((pq.read_schema(path).metadata or {})[_METADATA.encode()])
            return cls(
                {str(name): int(count) for name, count in document["dropped"].items()},
                frozenset(map(str, document["deleted"])),
            )
        except (pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{key} is not a day of the request log: {error!r}") from error


@dataclass(frozen=True)
class DayFile:
    """The published file of a day, as it was published.

    Attributes:
        file: key, checksum and size.
        path: of a local copy.
        notes: in its metadata.
    """

    file: FileStat
    path: Path
    notes: DayNotes


def check_day(day: str) -> str:
    """Return `day` if it is a day as `YYYY-MM-DD`.

    Raises:
        NameRefused: it is not.
    """
    try:
        found: str | None = date.fromisoformat(day).isoformat()
    except ValueError:
        found = None
    if day != found:
        raise NameRefused(f"day {day!r} must be written YYYY-MM-DD")
    return day


@contextmanager
def published_day(store: Store, model: str, day: str) -> Iterator[DayFile | None]:
    """Open the published file of a day, verified.

    A copy of a remote file is gone afterwards: requests that are deleted must not stay in caches.

    Yields:
        The file; None if there is none.

    Raises:
        IntegrityError: it is not as it was published.
        NameRefused: model or day cannot be one.
        StorageError: it is missing or cannot be read.
    """
    key = requests_key(check_name(model), check_day(day))
    recorded = next(iter(store.registry.files_at(key)), None)
    if recorded is None:
        yield None
        return
    file, found = stat_published(store.workspace, store.registry, recorded)
    if file.sha256 != found.sha256:
        raise IntegrityError(f"{key} is not as it was published; restore it from a backup")
    with ExitStack() as stack:
        if store.workspace.is_local:
            path = store.workspace.local_path(key)
        else:
            folder = stack.enter_context(scratch_folder("requests", store.workspace.cache))
            path = _taken(store, file, folder)
        yield DayFile(file, path, DayNotes.of(path, key))


def _taken(store: Store, file: FileStat, folder: Path) -> Path:
    """Move the copy of a remote file out of the cache into a folder; return its path."""
    while True:
        copy = store.workspace.local_path(file.path, file.sha256)
        # another process that reads the day may have just moved it
        with suppress(FileNotFoundError):
            return copy.replace(folder / copy.name)


def unmerged(store: Store, model: str, day: str) -> list[str]:
    """Return the keys of segments and counters that are not in the file of a day yet."""
    return sorted(store.workspace.list(segments_folder(check_name(model), check_day(day))))


def notes_of_counters(store: Store, keys: list[str]) -> DayNotes:
    """Return what writers have dropped, by their counters.

    Args:
        store: workspace and registry.
        keys: of segments and counters.
    """
    notes = DayNotes()
    for key in keys:
        if not key.endswith(COUNTER):
            continue
        try:
            counted = json.loads(store.workspace.get(key))
            notes = notes.joined(DayNotes({str(counted["writer"]): int(counted["dropped"])}))
        except (ValueError, KeyError, TypeError):  # cut short by a full disk
            continue
    return notes


def logged_days(store: Store, model: str) -> list[str]:
    """Return the days of which a model has logged requests, in a file or in segments, oldest first.

    Args:
        store: workspace and registry.
        model: name of the model.
    """
    folder = f"{INFERENCE}/{check_name(model)}"
    days = {key.split("/")[2] for key in store.workspace.list(folder) if key.count("/") > 2}
    return sorted(days)


def dropped_on(store: Store, model: str, day: str) -> int:
    """Return how many requests of a day were dropped by the log, as far as known.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: `YYYY-MM-DD`, UTC.
    """
    with published_day(store, model, day) as published:
        notes = DayNotes() if published is None else published.notes
    notes = notes.joined(notes_of_counters(store, unmerged(store, model, day)))
    return sum(notes.dropped.values())
