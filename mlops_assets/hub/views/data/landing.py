"""The landing of a dataset, compared with the newest version; files are listed, not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.datasets.sources import Landing, fingerprint, open_landing
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.errors import DataProblems, EmptyLanding, NotFound
from mlops_assets.hub.views.data.files.manifest_columns import asset_columns
from mlops_assets.hub.views.data.published import file_of
from mlops_assets.names import Reference
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

MAX_NAMED = 50  # files


@dataclass(frozen=True)
class NamedFile:
    """A file of a landing: path and bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class LandingView:
    """What has landed of a dataset, and is not in its newest version.

    Attributes:
        dataset: the dataset.
        url: of the landing.
        newest: the newest version; None if there is none.
        fingerprint: changes when a file is added, removed or changed; empty without files.
        files: number of files in the landing.
        size: of these, bytes.
        last_change: when a file last changed, if that is known.
        added: number of files whose path the newest version does not have; those that the layout
            does not read stay among them.
        added_size: of these, bytes.
        changed: number of files of the same path with other bytes.
        touched: number of files of the same path and size that were written again; only a preview
            reads whether their bytes differ.
        removed: number of files of the newest version that are not in the landing.
        first: the first of those added, by path.
        problems: what keeps it from being listed or committed; empty if nothing.
    """

    dataset: str
    url: str
    newest: str | None
    fingerprint: str = ""
    files: int = 0
    size: int = 0
    last_change: datetime | None = None
    added: int = 0
    added_size: int = 0
    changed: int = 0
    touched: int = 0
    removed: int = 0
    first: list[NamedFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether it differs from the newest version."""
        return bool(self.added or self.changed or self.touched or self.removed)


def landing(store: Store, declared: DeclaredDatasets, name: str) -> LandingView:
    """Return what has landed of a dataset.

    Args:
        store: has the newest version.
        declared: has the landing.
        name: of the dataset.

    Raises:
        NotFound: the dataset is not declared.
        SpecificationError: it is declared wrongly, or made from other data.
        StorageError: the landing cannot be listed.
    """
    specification = declared.with_landing(name)
    place = open_landing(store.workspace, specification.source)
    newest = _newest(store, name)
    version = newest.version if newest else None
    url = redacted(place.url)
    try:
        files = place.list()
    except EmptyLanding:
        removed = newest.files if newest else 0
        return LandingView(name, url, version, removed=removed)
    except DataProblems as error:
        return LandingView(name, url, version, problems=error.problems)
    return _compared(store, name, place, files, newest)


def landing_fingerprint(store: Store, declared: DeclaredDatasets, name: str) -> str:
    """Return the identity of what has landed of a dataset; errors are those of `landing`.

    Raises:
        EmptyLanding: nothing has landed.
    """
    place = open_landing(store.workspace, declared.with_landing(name).source)
    return fingerprint(place.list())


def _newest(store: Store, name: str) -> DataVersion | None:
    try:
        return store.registry.data_version(Reference(name))
    except NotFound:
        return None


def _compared(
    store: Store, name: str, place: Landing, files: Listing, newest: DataVersion | None
) -> LandingView:
    paths = pa.array(files.paths, pa.string())
    sizes = np.asarray(files.sizes)
    manifest = None if newest is None else file_of(store, newest, "manifest.parquet")
    changed = touched = removed = 0
    new = np.ones(len(files), dtype=bool)
    if newest is not None and manifest is not None:
        known, checksum, size = asset_columns(
            manifest.path(), ["file:local_path", "file:checksum", "file:size"]
        )
        at = pc.index_in(paths, value_set=known)
        new = pc.is_null(at).to_numpy(zero_copy_only=False)
        same = _unchanged(store, place, files)
        rows = at.filter(pc.is_valid(at)).to_numpy()
        committed = checksum.take(pa.array(rows)).to_pylist()
        for position, digest, was in zip(
            np.flatnonzero(~new).tolist(), committed, size.to_numpy()[rows].tolist(), strict=True
        ):
            stored = same.get(position)
            if sizes[position] != was:
                changed += 1
            elif stored is None:
                # one that was committed as soon as it was written cannot be recognised by its stamp
                modified = files[position].modified
                touched += modified is None or modified > newest.created.timestamp()
            elif f"{MULTIHASH_SHA256}{stored}" != digest:
                changed += 1
        removed = len(known) - len(rows)
    added = np.flatnonzero(new)
    last = files.last_change
    return LandingView(
        dataset=name,
        url=redacted(place.url),
        newest=newest.version if newest else None,
        fingerprint=fingerprint(files),
        files=len(files),
        size=int(sizes.sum()),
        last_change=None if last is None else datetime.fromtimestamp(last, UTC),
        added=len(added),
        added_size=int(sizes[added].sum()),
        changed=changed,
        touched=touched,
        removed=removed,
        first=[NamedFile(files.paths[i], files.sizes[i]) for i in added[:MAX_NAMED].tolist()],
    )


def _unchanged(store: Store, place: Landing, files: Listing) -> dict[int, str]:
    """Return the checksums of the files that were stored before, by their positions.

    They are recognised by path, size and stamp, as a commit does.
    """
    found = {}
    for path, size, stamp, sha256 in store.registry.landed(place.url):
        position = files.position(path)
        if position is not None and files.identity(position) == (size, stamp):
            found[position] = sha256
    return found
