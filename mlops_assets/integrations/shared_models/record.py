"""A model version of another workspace, read by its published record.

The other workspace is only read, its registry is not needed, and what it states is data: it is
checked by its checksums, and trusted no further than its signatures are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlops_assets.errors import ImportRefused, IntegrityError, NotFound, StorageError
from mlops_assets.models.signing.statements import Sha256
from mlops_assets.models.signing.verify import Bundles
from mlops_assets.names import check_key, check_name
from mlops_assets.paths import (
    GATES,
    SIGNATURES,
    model_folder,
    model_item_key,
    provenance_key,
    run_document_key,
    signature_key,
    signature_of_key,
)
from mlops_assets.registry.model_documents import SharedFile, SharedModel, Signature
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.checksums import MULTIHASH_SHA256
from mlops_assets.storage.other_workspace import open_other_workspace
from mlops_assets.storage.stores import BUCKETS, is_missing
from mlops_assets.strict import listed_problems
from mlops_assets.text.secret_urls import redacted

_RECORD = re.compile(
    r"(?P<workspace>[a-z0-9]+://.+)/catalog/models/(?P<model>[^/]+)/(?P<version>[^/]+)"
    r"/(?P=version)\.json"
)
_ASK = "ask whoever runs that workspace to verify it"


@dataclass(frozen=True)
class PublishedModel:
    """A model version of another workspace.

    Attributes:
        shared: what it is there, as it is kept here.
        task: classification, semantic segmentation or regression.
        framework: that it was made with.
        signature: of the ONNX file.
        parameters, seed: of its training run.
        description, license: of its record, if it has them.
        deprecated: whether it is deprecated there.
        bundles: of its signatures, by name.
    """

    shared: SharedModel
    task: str
    framework: str
    signature: Signature
    parameters: dict[str, JsonValue]
    seed: int
    description: str | None
    license: str | None
    deprecated: bool
    bundles: Mapping[str, Bundles]


class _Asset(BaseModel):
    href: str
    checksum: Annotated[str, Field(pattern=f"^{MULTIHASH_SHA256}[0-9a-f]{{64}}$")] | None = Field(
        None, alias="file:checksum"
    )
    size: Annotated[int, Field(ge=0)] | None = Field(None, alias="file:size")


class _Properties(BaseModel):
    run_id: str = Field(alias="mlops:run_id")
    description: str | None = None
    license: str | None = None
    deprecated: bool = False


class _Item(BaseModel):
    properties: _Properties
    assets: dict[str, _Asset]


class _RunDocument(BaseModel):
    """The `run.json` of a model version; what is read of it."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    model: str
    model_version: str
    dataset: str
    data_version: str
    data_digest: Sha256
    parameters: dict[str, JsonValue]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    task: str
    framework: Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]
    signature: Signature


def read_record(record: str, cache: Path) -> PublishedModel:
    """Read a model version of another workspace by its record; its ONNX file is not read.

    Args:
        record: URL of its Item in the static catalogue of the other workspace.
        cache: folder for copies of remote files.

    Returns:
        The version, whose bundles are not verified.

    Raises:
        NotFound: the URL is not that of such a record.
        StorageError: a document cannot be read.
        IntegrityError: a document is not as the record states, or not one of a model version.
        ImportRefused: it is used there from a third workspace.
    """
    match = _RECORD.fullmatch(record)
    if match is None or urlsplit(record).scheme not in ("file", *BUCKETS) or "/../" in record:
        raise NotFound(
            f"{redacted(record)} is not the record of a model version; give the URL of its Item,"
            " <workspace>/catalog/models/NAME/VERSION/VERSION.json, on file, s3, az or gs; models"
            " of other software are imported with 'mlops model import'"
        )
    if redacted(record) != record or "@" in urlsplit(record).netloc:
        raise NotFound(f"{redacted(record)} has credentials in it; put them into the environment")
    url = match["workspace"]
    model = check_name(match["model"], "model")
    version = check_key(match["version"], "version")
    other = open_other_workspace(url, cache)
    key = model_item_key(model, version)
    try:
        item = _Item.model_validate_json(_get(other, key))
        stated = _stated(key, item)
        run_key = run_document_key(item.properties.run_id)
        run = _RunDocument.model_validate_json(_checked(other, run_key, stated, record))
    except ValidationError as error:
        raise IntegrityError(
            f"{record} is not a record of a model version that this release can read:"
            f" {listed_problems(error, 'it')}"
        ) from None
    folder = f"{model_folder(model, version)}/"
    if f"{folder}model.onnx" not in stated:
        where = item.assets["model"].href if "model" in item.assets else "nowhere"
        raise ImportRefused(
            f"{record} has its ONNX file {where}, and not in that workspace; if it is used there"
            " from a third one, use it from that one"
        )
    if (run.model, run.model_version) != (model, version):
        raise IntegrityError(
            f"{record}: its run.json is of {run.model}@{run.model_version}, which is another model"
            f" version; {_ASK}"
        )
    read = partial(_checked, other, stated=stated, record=record)
    unsigned = (f"{folder}{SIGNATURES}/", f"{folder}{GATES}/")
    shared = SharedModel(
        workspace=url,
        record=record,
        model=model,
        version=version,
        run_id=run.run_id,
        dataset=check_name(run.dataset, "dataset"),
        data_version=check_key(run.data_version, "data version"),
        data_digest=run.data_digest,
        files=[
            SharedFile(name=file.path.removeprefix(folder), sha256=file.sha256, size=file.size)
            for file in stated.values()
            if file.path.startswith(folder) and not file.path.startswith(unsigned)
        ],
    )
    signed = (signature_of_key(key) for key in stated if key.startswith(f"{folder}{SIGNATURES}/"))
    return PublishedModel(
        shared=shared,
        task=run.task,
        framework=run.framework,
        signature=run.signature,
        parameters=run.parameters,
        seed=run.seed,
        description=item.properties.description,
        license=item.properties.license,
        deprecated=item.properties.deprecated,
        bundles={
            # read once, so that what is verified is what is kept
            name: Bundles(
                partial(bytes, read(signature_key(model, version, name))),
                partial(bytes, read(provenance_key(model, version, name))),
            )
            for name in sorted(filter(None, signed))
        },
    )


def _stated(key: str, item: _Item) -> dict[str, FileStat]:
    """Return the files of the other workspace that a record links, by key.

    Args:
        key: of the record.
        item: the record.
    """
    found = {}
    for asset in item.assets.values():
        place = posixpath.normpath(posixpath.join(posixpath.dirname(key), asset.href))
        if "://" in asset.href or place.startswith(("..", "/")) or asset.checksum is None:
            continue
        found[place] = FileStat(
            place, asset.checksum.removeprefix(MULTIHASH_SHA256), asset.size or 0
        )
    return found


def _checked(other: Workspace, key: str, stated: Mapping[str, FileStat], record: str) -> bytes:
    """Return a file that a record links, compared with its checksum."""
    if key not in stated:
        raise IntegrityError(f"{record} does not link {key} with its checksum; {_ASK}")
    content = _get(other, key)
    if sha256_of(content) != stated[key].sha256:
        raise IntegrityError(f"{other.where(key)} is not as its record {record} states; {_ASK}")
    return content


def _get(other: Workspace, key: str) -> bytes:
    try:
        return other.get(key)
    except StorageError as error:
        if not is_missing(error.__cause__):
            raise
        raise StorageError(
            f"{other.where(key)} is not there; check the URL: the other workspace may have been"
            " moved, or the version made private"
        ) from error.__cause__
