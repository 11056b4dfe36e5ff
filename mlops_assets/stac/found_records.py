"""Records that the STAC API does not find yet: of workspaces made before it, and after `reindex`.

Publishing a record adds it in its own transaction, so that there are none otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from mlops_assets.errors import Conflict, IntegrityError, StorageError
from mlops_assets.paths import CATALOG, PRIVATE
from mlops_assets.principals import Role
from mlops_assets.registry import Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.records.rows import RecordRow, published_rows, write_records
from mlops_assets.registry.schema import ExternalRecord, File, StacCollection, StacItem
from mlops_assets.storage import Workspace

log = logging.getLogger(__name__)

_AT_ONCE = 500


def add_published(workspace: Workspace, registry: Registry) -> int:
    """Add the published records that are not found yet; return how many there were.

    Raises:
        StorageError: the registry cannot be read or written.
    """
    with registry.reading() as session:
        missing = _missing(session)
    for first in range(0, len(missing), _AT_ONCE):
        rows = _rows(
            missing[first : first + _AT_ONCE],
            lambda key: read_published(workspace, registry, key),
        )
        with registry.transaction("add records", Role.VIEWER) as session:
            _write(session, rows)
    return len(missing)


def restore_records(session: Session, workspace: Workspace) -> None:
    """Add all records of a registry that is being rebuilt, within its transaction."""
    missing = _missing(session)
    for first in range(0, len(missing), _AT_ONCE):
        _write(session, _rows(missing[first : first + _AT_ONCE], workspace.get))
    # the Collection of each first
    rows = select(ExternalRecord).order_by(ExternalRecord.collection, ExternalRecord.id)
    documents = (
        row.document for row in session.scalars(rows.execution_options(yield_per=_AT_ONCE))
    )
    write_records(session, [RecordRow(document) for document in documents])


def _missing(session: Session) -> list[str]:
    """Return the keys of published records whose rows are missing, or of another content."""
    files = select(File.path, File.sha256).where(
        or_(File.path.startswith(f"{CATALOG}/"), File.path.startswith(f"{PRIVATE}/")),
        File.path.not_like("%/catalog.json"),
        File.path.not_like("%/training-dml.json"),
    )
    known: dict[str | None, str | None] = {}
    for table in (StacCollection, StacItem):
        known |= {row.key: row.sha256 for row in session.execute(select(table.key, table.sha256))}
    published = {row.path: row.sha256 for row in session.execute(files)}
    # of the Collections that a model may have in either catalogue, the other one is found
    twins = {f"{PRIVATE}{path.removeprefix(CATALOG)}" for path in published}
    return [
        path
        for path, sha256 in published.items()
        if known.get(path) != sha256 and path not in twins
    ]


def _rows(keys: Iterable[str], read: Callable[[str], bytes]) -> list[RecordRow]:
    found: list[RecordRow] = []
    for key in keys:
        try:
            found += published_rows({key: read(key)})
        except (IntegrityError, StorageError, ValueError) as error:
            log.warning("the STAC API does not find %s: %s", key, error)
    return found


def _write(session: Session, rows: list[RecordRow]) -> None:
    collections = [row for row in rows if row.document["type"] == "Collection"]
    for row in collections:
        try:
            write_records(session, [row])
        except Conflict as error:
            log.warning("the STAC API does not find %s: %s", row.key, error)
    write_records(session, [row for row in rows if row not in collections])
