"""The interface of all landings.

Each gives a list of files, each with a cheap identity, and a local copy of each.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypedDict, TypeVar

from mlops_assets.errors import DataProblems, StorageError
from mlops_assets.text.json_values import JsonObject

if TYPE_CHECKING:
    from datetime import datetime

REQUESTS = 16  # under way at once
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
        stamp: what changes when the file does: times of change of a local file, ETag or time of a
            remote one.
        href: where the bytes stay, if the file is kept by reference and not copied into the
            workspace.
        modified: when it last changed, if known; seconds since the epoch. For people: the stamp is
            what identifies.
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
        images: paths of the image files, stacked in this order.
        bands: what a file of a stack is called if it is one band without a name of its own, in the
            same order.
        labels: path of the label raster or vector, if there is one.
        properties: of the Item: datetime, class, group and split may be among them.
        bbox: west, south, east, north in degrees, if known.
        described: what the Item says of platform and bands, see `stac.bands`.
        band_names: what the Item calls the bands of each image file, in the same order, or None
            where it does not.
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
    """A place where files arrive."""

    url: str
    # what belongs together, known once listed; empty where only the layout can tell
    scenes: Sequence[Scene]
    copies: bool  # whether `fetch` makes a copy

    def list(self) -> list[LandedFile]:
        """Return the files sorted by path; hidden files are not landed.

        Raises:
            EmptyLanding: there is none.
            DataProblems: names that cannot be committed, links that lead out of the landing.
            StorageError: the landing cannot be listed.
        """
        ...

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Return a local path of a file; what is remote is copied below `folder`.

        Raises:
            StorageError: it cannot be read, or is no longer what was listed.
        """
        ...

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of those files that are no longer as they were listed."""
        ...

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return whether the stamp reveals any change after `listed` (seconds since the epoch).

        A file that was written just before it was listed may change again within the clock's
        resolution.
        """
        ...


def fingerprint(files: Iterable[LandedFile]) -> str:
    """Return a cheap identity of a landing's state, from paths, sizes and stamps.

    No file is opened.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size}\0{file.stamp}\n".encode())
    return digest.hexdigest()


def together(function: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Apply a function that asks a server to many things at once, and return the answers in order.

    Raises:
        StorageError: it failed for some; all failures are told.
    """

    def attempt(thing: T) -> R | StorageError:
        try:
            return function(thing)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(attempt, things))
    failures = [str(answer) for answer in answers if isinstance(answer, StorageError)]
    if failures:
        raise StorageError("\n".join(failures))
    return [answer for answer in answers if not isinstance(answer, StorageError)]


def checked(where: str, files: list[LandedFile], problems: list[str]) -> list[LandedFile]:
    """Return the files sorted by path, if every name can be written back on any machine.

    Raises:
        DataProblems: the problems given, and every name that cannot be used.
    """
    files.sort(key=lambda file: file.path)
    folded: dict[str, str] = {}
    for file in files:
        problem = name_problem(file.path)
        if problem:
            problems.append(f"{printable(file.path)}: {problem}")
        key = (
            file.path.lower()
            if file.path.isascii()
            else unicodedata.normalize("NFC", file.path).casefold()
        )
        other = folded.setdefault(key, file.path)
        if other != file.path:
            problems.append(
                f"{printable(file.path)}: differs from {printable(other)} only by case or accent,"
                " so one would overwrite the other on some machines; rename one"
            )
    if problems:
        raise DataProblems(f"landing {where}", problems)
    return files


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
    """Return where a landed path lies below a folder."""
    return folder.joinpath(*PurePosixPath(path).parts)
