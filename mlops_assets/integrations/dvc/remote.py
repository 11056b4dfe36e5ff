"""DVC's cache and remotes: objects by their md5, in the layouts of DVC 3 and of DVC 1 and 2.

`files/md5/ab/cdef…` and `ab/cdef…` below a folder or a prefix of a bucket; `.dir` objects list the
files of folders.
"""

from __future__ import annotations

import configparser
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_assets.errors import IntegrityError, SettingsError, StorageError
from mlops_assets.integrations.dvc.git import GitRepository
from mlops_assets.integrations.dvc.tracked import DvcObject
from mlops_assets.settings import trusted_sources
from mlops_assets.storage.stores import (
    BUCKETS,
    explained,
    is_missing,
    local_folder,
    open_object_store,
)
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONFIG = ".dvc/config"
# DVC converts line ends block by block, and takes a block for text by its first bytes
_BLOCK = 1 << 20
_TEXT_BYTES = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MAX_NOT_TEXT = 0.3


@dataclass(frozen=True)
class Place:
    """A folder or a prefix of a bucket that has objects of DVC.

    Attributes:
        url: file, s3, az or gs.
        anonymous: read without this workspace's credentials.
    """

    url: str
    anonymous: bool

    @cached_property
    def _store(self) -> ObjectStore:
        return open_object_store(self.url, self.anonymous)

    def require(self) -> None:
        """Make sure that a folder is there; a bucket answers when it is read.

        Raises:
            StorageError: it is not.
        """
        if self.url.startswith("file:") and not local_folder(self.url).is_dir():
            raise StorageError(
                f"DVC remote {self.url} is not there; mount it, or name another with --remote"
            )

    def size(self, wanted: DvcObject, suffix: str = "") -> int | None:
        """Return the size of an object in bytes, None if it is not here.

        Raises:
            StorageError: the place cannot be read.
        """
        key = _key(wanted, suffix)
        with self._reading(key):
            try:
                return int(self._store.head(key)["size"])
            except Exception as error:
                if is_missing(error):
                    return None
                raise

    def chunks(self, wanted: DvcObject, suffix: str = "") -> Iterator[bytes]:
        """Yield the bytes of an object.

        Raises:
            StorageError: it cannot be read.
        """
        key = _key(wanted, suffix)
        with self._reading(key):
            for chunk in self._store.get(key).stream(min_chunk_size=_BLOCK):
                yield bytes(chunk)

    def _reading(self, key: str) -> AbstractContextManager[None]:
        remedy = "try again, or name another remote with --remote"
        return explained(f"DVC remote {self.url}: {key}", "read", remedy=remedy)


class DvcStorage:
    """The places where the objects of a repository are, the nearest first."""

    def __init__(
        self, repository: GitRepository, config: bytes | None, remote: str | None = None
    ) -> None:
        """Take the repository and the content of its `.dvc/config`, if it has one.

        Args:
            repository: relative remotes start there.
            config: content of `.dvc/config` in the commit.
            remote: name of a remote, or its URL or absolute path, instead of the default one.

        Raises:
            SettingsError: the configuration cannot be used.
        """
        self._repository = repository
        self._config = _parsed(config, repository.url)
        self._remote = remote
        self._places: dict[str | None, Sequence[Place]] = {}
        self._cache = _cache(repository)

    def places(self, remote: str | None) -> Sequence[Place]:
        """Return the places of objects whose output declares this remote, or none.

        Raises:
            SettingsError: there is no such remote, or it cannot be used.
            StorageError: its folder is not there.
        """
        if remote not in self._places:
            place = self._place(self._remote or remote)
            found = [] if self._cache is None else [self._cache]
            if place is not None:
                place.require()
                found.append(place)
            if not found:
                raise SettingsError(
                    f"{self._repository.url} has no DVC remote; name one with --remote URL"
                )
            self._places[remote] = found
        return self._places[remote]

    def find(self, wanted: DvcObject, suffix: str = "") -> tuple[Place, int] | None:
        """Return the first place that has an object, and its size in bytes; None if none has.

        Raises:
            SettingsError: the remote cannot be used.
            StorageError: a place cannot be read.
        """
        for place in self.places(wanted.remote):
            size = place.size(wanted, suffix)
            if size is not None:
                return place, size
        return None

    def named(self, wanted: DvcObject) -> str:
        """Return the places where an object should be, for messages."""
        return " or ".join(place.url for place in self.places(wanted.remote))

    def _place(self, remote: str | None) -> Place | None:
        if remote is not None and ("://" in remote or remote.startswith("/")):
            return _opened(remote, trusted=True)
        name = remote or self._config.get("core", {}).get("remote")
        if name is None:
            return None
        section = self._config.get(f'remote "{name}"', {})
        url = section.get("url")
        if url is None:
            raise SettingsError(
                f"{self._repository.url} has no DVC remote {name!r}; name one with --remote"
            )
        if "://" not in url and not url.startswith("/"):
            origin = self._repository.origin
            if origin is None:
                raise SettingsError(
                    f"DVC remote {name!r} is a folder beside {self._repository.url}, {url}; name"
                    " one that can be reached with --remote URL"
                )
            url = str((origin / ".dvc" / url).resolve())
        endpoint = section.get("endpointurl")
        place = _opened(url, trusted=False)
        _require_endpoint(name, endpoint, place.url)
        return place


