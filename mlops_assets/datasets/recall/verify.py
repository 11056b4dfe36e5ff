"""Verify every byte behind a data version against its publication.

Nothing is repaired; `commit` with `rehash` stores landed files and damaged packs again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from mlops_assets.datasets.recall.ancestry import ancestors, hidden_inputs, input_problems
from mlops_assets.datasets.recall.objects import StoredBytes, StoredFile, grouped, stored_files
from mlops_assets.datasets.recall.parallel import in_groups
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.decoded_cache import damaged_splits
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import IntegrityError, NotFound, StorageError, StorageUnreachable
from mlops_assets.names import Reference
from mlops_assets.paths import data_owner, pack_key, record_owner
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.files.verified_read import stat_published
from mlops_assets.registry.log.chain import kept
from mlops_assets.registry.log.replay import UNREADABLE, attempt, guarded, same
from mlops_assets.registry.log.verify import verify_log
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import is_missing

# missing: does not exist; size: of another length; changed: of that length, but other bytes;
# unreadable: the store refuses; digest: the manifest is whole, but does not match the registry;
# registry: a row or an entry of the log was changed, added or deleted
Fault = Literal["missing", "size", "changed", "unreadable", "digest", "registry"]

_Problem = tuple[Fault, str]  # with a description
_Checked = tuple[StoredFile, _Problem | None, int]  # with the number of bytes that were read
_Bytes = tuple[str, str | None, str | None]  # sha256, URL and pack: what is read once

_IN_DOCUMENT = {"dataset", "version", "specification", "created", "created_by"}


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was published.

    Attributes:
        path: the landed file, or the document or pack in the workspace.
        fault: what is wrong with it.
        detail: description, with the expected location of the bytes.
    """

    path: str
    fault: Fault
    detail: str


