"""The record of a model version in the catalogue, and tags in records; `stac` writes them."""

from __future__ import annotations

from typing import cast

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import record_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


def record_version(
    store: Store, specification: ModelSpecification, row: ModelVersion
) -> list[FileStat]:
    """Record an evaluated model version, and first its data version if that has no record.

    The record of the model derives from that of the data version.

    Args:
        store: workspace and registry.
        specification: the model as declared; its description for catalogues is recorded.
        row: the evaluated model version.

    Returns:
        The files of the record.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        StorageError: it cannot be written.
    """
    from mlops_assets.stac.datasets import write_dataset_record
    from mlops_assets.stac.mlm.facts import ModelDeclaration
    from mlops_assets.stac.models import write_model_record

    data = Reference(row.dataset, row.data_version)
    if not store.registry.files(record_owner(row.dataset, row.data_version)):
        committed = CommittedDataset.open(store.workspace, store.registry, data)
        write_dataset_record(store.workspace, store.registry, committed)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    declared = ModelDeclaration(
        title=specification.title,
        description=specification.description,
        license=specification.license,
        providers=[
            own.model_dump(mode="json", exclude_none=True) for own in specification.providers
        ],
        doi=specification.doi,
        citation=specification.citation,
        keywords=specification.keywords,
        pretrained=specification.pretrained,
    )
    return write_model_record(store.workspace, store.registry, evaluated, declared)


def tag_data_version(store: Store, dataset: str, version: str, tag: str) -> None:
    """Tag a data version, and state that in its record and in those of the models trained on it.

    Args:
        store: workspace and registry.
        dataset: name of the dataset.
        version: its version, e.g. `v2`.
        tag: the tag, which never moves.

    Raises:
        Conflict: the tag names another version already, or another process is writing the catalogue
            and does not end.
        IntegrityError: a record is not as it was published; the version is tagged.
        NameRefused: the tag cannot be a name, or has the form of a version.
        NotFound: there is no such version.
    """
    from mlops_assets.stac.catalog import CatalogWriter, record_key, version_tags

    store.registry.tag(dataset, version, tag)
    with store.registry.lock("catalog"):
        writer = CatalogWriter(store.workspace, store.registry)
        tags = version_tags(writer.registry, dataset, version)
        data = writer.registry.data_version(Reference(dataset, version))
        if writer.has(key := record_key(data)):
            collection = {**writer.read(key), "mlops:tags": tags}
            writer.write(key, collection, record_owner(dataset, version))
        for row in writer.registry.model_versions(dataset=dataset, data_version=version):
            if writer.has(key := record_key(row)):
                item = cast(dict[str, dict[str, object]], writer.read(key))
                properties = item["properties"] | {"mlops:data_tags": tags}
                owner = record_owner(row.model, row.version)
                writer.write(key, {**item, "properties": properties}, owner)
        if writer.leave_unchanged():
            with writer.publishing() as records:
                store.registry.add_records(records)
