"""The data versions that data versions were made from, as their documents state it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from mlops_assets.datasets.versions.version_document import Processing, VersionDocument
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import version_folder
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.visibility import sees_all
from mlops_assets.storage import Workspace


def processing_of(workspace: Workspace, registry: Registry, row: DataVersion) -> Processing | None:
    """Return how a data version was made from others; None if its files have landed.

    Raises:
        IntegrityError: its document is not as it was published.
        StorageError: it cannot be read.
    """
    return document_of(workspace, registry, row).processing


def document_of(workspace: Workspace, registry: Registry, row: DataVersion) -> VersionDocument:
    """Return the document of a data version.

    Raises:
        IntegrityError: it is not as it was published.
        StorageError: it cannot be read.
    """
    key = f"{version_folder(row.dataset, row.version)}/version.json"
    return VersionDocument.model_validate_json(read_published(workspace, registry, key))


def processed(
    workspace: Workspace, registry: Registry, dataset: str, inputs: Collection[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those data versions that a dataset has been made from.

    Documents are read from the newest version on, until all are found.

    Args:
        workspace: has the documents.
        registry: has the versions.
        dataset: the dataset that is made.
        inputs: dataset and version of each input in question.

    Raises:
        IntegrityError: a document is not as it was published.
        StorageError: it cannot be read.
    """
    left = set(inputs)
    for row in reversed(registry.data_versions(dataset)):
        if not left:
            break
        processing = processing_of(workspace, registry, row)
        given = processing.inputs if processing is not None else []
        left -= {(entry.dataset, entry.version) for entry in given}
    return set(inputs) - left


def ancestors(workspace: Workspace, registry: Registry, row: DataVersion) -> list[DataVersion]:
    """Return the data versions that one was made from, and what those were made from, each once.

    Those that the registry does not have are left out, as `input_problems` reports them, and so is
    what a damaged document states, as its checksum reports that.

    Args:
        workspace: has the documents.
        registry: has the versions.
        row: the data version.
    """
    found = [row]
    # the list grows: breadth first
    for version in found:
        processing = None
        with suppress(IntegrityError, StorageError):
            processing = processing_of(workspace, registry, version)
        known = {(other.dataset, other.version) for other in found}
        found += [
            other
            for other in input_versions(registry, processing)
            if (other.dataset, other.version) not in known
        ]
    return found[1:]


def input_versions(registry: Registry, processing: Processing | None) -> list[DataVersion]:
    """Return the data versions that another one was made from, each once.

    Those that the registry does not have are left out.

    Args:
        registry: has the versions.
        processing: how the other one was made; None if its files have landed.
    """
    given = dict.fromkeys(
        (given.dataset, given.version)
        for given in (processing.inputs if processing is not None else ())
    )
    return [
        row
        for dataset, version in given
        for row in registry.data_versions(dataset)
        if row.version == version
    ]


def hidden_inputs(
    workspace: Workspace, registry: Registry, rows: Iterable[DataVersion]
) -> list[str]:
    """Return references of inputs of data versions that the principal may not see, each once.

    What a damaged document states is left out.

    Args:
        workspace: has the documents.
        registry: has the versions.
        rows: the data versions.
    """
    if sees_all(registry.principal):
        return []
    stated: dict[str, None] = {}
    for row in rows:
        with suppress(IntegrityError, StorageError, ValueError):
            processing = processing_of(workspace, registry, row)
            given = processing.inputs if processing is not None else []
            stated |= dict.fromkeys(entry.reference for entry in given)
    return [reference for reference in stated if registry.hides(Reference.parse(reference))]


def derived(workspace: Workspace, registry: Registry, row: DataVersion) -> list[DataVersion]:
    """Return the data versions that were made from one, oldest first.

    What a damaged document states is left out.

    Args:
        workspace: has the documents, of which those of all later versions are read.
        registry: has the versions.
        row: the data version.
    """
    found = []
    for other in sorted(registry.data_versions(), key=lambda other: other.created):
        if other.created <= row.created:
            continue
        processing = None
        with suppress(IntegrityError, StorageError):
            processing = processing_of(workspace, registry, other)
        given = processing.inputs if processing is not None else []
        if (row.dataset, row.version) in {(entry.dataset, entry.version) for entry in given}:
            found.append(other)
    return found


def input_problems(registry: Registry, subject: str, processing: Processing) -> Iterator[str]:
    """Yield the inputs of a data version that the registry does not have as they were.

    Args:
        registry: has the versions.
        subject: `dataset@version`, for the messages.
        processing: how it was made.
    """
    for given in processing.inputs:
        # a decision, also about inputs that the principal may not see
        versions = registry.unrestricted().data_versions(given.dataset)
        rows = {row.version: row for row in versions}
        row = rows.get(given.version)
        if row is None:
            yield (
                f"{subject} was made from {given.reference}, which is not in the registry; restore"
                " the registry from a backup"
            )
        elif row.digest != given.digest:
            yield (
                f"{subject} was made from {given.reference} with digest {given.digest[:12]}…; the"
                f" registry has digest {row.digest[:12]}…; restore the registry from a backup"
            )
