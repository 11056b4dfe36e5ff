"""What a data version changed against another: files and bytes, from the columns of manifests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mlops_assets.hub.views.data.files.manifest_columns import KeptBytes, identities, kept_bytes
from mlops_assets.hub.views.data.published import PublishedFile, file_of, required_file
from mlops_assets.names import Reference
from mlops_assets.store import Store

MANIFEST = "manifest.parquet"


@dataclass(frozen=True)
class FileDelta:
    """The files of a data version against those of the one before, matched by path and checksum.

    Attributes:
        added: files of a path that the version before does not have.
        removed: files of a path that this version does not have.
        changed: files of the same path with other bytes.
        new_bytes: bytes that the version before does not have, equal files counted once.
    """

    added: int
    removed: int
    changed: int
    new_bytes: int


@dataclass(frozen=True)
class VersionChanges:
    """What a data version changed, and where its bytes are.

    Attributes:
        reference: `dataset@version`.
        before: the version before that the caller may see; None for the first.
        files: against that version.
        kept: where its bytes are.
    """

    reference: str
    before: str | None
    files: FileDelta
    kept: KeptBytes


def version_changes(store: Store, reference: Reference) -> VersionChanges:
    """Return what a data version changed against the one before.

    Raises:
        NotFound: there is no such version.
        IntegrityError: a manifest is not as it was published.
    """
    row = store.registry.data_version(reference)
    before = store.registry.data_version_before(row)
    after_file = required_file(store, row, MANIFEST)
    before_file = None if before is None else file_of(store, before, MANIFEST)
    return VersionChanges(
        f"{row.dataset}@{row.version}",
        before.version if before else None,
        _delta(after_file, before_file),
        _kept(after_file),
    )


# two versions of a page are compared, and pages are turned back
@lru_cache(maxsize=4096)
def _delta(after: PublishedFile, before: PublishedFile | None) -> FileDelta:
    new = identities(after.path())
    if before is None:
        _, first = np.unique(new.contents, return_index=True)
        return FileDelta(len(new.paths), 0, 0, int(new.sizes[first].sum()))
    old = identities(before.path())
    place = np.searchsorted(old.paths, new.paths)
    place[place == len(old.paths)] = 0
    known = old.paths[place] == new.paths if len(old.paths) else np.zeros(len(new.paths), bool)
    changed = known & (old.contents[place] != new.contents) if len(old.paths) else known
    contents, first = np.unique(new.contents, return_index=True)
    fresh = ~np.isin(contents, old.contents)
    return FileDelta(
        added=int((~known).sum()),
        removed=len(old.paths) - int(known.sum()),
        changed=int(changed.sum()),
        new_bytes=int(new.sizes[first][fresh].sum()),
    )


@lru_cache(maxsize=1024)
def _kept(manifest: PublishedFile) -> KeptBytes:
    return kept_bytes(manifest.path())
