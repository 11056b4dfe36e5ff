"""The record of a data version: a Collection with its Items, and the same as OGC TrainingDML-AI.

Items are made in `dataset_items`, the TrainingDML-AI document in `training_dml`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, cast

import pystac

from mlops_assets.datasets.io.media_types import PARQUET, media_type
from mlops_assets.datasets.quality.checks import written_checks
from mlops_assets.datasets.quality.published import published_report
from mlops_assets.datasets.quality.target.document import published_target
from mlops_assets.datasets.readers.scenes.vector_files import is_vector
from mlops_assets.datasets.recall.ancestry import input_versions
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.paths import (
    CATALOG_OWNER,
    catalog_root_of,
    data_owner,
    dataset_catalog_key,
    record_owner,
    version_folder,
)
from mlops_assets.progress import step
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.stac.asset_fields import (
    class_fields,
    class_values,
    data_keywords,
    described_classes,
    described_values,
    shared_bands,
)
from mlops_assets.stac.catalog import (
    SCIENTIFIC,
    CatalogWriter,
    add_thumbnail,
    asset,
    cite_as,
    is_private,
    link,
    plain,
    record_key,
    version_tags,
)
from mlops_assets.stac.dataset_items import MAX_ITEMS, STAC_SPLITS, ItemMaker, extensions
from mlops_assets.stac.extents import extent, extent_notes
from mlops_assets.stac.item_files import group_count, main_files
from mlops_assets.stac.training_dml import TRAINING_DML, document_key, training_dataset
from mlops_assets.stac.version_links import link_versions, link_versions_anew
from mlops_assets.storage import FileStat, Workspace

THUMBNAILS = ("figures-sample_map", "figures-class_counts")


def write_dataset_record(
    workspace: Workspace, registry: Registry, committed: CommittedDataset
) -> list[FileStat]:
    """Write the Collection and Items of a data version into the catalogue.

    Return their files, Collection first.

    A version of more than `MAX_ITEMS` Items has them in its manifest only.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        IntegrityError: the record of another version, which is to be linked, is not as it was
            published.
        StorageError: it cannot be written.
    """
    with step(f"recording {committed.reference}"), registry.lock("catalog"):
        writer = CatalogWriter(workspace, registry)
        keys = add_dataset_record(writer, committed)
        link_dataset(writer, committed)
        with writer.publishing() as records:
            registry.add_records(records)
    return [writer.file(key) for key in keys]


def add_dataset_record(writer: CatalogWriter, committed: CommittedDataset) -> list[str]:
    """Add the documents of a data version to a writer, without links to other versions.

    Return their keys, Collection first.
    """
    row = committed.row
    owner = record_owner(row.dataset, row.version)
    key = record_key(row)
    items = ItemMaker(committed, key).items() if group_count(committed) <= MAX_ITEMS else []
    files = [writer.write(item_key, item, owner) for item_key, item in items]
    described = writer.write(document_key(committed), training_dataset(committed), owner)
    published = [*writer.registry.files(data_owner(row.dataset, row.version)), described]
    collection = _collection(committed, key, [file.path for file in files], published)
    collection |= _quality(writer.workspace, writer.registry, committed) | _processing(committed)
    if tags := version_tags(writer.registry, row.dataset, row.version):
        collection["mlops:tags"] = tags
    writer.write(key, collection, owner)
    link_data_inputs(writer, row, input_versions(writer.registry, committed.document.processing))
    return [key, *(file.path for file in files), described.path]


def link_dataset(writer: CatalogWriter, committed: CommittedDataset, anew: bool = False) -> None:
    """Link the record of a data version to those of its neighbours, and from the root to it.

    Args:
        writer: has the record of the version.
        committed: the version whose description the dataset's Catalog gets.
        anew: link all versions of the dataset anew.
    """
    row = committed.row
    linked = link_versions_anew if anew else link_versions
    parent = dataset_catalog_key(row.dataset, is_private(row))
    _write_parent(writer, committed, linked(writer, row, parent, "child"))
    writer.write_root(is_private(row))


def link_data_inputs(
    writer: CatalogWriter, row: DataVersion, inputs: Iterable[DataVersion]
) -> None:
    """Link the record of a data version to the records of what it was made from.

    Args:
        writer: has the record.
        row: the data version.
        inputs: the data versions it was made from.
    """
    key = record_key(row)
    links: list[dict[str, object]] = []
    withheld: list[str] = []
    for made in inputs:
        if is_private(made) and not is_private(row):
            withheld.append(f"{made.dataset}@{made.version}")
        elif writer.has(record_key(made)):
            links.append(link("derived_from", key, record_key(made)))
    writer.link_inputs(key, record_owner(row.dataset, row.version), links, withheld)


def _write_parent(
    writer: CatalogWriter, committed: CommittedDataset, children: list[dict[str, object]]
) -> None:
    name, specification = committed.row.dataset, committed.specification
    key = dataset_catalog_key(name, is_private(committed.row))
    catalog = pystac.Catalog(
        name, specification.description or _default_description(name, True), specification.title
    )
    links = [
        link("self", key, key),
        link("root", key, catalog_root_of(key)),
        link("parent", key, catalog_root_of(key)),
        *children,
    ]
    writer.write(key, {**plain(catalog), "links": links}, CATALOG_OWNER)


def catalog_description(writer: CatalogWriter, row: DataVersion) -> dict[str, object]:
    """Return how a dataset's Catalog is described by the record of one of its versions.

    Args:
        writer: has the record of the version.
        row: the version.
    """
    record = cast(dict[str, Any], writer.read(record_key(row)))
    title = record["title"].removesuffix(f", {row.version}")
    own = record["description"] != _default_description(row.dataset)
    return {
        "title": None if title == row.dataset else title,
        "description": record["description"] if own else _default_description(row.dataset, True),
    }


def _default_description(name: str, of_all: bool = False) -> str:
    return f"Versions of {name}." if of_all else f"Training data {name}."


def _collection(
    committed: CommittedDataset,
    key: str,
    items: list[str],
    published: list[FileStat],
) -> dict[str, object]:
    specification, row = committed.specification, committed.row
    collection = pystac.Collection(
        id=f"{row.dataset}-{row.version}",
        title=f"{specification.title or row.dataset}, {row.version}",
        description=specification.description or _default_description(row.dataset),
        license=specification.license,
        extent=extent(committed),
        keywords=data_keywords(committed),
        providers=[
            pystac.Provider(p.name, roles=[pystac.ProviderRole(r) for r in p.roles], url=p.url)
            for p in specification.providers
        ]
        or None,
        extra_fields={
            "version": row.version,
            "mlops:digest": row.digest,
            "mlops:samples": row.counts,
        },
    )
    document: dict[str, object] = plain(collection)
    document["summaries"] = _summaries(committed)
    document["item_assets"] = _item_assets(committed)
    document["assets"] = _assets(committed, key, published)
    schemas = extensions(document)
    if specification.doi or specification.citation:
        schemas.append(SCIENTIFIC)
        document |= {
            f"sci:{name}": value
            for name, value in (("doi", specification.doi), ("citation", specification.citation))
            if value
        }
    document |= extent_notes(committed)
    if not items:
        document["mlops:items"] = (
            f"{group_count(committed)} Items, in the asset 'manifest' only, one a file"
        )
    links = [
        link("self", key, key),
        link("root", key, catalog_root_of(key)),
        link("parent", key, dataset_catalog_key(row.dataset, is_private(row))),
        *(link("item", key, item) for item in items),
    ]
    if specification.doi:
        links.append(cite_as(specification.doi))
    return {**document, "stac_extensions": schemas, "links": links}


def _quality(
    workspace: Workspace, registry: Registry, committed: CommittedDataset
) -> dict[str, object]:
    """Return which checks failed, and the thresholds they were judged by.

    Nothing if it was not assessed.
    """
    report = published_report(workspace, registry, committed.row)
    if report is None:
        return {}
    target = published_target(workspace, registry, committed.row)
    checks = [*written_checks(report), *([target.check] if target else [])]
    failed = [check.name for check in checks if not check.passed]
    return {"mlops:quality": {"failed": failed, "thresholds": report.thresholds}}


def _processing(committed: CommittedDataset) -> dict[str, object]:
    """Return what the data version was made or imported from; nothing where its files landed."""
    document = committed.document
    found = {
        "mlops:processing": document.processing,
        "mlops:origin": document.origin,
        "mlops:shared": document.shared,
    }
    return {key: value.model_dump(mode="json") for key, value in found.items() if value}


def _assets(
    committed: CommittedDataset, key: str, published: list[FileStat]
) -> dict[str, dict[str, object]]:
    """The documents of a data version, under their names without ending; two of one name get it."""
    folder = f"{version_folder(committed.row.dataset, committed.row.version)}/"
    assets: dict[str, dict[str, object]] = {}
    for file in published:
        path = PurePosixPath(
            file.path.removeprefix(folder).removeprefix(key.removesuffix("collection.json"))
        )
        name = str(path.with_suffix("")).replace("/", "-")
        name = f"{name}-{path.suffix[1:]}" if name in assets else name
        roles = ["graphic"] if path.suffix in (".svg", ".png") else ["metadata"]
        assets[name] = asset(key, file, media_type(path.name), roles, title=path.name)
    add_thumbnail(assets, THUMBNAILS)
    assets["manifest"] |= {
        "title": "Items as stac-geoparquet",
        "description": (
            f"One Item a file of this version, {len(committed.manifest)} in all, sorted by path."
        ),
        "type": PARQUET,
        "roles": ["collection-mirror"],  # https://radiantearth.github.io/stac-geoparquet-spec/
    }
    assets[TRAINING_DML.removesuffix(".json")]["title"] = "OGC TrainingDML-AI 1.0"
    return assets


def _summaries(committed: CommittedDataset) -> dict[str, object]:
    labels = committed.manifest.loc[committed.manifest["role"] == "labels", "path"].tolist()
    fields = class_fields(committed, labels)
    codes = main_files(committed)["crs"].dropna()
    counts = committed.row.counts
    found = {
        "ml-aoi:split": [name for split, name in STAC_SPLITS.items() if counts.get(split)],
        "label:type": [fields["label:type"]],
        "label:tasks": fields["label:tasks"],
        "label:classes": fields.get("label:classes"),
        "classification:classes": described_classes(
            (entry["value"], entry["name"]) for entry in committed.classes or []
        ),
        "proj:code": sorted(code for code in codes.unique() if ":" in code and "[" not in code),
        **{
            name: described_values(committed, name)
            for name in ("platform", "constellation", "instruments", "gsd")
        },
    }
    return {name: values for name, values in found.items() if values}


def _item_assets(committed: CommittedDataset) -> dict[str, object]:
    """Return what the assets of all Items have in common."""
    roles = set(committed.manifest["role"])
    if "table" in roles:
        return {"table": {"title": "Samples", "roles": ["data"]}}
    image: dict[str, object] = {"title": "Image", "roles": ["data"]}
    found: dict[str, object] = {"image": image}
    # bands in several files differ from asset to asset
    if not (main_files(committed)["part"] > 0).any():
        image["bands"] = shared_bands(committed)
    if "labels" in roles:
        rasters = not any(
            is_vector(path)
            for path in committed.manifest.loc[committed.manifest["role"] == "labels", "path"]
        )
        found["labels"] = {
            "title": "Labels",
            "roles": ["labels"],
            **(class_values(committed) if rasters else {}),
        }
    return found
