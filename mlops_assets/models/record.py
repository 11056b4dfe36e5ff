"""The record of a model version in the catalogue: signatures, tags; `stac` writes it."""

from __future__ import annotations

from typing import cast

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import SettingsError, SignatureRefused
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.paths import record_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import shared_model
from mlops_assets.storage import FileStat
from mlops_assets.store import Store


def record_version(
    store: Store, specification: ModelSpecification, row: ModelVersion
) -> list[FileStat]:
    """Record an evaluated model version, and first its data version if that has no record.

    The record of the model derives from that of the data version. The values of training that days
    are compared with are published first. Where the settings name a key, the files of the model
    version are signed then, unless it is used from another workspace, where it has its signatures.

    Args:
        store: workspace and registry.
        specification: the model as declared; its description for catalogues is recorded.
        row: the evaluated model version.

    Returns:
        The files of the record.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        SettingsError: the key that signs cannot be used; nothing is recorded.
        SignatureRefused: a file of the version is not as it was published; nothing is recorded.
        StorageError: it cannot be written.
    """
    from mlops_assets.models.reference.publish import publish_reference
    from mlops_assets.models.signing.keys import SigningKey
    from mlops_assets.models.signing.sign import sign_version
    from mlops_assets.stac.datasets import write_dataset_record
    from mlops_assets.stac.mlm.facts import ModelDeclaration
    from mlops_assets.stac.models import write_model_record

    data = Reference(row.dataset, row.data_version)
    if not store.registry.files(record_owner(row.dataset, row.data_version)):
        committed = CommittedDataset.open(store.workspace, store.registry, data)
        write_dataset_record(store.workspace, store.registry, committed)
    evaluated = store.registry.model_version(Reference(row.model, row.version))
    publish_reference(store, evaluated)
    key = SigningKey.configured()
    if (
        key is not None
        and shared_model(store.workspace, store.registry, row.model, row.version) is None
    ):
        sign_version(store, evaluated, key)
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


def sign_recorded(store: Store, row: ModelVersion) -> list[FileStat]:
    """Sign a recorded model version with the key of the settings, and state that in its record.

    Args:
        store: workspace and registry.
        row: the model version.

    Returns:
        The new bundles; none if this key has signed these files before.

    Raises:
        Conflict: another process is writing the catalogue and does not end; the same again
            completes the record.
        IntegrityError: the record is not as it was published.
        SettingsError: no key is named, or it cannot be used.
        SignatureRefused: the version is not recorded, or a file of it is not as it was published.
    """
    from mlops_assets.models.signing.keys import SigningKey
    from mlops_assets.models.signing.sign import sign_version
    from mlops_assets.stac.models import record_signatures

    key = SigningKey.configured()
    if key is None:
        raise SettingsError(
            "there is no key to sign with; name the PEM file of one with MLOPS_SIGNING_KEY"
        )
    if row.stage != "recorded":
        raise SignatureRefused(
            f"{row.model}@{row.version} is only {row.stage}; record it first: materialise its"
            " missing assets"
        )
    signed = sign_version(store, row, key)
    record_signatures(store.workspace, store.registry, row)
    return signed


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
