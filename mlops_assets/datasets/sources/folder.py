"""Landings that are folders of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mlops_assets.datasets.sources.base import LandedFile, Scene, printable
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.errors import EmptyLanding, StorageError

# the coarsest clock of a file system in use (FAT); the same margin as in Mercurial's dirstate
CLOCK_SECONDS = 2.0


class FolderLanding:
    """A folder; links are followed to files inside of it only.

    Attributes:
        folder: local path.
        url: its `file` URL.
    """

    scenes: Sequence[Scene] = ()
    copies = False

    def __init__(self, folder: Path) -> None:
        """Take an absolute path; the folder need not exist yet."""
        self.folder = folder
        self.url = folder.as_uri()

    def list(self) -> Listing:
        """List the folder and all below it; see `Landing.list`.

        Returns:
            The files sorted by path, with modification times of file and inode as their stamps.

        Raises:
            EmptyLanding: the folder does not exist, or has no file.
            DataProblems: names that cannot be committed, links that lead out of the folder.
            StorageError: the folder cannot be read.
        """
        if not self.folder.is_dir():
            raise EmptyLanding(
                f"landing {self.folder} does not exist; create the folder and put training data"
                " into it"
            )
        problems: list[str] = []
        try:
            files = Listing(_walk(str(self.folder), self.folder.resolve(), problems))
        except OSError as error:
            raise StorageError(
                f"landing {self.folder} could not be read: {error}; check its permissions"
            ) from error
        if not files and not problems:
            raise EmptyLanding(f"landing {self.folder} is empty; put training data into it")
        return checked(str(self.folder), files, problems)

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Return the path of a file; nothing is copied, see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: not used.
        """
        return self.folder / file.path

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of the files whose size or times have changed; see `Landing.changed`.

        Args:
            files: as `list` returned them.
        """
        return [file.path for file in files if not self._same(file)]

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return whether a file is older than the clock's resolution; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
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


def _walk(folder: str, root: Path, problems: list[str], prefix: str = "") -> Iterator[LandedFile]:
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
                yield from _walk(entry.path, root, problems, f"{path}/")
            elif entry.is_file():
                stat = entry.stat()
                yield LandedFile(path, *_identity(stat), modified=stat.st_mtime)


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
