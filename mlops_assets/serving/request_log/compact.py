"""A day of the request log as one published file, made of the segments that servers have written.

Segments are removed once the file that has their rows is published, so that no request is lost or
there twice, whenever the process is killed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import check_name
from mlops_assets.paths import inference_owner, requests_key
from mlops_assets.principals import Role
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.model_documents import Signature
from mlops_assets.registry.session import record_files
from mlops_assets.serving.request_log.day_file import (
    DayFile,
    DayNotes,
    check_day,
    notes_of_counters,
    published_day,
    unmerged,
)
from mlops_assets.serving.request_log.merge import write_merged
from mlops_assets.serving.request_log.sources import DaySource, SegmentSource, Source
from mlops_assets.serving.request_log.spool import SEGMENT, ship_left_overs
from mlops_assets.storage import FileStat
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store


def compact_day(store: Store, model: str, day: str) -> FileStat | None:
    """Publish the logged requests of a day in one file.

    It can be called again when there are more, also on the day itself.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: `YYYY-MM-DD`, UTC.

    Returns:
        The published file; None if there are no requests.

    Raises:
        Conflict: another process is compacting the day and does not end.
        Forbidden: the principal is not a scientist.
        IntegrityError: the file that is there is not as it was published.
        NameRefused: model or day cannot be one.
        StorageError: the workspace cannot be read or written.
    """
    store.registry.principal.require(Role.SCIENTIST, "compact the request log")
    ship_left_overs(store.workspace)
    return rewrite_day(store, model, day)


def day_lock(store: Store, model: str, day: str) -> AbstractContextManager[None]:
    """Return the lock under which the file of a day is replaced."""
    return store.registry.lock(f"requests of {check_name(model)} on {check_day(day)}")


def rewrite_day(
    store: Store,
    model: str,
    day: str,
    deleted: frozenset[str] = frozenset(),
    action: str = "publish logged requests",
    role: Role = Role.SCIENTIST,
) -> FileStat | None:
    """Publish the file of a day with what is in its segments, and without some requests.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: `YYYY-MM-DD`, UTC.
        deleted: digests of requests that are left out from now on.
        action: as logged.
        role: required of the principal.

    Returns:
        The published file; None if there are no requests.
    """
    with day_lock(store, model, day), published_day(store, model, day) as before:
        segments = unmerged(store, model, day)
        if not segments and (before is None or deleted <= before.notes.deleted):
            return None if before is None else before.file
        notes = notes_of_counters(store, segments).joined(DayNotes(deleted=deleted))
        if before is not None:
            notes = notes.joined(before.notes)
        with scratch_folder("requests", store.workspace.cache) as folder:
            merged = folder / "requests.parquet"
            _merge(store, model, before, segments, notes, merged)
            with publication(store.workspace, store.registry, role) as publishing:
                file = publishing.put(requests_key(model, day), merged)
                with store.registry.transaction(action, role) as session:
                    record_files(session, inference_owner(model, day), publishing.files)
        for key in segments:
            store.workspace.remove(key)
    return file


def _merge(
    store: Store,
    model: str,
    before: DayFile | None,
    segments: list[str],
    notes: DayNotes,
    merged: Path,
) -> None:
    """Write the rows of all files into one.

    Raises:
        StorageError: it cannot be written.
    """
    with ExitStack() as stack:
        sources: list[Source] = []
        if before is not None:
            sources.append(DaySource(before.path, before.file.path, stack))
        for key in segments:
            if key.endswith(SEGMENT):
                path = _local(store, key, merged.parent)
                sources.append(SegmentSource(path, key, stack))
        try:
            write_merged(
                merged, sources, _signatures(store, model), notes.metadata(), notes.deleted
            )
        except OSError as error:
            raise StorageError(
                f"the logged requests of {model} could not be written to {merged}: {error}; free"
                " space there, or set MLOPS_CACHE to another folder"
            ) from error


def _local(store: Store, key: str, folder: Path) -> Path:
    """Return a local path of a segment."""
    if store.workspace.is_local:
        return store.workspace.local_path(key)
    path = folder / key.rpartition("/")[2]
    path.write_bytes(store.workspace.get(key))
    return path


def _signatures(store: Store, model: str) -> dict[str, Signature]:
    """Return model version → its signature, of those whose signature is valid."""
    found = {}
    for row in store.registry.unrestricted().model_versions(model):
        try:
            found[row.version] = Signature.of(row)
        except IntegrityError:  # 'mlops verify' reports it
            continue
    return found
