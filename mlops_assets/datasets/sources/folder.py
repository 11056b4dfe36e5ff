"""A landing that is a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlops_assets.datasets.sources.base import LandedFile, Scene, checked, printable
from mlops_assets.errors import EmptyLanding, StorageError

# the coarsest clock of a file system in use (FAT); the same margin as in Mercurial's dirstate
CLOCK_SECONDS = 2.0


class FolderLanding:
    """A folder; links are followed to files inside of it only."""

    scenes: Sequence[Scene] = ()
    copies = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, folder.as_uri()

    def list(self) -> list[LandedFile]:
        """See `Landing.list`."""
        if not self.folder.is_dir():
            raise EmptyLanding(
                f"landing {self.folder} does not exist; make the folder and put training data"
                " into it"
            )
        files: list[LandedFile] = []
        problems: list[str] = []
        try:
            _walk(str(self.folder), self.folder.resolve(), files, problems)
        except OSError as error:
            raise StorageError(
                f"landing {self.folder} could not be read: {error}; check its permissions"
            ) from error
        if not files and not problems:
            raise EmptyLanding(f"landing {self.folder} is empty; put training data into it")
        return checked(str(self.folder), files, problems)

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """See `Landing.fetch`; nothing is copied."""
        return self.folder / file.path

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """See `Landing.changed`."""
        return [file.path for file in files if not self._same(file)]

    def settled(self, file: LandedFile, listed: float) -> bool:
        """See `Landing.settled`."""
        return max(map(int, file.stamp.split("-"))) < (listed - CLOCK_SECONDS) * 1e9

    def _same(self, file: LandedFile) -> bool:
        try:
            found = os.stat(f"{self.folder}/{file.path}")  # noqa: PTH116  fast
            return _identity(found) == (file.size, file.stamp)
        except OSError:
            return False


def _identity(stat: os.stat_result) -> tuple[int, str]:
    """Return size and stamp.

    The time of the last change of the inode reveals a file whose old time was put back.
    """
    return stat.st_size, f"{stat.st_mtime_ns}-{stat.st_ctime_ns}"


def _walk(
    folder: str, root: Path, files: list[LandedFile], problems: list[str], prefix: str = ""
) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                problem = _link_problem(Path(entry.path), root)
                if problem:
                    problems.append(f"{printable(path)}: {problem}")
                    continue
            if entry.is_dir(follow_symlinks=False):
                _walk(entry.path, root, files, problems, f"{path}/")
            elif entry.is_file():
                stat = entry.stat()
                files.append(LandedFile(path, *_identity(stat), modified=stat.st_mtime))


def _link_problem(link: Path, root: Path) -> str | None:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # Python before 3.13 raises it for a circle
        return "is a link to itself; remove it"
    if not target.is_relative_to(root):
        return "links out of the landing; put the file itself there"
    if not target.exists():
        return "is a link to nothing; remove it"
    return "is a link to a folder; put the folder itself there" if target.is_dir() else None