@dataclass
class DataVerification:
    """The files read again, and what is wrong. `size` is in bytes, of what could be read.

    `hidden` has the inputs that the principal may not see, which were not read.
    """

    reference: str
    documents: int
    files: int
    size: int
    damages: list[Damage]
    hidden: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True if everything is as it was published."""
        return not self.damages


def verify(workspace: Workspace, registry: Registry, reference: Reference) -> DataVerification:
    """Read the documents, records, files and cache of a data version again.

    Files that are kept by reference are read, too, and so are the data versions that it was made
    from. The registry's log is replayed, and compared with all its tables and with its mirror.

    Args:
        workspace: where the bytes are.
        registry: what was published.
        reference: the data version.

    Raises:
        NotFound: no such data version.
    """
    log = verify_log(workspace, registry)
    damages = [Damage("registry", "registry", problem) for problem in log.problems]
    try:
        row = registry.data_version(reference)
        read = _read_version(workspace, registry, row)
    except (NotFound, StorageError, *UNREADABLE):
        if log.problems:
            return DataVerification(str(reference), 0, 0, 0, damages)
        raise
    name = f"{row.dataset}@{row.version}"
    problems: list[str] = []
    inputs = attempt(
        problems, f"what {name} was made from", lambda: ancestors(workspace, registry, row)
    )
    damages += [Damage(name, "registry", problem) for problem in problems]
    read.hidden = hidden_inputs(workspace, registry, [row, *inputs])
    for version in inputs:
        of_input = _read_version(workspace, registry, version)
        read.documents += of_input.documents
        read.files += of_input.files
        read.size += of_input.size
        read.damages += [
            replace(damage, path=f"{of_input.reference}: {damage.path}")
            for damage in of_input.damages
        ]
    read.damages[:0] = damages
    return read


def _read_version(workspace: Workspace, registry: Registry, row: DataVersion) -> DataVerification:
    """Read the documents, records, files and cache of one data version again."""
    name = f"{row.dataset}@{row.version}"
    damages: list[Damage] = []
    documents = registry.files(
        data_owner(row.dataset, row.version), record_owner(row.dataset, row.version)
    )
    size = 0
    for published in documents:
        try:
            document, found = stat_published(workspace, registry, published)
        except StorageError as error:
            damages.append(Damage(published.path, _unread(error), str(error)))
            continue
        size += found.size
        if found.sha256 != document.sha256:
            fault: Fault = "changed" if found.size == document.size else "size"
            damages.append(
                Damage(
                    document.path,
                    fault,
                    f"{workspace.where(document.path)} is not as it was published",
                )
            )
    read = DataVerification(name, len(documents), 0, size, damages)
    problems = guarded(name, lambda: _content_problems(workspace, registry, row, read))
    damages += [Damage(name, "registry", problem) for problem in problems]
    return read


def _content_problems(
    workspace: Workspace, registry: Registry, row: DataVersion, read: DataVerification
) -> Iterator[str]:
    """Read the files and add to `read`.

    Yield how the row of the data version differs from its documents.
    """
    try:
        committed = CommittedDataset.open(workspace, registry, Reference(row.dataset, row.version))
    except (StorageError, IntegrityError):  # reported already, as it is one of the documents
        return
    files = stored_files(committed.manifest)
    damages, size = damaged_files(workspace, files, f"reading {read.reference}")
    read.files = len(files)
    read.size += size
    read.damages += damages + _digest_damages(committed, row) + cache_damages(committed)
    yield from row_problems(row, committed.document, committed.manifest, committed.samples)
    processing = committed.document.processing
    if processing is not None:
        yield from input_problems(registry, read.reference, processing)


def row_problems(
    row: DataVersion, document: VersionDocument, manifest: pd.DataFrame, samples: pd.DataFrame
) -> Iterator[str]:
    """Yield how the row of a data version differs from its documents.

    Its digest is compared elsewhere.
    """
    expected = {
        "number": int(document.version.removeprefix("v")),
        "files": len(manifest),
        "samples": len(samples),
        "size": int(manifest["size"].sum()),
        "counts": {name: int((samples["split"] == name).sum()) for name in SPLITS},
        **document.model_dump(mode="json", include=_IN_DOCUMENT, exclude_unset=True),
    }
    for name, value in expected.items():
        found = kept(getattr(row, name))
        if not same(found, value):
            yield (
                f"{row.dataset}@{row.version}: the registry has {name} {found!r}, its documents"
                f" have {value!r}"
            )


def damaged_files(
    workspace: Workspace, files: Sequence[StoredFile], what: str = "reading files"
) -> tuple[list[Damage], int]:
    """Read files of a data version again; bytes that several of them share are read once.

    A pack is read once and whole. If it is damaged, but no file among these, it is reported itself.

    Returns:
        What is wrong, in the order of the files, then of packs; and how many bytes were read.
    """
    content = StoredBytes(workspace)
    once = {_bytes_of(file): file for file in files}
    faults: dict[_Bytes, _Problem] = {}
    packs: dict[str | None, Damage] = {}
    read = 0

    def check(group: Sequence[StoredFile]) -> Iterable[_Checked]:
        if group[0].pack is None:
            return ((file, *_fault(content, file)) for file in group)
        checked, damage = _check_pack(content, group)
        if damage is not None:
            packs[group[0].pack] = damage
        return checked

    groups = grouped(once.values(), whole_from=0)
    for file, fault, size in in_groups(what, check, groups, content.threads):
        read += size
        if fault is not None:
            faults[_bytes_of(file)] = fault
            packs.pop(file.pack, None)
    damages = [
        Damage(file.path, *faults[_bytes_of(file)]) for file in files if _bytes_of(file) in faults
    ]
    return damages + sorted(packs.values(), key=lambda damage: damage.path), read


def cache_damages(committed: CommittedDataset) -> list[Damage]:
    """Compare what this machine has decoded of a data version with its files.

    Those are read again elsewhere.
    """
    try:
        damaged = damaged_splits(committed)
    except (StorageError, IntegrityError, ValueError):
        # of a file of the version, or of a format that is read no more
        return []
    return [
        Damage(
            str(path),
            "changed",
            f"{path} is not what the files of {committed.reference} hold; delete {path.parent}",
        )
        for path in damaged
    ]


def _bytes_of(file: StoredFile) -> _Bytes:
    return file.sha256, file.href, file.pack


def _fault(content: StoredBytes, file: StoredFile) -> tuple[_Problem | None, int]:
    where = content.where(file)
    local = content.local_path(file)
    if local is not None:
        try:
            size = os.stat(local).st_size  # noqa: PTH116  a Path costs more than the call
        except FileNotFoundError:
            return ("missing", f"{where} is missing"), 0
        except OSError as error:
            return ("unreadable", f"{where}: {error.strerror}"), 0
        if size != file.size:
            return ("size", f"{where} has {size} bytes, not {file.size}"), 0
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in content.chunks(file):
            digest.update(chunk)
            size += len(chunk)
    except StorageError as error:
        return (_unread(error), str(error)), size
    if size != file.size:
        return ("size", f"{where} has {size} bytes, not {file.size}"), size
    if digest.hexdigest() != file.sha256:
        return (
            "changed",
            f"{where} has sha256 {digest.hexdigest()[:12]}…, not {file.sha256[:12]}…",
        ), size
    return None, size


def _check_pack(
    content: StoredBytes, group: Sequence[StoredFile]
) -> tuple[list[_Checked], Damage | None]:
    """Return the outcome for each file of a pack, and what is wrong with the pack itself.

    A file is whole if its bytes are in the pack, or as a single object that repairs it.
    """
    where = content.where(group[0]).removesuffix(f"/{group[0].sha256}")
    unread = None
    size, digests = 0, [""] * len(group)
    try:
        sha256, size, digests = content.pack_digests(group)
        problem: _Problem | None = None
        if sha256 != group[0].pack:
            problem = "changed", f"{where} has sha256 {sha256[:12]}…"
    except StorageError as error:
        unread = problem = _unread(error), str(error)
        if isinstance(error, StorageUnreachable):
            return [(file, unread, 0) for file in group], None
    checked: list[_Checked] = []
    for file, digest in zip(group, digests, strict=True):
        if digest == file.sha256 or content.repaired(file) is not None:
            checked.append((file, None, file.size))
        else:
            checked.append((file, unread or _entry_problem(content, file, size, digest), 0))
    if problem is None:
        return checked, None
    fault, detail = problem
    remedy = (
        "all files of data versions in it can be read; 'mlops dataset commit NAME --rehash', of the"
        f" dataset that has {group[0].path}, makes it again for other readers"
    )
    return checked, Damage(pack_key(str(group[0].pack)), fault, f"{detail}; {remedy}")


def _entry_problem(content: StoredBytes, file: StoredFile, size: int, digest: str) -> _Problem:
    where = content.where(file)
    if file.offset + file.size > size:
        return "size", f"{where} is cut off, as the pack has only {size} bytes"
    return "changed", f"{where} has sha256 {digest[:12]}…, not {file.sha256[:12]}…"


def _unread(error: StorageError) -> Fault:
    return "missing" if is_missing(error.__cause__) else "unreadable"


def _digest_damages(committed: CommittedDataset, row: DataVersion) -> list[Damage]:
    """The digest in the registry must be that of the manifest and the samples."""
    document = committed.document
    digest = digest_of_documents(committed.manifest, committed.samples, document)
    if digest == row.digest == document.digest:
        return []
    detail = f"the registry has digest {row.digest[:12]}…, the manifest {digest[:12]}…"
    return [Damage(committed.reference, "digest", detail)]
