"""Make damaged packs again, byte for byte, from their entries.

Where some entries are lost, the others are stored by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.versions.manifest import PACKED_FILES, packed_files
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import pack_key, version_folder
from mlops_assets.progress import each, step
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.packs import HEADER, Pack, whole_entries
from mlops_assets.storage.stores import is_missing
from mlops_assets.text.listing import named

_AT_ONCE = 2  # packs that are read
_ENTRY = ["pack", "offset", "sha256", "size"]


class Repaired(NamedTuple):
    """The files with the places of their bytes as they are now, and notes for people."""

    stored: pd.DataFrame
    notes: list[str]


class _Entry(NamedTuple):
    """An object in a pack: checksum, size if known, and a file that has these bytes."""

    sha256: str
    size: int | None
    file: str


def repair_packs(
    registry: Registry,
    landed: Landed,
    files: Listing,
    stored: pd.DataFrame,
    dataset: str,
    all_versions: bool,
) -> Repaired:
    """Compare packs with their checksums, and make those again that are damaged or missing.

    The bytes of an entry come from the pack itself, the landing, or a single object. A pack of
    which some are lost stays as it is; what else it has lost is stored as single objects, which
    readers take instead.

    Args:
        registry: its manifests and its index state which objects a pack has.
        landed: the landing.
        files: those that belong to the data version.
        stored: their sha256, size, href, pack and offset.
        dataset: its name.
        all_versions: compare the packs of all its versions, not only those with some of the files.

    Raises:
        StorageError: a pack that is there cannot be read, or something cannot be stored.
    """
    repair = _Repair(registry, landed, files, stored)
    packs = set(stored["pack"].dropna().tolist())
    for version in registry.data_versions(dataset):
        table = repair.packed(version)
        if not all_versions:
            table = table.filter(pc.is_in(table["sha256"], pa.array(stored["sha256"], pa.string())))
        packs.update(table["pack"].unique().to_pylist())
    damaged = _damaged(landed.workspace, sorted(packs))
    if not damaged:
        return Repaired(stored, [])
    entries = repair.entries(damaged)
    for pack in each("making damaged packs again", damaged, "packs"):
        repair.repair(pack, entries.filter(pc.equal(entries["pack"], pack)))
    return Repaired(repair.stored, repair.notes())


def _damaged(workspace: Workspace, packs: Sequence[str]) -> list[str]:
    """Return the packs that are missing or have other bytes.

    Raises:
        StorageError: a pack that is there cannot be read.
    """
    with (
        step("comparing packs", len(packs), "packs") as done,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def is_damaged(pack: str) -> bool:
            try:
                found = workspace.stat(pack_key(pack))
            except StorageError as error:
                if not is_missing(error.__cause__):
                    raise
                return True
            done.advance(size=found.size)
            return found.sha256 != pack

        return [pack for pack, bad in zip(packs, pool.map(is_damaged, packs), strict=True) if bad]


class _Repair:
    """Repairs packs one by one, of which one is in memory."""

    def __init__(
        self, registry: Registry, landed: Landed, files: Listing, stored: pd.DataFrame
    ) -> None:
        self.stored = stored
        self._registry = registry
        self._workspace = landed.workspace
        self._landed = landed
        self._files = files
        self._made = 0
        self._lost: list[str] = []
        self._unknown: list[str] = []

    def packed(self, version: DataVersion) -> pa.Table:
        """Return `PACKED_FILES` of a data version; none if its manifest is damaged."""
        key = f"{version_folder(version.dataset, version.version)}/manifest.parquet"
        try:
            return packed_files(read_published(self._workspace, self._registry, key))
        except (StorageError, IntegrityError):  # which verification reports
            return PACKED_FILES.empty_table()

    def entries(self, packs: Sequence[str]) -> pa.Table:
        """Return the entries of packs that any manifest names, each with one file that has it."""
        wanted = pa.array(packs, pa.string())
        found = PACKED_FILES.empty_table()
        for version in self._registry.data_versions():
            table = self.packed(version)
            table = table.filter(pc.is_in(table["pack"], wanted))
            name = f"{version.dataset}@{version.version}"
            paths = pc.binary_join_element_wise(name, table["path"], ": ")
            table = pa.concat_tables([found, table.set_column(0, "path", paths)])
            first = table.group_by(_ENTRY, use_threads=False).aggregate([("path", "first")])
            found = first.rename_columns([*_ENTRY, "path"]).select(PACKED_FILES.names)
        return found

    def repair(self, pack: str, rows: pa.Table) -> None:
        """Make one pack again if all entries can be had, else store single objects.

        Args:
            pack: its sha256 (hex).
            rows: of `entries`.
        """
        content = self._content(pack)
        made = Pack()
        wrong: list[str] = []  # entries that are not whole in the pack
        lost: list[_Entry] = []
        for offset, entry in self._in_order(pack, content, rows):
            own = content[offset : None if entry.size is None else offset + entry.size]
            if sha256_of(own) != entry.sha256:
                wrong.append(entry.sha256)
                found = self._elsewhere(entry.sha256)
                if found is None:
                    lost.append(entry)
                    continue
                own = found
            made.add(entry.sha256, own)
        if not lost and made.sha256() == pack:
            self._workspace.put_pack(made, anew=True)
            self._made += 1
            return
        made.close()
        self._lost += [entry.file for entry in lost]
        if not lost:
            self._unknown.append(pack)
        self._store_singly(wrong)

    def _content(self, pack: str) -> bytes:
        try:
            return self._workspace.get(pack_key(pack))
        except StorageError as error:
            if not is_missing(error.__cause__):
                raise
            return b""

    def _in_order(self, pack: str, content: bytes, rows: pa.Table) -> list[tuple[int, _Entry]]:
        """Return all that is known of the entries of a pack, by offset.

        What no manifest names is of commits that were interrupted.
        """
        found: dict[int, _Entry] = {
            row["offset"]: _Entry(row["sha256"], row["size"], row["path"])
            for row in rows.to_pylist()
        }
        unnamed = f"a file that no data version names, of {pack_key(pack)}"
        for offset, (sha256, size) in whole_entries(content).items():
            found.setdefault(offset, _Entry(sha256, size, unnamed))
        index = self._registry.entries_of(pack)
        next_offsets = dict(pairwise(sorted({*found, *index})))
        for offset in index.keys() - found.keys():
            after = next_offsets.get(offset)
            space = None if after is None else after - HEADER - offset
            found[offset] = _Entry(index[offset], space, unnamed)
        return sorted(found.items())

    def _elsewhere(self, sha256: str) -> bytes | None:
        """Return the bytes of an object from the landing, or as a single object."""
        content = self._from_landing(sha256)
        if content is not None:
            return content
        try:
            return self._workspace.get_object(sha256)
        except IntegrityError:
            return None
        except StorageError as error:
            if not is_missing(error.__cause__):
                raise
            return None

    def _from_landing(self, sha256: str) -> bytes | None:
        number = self._numbers.get(sha256)
        if number is None:
            return None
        file = self._files[number]
        content = self._landed.content(file)
        if sha256_of(content) != sha256:
            raise StorageError(
                f"{file.path} changed while it was being stored; wait until it is settled and try"
                " again"
            )
        return content

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        """Numbers of the landed files, by their checksums."""
        sha256s = self.stored["sha256"]
        own = self.stored["href"].isna()
        return dict(zip(sha256s[own].tolist(), own.index[own].tolist(), strict=True))

    def _store_singly(self, sha256s: Sequence[str]) -> None:
        """Store objects of a damaged pack by themselves, as far as they have landed."""
        for sha256 in sha256s:
            content = self._from_landing(sha256)
            if content is not None:
                self._workspace.put_object(content, anew=True)
        self._registry.forget_packed(sha256s)
        moved = self.stored["sha256"].isin(sha256s)
        places = {name: self.stored[name].mask(moved) for name in ("pack", "offset")}
        self.stored = self.stored.assign(**places)

    def notes(self) -> list[str]:
        """Return what has been done, and what could not be."""
        notes = []
        if self._made:
            notes.append(f"{self._made} damaged pack(s) made again, byte for byte")
        if self._lost:
            notes.append(
                f"{len(self._lost)} file(s) of damaged packs are lost, as their bytes are neither"
                f" in the landing nor elsewhere: {named(self._lost)}; land them and commit with"
                " --rehash, or restore the packs from a backup"
            )
        if self._unknown:
            keys = named([pack_key(pack) for pack in self._unknown])
            notes.append(
                f"{len(self._unknown)} damaged pack(s) could not be made again, as not all that was"
                f" in them is known: {keys}; their files are single objects now; restore them from"
                " a backup for other readers"
            )
        return notes
