"""The static catalogue: self-contained, relative links only, every file's checksum in the registry.

Records are write-once but for their links: a new version adds `successor-version` to the one
before.

No record links to the latest version: each new one would rewrite all older ones, and the newest
would name itself.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from mlops_assets.datasets.io.media_types import media_type
from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import IntegrityError
from mlops_assets.paths import (
    CATALOG_OWNER,
    MAP_COLLECTION,
    Owner,
    catalog_folder,
    dataset_catalog_key,
    dataset_collection_key,
    map_collection_key,
    model_collection_key,
    model_item_key,
    object_href,
)
from mlops_assets.principals import Role, Visibility
from mlops_assets.registry import DataVersion, ModelVersion, Registry
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.records.rows import PublishedRecords, published_rows
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.text.json_changes import json_changes

if TYPE_CHECKING:
    import pystac

    from mlops_assets.stac.item_files import ManifestRow


Version = DataVersion | ModelVersion


class Record(TypedDict):
    """A document of the catalogue; other fields are kept as they are."""

    links: list[dict[str, object]]


# the last is of older releases
VERSION_RELATIONS = (
    "predecessor-version",
    "successor-version",
    "latest-version",
)
SCHEMAS = "https://stac-extensions.github.io"
(
    FILE,
    VERSION,
    CLASSIFICATION,
    PROJECTION,
    ML_AOI,
    SCIENTIFIC,
    EO,
    LABEL,
    TABLE,
    RASTER,
    DATACUBE,
    PROCESSING,
) = (
    f"{SCHEMAS}/{name}/schema.json"
    for name in (
        "file/v2.1.0",
        "version/v1.2.0",
        "classification/v2.0.0",
        "projection/v2.0.0",
        "ml-aoi/v0.2.0",
        "scientific/v1.0.0",
        "eo/v2.0.0",
        "label/v1.0.1",
        "table/v1.2.0",
        "raster/v2.0.0",
        "datacube/v2.3.0",
        "processing/v1.2.0",
    )
)
NULLABLE = ("geometry", "label:properties", "name")  # GeoJSON; label extension: of rasters
VERBATIM = ("mlm:hyperparameters",)
# what the file extension takes as a path
_LOCAL_PATH = re.compile("(?!-)[^/]+(?<!-)(/(?!-)[^/]+(?<!-))*")


class CatalogWriter:
    """A writer that collects documents of one record and its catalogue, to publish all at once.

    Use it under `Registry.lock`.
    """

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        """Write catalogues for a principal, who need not see all that is in them."""
        self.workspace = workspace
        self.registry = registry.unrestricted()
        self.dropped: set[str] = set()  # keys of documents that are published no more
        self._contents: dict[str, bytes] = {}
        self._files: dict[str, bytes | Path] = {}
        self._owners: dict[str, Owner] = {}

    def write(self, key: str, document: Mapping[str, object], owner: Owner) -> FileStat:
        """Add one document of an owner, in place of an earlier one.

        Return the file that it will be.
        """
        content = json_bytes(without_nulls(document))
        self.dropped.discard(key)
        self._contents[key] = content
        self._owners[key] = owner
        return self.file(key)

    def add_files(self, owner: Owner, files: Mapping[str, bytes | Path]) -> None:
        """Add files of an owner that are published with the documents.

        Args:
            owner: of the files.
            files: key → content.
        """
        self._files |= files
        self._owners |= dict.fromkeys(files, owner)

    def drop(self, key: str) -> None:
        """Remove one document, if there is one."""
        self._contents.pop(key, None)
        self.dropped.add(key)

    def file(self, key: str) -> FileStat:
        """Return the file that a document will be."""
        content = self._contents[key]
        return FileStat(key, sha256_of(content), len(content))

    def read(self, key: str) -> Record:
        """Return one document: as it was added, else as it was published.

        Raises:
            IntegrityError: it is not as it was published.
        """
        if key in self._contents:
            document: Record = json.loads(self._contents[key])
            return document
        return read_record(self.workspace, self.registry, key)

    def has(self, key: str) -> bool:
        """Return whether a document was added, or was published and exists."""
        return key in self._contents or (
            key not in self.dropped and has_record(self.workspace, self.registry, key)
        )

    @contextmanager
    def publishing(self, role: Role = Role.SCIENTIST) -> Iterator[PublishedRecords]:
        """Put all documents and files; within, record what is yielded in one transaction.

        Args:
            role: required of the principal.
        """
        with publication(self.workspace, self.registry, role) as putting:
            putting.put_all(self._files | self._contents)
            files: dict[Owner, list[FileStat]] = {}
            for file in putting.files:
                files.setdefault(self._owners[file.path], []).append(file)
            yield PublishedRecords(files, published_rows(self._contents))

    def link_inputs(
        self,
        key: str,
        owner: Owner,
        links: Sequence[dict[str, object]],
        withheld: Sequence[str],
    ) -> None:
        """Link a record to those of what its version was made from.

        Args:
            key: of the record.
            owner: of it.
            links: to the records of its inputs.
            withheld: references of inputs that are private, while the version is not: the record
                names them, and has no link to them.
        """
        before = self.read(key)
        linked = _with_inputs(before, links, withheld)
        if linked != before:
            self.write(key, linked, owner)

    def keep_version_links(self, key: str) -> None:
        """Give a document that was added the links to other versions that it was published with."""
        document = self.read(key)
        published = read_record(self.workspace, self.registry, key)
        links = [entry for entry in published["links"] if entry["rel"] in VERSION_RELATIONS[:2]]
        document["links"] = [*document["links"], *links]
        self._contents[key] = json_bytes(document)

    def leave_unchanged(self) -> dict[str, list[str]]:
        """Take back documents that are as they were published.

        Returns:
            Key → what differs, one line for each value, of the others.
        """
        found: dict[str, list[str]] = {}
        for key, content in list(self._contents.items()):
            before: object = None
            if has_record(self.workspace, self.registry, key):
                before = read_record(self.workspace, self.registry, key)
            differences = list(json_changes(before, json.loads(content)))
            if differences:
                found[key] = differences
            else:
                del self._contents[key]
        return found

    def write_root(self, private: bool = False) -> None:
        """Write the root of the catalogue: one child a dataset, one a model, one an area of maps.

        Args:
            private: write that of private versions instead; it goes with the last of them.
        """
        import pystac

        key = f"{catalog_folder(private)}/catalog.json"
        datasets, models = self.registry.names()
        children = [dataset_catalog_key(name, private) for name in datasets]
        children += [model_collection_key(name, private) for name in models]
        added = (MAP_COLLECTION.fullmatch(key) for key in self._contents)
        maps = {*self.registry.map_collections(), *(found[1] for found in added if found)}
        children += [map_collection_key(name, private) for name in sorted(maps)]
        children = [child for child in children if self.has(child)]
        if private and not children:
            self.drop(key)
            return
        of_versions = "Private training data and models" if private else "Training data and models"
        catalog = pystac.Catalog(
            "mlops_assets", f"{of_versions} of this workspace.", title="mlops_assets"
        )
        links = [
            link("self", key, key),
            link("root", key, key),
            *(link("child", key, child) for child in children),
        ]
        self.write(key, {**plain(catalog), "links": links}, CATALOG_OWNER)


def is_private(row: Version) -> bool:
    """Return whether a version is in the catalogue of private versions."""
    return row.visibility == Visibility.PRIVATE


def record_key(row: Version) -> str:
    """Return the key of the record of a version: a Collection, or the Item of a model version."""
    if isinstance(row, DataVersion):
        return dataset_collection_key(row.dataset, row.version, is_private(row))
    return model_item_key(row.model, row.version, is_private(row))


def _with_inputs(
    document: Record, links: Sequence[dict[str, object]], withheld: Sequence[str]
) -> Record:
    kept = [entry for entry in document["links"] if entry["rel"] != "derived_from"]
    # version links are the last of a record, as they are added when it is complete
    kept = sorted([*kept, *links], key=lambda entry: entry["rel"] in VERSION_RELATIONS)
    found: dict[str, object] = {**document, "links": kept}
    named = {"mlops:private_inputs": list(withheld)} if withheld else {}
    if "properties" in found:
        found["properties"] = _replaced(found["properties"], named)
    else:
        found = _replaced(found, named)
    return cast(Record, found)


def _replaced(fields: object, named: Mapping[str, object]) -> dict[str, object]:
    others = cast(Mapping[str, object], fields).items()
    return {name: value for name, value in others if name != "mlops:private_inputs"} | dict(named)


def has_record(workspace: Workspace, registry: Registry, key: str) -> bool:
    """Return whether a document of the catalogue was published and exists.

    A file that a killed process left was not published.
    """
    return bool(registry.files_at(key)) and workspace.exists(key)


def read_record(workspace: Workspace, registry: Registry, key: str) -> Record:
    """Return one document of the catalogue.

    Raises:
        IntegrityError: it is not as it was published.
        StorageError: it is missing.
    """
    try:
        document: Record = json.loads(read_published(workspace, registry, key))
    except IntegrityError as error:
        raise IntegrityError(f"{error}, or remove it and record that version again") from error
    return document


def version_tags(registry: Registry, dataset: str, version: str) -> list[str]:
    """Return the tags of a data version."""
    return sorted(tag for tag, own in registry.tags(dataset).items() if own == version)


def without_nulls(value: object) -> object:
    """Return a document without nulls, as some catalogues drop them and others refuse them.

    Nulls stay where a schema demands them (`NULLABLE`), in lists, and in hyperparameters, where
    null is a value.
    """
    if isinstance(value, Mapping):
        return {
            name: entry if name in VERBATIM else without_nulls(entry)
            for name, entry in value.items()
            if entry is not None or name in NULLABLE
        }
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def link(rel: str, source: str, target: str, **extra: object) -> dict[str, object]:
    """Return a relative link from one key of the workspace to another, with the target's name."""
    media = "application/geo+json" if rel == "item" else "application/json"
    href = relative(source, target)
    return {"rel": rel, "href": href, "type": media, "title": _name_of(target), **extra}


