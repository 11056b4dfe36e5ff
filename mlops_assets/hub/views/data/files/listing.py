"""The files of a data version, in pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mlops_assets.hub.views.data.files.changes import MANIFEST
from mlops_assets.hub.views.data.files.manifest_columns import (
    ManifestFile,
    Order,
    SampleCounts,
    count_rows,
    matching_rows,
    paths_of_samples,
    read_rows,
    samples_of,
)
from mlops_assets.hub.views.data.published import PublishedFile, document_in, required_file
from mlops_assets.names import Reference
from mlops_assets.store import Store

FILES_A_PAGE = 50
MAX_FILES_A_PAGE = 1_000


@dataclass(frozen=True)
class FileQuery:
    """The files that are asked for.

    Attributes:
        text: that their paths contain, whatever the case.
        split: that they have a sample of, `left out` for none; None for any.
        label: name of a class that they have a sample of; None for any.
        order: of the files.
        page: from 1.
        rows: files a page.
    """

    text: str = ""
    split: str | None = None
    label: str | None = None
    order: Order = "path"
    page: int = 1
    rows: int = FILES_A_PAGE


@dataclass(frozen=True)
class VersionFile:
    """A file of a data version.

    Attributes:
        file: its row of the manifest.
        splits: split → samples in it; empty for files without samples of their own.
        labels: class → samples in it; of numbers their values are left out.
    """

    file: ManifestFile
    splits: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class FilesView:
    """A page of the files of a data version.

    Attributes:
        reference: `dataset@version`.
        files: number of all.
        matching: number of those that are asked for.
        page: from 1.
        rows: files a page.
        listed: the files of the page.
    """

    reference: str
    files: int
    matching: int
    page: int
    rows: int
    listed: list[VersionFile]


def version_files(store: Store, reference: Reference, query: FileQuery) -> FilesView:
    """Return a page of the files of a data version.

    Raises:
        NotFound: there is no such version.
        IntegrityError: a document is not as it was published.
    """
    row = store.registry.data_version(reference)
    manifest, samples = (required_file(store, row, name) for name in (MANIFEST, "samples.parquet"))
    document = document_in(required_file(store, row, "version.json"))
    names = {str(each["value"]): each["name"] for each in document.classes or []}
    local = manifest.path()
    total = count_rows(local)
    start = (query.page - 1) * query.rows
    if not query.text and query.split is None and query.label is None and query.order == "path":
        matching = total
        chosen = np.arange(min(start, total), min(start + query.rows, total))
    else:
        value = _value(query.label, names)
        positions = _positions(manifest, samples, query.text, query.split, value, query.order)
        matching = len(positions)
        chosen = positions[start : start + query.rows]
    files = read_rows(local, chosen)
    counts = samples_of(samples.path(), [file.path for file in files]) if files else {}
    return FilesView(
        f"{row.dataset}@{row.version}",
        total,
        matching,
        query.page,
        query.rows,
        [_file(file, counts.get(file.path), names) for file in files],
    )


@lru_cache(maxsize=8)
def _positions(
    manifest: PublishedFile,
    samples: PublishedFile,
    text: str,
    split: str | None,
    label: str | None,
    order: Order,
) -> NDArray[np.int64]:
    of_samples = None
    if split is not None or label is not None:
        of_samples = paths_of_samples(samples.path(), split, label)
    return matching_rows(manifest.path(), text, of_samples, order)


def _value(label: str | None, names: Mapping[str, str]) -> str | None:
    """Return the value of a class by its name; a name that no class has stays as it is."""
    if label is None:
        return None
    return next((value for value, name in names.items() if name == label), label)


def _file(file: ManifestFile, counts: SampleCounts | None, names: Mapping[str, str]) -> VersionFile:
    if counts is None:
        return VersionFile(file)
    labels = {names[value]: n for value, n in counts.labels.items() if value in names}
    return VersionFile(file, dict(sorted(counts.splits.items())), labels)
