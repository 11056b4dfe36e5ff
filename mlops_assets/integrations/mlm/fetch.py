"""Reading of a model and its record, at a local path or at an untrusted URL.

Files are copied and counted here; nothing interprets them but the parsers of JSON and YAML.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pydantic_core import PydanticSerializationError, to_json

from mlops_assets.datasets.sources.external_assets import store_outside
from mlops_assets.datasets.sources.stac.hrefs import resolve
from mlops_assets.errors import ImportRefused, StorageError
from mlops_assets.storage import sha256_of
from mlops_assets.storage.checksums import HASHES, multihash
from mlops_assets.storage.stores import BUCKETS, WEB, explained
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.secret_urls import redacted
from mlops_assets.text.strict_json import parse_json

MAX_RECORD = 8 << 20  # bytes
MAX_MODEL = 2 << 30  # bytes; an ONNX file is a message of protobuf, which is never larger
RECORD_COPY = "record"  # name of the copy of a record
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A file that was copied.

    Attributes:
        path: of the copy.
        place: path or URL that it was read from, without secrets.
        sha256: of its bytes.
        unchecked: True if nothing states a checksum for it.
    """

    path: Path
    place: str
    sha256: str
    unchecked: bool


def is_url(place: str) -> bool:
    """Return whether a place is a URL, and not a local path."""
    return "://" in place


def fetch(place: str, target: Path, limit: int) -> None:
    """Copy a file.

    A web server must have a public address, and a bucket is read without credentials, unless the
    settings trust them.

    Args:
        place: local path or URL.
        target: the copy.
        limit: largest size in bytes.

    Raises:
        StorageError: it cannot be read, is larger, or its server is of this network.
    """
    if not is_url(place):
        with explained(place, "read", missing="check the path"):
            _require_size(place, Path(place).stat().st_size, limit)
            # a device may never end
            if not Path(place).is_file():
                raise StorageError(f"{place} is not a file; name a file")
            shutil.copyfile(place, target)
        return
    parts = urlsplit(place)
    if parts.scheme not in (*WEB, *BUCKETS):
        raise StorageError(
            f"{redacted(place)} is not read; give a local path, or a URL of"
            f" {', '.join((*WEB, *BUCKETS))}"
        )
    if parts.query:
        raise StorageError(
            f"{redacted(place)} is not read, as it has a query; leave it out, or download the file"
            " and give its path"
        )
    with explained(place, "read"), target.open("wb") as stream:
        store, key = store_outside(place)
        found = store.get(key)
        _require_size(place, found.meta["size"], limit)
        size = 0
        for chunk in found.stream(min_chunk_size=_CHUNK):
            size += len(chunk)
            _require_size(place, size, limit)
            stream.write(chunk)
    if size != found.meta["size"]:
        raise StorageError(
            f"{place} was read in part only ({size} of {found.meta['size']} bytes); try again"
        )


