"""The data versions that data versions were made from, as their documents state it."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_assets.datasets.versions.documents import published_documents
from mlops_assets.datasets.versions.version_document import Processing
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.storage import Workspace


def processing_of(workspace: Workspace, registry: Registry, row: DataVersion) -> Processing | None:
    """Return how a data version was made from others; None if its files have landed.

    Raises:
        IntegrityError: its documents are not as they were published.
        StorageError: they cannot be read.
    """
    return published_documents(workspace, registry, row)[0].processing


def processed_versions(
    workspace: Workspace, registry: Registry, dataset: str, first: str
) -> set[str]:
    """Return the versions of an input dataset that a dataset has been made from.

    Args:
        workspace: has the documents.
        registry: has the versions.
        dataset: the dataset that is made.
        first: name of the input.

    Raises:
        IntegrityError: a document is not as it was published.
        StorageError: it cannot be read.
    """
    found: set[str] = set()
    for row in registry.data_versions(dataset):
        processing = processing_of(workspace, registry, row)
        given = processing.inputs if processing is not None else []
        found |= {entry.version for entry in given if entry.dataset == first}
    return found


def input_problems(registry: Registry, subject: str, processing: Processing) -> Iterator[str]:
    """Yield the inputs of a data version that the registry does not have as they were.

    Args:
        registry: has the versions.
        subject: `dataset@version`, for the messages.
        processing: how it was made.
    """
    for given in processing.inputs:
        rows = {row.version: row for row in registry.data_versions(given.dataset)}
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