def _name_of(key: str) -> str:
    """Return the name of a document of the catalogue for people, by its key."""
    _, *folders, _ = key.split("/")
    if not folders:
        return "mlops_assets"
    return folders[3] if len(folders) > 3 else "@".join(folders[1:])


def cite_as(doi: str) -> dict[str, object]:
    """Return a link to what a DOI names."""
    return {"rel": "cite-as", "href": f"https://doi.org/{doi}", "title": f"doi:{doi}"}


def relative(source: str, target: str) -> str:
    """Return the href by which the document at `source` reaches `target`."""
    href = posixpath.relpath(target, posixpath.dirname(source))
    return href if href.startswith(".") else f"./{href}"


def asset(
    source: str, file: FileStat, media: str, roles: list[str], **extra: object
) -> dict[str, object]:
    """Return an asset with checksum (multihash, as the file extension wants it) and size."""
    return {
        "href": relative(source, file.path),
        "type": media,
        "roles": roles,
        "file:checksum": f"{MULTIHASH_SHA256}{file.sha256}",
        "file:size": file.size,
        **extra,
    }


def add_thumbnail(assets: Mapping[str, dict[str, object]], preferred: Iterable[str]) -> None:
    """Make one figure the thumbnail: the first preferred one that exists, else the first."""
    figures = [name for name, entry in assets.items() if entry["roles"] == ["graphic"]]
    chosen = next((name for name in (*preferred, *figures) if name in figures), None)
    if chosen is not None:
        assets[chosen]["roles"] = ["thumbnail", "graphic"]


def file_asset(
    source: str, row: ManifestRow, roles: list[str], **extra: object
) -> dict[str, object]:
    """Return an asset for a file of a manifest, in the object store or kept by reference."""
    path = row["path"]
    if _LOCAL_PATH.fullmatch(path):
        extra["file:local_path"] = path
    found = asset(
        source,
        FileStat(object_href(row["sha256"], row["pack"]), row["sha256"], row["size"]),
        media_type(path),
        roles,
        title=path,
        **extra,
    )
    return {**found, "href": row["href"]} if row["href"] else found


def plain(thing: pystac.STACObject) -> dict[str, object]:
    """Return a STAC object as a dictionary without links."""
    document = thing.to_dict(include_self_link=False, transform_hrefs=False)
    return {**document, "links": []}
