"""The record of a model version in the catalogue; `stac` writes it."""

from __future__ import annotations

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
