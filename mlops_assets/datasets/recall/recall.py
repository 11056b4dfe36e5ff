"""Write a data version back: its files, byte for byte, into a folder or a bucket.

`objects` reads the bytes, `destinations` writes them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlops_assets.datasets.diff.match_samples import among
from mlops_assets.datasets.recall.destinations import How, Target, open_target
from mlops_assets.datasets.recall.objects import (
    STREAMED_FROM,
    StoredBytes,
    StoredFile,
    grouped,
    stored_files,
)
from mlops_assets.datasets.recall.parallel import in_groups, in_parallel
from mlops_assets.datasets.sources.base import name_problem, printable
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import Conflict, IntegrityError, NotFound, SpecificationError

_LISTED = 100  # problems that are named in a message; more are counted


@dataclass(frozen=True)
class Recall:
    """The outcome of writing a data version back.

    Attributes:
        reference: `dataset@version`.
        target: the folder or URL.
        files: files that make up the version, or the part of it that was asked for.
        size: their bytes.
        samples: samples in them that were asked for.
        written: how many were written in which way: `cloned` (bytes shared until one side is
            written to), `linked` (hard link, read-only) or `copied`.
        kept: how many existed already with these bytes.
    """

    reference: str
    target: str
    files: int
    size: int
    samples: int
    written: dict[How, int]
    kept: int


def recall(
    committed: CommittedDataset,
    target: str | Path,
    splits: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    copy: bool = False,
    force: bool = False,
) -> Recall:
    """Write the landed files of a data version back under their names; nothing else is written.

    On a file system that can, a file shares its bytes with the workspace: as a clone, else as a
    read-only hard link. Of these the size is checked, as reading them all would take as long as
    copying; `verify` reads them. Files in packs are copied. Everything that is copied, down- or
    uploaded is hashed on the way. A recall that was interrupted is carried on by the next.

    Args:
        committed: the data version.
        target: a folder, or a URL: `file://`, `s3://`, `az://`, `gs://`.
        splits: only files that hold a sample of these splits, with the files that belong to them.
        classes: only files that hold a sample of these classes (names, or values in the data).
        copy: share no bytes with the workspace, so that the files can be written to.
        force: replace files of the same names that have other bytes.

    Raises:
        Conflict: the target has other files of the same names, or another recall is writing to it.
        IntegrityError: bytes in the workspace are missing or not those that were committed.
        NotFound: no sample is of these splits and classes.
        SpecificationError: no such split or class.
        StorageError: the target cannot be written, or is in the workspace.
    """
    rows, samples = selected_files(committed, splits, classes)
    files = stored_files(rows)
    content = StoredBytes(committed.workspace)
    place = open_target(committed.workspace, str(target), content, copy)
    _refuse_names(committed, files)
    _require_objects(committed, content, files)
    todo = _missing(committed, place, files, force)
    written: Counter[How] = Counter()
    with place.writing():
        wrong: list[str] = []
        what = f"writing {committed.reference}"

        def write(group: Sequence[StoredFile]) -> Iterator[How | None]:
            for file, chunks in content.read(group):
                try:
                    yield place.write(file, chunks)
                except IntegrityError:
                    wrong.append(f"{file.path}: {content.where(file)} is not as it was published")
                    yield None

        outcomes = in_groups(what, write, grouped(todo, whole_from=STREAMED_FROM), place.threads)
        written.update(how for how in outcomes if how is not None)
    if wrong:
        raise _damaged(
            committed,
            wrong,
            f"{len(files) - len(wrong)} of {len(files)} files are in {place.where}",
        )
    kept = len(files) - len(todo)
    return Recall(
        committed.reference,
        place.where,
        len(files),
        int(rows["size"].sum()),
        samples,
        dict(written),
        kept,
    )


def selected_files(
    committed: CommittedDataset,
    splits: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, int]:
    """Return the manifest rows of files that hold at least one sample of these splits and classes.

    With a file go all files of its scene, and label files and sidecars that belong to no scene in
    particular.

    Returns:
        The rows, and how many samples were asked for.

    Raises:
        NotFound: no such sample.
        SpecificationError: no such split or class.
    """
    manifest, samples = committed.manifest, committed.samples
    if not splits and not classes:
        return manifest, len(samples)
    wanted = pd.Series(True, index=samples.index)
    if splits:
        unknown = sorted(set(splits) - set(SPLITS))
        if unknown:
            raise SpecificationError(
                f"{', '.join(unknown)}: no such split; choose from {', '.join(SPLITS)}"
            )
        wanted &= samples["split"].isin(splits)
    if classes:
        wanted &= samples["label"].astype(str).isin(_class_values(committed, classes))
    if not wanted.any():
        asked = " and ".join(" or ".join(names) for names in (splits, classes) if names)
        raise NotFound(
            f"{committed.reference} has no sample of {asked}; see 'mlops dataset show"
            f" {committed.reference}'"
        )
    held = among(manifest["path"], samples.loc[wanted, "path"])
    same_scene = among(manifest["scene"], manifest.loc[held, "scene"].dropna())
    shared = manifest["scene"].isna() & manifest["role"].isin(["labels", "sidecar", "catalog"])
    return manifest[held | same_scene | shared], int(wanted.sum())


def _class_values(committed: CommittedDataset, names: Sequence[str]) -> set[str]:
    """Return the values, as text, of classes given by name or value."""
    if committed.classes is None:
        raise SpecificationError(
            f"the label of {committed.reference} is a number; it has no classes to choose"
        )
    if committed.samples["label"].isna().all():
        raise SpecificationError(
            f"windows of {committed.reference} hold many classes each; choose by split only"
        )
    values = {
        alias: str(entry["value"])
        for entry in committed.classes
        for alias in (str(entry["value"]), entry["name"])
    }
    unknown = [name for name in names if name not in values]
    if unknown:
        known = ", ".join(entry["name"] for entry in committed.classes)
        raise SpecificationError(
            f"{', '.join(unknown)}: no such class in {committed.reference}, which has {known}"
        )
    return {values[name] for name in names}


def _refuse_names(committed: CommittedDataset, files: Sequence[StoredFile]) -> None:
    """Check the names again, whoever wrote the manifest: none may lead out of the target."""
    problems = [
        f"{printable(file.path)}: {problem}"
        for file in files
        if (problem := name_problem(file.path))
    ]
    if problems:
        raise IntegrityError(
            f"the manifest of {committed.reference} cannot be written back:\n{_listed(problems)}"
        )


def _require_objects(
    committed: CommittedDataset, content: StoredBytes, files: Sequence[StoredFile]
) -> None:
    """Check that local objects and packs exist and have their size.

    Those in a bucket are checked when they are read.
    """
    packs: dict[str, int | str] = {}
    problems = [
        f"{file.path}: {problem}"
        for file in files
        if (problem := _size_problem(content, file, packs)) is not None
    ]
    if problems:
        raise _damaged(committed, problems, "nothing was written")


def _size_problem(
    content: StoredBytes, file: StoredFile, packs: dict[str, int | str]
) -> str | None:
    """Return why a local object cannot be read, by the size of its file; `packs` keeps theirs."""
    path = content.local_path(file)
    if path is not None:
        size = _size(path)
        expected = f"not {file.size}"
        whole = size == file.size
    else:
        path = content.local_pack(file)
        if path is None:
            return None
        if path not in packs:
            packs[path] = _size(path)
        size, end = packs[path], file.offset + file.size
        expected = f"and holds the file up to {end}"
        whole = (isinstance(size, int) and size >= end) or content.repaired(file) is not None
    if whole:
        return None
    return f"{path}: {size}" if isinstance(size, str) else f"{path} has {size} bytes, {expected}"


def _size(path: str) -> int | str:
    """Return the size of a file in bytes, or why it is not known."""
    try:
        return os.stat(path).st_size  # noqa: PTH116  a Path costs more than the call
    except OSError as error:
        return error.strerror or str(error)


def _missing(
    committed: CommittedDataset, place: Target, files: Sequence[StoredFile], force: bool
) -> list[StoredFile]:
    """Return the files that are to be written."""
    place.open(files)
    standing = list(
        in_parallel(f"comparing with {place.where}", place.standing, files, place.threads)
    )
    blocked = [file.path for file, found in zip(files, standing, strict=True) if found == "blocked"]
    different = [
        file.path for file, found in zip(files, standing, strict=True) if found == "different"
    ]
    if blocked or (different and not force):
        problems = [
            f"{path}: a folder, or a link on the way to it, is in the way; remove it"
            for path in blocked
        ]
        problems += [f"{path}: has other bytes" for path in different if not force]
        remedy = "name another place" + (
            ", or replace them with --force" if different and not force else ""
        )
        raise Conflict(
            f"{place.where} holds {len(problems)} other file(s) under names of"
            f" {committed.reference}; nothing was written; {remedy}:\n{_listed(problems)}"
        )
    return [
        file
        for file, found in zip(files, standing, strict=True)
        if found in ("absent", "different")
    ]


def _damaged(committed: CommittedDataset, problems: Sequence[str], outcome: str) -> IntegrityError:
    made = committed.document.processing
    again = "land them again and store them" if made is None else "have them made again"
    how = "--rehash" if made is None else f"--input {made.inputs[0].version}"
    return IntegrityError(
        f"{len(problems)} file(s) of {committed.reference} are not as they were committed;"
        f" {outcome}; restore them from a backup, or {again} by 'mlops dataset commit"
        f" {committed.row.dataset} {how}':\n{_listed(problems)}"
    )


def _listed(problems: Iterable[str]) -> str:
    ordered = sorted(problems)
    more = [f"… and {len(ordered) - _LISTED:,} more"] if len(ordered) > _LISTED else []
    return "\n".join(f"  - {problem}" for problem in ordered[:_LISTED] + more)
