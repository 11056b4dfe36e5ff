"""Agreement of a map's row with its document, its files, its model version and its Item.

The log is compared with rows, and the bytes of files with their checksums, elsewhere: a document
that cannot be read is reported there, and not compared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from pydantic import Field

from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import map_document_key, map_key, model_folder
from mlops_assets.registry import Map, ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.registry.log.chain import kept
from mlops_assets.registry.log.replay import guarded, same
from mlops_assets.registry.model_documents import Document
from mlops_assets.stac.catalog import is_private
from mlops_assets.stac.maps.document import MapDocument, digest_of, input_digest
from mlops_assets.stac.maps.item import asset_name, item_key
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.store import Store


class _Asset(Document):
    checksum: str | None = Field(default=None, alias="file:checksum")


class _Link(Document):
    rel: str = ""
    checksum: str | None = Field(default=None, alias="file:checksum")
    files: list[_Asset] = Field(default=[], alias="mlops:files")


class _Properties(Document):
    input_digest: str | None = Field(default=None, alias="mlops:input_digest")
    digest: str | None = Field(default=None, alias="mlops:digest")
    outside: float | None = Field(default=None, alias="mlops:outside")
    run_id: str | None = Field(default=None, alias="mlops:run_id")


class _Item(Document):
    """The fields of a map's Item that repeat its document."""

    properties: _Properties = _Properties()
    assets: dict[str, _Asset] = Field(default={})
    links: list[_Link] = Field(default=[])


def map_problems(store: Store, row: Map) -> Iterator[str]:
    """Yield where a map's row, document, files, model version and Item do not agree."""
    subject = f"map {row.name} of {row.model}@{row.version}"
    content = _published(store, map_document_key(row.model, row.version, row.name))
    if content is None:
        return
    document = MapDocument.model_validate_json(content)
    for check in (_row_of, _digests_of, _files_of, _model_of, _item_of):
        yield from guarded(subject, partial(check, store, row, document, subject))


def _published(store: Store, key: str) -> bytes | None:
    try:
        return read_published(store.workspace, store.registry, key)
    except (StorageError, IntegrityError):
        return None


def _row_of(_store: Store, row: Map, document: MapDocument, subject: str) -> Iterator[str]:
    stated = document.row()
    for column in Map.__table__.columns:
        value, expected = (kept(getattr(each, column.name)) for each in (row, stated))
        if not same(value, expected):
            yield (
                f"{subject}: the registry has {column.name} {value!r}, its document {expected!r}"
            )


def _digests_of(_store: Store, _row: Map, document: MapDocument, subject: str) -> Iterator[str]:
    if digest_of(document.files) != document.digest:
        yield f"{subject}: its digest is not that of the files in its document"
    if input_digest(document.scenes, document.settings) != document.input_digest:
        yield f"{subject}: its input digest is not that of the scenes and settings in its document"


def _files_of(store: Store, row: Map, document: MapDocument, subject: str) -> Iterator[str]:
    keys = {end: map_key(row.model, row.version, row.name, end) for end in document.files}
    published = {file.path: file.sha256 for file in store.registry.files_at(*keys.values())}
    for end, key in keys.items():
        if published.get(key) != document.files[end].sha256:
            yield f"{subject}: its document has another checksum of {key} than the registry"


def _model_of(store: Store, row: Map, document: MapDocument, subject: str) -> Iterator[str]:
    made_by = _model_version(store, row)
    if made_by is None:
        yield f"{subject}: its model version is not in the registry"
        return
    for name in ("run_id", "dataset", "data_version"):
        if getattr(made_by, name) != getattr(row, name):
            yield f"{subject}: it has another {name} than its model version"
    onnx = f"{model_folder(row.model, row.version)}/model.onnx"
    if [file.sha256 for file in store.registry.files_at(onnx)] != [document.model_sha256]:
        yield f"{subject}: it was made by another model.onnx than that of its model version"


def _item_of(store: Store, row: Map, document: MapDocument, subject: str) -> Iterator[str]:
    made_by = _model_version(store, row)
    key = item_key(document, made_by is not None and is_private(made_by))
    if not store.registry.files_at(key):
        yield f"{subject}: its record {key} was never published; make the map again"
        return
    content = _published(store, key)
    if content is None:
        return
    item = _Item.model_validate_json(content)
    stated: Mapping[str, object] = {
        name: getattr(document, name) for name in _Properties.model_fields
    }
    for name, value in stated.items():
        if getattr(item.properties, name) != value:
            yield f"{subject}: its record has another {name} than its document"
    checksums = {asset_name(end): file.sha256 for end, file in document.files.items()}
    for name, sha256 in checksums.items():
        found = item.assets.get(name, _Asset()).checksum
        if found != f"{MULTIHASH_SHA256}{sha256}":
            yield f"{subject}: its record has another checksum of its asset {name}"
    sources = {
        checksum
        for link in item.links
        if link.rel == "derived_from"
        for checksum in (link.checksum, *(file.checksum for file in link.files))
        if checksum is not None
    }
    if sources != {
        f"{MULTIHASH_SHA256}{file.sha256}" for scene in document.scenes for file in scene.files
    }:
        yield f"{subject}: its record has other scenes than its document"


def _model_version(store: Store, row: Map) -> ModelVersion | None:
    try:
        # what is compared is not returned
        return store.registry.unrestricted().model_version(Reference(row.model, row.version))
    except NotFound:
        return None
