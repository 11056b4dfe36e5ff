"""One data version: what it is, where it is from, and what was made from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from pydantic import JsonValue

from mlops_assets.datasets.sources import landing_url
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.summary import Summary
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.hub.views.data.checks import QualityState, quality_states
from mlops_assets.hub.views.data.dataset import origin_text, split_text
from mlops_assets.hub.views.data.datasets import VersionRow, version_row
from mlops_assets.hub.views.data.published import PublishedFile, document_in, files_of
from mlops_assets.lineage.made_from import Made, made_from
from mlops_assets.names import Reference
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.registry import DataVersion
from mlops_assets.stac.catalog import has_record, record_key
from mlops_assets.stac.description import description
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted


@dataclass(frozen=True)
class ClassSplits:
    """The samples, or labelled pixels, of a class in each split; None where they are unknown."""

    value: str
    name: str
    train: int | None
    validation: int | None
    test: int | None
    left_out: int | None


@dataclass(frozen=True)
class DataVersionView:
    """A data version.

    Attributes:
        version: as listings have it.
        named: the reference that was asked for, such as that of a tag.
        title: one line for people.
        description: what the data is.
        license: SPDX identifier.
        layout: of the files.
        samples_are: what one sample is: a `row`, `patch`, `window` or `image`.
        sample_size: pixels of its side; 1 of a row.
        counted: what classes are counted in, `samples` or `labelled pixels`.
        classes: in the order of their indices; empty where the label is a number.
        features: names of features or bands, in order.
        left_out: samples in no split.
        split: how samples were divided.
        crs: coordinate reference systems of the files.
        bbox: west, south, east, north in degrees; None if unknown.
        interval: first and last time, each None if open; None if unknown.
        origin: where the files are from.
        landing: URL where they have landed; None if they have not.
        inputs: data versions that it was made from.
        code: version of the function's code.
        parameters: of the function.
        kept_by_reference: number of files whose bytes are elsewhere.
        visibility_reason: why its visibility was last changed.
        notes: remarks of the commit.
        specification: the declaration as committed.
        before: the version before; None for the first.
        newest: the newest version of the dataset.
        collection: id of its STAC Collection; None if it has no record.
        quality: outcome of its checks.
    """

    version: VersionRow
    named: str
    title: str | None
    description: str
    license: str | None
    layout: str
    samples_are: str
    sample_size: int
    counted: str
    classes: list[ClassSplits]
    features: list[str]
    left_out: int
    split: str
    crs: list[str]
    bbox: list[float] | None
    interval: list[datetime | None] | None
    origin: str
    landing: str | None
    inputs: list[str]
    code: str | None
    parameters: dict[str, JsonValue]
    kept_by_reference: int
    visibility_reason: str | None
    notes: list[str]
    specification: dict[str, JsonValue]
    before: str | None
    newest: str
    collection: str | None
    quality: QualityState


@dataclass(frozen=True)
class Descendants:
    """What was made from a data version, and what the caller may see of it.

    Attributes:
        reference: `dataset@version`.
        models: model versions that were trained on it.
        maps: maps of these.
        data: references of the data versions that were made from it.
    """

    reference: str
    models: list[Made]
    maps: list[Made]
    data: list[str]


def data_version(store: Store, declared: DeclaredDatasets, reference: Reference) -> DataVersionView:
    """Return a data version.

    Args:
        store: has it.
        declared: has the thresholds of its checks.
        reference: to it, by its version or a tag; the newest if it names none.

    Raises:
        NotFound: there is no such version.
        IntegrityError: its document is not as it was published.
    """
    found = Summary.open(store.workspace, store.registry, reference)
    row, document = found.row, found.document
    specification = DatasetSpecification.model_validate(document.specification)
    recorded = _described(store, row)
    processing = document.processing
    before = store.registry.data_version_before(row)
    landed = processing is None and document.origin is None and document.shared is None
    collection = None
    if has_record(store.workspace, store.registry, record_key(row)):
        collection = f"{row.dataset}-{row.version}"
    return DataVersionView(
        version=version_row(row, store.registry.tags(row.dataset)),
        named=str(reference),
        title=recorded.get("title") or specification.title,
        description=recorded.get("description") or specification.description,
        license=recorded.get("license") or specification.license,
        layout=specification.source.layout,
        samples_are=document.input.kind,
        sample_size=getattr(document.input, "size", 1),
        counted=document.input.counted,
        classes=[
            ClassSplits(
                str(each.value), each.name, each.train, each.validation, each.test, each.left_out
            )
            for each in found.facts.classes
        ],
        features=document.features,
        left_out=row.samples - sum(row.counts.values()),
        split=split_text(specification.split),
        crs=found.facts.crs,
        bbox=found.facts.bbox,
        interval=found.interval,
        origin=origin_text(document),
        landing=(
            redacted(landing_url(store.workspace, specification.source.url)) if landed else None
        ),
        inputs=[given.reference for given in processing.inputs] if processing else [],
        code=processing.code_version if processing else None,
        parameters=processing.parameters if processing else {},
        kept_by_reference=found.facts.kept_by_reference,
        visibility_reason=row.visibility_reason,
        notes=document.notes,
        specification=document.specification,
        before=before.version if before else None,
        newest=store.registry.data_version(Reference(row.dataset)).version,
        collection=collection,
        quality=quality_states(store, [row], declared)[row.dataset, row.version],
    )


def descendants(store: Store, reference: Reference) -> Descendants:
    """Return what was made from a data version.

    Raises:
        NotFound: there is no such version.
    """
    row = store.registry.data_version(reference)
    made = made_from(store.registry, row)
    later = [other for other in store.registry.data_versions() if other.created > row.created]
    documents = files_of(store, later, "version.json")
    own = f"{row.dataset}@{row.version}"
    return Descendants(
        own,
        [each for each in made if each.kind == "model version"],
        [each for each in made if each.kind == "map"],
        [
            f"{dataset}@{version}"
            for (dataset, version), file in documents.items()
            if own in _inputs(file)
        ],
    )


@lru_cache(maxsize=8192)
def _inputs(file: PublishedFile) -> tuple[str, ...]:
    """Return what a data version was made from; nothing where its document is damaged."""
    try:
        document: VersionDocument = document_in(file)
    except (IntegrityError, StorageError):
        return ()
    made = document.processing
    return () if made is None else tuple(given.reference for given in made.inputs)


def _described(store: Store, row: DataVersion) -> dict[str, str]:
    """Return the texts of the record, which may have changed since the commit."""
    try:
        found = description(store.workspace, store.registry, row) or {}
    except (IntegrityError, StorageError):  # the commit has described it, too
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
