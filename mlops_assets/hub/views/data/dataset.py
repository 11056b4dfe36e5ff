"""One dataset: its versions as a timeline, newest first, and what is declared."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.datasets.sources import landing_url
from mlops_assets.datasets.specification.dataset import (
    SPLITS,
    DatasetSpecification,
    Split,
)
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.hub.views.data.checks import QualityState, quality_states
from mlops_assets.hub.views.data.datasets import Kind, VersionRow, kind_of, version_row
from mlops_assets.hub.views.data.published import PublishedFile, document_in, files_of
from mlops_assets.names import Reference, check_name
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

VERSIONS_A_PAGE = 20
MAX_VERSIONS_A_PAGE = 200


@dataclass(frozen=True)
class TimelineVersion:
    """A data version, and what it changed.

    Attributes:
        version: the data version.
        before: version before it that the caller may see; None for the first.
        samples_added: samples more than before, negative if there are fewer; None for the first.
        classes_added: names of classes that the version before does not have.
        classes_removed: names of classes that only the version before has.
        models: number of model versions trained on it.
        origin: where its files are from: the landing, a function, a repository, a workspace.
        quality: outcome of its checks.
    """

    version: VersionRow
    before: str | None
    samples_added: int | None
    classes_added: list[str]
    classes_removed: list[str]
    models: int
    origin: str
    quality: QualityState


@dataclass(frozen=True)
class DatasetView:
    """A dataset.

    Attributes:
        name: of the dataset.
        title: one line for people.
        description: what the data is.
        license: SPDX identifier.
        kind: how its versions come about.
        landing: URL where its files land; None if they do not.
        layout: of its files.
        made_from: datasets that it is made from.
        function: that makes it.
        split: how samples are divided, as declared now.
        tags: tag → version.
        versions: number of versions that the caller may see.
        page: which of the pages of versions this is, from 1.
        timeline: versions of the page, newest first.
    """

    name: str
    title: str | None
    description: str
    license: str | None
    kind: Kind
    landing: str | None
    layout: str | None
    made_from: list[str]
    function: str | None
    split: str | None
    tags: dict[str, str]
    versions: int
    page: int
    timeline: list[TimelineVersion]


def dataset(
    store: Store,
    declared: DeclaredDatasets,
    name: str,
    page: int = 1,
    rows: int = VERSIONS_A_PAGE,
) -> DatasetView:
    """Return a dataset with some of its versions.

    Args:
        store: has them.
        declared: the datasets of the project.
        name: of the dataset.
        page: of versions, from 1.
        rows: versions a page.

    Raises:
        NotFound: it is not declared, and has no version.
    """
    check_name(name, "dataset name")
    kind = kind_of(name, declared)
    total = store.registry.count_data_versions(name)
    if kind == "not declared" and not total:
        reason = declared.left_out.get(name)
        raise NotFound(
            f"dataset {name!r} has no version, and this project does not declare it"
            + (f" correctly:\n{reason}" if reason else "; see 'mlops dataset list'")
        )
    tags = store.registry.tags(name)
    # one more, which the oldest of the page is compared with
    found = store.registry.data_versions_page(name, rows + 1, (page - 1) * rows)
    specification = _specification(store, name, declared)
    processed = declared.processed.get(name)
    return DatasetView(
        name=name,
        title=specification.title,
        description=specification.description,
        license=specification.license,
        kind=kind,
        landing=(
            redacted(landing_url(store.workspace, specification.source.url))
            if kind == "landing"
            else None
        ),
        layout=specification.source.layout,
        made_from=processed.inputs if processed else [],
        function=processed.function if processed else None,
        split=split_text(specification.split),
        tags=dict(sorted(tags.items())),
        versions=total,
        page=page,
        timeline=_timeline(store, declared, found, rows, tags),
    )


def split_text(split: Split) -> str:
    """Return how samples are divided, for people."""
    parts = [split.method.replace("_", " ")]
    if split.method != "column":
        shares = {name: split.fractions.get(name, 0.0) for name in SPLITS}  # type: ignore[call-overload]
        parts.append(", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share))
    if split.block is not None and split.method == "spatial_block":
        parts.append(f"blocks of {split.block:g}, buffer {split.buffer:g}")
    parts.append(f"seed {split.seed}")
    return "; ".join(parts)


def origin_text(document: VersionDocument) -> str:
    """Return where the files of a data version are from, for people."""
    if document.processing is not None:
        inputs = ", ".join(given.reference for given in document.processing.inputs)
        return f"made from {inputs} by {document.processing.function}"
    if document.origin is not None:
        first, _, _ = document.origin.message.partition("\n")
        return redacted(f"imported from {document.origin.reference}: {first}")
    if document.shared is not None:
        shared = document.shared
        return redacted(f"used from {shared.workspace}: {shared.dataset}@{shared.version}")
    return "landed"


def _specification(store: Store, name: str, declared: DeclaredDatasets) -> DatasetSpecification:
    """Return the declaration: of the project, else of the newest version."""
    now = declared.landing.get(name) or declared.processed.get(name)
    if now is not None:
        return now
    newest = store.registry.data_version(Reference(name))
    return DatasetSpecification.model_validate(newest.specification)


def _timeline(
    store: Store,
    declared: DeclaredDatasets,
    found: list[DataVersion],
    rows: int,
    tags: dict[str, str],
) -> list[TimelineVersion]:
    documents = files_of(store, found, "version.json")
    states = quality_states(store, found[:rows], declared)
    trained = store.registry.trained_on(found[0].dataset) if found else {}
    timeline = []
    for number, row in enumerate(found[:rows]):
        before = found[number + 1] if number + 1 < len(found) else None
        now = _classes(documents.get((row.dataset, row.version)))
        was = _classes(documents.get((before.dataset, before.version))) if before else now
        timeline.append(
            TimelineVersion(
                version=version_row(row, tags),
                before=before.version if before else None,
                samples_added=row.samples - before.samples if before else None,
                classes_added=[name for name in now if name not in was],
                classes_removed=[name for name in was if name not in now],
                models=trained.get(row.version, 0),
                origin=_origin(documents.get((row.dataset, row.version))),
                quality=states[row.dataset, row.version],
            )
        )
    return timeline


def _classes(file: PublishedFile | None) -> list[str]:
    """Return the names of classes; none of numbers, or where the document is damaged."""
    try:
        return [] if file is None else [each["name"] for each in document_in(file).classes or []]
    except (IntegrityError, StorageError):
        return []


def _origin(file: PublishedFile | None) -> str:
    try:
        return "" if file is None else origin_text(document_in(file))
    except (IntegrityError, StorageError) as error:
        return redacted(str(error))
