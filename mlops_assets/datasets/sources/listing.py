"""The listed files of a landing, in columns: half of the memory that an object each would take.

How a landing is listed is in the modules of the sources.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import overload

from mlops_assets.datasets.sources.base import LandedFile, name_problem, printable
from mlops_assets.errors import DataProblems


class Listing(Sequence[LandedFile]):
    """Landed files, sorted by path; each is made when it is asked for.

    Attributes:
        paths: of the files.
        sizes: in bytes.
        hrefs: path → URL of the files that are kept by reference.
    """

    def __init__(self, files: Iterable[LandedFile]) -> None:
        """Take files in any order."""
        self.paths: list[str] = []
        self.sizes = array("q")
        self._modified = array("d")
        self._stamps = _Texts()
        self.hrefs: dict[str, str] = {}
        for file in files:
            self._append(file)
        if any(path > following for path, following in pairwise(self.paths)):
            self._sort()

    def _append(self, file: LandedFile) -> None:
        self.paths.append(file.path)
        self.sizes.append(file.size)
        self._stamps.append(file.stamp)
        self._modified.append(math.nan if file.modified is None else file.modified)
        if file.href is not None:
            self.hrefs[file.path] = file.href

    def _sort(self) -> None:
        order = sorted(range(len(self.paths)), key=self.paths.__getitem__)
        stamps = _Texts()
        for index in order:
            stamps.append(self._stamps[index])
        self._stamps = stamps
        self.paths = [self.paths[index] for index in order]
        self.sizes = array("q", [self.sizes[index] for index in order])
        self._modified = array("d", [self._modified[index] for index in order])

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> LandedFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[LandedFile]: ...

    def __getitem__(self, index: int | slice) -> LandedFile | list[LandedFile]:
        """Return one file, or some."""
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        path, modified = self.paths[index], self._modified[index]
        return LandedFile(
            path,
            self.sizes[index],
            self._stamps[index],
            self.hrefs.get(path),
            None if math.isnan(modified) else modified,
        )

    def __iter__(self) -> Iterator[LandedFile]:
        """Yield the files in order."""
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether another listing has equal files."""
        if not isinstance(other, Listing):
            return NotImplemented
        return (self.paths, self.sizes, self._stamps, self.hrefs) == (
            other.paths,
            other.sizes,
            other._stamps,
            other.hrefs,
        )

    @property
    def last_change(self) -> float | None:
        """When a file last changed, seconds since the epoch; None if unknown of all."""
        return max((time for time in self._modified if not math.isnan(time)), default=None)

    @property
    def by_path(self) -> ByPath:
        """The files by their paths."""
        return ByPath(self)

    def identity(self, position: int) -> tuple[int, str]:
        """Return size and stamp of the file at a position."""
        return self.sizes[position], self._stamps[position]

    def position(self, path: str) -> int | None:
        """Return the position of the file with this path, None without one."""
        found = bisect_left(self.paths, path)
        return found if found < len(self.paths) and self.paths[found] == path else None


def checked(where: str, files: Listing, problems: list[str]) -> Listing:
    """Return the files, if every name can be written back on any machine.

    Args:
        where: name of the landing, for messages.
        files: all files.
        problems: found so far; extended in place.

    Raises:
        DataProblems: the problems given, and every name that cannot be used.
    """
    folded: dict[str, str] = {}  # without paths that are their own key, as most are
    for path in files.paths:
        problem = name_problem(path)
        if problem:
            problems.append(f"{printable(path)}: {problem}")
        key = path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()
        if key == path:
            continue
        other = folded.setdefault(key, path)
        if other == path and files.position(key) is not None:
            other = key
        if other != path:
            first, second = sorted((path, other))
            problems.append(
                f"{printable(second)}: differs from {printable(first)} only by case or accent,"
                " so one would overwrite the other on some machines; rename one"
            )
    if problems:
        raise DataProblems(f"landing {where}", problems)
    return files


class ByPath(Mapping[str, LandedFile]):
    """The files of a listing by their paths, without an index of its own."""

    def __init__(self, files: Listing) -> None:
        """Take the listing."""
        self._files = files

    def __getitem__(self, path: str) -> LandedFile:
        """Return the file with this path."""
        position = self._files.position(path)
        if position is None:
            raise KeyError(path)
        return self._files[position]

    def __contains__(self, path: object) -> bool:
        """Return whether there is a file with this path."""
        return isinstance(path, str) and self._files.position(path) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the paths in order."""
        return iter(self._files.paths)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._files)


class _Texts:
    """Many short texts, one after the other in one buffer."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._ends = array("q", [0])

    def append(self, text: str) -> None:
        self._content += text.encode()
        self._ends.append(len(self._content))

    def __getitem__(self, index: int) -> str:
        start, end = self._ends[index : index + 2]
        return self._content[start:end].decode()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Texts):
            return NotImplemented
        return (self._content, self._ends) == (other._content, other._ends)
