"""The files that a backup has: all that the registry names at one moment, and logged requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from mlops_assets.paths import (
    INFERENCE,
    LOG_REPLACED,
    LOG_SEGMENT,
    object_key,
    pack_key,
    shared_of_key,
)
from mlops_assets.progress import each
from mlops_assets.registry.schema import Checkpoint, DataVersion, File, Run, Staged
from mlops_assets.store import Store
from mlops_assets.upkeep.needed import code_objects, manifest_files, run_objects


@dataclass(frozen=True)
class Wanted:
    """A file that a backup has.

    Attributes:
        key: in the workspace.
        sha256: that its bytes must have; None if any have to be taken.
        staged: key where they may be instead, as its publication was interrupted.
        optional: whether it may have been removed meanwhile.
    """

    key: str
    sha256: str | None = None
    staged: str | None = None
    optional: bool = False


def unrecorded(store: Store) -> Iterator[Wanted]:
    """Yield the files that no row has: logged requests, and entries of the log set aside.

    Copy them before the registry is read: requests that are published and removed meanwhile are in
    the file of their day then.
    """
    for key in store.workspace.list(INFERENCE):
        if LOG_SEGMENT.fullmatch(key):
            yield Wanted(key, optional=True)
    for key in store.workspace.list(LOG_REPLACED):
        yield Wanted(key)


def recorded(store: Store, connection: Connection) -> Iterator[Wanted]:
    """Yield the files that the registry names.

    Args:
        store: the workspace has the manifests, which are never replaced.
        connection: a transaction that reads everything as of one moment.
    """
    yield from _published(connection)
    yield from _objects(store, connection)
    for row in connection.execute(select(Checkpoint.path, Checkpoint.sha256)):
        yield Wanted(row.path, row.sha256, optional=True)


def elsewhere(connection: Connection) -> list[str]:
    """Return the keys of published files whose bytes are in another workspace."""
    paths = set(connection.scalars(select(File.path)))
    return sorted(path for path in paths if shared_of_key(path) in paths)


def _published(connection: Connection) -> Iterator[Wanted]:
    others = set(elsewhere(connection))
    rows = connection.execute(select(Staged.path, Staged.content))
    staged = {row.path: row.content for row in rows}
    for path, sha256 in connection.execute(select(File.path, File.sha256).order_by(File.path)):
        if path not in others:
            yield Wanted(path, sha256, staged.get(path))


def _objects(store: Store, connection: Connection) -> Iterator[Wanted]:
    """Yield the objects and packs of data versions and runs, each once."""
    seen: set[str] = set()
    runs = connection.execute(select(Run.environment, Run.code))
    named = {name for environment, code in runs for name in run_objects(environment, code)}
    versions = connection.execute(select(DataVersion.dataset, DataVersion.version)).all()
    for dataset, version in each("reading manifests", versions, "manifests"):
        files = manifest_files(store, dataset, version)
        named.update(code_objects(store, dataset, version))
        for pack in files["pack"].dropna().unique():
            key = pack_key(pack)
            if key not in seen:
                seen.add(key)
                yield Wanted(key, pack)
        for sha256 in files.loc[files["pack"].isna(), "sha256"].unique():
            if (key := object_key(sha256)) not in seen:
                seen.add(key)
                yield Wanted(key, sha256)
    for sha256 in sorted(named):
        if (key := object_key(sha256)) not in seen:
            yield Wanted(key, sha256)