def read_record(place: str, scratch: Path) -> JsonObject:
    """Return the record at a place: an Item, or the properties of one, as JSON or YAML.

    Args:
        place: local path or URL; YAML is known by its name.
        scratch: a folder for its copy.

    Raises:
        ImportRefused: it is neither, or describes no single model.
        StorageError: it cannot be read.
    """
    path = scratch / RECORD_COPY
    fetch(place, path, MAX_RECORD)
    content = path.read_bytes()
    try:
        if urlsplit(place).path.endswith((".yaml", ".yml")):
            # YAML has dates, JSON has texts instead
            content = to_json(_without_aliases(content), inf_nan_mode="constants")
        document = parse_json(content)
    except (ValueError, RecursionError, yaml.YAMLError, PydanticSerializationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ImportRefused(
            f"{redacted(place)} is not a record of a model: {_likely(content) or reason}; give an"
            " Item of the MLM extension, or its properties, as JSON or YAML, with --record beside"
            " an ONNX file"
        ) from error
    if not isinstance(document, dict) or document.get("type", "Feature") != "Feature":
        kind = document.get("type") if isinstance(document, dict) else type(document).__name__
        raise ImportRefused(
            f"{redacted(place)} is a {kind}; name one Item of it, which describes one model"
        )
    return document


def model_of_item(item: JsonObject, place: str, scratch: Path) -> Fetched:
    """Copy the ONNX file of an Item, and check it by the checksum that the Item states.

    Args:
        item: the document.
        place: path or URL of the Item.
        scratch: a folder for the copy.

    Raises:
        ImportRefused: it has no ONNX file, several, or one that is not as the Item states.
        StorageError: it cannot be read.
    """
    name, asset = onnx_asset(item, place)
    found = fetch_model(_target(place, str(asset["href"])), scratch)
    size = asset.get("file:size")
    if isinstance(size, int) and size != found.path.stat().st_size:
        raise ImportRefused(
            f"{found.place} has {found.path.stat().st_size} bytes, and the asset {name!r} of the"
            f" Item states {size}; ask its provider for the file that belongs to the Item"
        )
    checksum = asset.get("file:checksum")
    if checksum is None:
        return found
    _require_checksum(found, name, str(checksum))
    return Fetched(found.path, found.place, found.sha256, unchecked=False)


def sha256_of_item(item: JsonObject, place: str, scratch: Path) -> str:
    """Return the sha256 of the ONNX file of an Item, which is copied only if the Item has none.

    Args:
        item: the document.
        place: path or URL of the Item.
        scratch: a folder for a copy.

    Raises:
        ImportRefused: it has no ONNX file, or several.
        StorageError: the file cannot be read.
    """
    _, asset = onnx_asset(item, place)
    stated = multihash(str(asset.get("file:checksum", "")))
    if stated is not None and stated[0] == "sha256":
        return stated[1]
    return model_of_item(item, place, scratch).sha256


def fetch_model(place: str, scratch: Path) -> Fetched:
    """Copy an ONNX file whose checksum nobody has stated.

    Args:
        place: local path or URL.
        scratch: a folder for the copy.

    Raises:
        ImportRefused: it is an archive, a pickle or a page; it was not opened.
        StorageError: it cannot be read.
    """
    path = scratch / "model.onnx"
    fetch(place, path, MAX_MODEL)
    with path.open("rb") as stream:
        other = _likely(stream.read(512))
    if other:
        raise ImportRefused(
            f"{redacted(place)} is {other}, which is never opened here; give the model as an ONNX"
            " file"
        )
    return Fetched(path, redacted(place), sha256_of(path), unchecked=True)


def onnx_asset(item: JsonObject, place: str) -> tuple[str, Mapping[str, object]]:
    """Return key and fields of the asset of an Item that is its ONNX file.

    Args:
        item: the document.
        place: path or URL of the Item, for messages.

    Raises:
        ImportRefused: it has no ONNX file, or several.
    """
    assets = item.get("assets")
    usable = {
        name: asset
        for name, asset in (assets.items() if isinstance(assets, dict) else [])
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
    }
    found = {name: asset for name, asset in usable.items() if _is_onnx(asset)}
    models = {name: asset for name, asset in found.items() if "mlm:model" in _roles(asset)}
    chosen = models or found
    if len(chosen) == 1:
        return next(iter(chosen.items()))
    listed = ", ".join(f"{name} ({_kind(asset)})" for name, asset in usable.items()) or "none"
    problem = "several ONNX files" if chosen else "no ONNX file"
    raise ImportRefused(
        f"{redacted(place)} has {problem} among its assets: {listed}; other formats are not opened."
        " Give the ONNX file, with --record for this Item"
    )


def _is_onnx(asset: Mapping[str, object]) -> bool:
    kind = asset.get("mlm:artifact_type")
    if kind is not None:
        return str(kind).lower() == "onnx"
    media = str(asset.get("type", "")).lower()
    return "onnx" in media or urlsplit(str(asset["href"])).path.lower().endswith(".onnx")


def _roles(asset: Mapping[str, object]) -> list[object]:
    roles = asset.get("roles")
    return roles if isinstance(roles, list) else []


def _kind(asset: Mapping[str, object]) -> str:
    return str(asset.get("mlm:artifact_type") or asset.get("type") or "of no type")


def _target(place: str, href: str) -> str:
    """Return the place of an asset; a local Item may name files by relative paths only.

    Raises:
        StorageError: it may not be read.
    """
    if is_url(place):
        return resolve(place, href)
    if is_url(href):
        if urlsplit(href).scheme == "file":
            raise StorageError(
                f"{redacted(href)} is not read, as an Item names it; give the ONNX file, with"
                " --record for the Item"
            )
        return href
    if Path(href).is_absolute():
        raise StorageError(
            f"{href} is not read, as an Item names it by its path on this machine; give the ONNX"
            " file, with --record for the Item"
        )
    return str(Path(place).parent / unquote(href))


def _require_size(place: str, size: int, limit: int) -> None:
    if size > limit:
        raise StorageError(
            f"{redacted(place)} has {size:,} bytes or more, and at most {limit:,} are read; give a"
            " smaller file"
        )


def _require_checksum(found: Fetched, asset: str, checksum: str) -> None:
    """Check a file by a multihash in hexadecimal digits.

    Raises:
        ImportRefused: it has another checksum, or one that cannot be computed.
    """
    stated = multihash(checksum)
    if stated is None:
        raise ImportRefused(
            f"file:checksum {checksum[:80]!r} of the asset {asset!r} cannot be checked; state"
            f" the multihash of {', '.join(HASHES.values())}, e.g. 1220 and the sha256"
        )
    name, digest = stated
    with found.path.open("rb") as stream:
        own = hashlib.file_digest(stream, name).hexdigest()
    if own != digest:
        raise ImportRefused(
            f"{found.place} has the {name} {own}, and the asset {asset!r} of the Item"
            f" states {digest}; ask its provider for the file that belongs to the Item"
        )


def _likely(content: bytes) -> str | None:
    """Return what a file is that is neither a record nor an ONNX file, by its first bytes."""
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if content.startswith(b"PK\x03\x04"):
        return "a ZIP archive, as torch.save writes"
    if content.startswith(b"\x1f\x8b"):
        return "a gzip archive"
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle"
    if content.startswith(b"\x89HDF"):
        return "an HDF5 file"
    return None


def _without_aliases(content: bytes) -> object:
    """Return the value of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or has aliases, by which a small file has many values.
    """
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
        raise yaml.YAMLError("aliases (*name) are not read; write the value out")
    return yaml.safe_load(content)
