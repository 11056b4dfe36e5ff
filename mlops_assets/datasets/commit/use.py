"""Use a data version of another workspace without a copy of its files.

Its documents are read by its published record and checked by their checksums, and a version with
the same digest is published here, whose manifest leads to the bytes there. The other workspace is
only read, and its registry is not needed.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
from obstore.store import ObjectStore
from pydantic import ValidationError

from mlops_assets.datasets.commit.commit import publish
from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.datasets.versions.version_document import SharedVersion, VersionDocument
from mlops_assets.errors import DataProblems, IntegrityError, NotFound
from mlops_assets.paths import dataset_collection_key, object_href
from mlops_assets.principals import Role
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.storage.stores import BUCKETS, explained, open_object_store
from mlops_assets.text.secret_urls import redacted

_RECORD = re.compile(
    r"(?P<workspace>[a-z0-9]+://.+)/catalog/datasets/(?P<dataset>[^/]+)/(?P<version>v\d+)"
    r"/collection\.json"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DOCUMENTS = ("version.json", "manifest.parquet", "samples.parquet")


@dataclass(frozen=True)
class Published:
    """A data version of another workspace, as its record describes it, with checked documents."""

    shared: SharedVersion
    document: VersionDocument
    manifest: pd.DataFrame
    samples: pd.DataFrame


@dataclass(frozen=True)
class Use:
    """The outcome: the data version here, whether it is new, and notes for people."""

    version: DataVersion
    created: bool
    notes: list[str]


def use(workspace: Workspace, registry: Registry, dataset: str, record: str) -> Use:
    """Publish a data version of another workspace as one of a dataset here; no file is copied.

    A version that the dataset has already, by its digest, is returned.

    Args:
        workspace: where the documents go.
        registry: where the version is published, by its principal.
        dataset: name of the dataset here.
        record: URL of the version's Collection in the static catalogue of the other workspace.

    Raises:
        NotFound: the URL is not that of such a record.
        StorageError: the other workspace cannot be read, or this one not be written.
        IntegrityError: a document there is not as its record states.
        DataProblems: it has paths or URLs that cannot be used here.
        Conflict: another process is committing the same dataset and does not end.
        Forbidden: whoever acts may not publish data versions; nothing was written.
    """
    registry.principal.require(Role.SCIENTIST, "publish data version")
    published = read_record(record)
    document, shared = published.document, published.shared
    with registry.lock(dataset):
        found = registry.data_version_with(dataset, document.digest)
        if found is not None:
            return Use(found, created=False, notes=[])
        note = f"its files are in {shared.workspace}, {shared.dataset}@{shared.version}"
        summary = document.summary
        draft = document.model_copy(
            update={
                "dataset": dataset,
                "specification": {**document.specification, "name": dataset},
                "created_by": registry.principal.name,
                "notes": [*document.notes, note],
                "shared": shared,
                "summary": summary
                and summary.model_copy(update={"kept_by_reference": len(published.manifest)}),
            }
        )
        row = publish(workspace, registry, draft, published.samples, published.manifest, None)
    return Use(row, created=True, notes=draft.notes)


def read_record(record: str) -> Published:
    """Read a data version of another workspace by its record; its files are not read.

    Args:
        record: URL of its Collection.

    Returns:
        Its documents; the manifest's `href` leads to the bytes of every file.

    Raises:
        NotFound: the URL is not that of such a record.
        StorageError: a document cannot be read.
        IntegrityError: a document is not as the record states, or not one of a data version.
        DataProblems: it has paths or URLs that cannot be used here.
    """
    match = _RECORD.fullmatch(record)
    if match is None or urlsplit(record).scheme not in ("file", *BUCKETS) or "/../" in record:
        raise NotFound(
            f"{redacted(record)} is not the record of a data version; give the URL of its"
            " Collection, <workspace>/catalog/datasets/NAME/v1/collection.json, on file, s3, az"
            " or gs"
        )
    url, dataset, version = match["workspace"], match["dataset"], match["version"]
    if redacted(record) != record or "@" in urlsplit(record).netloc:
        raise NotFound(f"{redacted(record)} has credentials in it; put them into the environment")
    store = open_object_store(url)
    key = dataset_collection_key(dataset, version)
    content = _get(store, url, key)
    try:
        stated = _stated(key, json.loads(content))
        texts = {name: _get(store, url, stated[name][0]) for name in _DOCUMENTS}
        for name, text in texts.items():
            if sha256_of(text) != stated[name][1]:
                raise IntegrityError(
                    f"{url}/{stated[name][0]} is not as its record {record} states; ask whoever"
                    " runs that workspace to verify it"
                )
        document = VersionDocument.model_validate_json(texts["version.json"])
        manifest = read_manifest(texts["manifest.parquet"])
        samples = pd.read_parquet(io.BytesIO(texts["samples.parquet"]))
        digest = digest_of_documents(manifest, samples, document)
    except (KeyError, TypeError, AttributeError, ValueError, ValidationError, pa.ArrowException):
        raise IntegrityError(
            f"{record} is not a record of a data version that this release can read; it needs"
            f" {', '.join(_DOCUMENTS)}, each with its checksum"
        ) from None
    if digest != document.digest:
        raise IntegrityError(
            f"{record}: the manifest has the digest {digest[:12]}…, version.json states"
            f" {document.digest[:12]}…; ask whoever runs that workspace to verify it"
        )
    if document.processing is not None:
        raise DataProblems(
            record,
            [
                "it was made from other data versions of that workspace, which lineage here could"
                " not name; recall it there, land it here, or use its inputs"
            ],
        )
    shared = SharedVersion(workspace=url, record=record, dataset=dataset, version=version)
    return Published(shared, document, _located(url, manifest), samples)


def _stated(key: str, collection: dict[str, dict[str, dict[str, str]]]) -> dict[str, list[str]]:
    """Return key and sha256 of each document that a record links, by its name."""
    found = {}
    for asset in collection["assets"].values():
        name = posixpath.basename(asset["href"])
        if name in _DOCUMENTS:
            place = posixpath.normpath(posixpath.join(posixpath.dirname(key), asset["href"]))
            if place.startswith(("..", "/")) or "://" in asset["href"]:
                raise ValueError(place)
            found[name] = [place, asset["file:checksum"].removeprefix(MULTIHASH_SHA256)]
    return found


def _get(store: ObjectStore, url: str, key: str) -> bytes:
    gone = "check the URL; the other workspace may have been moved, or the version made private"
    with explained(f"{url}/{key}", "read", missing=gone):
        return bytes(store.get(key).bytes())


def _located(url: str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest of another workspace with the URL of each file's bytes.

    Raises:
        DataProblems: paths, checksums or URLs that cannot be used here.
    """
    problems: list[str] = []
    hrefs: list[str] = []
    packs = manifest["pack"].astype(object).where(manifest["pack"].notna(), None)
    given = manifest["href"].astype(object).where(manifest["href"].notna(), None)
    rows = zip(manifest["path"], manifest["sha256"], packs, given, strict=True)
    for path, sha256, pack, href in rows:
        if not _SHA256.fullmatch(str(sha256)) or (pack and not _SHA256.fullmatch(str(pack))):
            problems.append(f"{path}: {sha256!r} is not a checksum")
        elif href is not None and str(href).startswith("file:"):
            problems.append(f"{path} is kept by reference in a folder there, {href}")
        hrefs.append(str(href) if href else f"{url}/{object_href(str(sha256), pack)}")
    sizes = zip(manifest["path"], manifest["size"], strict=True)
    checked(url, Listing(LandedFile(str(path), int(size), "") for path, size in sizes), problems)
    return manifest.assign(href=pd.Series(hrefs, index=manifest.index, dtype="str"), pack=None)
