"""The visibility of versions, with the records that move between the two catalogues.

Private versions are in a catalogue of their own, of the same form. Who may see what is decided in
`registry.visibility`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.datasets.recall.ancestry import derived, input_versions, processing_of
from mlops_assets.paths import (
    CATALOG_OWNER,
    catalog_folder,
    dataset_catalog_key,
    model_collection_key,
    record_owner,
)
from mlops_assets.principals import Visibility
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, ModelVersion
from mlops_assets.registry.store import version_key
from mlops_assets.stac.catalog import (
    VERSION_RELATIONS,
    CatalogWriter,
    Version,
    is_private,
    link,
    record_key,
)
from mlops_assets.stac.datasets import catalog_description, link_data_inputs
from mlops_assets.stac.maps.record import move_maps
from mlops_assets.stac.models import collection_description, link_model_inputs, summaries
from mlops_assets.stac.version_links import recorded, relate
from mlops_assets.store import Store


def set_visibility(
    store: Store, row: Version, visibility: Visibility, reason: str | None = None
) -> list[str]:
    """Change who may see a version, and move its record to the catalogue it belongs in.

    Args:
        store: workspace and registry.
        row: the version.
        visibility: as it is to be.
        reason: why, for the log.

    Returns:
        Warnings about versions that are more visible than what they were made from.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        Forbidden: the principal is neither its creator nor an operator; nothing was written.
        IntegrityError: a record that is to be changed is not as it was published.
        StorageError: it cannot be written.
    """
    name = "@".join(version_key(row))
    role = store.registry.require_owner(row, f"make {name} {visibility}")
    with step(f"making {name} {visibility}"), store.registry.lock("catalog"):
        writer = CatalogWriter(store.workspace, store.registry)
        versions = _versions(writer, row)
        changed = next(version for version in versions if version.version == row.version)
        before = record_key(changed)
        changed.visibility = visibility
        if record_key(changed) != before and writer.has(before):
            _move_record(writer, changed)
            for private in (False, True):
                _link_record(writer, versions, private)
        if isinstance(changed, ModelVersion):
            move_maps(writer, changed)
        inputs, made = _relatives(writer, changed)
        for version, its_inputs in ((changed, inputs), *made):
            _link_inputs(writer, version, its_inputs)
        with writer.publishing(role) as records:
            store.registry.set_visibility(row, visibility, reason, records, writer.dropped)
    warnings = [_wider(changed, given) for given in inputs]
    if isinstance(changed, DataVersion):
        warnings += [_wider(version, changed) for version, _ in made]
    return [line for line in warnings if line is not None]


def _versions(writer: CatalogWriter, row: Version) -> Sequence[Version]:
    """Return all versions of the dataset or model of a version, oldest first."""
    if isinstance(row, DataVersion):
        return writer.registry.data_versions(row.dataset)
    return writer.registry.model_versions(row.model)


def _move_record(writer: CatalogWriter, row: Version) -> None:
    """Move the record of a version to its catalogue.

    Both have the same form, so that relative links need no change.
    """
    owner = record_owner(*version_key(row))
    old, new = catalog_folder(not is_private(row)), catalog_folder(is_private(row))
    for file in writer.registry.files(owner):
        if file.path.startswith(f"{old}/"):
            document = writer.read(file.path)
            if "links" in document:
                links = [
                    entry for entry in document["links"] if entry["rel"] not in VERSION_RELATIONS
                ]
                document = {**document, "links": links}
            writer.write(f"{new}{file.path.removeprefix(old)}", document, owner)
            writer.drop(file.path)


def _link_record(writer: CatalogWriter, versions: Sequence[Version], private: bool) -> None:
    """Link the records of versions in one of the catalogues, from its root on."""
    name, _ = version_key(versions[0])
    is_data = isinstance(versions[0], DataVersion)
    parent_key = dataset_catalog_key if is_data else model_collection_key
    relation = "child" if is_data else "item"
    key = parent_key(name, private)
    records = recorded(writer, versions, private)
    relate(writer, records, complete=True)
    if records:
        parent = writer.read(key if writer.has(key) else parent_key(name, not private))
        links = [entry for entry in parent["links"] if entry["rel"] != relation]
        links += [link(relation, key, record) for record, _ in records]
        described = {**parent, **_description(writer, versions, private), "links": links}
        document = {name: value for name, value in described.items() if value is not None}
        writer.write(key, document, CATALOG_OWNER)
    else:
        writer.drop(key)
    writer.write_root(private)


def _description(
    writer: CatalogWriter, versions: Sequence[Version], private: bool
) -> dict[str, object]:
    """Return how all versions that a catalogue has are described: by the newest of them.

    So nothing is left there of a version that has moved to the other catalogue.
    """
    shown = [row for row in versions if is_private(row) == private]
    newest = next(row for row in reversed(shown) if writer.has(record_key(row)))
    if isinstance(newest, DataVersion):
        return catalog_description(writer, newest)
    models = [row for row in versions if isinstance(row, ModelVersion)]
    return {
        **collection_description(writer, newest),
        "summaries": summaries(models, private, {}),
    }


def _relatives(
    writer: CatalogWriter, row: Version
) -> tuple[list[DataVersion], list[tuple[Version, list[DataVersion]]]]:
    """Return the inputs of a version, and what was made from it, each with all of its inputs.

    The version itself is among these as given, not as it is in the registry.
    """
    workspace, registry = writer.workspace, writer.registry
    if isinstance(row, ModelVersion):
        rows = registry.data_versions(row.dataset)
        return [data for data in rows if data.version == row.data_version], []

    def inputs_of(data: DataVersion) -> list[DataVersion]:
        found = input_versions(registry, processing_of(workspace, registry, data))
        return [row if version_key(given) == version_key(row) else given for given in found]

    models = registry.model_versions(dataset=row.dataset, data_version=row.version)
    made: list[tuple[Version, list[DataVersion]]] = [(model, [row]) for model in models]
    made += [(data, inputs_of(data)) for data in derived(workspace, registry, row)]
    return inputs_of(row), made


def _link_inputs(writer: CatalogWriter, row: Version, inputs: Sequence[DataVersion]) -> None:
    if not writer.has(record_key(row)):
        return
    if isinstance(row, DataVersion):
        link_data_inputs(writer, row, inputs)
    else:
        for data in inputs:
            link_model_inputs(writer, row, data)


def _wider(row: Version, given: DataVersion) -> str | None:
    """Return the warning about a version that is more visible than one of its inputs."""
    if Visibility.narrowest(row.visibility, given.visibility) == row.visibility:
        return None
    unlinked = "; its record names them without a link" if is_private(given) else ""
    return (
        f"{'@'.join(version_key(row))} is {row.visibility}, and the data it was made from,"
        f" {'@'.join(version_key(given))}, are {given.visibility}{unlinked}"
    )