def read_object(storage: DvcStorage, wanted: DvcObject, suffix: str, what: str) -> bytes:
    """Return the content of an object, which is what its md5 says.

    Args:
        storage: of the repository.
        wanted: the object.
        suffix: of its name.
        what: it is, for messages.

    Raises:
        StorageError: it is missing or cannot be read.
        IntegrityError: its bytes have another md5.
    """
    found = storage.find(wanted, suffix)
    if found is None:
        raise StorageError(missing([f"{what} ({wanted.md5}{suffix})"], storage.named(wanted)))
    place, _ = found
    content = b"".join(place.chunks(wanted, suffix))
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != wanted.md5:
        raise changed(what, wanted, place)
    return content


def missing(objects: Sequence[str], where: str) -> str:
    """Return the message about objects that are nowhere."""
    few = "; ".join(objects[:5]) + (f"; and {len(objects) - 5} more" if objects[5:] else "")
    return (
        f"{len(objects)} object(s) of DVC are not in {where}: {few}; run 'dvc push' where the data"
        " was added, or name another remote with --remote"
    )


def changed(what: str, wanted: DvcObject, place: Place) -> IntegrityError:
    """Return the error about an object whose bytes have another md5 than its name."""
    return IntegrityError(
        f"{what}: its object {wanted.md5} in {place.url} has other bytes than DVC has recorded;"
        " remove it there and run 'dvc push' again"
    )


def has_md5(path: Path, wanted: DvcObject) -> bool:
    """Return whether a file has the md5 of an object, as the release of DVC computes it."""
    plain = hashlib.md5(usedforsecurity=False)
    converted = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            plain.update(block)
            if wanted.legacy:
                text = _is_text(block[:_TEXT_BYTES])
                converted.update(block.replace(b"\r\n", b"\n") if text else block)
    return plain.hexdigest() == wanted.md5 or (
        wanted.legacy and converted.hexdigest() == wanted.md5
    )


def _is_text(block: bytes) -> bool:
    if b"\0" in block:
        return False
    return len(block.translate(None, _TEXT)) <= _MAX_NOT_TEXT * len(block)


def _key(wanted: DvcObject, suffix: str) -> str:
    folder = "" if wanted.legacy else "files/md5/"
    return f"{folder}{wanted.md5[:2]}/{wanted.md5[2:]}{suffix}"


def _cache(repository: GitRepository) -> Place | None:
    """Return the cache of a repository on this machine, which may have what was not pushed."""
    if repository.origin is None:
        return None
    cache = repository.origin / ".dvc" / "cache"
    return Place(cache.as_uri(), anonymous=False) if cache.is_dir() else None


def _parsed(config: bytes | None, where: str) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string((config or b"").decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        first = str(error).partition("\n")[0]
        raise SettingsError(
            f"{where}: {CONFIG} could not be read ({first}); correct it, or name the remote with"
            " --remote URL"
        ) from error
    return {name.strip("'"): dict(parser[name]) for name in parser.sections()}


def _opened(url: str, trusted: bool) -> Place:
    """Return a remote; credentials are for those that the user names or trusts."""
    if url.startswith("/"):
        return Place(Path(url).as_uri(), anonymous=False)
    parts = urlsplit(url)
    if "@" in parts.netloc or redacted(url) != url:
        hidden = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise SettingsError(
            f"DVC remote {redacted(hidden)} has credentials in its URL; put them into the"
            " environment or .env, and name the remote without them with --remote URL"
        )
    if parts.scheme not in ("file", *BUCKETS):
        raise SettingsError(
            f"DVC remote {url}: {parts.scheme}:// is not supported; use a folder, s3, az or gs, and"
            " name it with --remote URL"
        )
    base = f"{parts.scheme}://{parts.netloc}"
    local = parts.scheme == "file"
    return Place(url.rstrip("/"), not (trusted or local or base in trusted_sources()))


def _require_endpoint(name: str, endpoint: str | None, url: str) -> None:
    """Check that a repository does not choose the server that requests are sent to.

    Raises:
        SettingsError: its endpoint is not the one of the environment.
    """
    import os

    ours = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3")
    if endpoint is not None and endpoint.rstrip("/") != (ours or "").rstrip("/"):
        raise SettingsError(
            f"DVC remote {name!r}, {url}, is at the endpoint {redacted(endpoint)}; set"
            f" AWS_ENDPOINT_URL to it if you trust it, or name another remote with --remote"
        )
