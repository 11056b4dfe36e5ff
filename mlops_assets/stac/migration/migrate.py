"""Records of earlier releases, written again as this one writes them.

What would change is found first, and written only on request. Descriptions stay as the records have
them; a record that cannot be read leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import Conflict, Forbidden, MlopsError, NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG_OWNER,
    dataset_catalog_key,
    model_collection_key,
)
from mlops_assets.principals import Role
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion
from mlops_assets.stac.catalog import (
    CatalogWriter,
    Version,
    has_record,
    is_private,
    read_record,
    record_key,
)
from mlops_assets.stac.datasets import add_dataset_record, link_dataset
from mlops_assets.stac.migration.recorded import declared_in, described_by_record
from mlops_assets.stac.mlm.facts import ModelDeclaration, ModelFacts
from mlops_assets.stac.models import add_model_record, link_model
from mlops_assets.store import Store

_DESCRIPTION = (
    *("title", "description", "license", "providers", "keywords", "extent", "mlops:extent"),
    "mlops:datetime_is",
)


@dataclass(frozen=True)
class MigratedRecord:
    """A record that differs from what this release writes.

    Attributes:
        subject: the data version or model version, or the catalogue of all versions of one.
        documents: key → what differs, one line for each value.
        error: why it cannot be written; None if it can.
    """

    subject: str
    documents: dict[str, list[str]] = field(default_factory=dict)
    error: str | None = None

    def document(self) -> dict[str, object]:
        """Return this as JSON values."""
        error = {} if self.error is None else {"error": self.error}
        return {"record": self.subject, "documents": self.documents, **error}


def migrate_records(
    store: Store, names: Sequence[str] = (), apply: bool = False
) -> Iterator[MigratedRecord]:
    """Find the records that this release would write otherwise, and write them on request.

    Args:
        store: workspace and registry.
        names: datasets and models; all if none is given.
        apply: whether to publish them, each record in one transaction.

    Yields:
        Records that differ, as they are found or written.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        Forbidden: the principal may not publish records; nothing was written.
        NotFound: none of a dataset or model that is named has a record.
    """
    if apply:
        store.registry.principal.require(Role.SCIENTIST, "publish records")
    chosen = _recorded(store, names)
    total = sum(len(rows) for rows in chosen.values())
    with step("comparing records", total, "records") as done:
        listed: set[str] = set()  # the root is that of all
        for (_, name), rows in chosen.items():
            for row in rows:
                for found in _migrated(store, f"{name}@{row.version}", row, apply):
                    listed |= found.documents.keys()
                    yield found
                done.advance()
            # the newest of each of the two catalogues
            for row in {is_private(row): row for row in rows}.values():
                for found in _migrated(store, name, row, apply, links=True):
                    others = {key: own for key, own in found.documents.items() if key not in listed}
                    listed |= others.keys()
                    if others or found.error:
                        yield replace(found, documents=others)


def _recorded(store: Store, names: Sequence[str]) -> dict[tuple[str, str], list[Version]]:
    """Return the versions that have a record, oldest first, of each dataset and model.

    Raises:
        NotFound: none of a dataset or model that is named has one.
    """
    found: dict[tuple[str, str], list[Version]] = {}
    for row in store.registry.data_versions():
        if has_record(store.workspace, store.registry, record_key(row)):
            found.setdefault(("dataset", row.dataset), []).append(row)
    for model in store.registry.model_versions():
        if has_record(store.workspace, store.registry, record_key(model)):
            found.setdefault(("model", model.model), []).append(model)
    if unknown := set(names) - {name for _, name in found}:
        raise NotFound(
            f"no version of {', '.join(sorted(unknown))} has a record; name a dataset or a model"
        )
    return {key: rows for key, rows in found.items() if not names or key[1] in names}


def _migrated(
    store: Store, subject: str, row: Version, apply: bool, links: bool = False
) -> Iterator[MigratedRecord]:
    """Compare, and write on request, the record of a version, or what links all of them."""
    try:
        with store.registry.lock("catalog"):
            writer = CatalogWriter(store.workspace, store.registry)
            _add(writer, row, links)
            documents = writer.leave_unchanged()
            if documents and apply:
                with writer.publishing() as records:
                    store.registry.add_records(records)
    except (Conflict, Forbidden):
        raise
    except MlopsError as error:
        yield MigratedRecord(subject, error=str(error))
        return
    if documents:
        yield MigratedRecord(subject, documents)


def _add(writer: CatalogWriter, row: Version, links: bool) -> None:
    workspace, registry = writer.workspace, writer.registry
    if isinstance(row, DataVersion):
        opened = CommittedDataset.open(workspace, registry, Reference(row.dataset, row.version))
        committed = described_by_record(workspace, registry, opened)
        if links:
            link_dataset(writer, committed, anew=True)
            _keep_description(writer, dataset_catalog_key(row.dataset, is_private(row)))
            return
        add_dataset_record(writer, committed)
        writer.keep_version_links(record_key(row))
        return
    key = record_key(row)
    record = cast(dict[str, Any], writer.read(key))
    declared = ModelDeclaration(**declared_in(record, row))
    facts = ModelFacts.read(workspace, registry, row, declared)
    if links:
        link_model(writer, facts, anew=True)
        _keep_description(writer, model_collection_key(row.model, is_private(row)))
        return
    add_model_record(writer, facts)
    writer.keep_version_links(key)


def _keep_description(writer: CatalogWriter, key: str) -> None:
    """Describe the catalogue of all versions as it is: by the version that was recorded last."""
    before = cast(dict[str, Any], read_record(writer.workspace, writer.registry, key))
    after = cast(dict[str, Any], writer.read(key))
    kept = {name: before[name] for name in _DESCRIPTION if name in before}
    others = {name: value for name, value in after.items() if name not in _DESCRIPTION}
    added = {name: after[name] for name in ("keywords",) if name in after and name not in before}
    writer.write(key, {**others, **added, **kept}, CATALOG_OWNER)
