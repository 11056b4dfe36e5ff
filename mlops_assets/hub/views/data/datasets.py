"""All datasets, declared or committed, with their newest version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlops_assets.hub.views.data.checks import NOT_ASSESSED, QualityState, quality_states
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.store import Store

Kind = Literal["landing", "processed", "not declared"]


@dataclass(frozen=True)
class VersionRow:
    """A data version as listings have it.

    Attributes:
        reference: `dataset@version`.
        dataset: its dataset.
        version: such as `v2`.
        tags: its other names, sorted.
        digest: of its content.
        created: when it was committed.
        created_by: who has committed it.
        files: number of files.
        samples: number of samples, those in no split included.
        splits: split → samples.
        size: of its files, bytes.
        visibility: who may see it.
    """

    reference: str
    dataset: str
    version: str
    tags: list[str]
    digest: str
    created: datetime
    created_by: str
    files: int
    samples: int
    splits: dict[str, int]
    size: int
    visibility: str


@dataclass(frozen=True)
class DatasetRow:
    """A dataset as the list has it.

    Attributes:
        name: of the dataset.
        title: for people; None if none is declared.
        kind: whether its files land, or a function makes them, or it is not declared any more.
        versions: number of its versions that the caller may see.
        size: of the files of all versions, bytes; files that versions share count in each.
        newest: its newest version; None if it has none.
        quality: outcome of the checks of the newest version.
    """

    name: str
    title: str | None
    kind: Kind
    versions: int
    size: int
    newest: VersionRow | None
    quality: QualityState


@dataclass(frozen=True)
class Datasets:
    """All datasets, and why declarations of some datasets or models cannot be used."""

    datasets: list[DatasetRow]
    left_out: dict[str, str]


def datasets(store: Store, declared: DeclaredDatasets) -> Datasets:
    """Return all datasets that are declared or have a version, by name."""
    found = {newest.row.dataset: newest for newest in store.registry.newest_data_versions()}
    tags = store.registry.all_tags()
    states = quality_states(store, [newest.row for newest in found.values()], declared)
    rows = []
    for name in sorted({*found, *declared.names}):
        newest = found.get(name)
        rows.append(
            DatasetRow(
                name=name,
                title=_title(newest.row if newest else None, declared.title(name)),
                kind=kind_of(name, declared),
                versions=newest.versions if newest else 0,
                size=newest.size if newest else 0,
                newest=version_row(newest.row, tags.get(name, {})) if newest else None,
                quality=states[name, newest.row.version] if newest else NOT_ASSESSED,
            )
        )
    return Datasets(rows, dict(declared.left_out))


def kind_of(name: str, declared: DeclaredDatasets) -> Kind:
    """Return how versions of a dataset come about."""
    if name in declared.processed:
        return "processed"
    return "landing" if name in declared.landing else "not declared"


def version_row(row: DataVersion, tags: Mapping[str, str]) -> VersionRow:
    """Return a data version as listings have it; `tags` of its dataset: tag → version."""
    return VersionRow(
        reference=f"{row.dataset}@{row.version}",
        dataset=row.dataset,
        version=row.version,
        tags=sorted(tag for tag, version in tags.items() if version == row.version),
        digest=row.digest,
        created=row.created,
        created_by=row.created_by,
        files=row.files,
        samples=row.samples,
        splits=dict(row.counts),
        size=row.size,
        visibility=row.visibility,
    )


def _title(row: DataVersion | None, declared: str | None) -> str | None:
    if declared is not None or row is None:
        return declared
    title = row.specification.get("title")
    return title if isinstance(title, str) else None
