"""The interface of all landings: a list of files, each with a cheap identity, and local copies.

A new source implements `Landing` and is chosen in `sources.open_landing`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from mlops_assets.errors import DiskFull, StorageError, StorageUnreachable
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.datasets.sources.listing import Listing

REQUESTS = 16  # concurrent
T = TypeVar("T")
R = TypeVar("R")
MAX_PATH = (
    512  # characters; longer ones do not fit the registry, nor many file systems below a folder
)


@dataclass(frozen=True, slots=True)
class LandedFile:
    """One file of a landing.

    Attributes:
        path: POSIX path below the landing.
        size: bytes.
        stamp: changes when the file does: modification times of a local file, ETag or modification
            time of a remote one.
        href: URL of the bytes, if the file is kept by reference and not copied into the workspace.
        modified: time of the last change in seconds since the epoch, if known. It is for people;
            files are identified by their stamp.
    """

    path: str
    size: int
    stamp: str
    href: str | None = None
    modified: float | None = field(default=None, compare=False)


class SceneProperties(TypedDict, total=False):
    """Properties of a scene, as far as its landing knows them.

    Group, split and label are as written, of any type.
    """

    group: object
    split: object
    label: object
    source: str | None
    datetime: datetime


@dataclass(frozen=True)
class Scene:
    """Images that belong together, as a landing describes them before any file is opened.

    STAC Items describe much, other landings little.

    Attributes:
        name: name of the scene or id of the Item.
        images: landed paths of the image files, stacked in this order.
        labels: landed path of the label raster or vector, if the scene has one.
        properties: time, class, group and split, as far as they are known.
        bbox: west, south, east, north in degrees (WGS 84), if known.
        bands: name of each image file's band, in the same order, for files of one band without a
            name.
        described: the Item's fields on platform and bands, see `stac.bands`.
        band_names: the Item's names of the bands of each image file, in the same order, or None
            where it has none.
        zoneless: whether the Item's time has no zone.
    """

    name: str
    images: list[str]
    labels: str | None = None
    properties: SceneProperties = field(default_factory=SceneProperties)
    bbox: list[float] | None = None
    bands: Sequence[str] = ()
    described: JsonObject = field(default_factory=dict)
    band_names: Sequence[Sequence[str] | None] = ()
    zoneless: bool = False


class Landing(Protocol):
    """A place where files arrive.

    Attributes:
        url: absolute URL.
        scenes: images that belong together, known after `list`; empty where only the layout can
            find them.
        copies: whether `fetch` makes a local copy.
    """

    url: str
    scenes: Sequence[Scene]
    copies: bool

    def list(self) -> Listing:
        """List the landing; hidden files are left out.

        Returns:
            The files, at least one, sorted by path.

        Raises:
            EmptyLanding: the landing has no file, or does not exist.
            DataProblems: names that cannot be committed, links that lead out of the landing.
            StorageError: the landing cannot be listed.
        """
        ...

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Return a local path of a file; a remote one is copied.

        Args:
            file: as `list` returned it.
            folder: where remote files are copied to, under their landed paths.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        ...

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the landed paths of the files that have changed since they were listed.

        Args:
            files: as `list` returned them.

        Raises:
            StorageError: the landing cannot be listed again.
        """
        ...

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return whether the stamp would reveal any later change.

        A file that was written just before it was listed may change again within the clock's
        resolution.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        ...


def fingerprint(files: Iterable[LandedFile]) -> str:
    """Return a cheap identity of a landing's state; no file is opened.

    Args:
        files: sorted by path.

    Returns:
        SHA-256 of paths, sizes and stamps, hexadecimal.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size}\0{file.stamp}\n".encode())
    return digest.hexdigest()


def together(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Apply a function that makes a request to many things concurrently.

    Args:
        function: makes the request; raises StorageError.
        things: its arguments.

    Returns:
        The results, in the order of the arguments.

    Raises:
        DiskFull: it failed for some as there is no room.
        StorageUnreachable: it failed for some, all of which may succeed later.
        StorageError: it failed for some. The message has all failures.
    """

    def attempt(thing: T) -> R | StorageError:
        try:
            return function(thing)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(REQUESTS) as pool:
        results = list(pool.map(attempt, things))
    failures = [result for result in results if isinstance(result, StorageError)]
    if failures:
        kind = StorageError
        if any(isinstance(failure, DiskFull) for failure in failures):
            kind = DiskFull
        elif all(isinstance(failure, StorageUnreachable) for failure in failures):
            kind = StorageUnreachable
        raise kind("\n".join(map(str, failures)))
    return [result for result in results if not isinstance(result, StorageError)]


def name_problem(path: str) -> str | None:
    """Return why a path cannot be committed, or None."""
    if not path.isprintable():
        try:
            path.encode()
        except UnicodeEncodeError:
            return "the name is not UTF-8; rename the file"
        return "the name has control characters; rename the file"
    if len(path) > MAX_PATH:
        return f"the path has {len(path)} characters; {MAX_PATH} at most"
    if "\\" in path:
        return "the name has a backslash, which is a folder on some machines; rename the file"
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "" in parts:
        return "the path leads out of the landing; name files below it"
    return None


def is_hidden(path: str) -> bool:
    """Return whether a file or one of its folders begins with a dot."""
    return path.startswith(".") or "/." in path


def printable(path: str) -> str:
    """Return a path as it can be printed anywhere."""
    return (
        path.encode("utf-8", "backslashreplace").decode()
        if path.isprintable()
        else ascii(path)[1:-1]
    )


def below(folder: Path, path: str) -> Path:
    """Return the local path of a landed path below a folder."""
    return folder.joinpath(*PurePosixPath(path).parts)
