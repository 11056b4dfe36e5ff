"""The landing of a commit of a DVC repository: its files, fetched from DVC's cache or remote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mlops_assets.datasets.commit.commit import Made
from mlops_assets.datasets.sources.base import LandedFile, Scene, below, is_hidden, together
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.datasets.versions.version_document import Origin
from mlops_assets.errors import EmptyLanding, SettingsError, StorageError
from mlops_assets.integrations.dvc.git import cloned, inside
from mlops_assets.integrations.dvc.remote import (
    CONFIG,
    DvcStorage,
    Place,
    changed,
    has_md5,
    missing,
    read_object,
)
from mlops_assets.integrations.dvc.tracked import (
    FOLDER,
    DvcObject,
    Output,
    folder_entries,
    tracked_outputs,
)
from mlops_assets.integrations.dvc.tracked import below as outputs_below
from mlops_assets.storage.scratch import write_scratch


def landing_of_revision(
    repository: str, revision: str, path: str | None = None, remote: str | None = None
) -> Made:
    """Return what DVC tracks in a commit as a landing, with its origin; no data is fetched.

    Args:
        repository: URL or folder of the Git repository.
        revision: branch, tag or commit hash.
        path: folder or file in the repository that is the landing; all of it by default.
        remote: name or URL of the DVC remote, instead of the default one.

    Raises:
        NotFound: there is no such revision, or DVC tracks nothing there.
        DataProblems: files of DVC that cannot be used.
        SettingsError: the repository or its remote cannot be used.
        StorageError: the repository or the remote cannot be read.
        IntegrityError: a list of files has another md5.
    """
    wanted = _wanted(path)
    with cloned(repository) as clone:
        found = clone.revision(revision)
        outputs = outputs_below(tracked_outputs(clone, found.commit), wanted, clone.url)
        config = clone.files(found.commit).get(CONFIG)
        storage = DvcStorage(clone, clone.contents([config])[0] if config else None, remote)
        # what it has landed from is the same for all commits, so that what is unchanged is known
        url = f"dvc+{clone.url}" + (f"#{wanted}" if wanted else "")
        landing = DvcLanding(url, dict(_objects(outputs, wanted, storage)), storage)
    origin = Origin(
        repository=clone.url,
        commit=found.commit,
        path=wanted,
        authored=found.authored,
        message=found.message,
    )
    return Made(landing, origin=origin)


def _wanted(path: str | None) -> str | None:
    if path is None:
        return None
    found = inside("", path)
    if found is None:
        raise SettingsError(f"--path {path!r} leads out of the repository; give a path in it")
    return None if found == "." else found


def _objects(
    outputs: Sequence[Output], wanted: str | None, storage: DvcStorage
) -> Iterator[tuple[str, DvcObject]]:
    """Yield landed path and object of each file at or below a path."""
    for output in outputs:
        if not output.is_folder:
            name = output.path.rpartition("/")[2] if output.path == wanted else output.path
            yield _relative(name, wanted), output.content
            continue
        content = read_object(storage, output.content, FOLDER, f"folder {output.path}")
        for relative, entry in folder_entries(output.path, content, output.content):
            path = f"{output.path}/{relative}"
            if path == wanted:
                yield relative.rpartition("/")[2], entry
            elif wanted is None or path.startswith(f"{wanted}/"):
                yield _relative(path, wanted), entry


def _relative(path: str, wanted: str | None) -> str:
    return path if wanted is None else path.removeprefix(f"{wanted}/")


class DvcLanding:
    """The files of a commit that DVC tracks.

    Attributes:
        url: of the repository, and the path in it; the same for all commits.
    """

    scenes: Sequence[Scene] = ()
    copies = True

    def __init__(self, url: str, objects: dict[str, DvcObject], storage: DvcStorage) -> None:
        """Take landed path → object."""
        self.url = url
        self._objects = objects
        self._storage = storage
        self._places: dict[str, Place] = {}

    def list(self) -> Listing:
        """List the files, with one HEAD request each; see `Landing.list`.

        Returns:
            The files sorted by path, with their md5 as stamps.

        Raises:
            EmptyLanding: there is no file.
            DataProblems: names that cannot be committed.
            StorageError: an object is missing, or the remote cannot be read.
        """
        paths = [path for path in self._objects if not is_hidden(path)]
        if not paths:
            raise EmptyLanding(f"{self.url} is empty; add data to it with DVC")
        for remote in {self._objects[path].remote for path in paths}:
            self._storage.places(remote)
        found = dict(zip(paths, together(self._found, paths), strict=True))
        lost = [path for path in paths if found[path] is None]
        if lost:
            texts = [f"{path} ({self._objects[path].md5})" for path in lost]
            raise StorageError(missing(texts, self._storage.named(self._objects[lost[0]])))
        files = Listing(file for file in found.values() if file is not None)
        return checked(self.url, files, [])

    def _found(self, path: str) -> LandedFile | None:
        wanted = self._objects[path]
        found = self._storage.find(wanted)
        if found is None:
            return None
        self._places[path], size = found
        return LandedFile(path, size, wanted.md5)

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Copy an object; see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: the file is written below it, under its landed path.

        Raises:
            StorageError: it cannot be read.
            IntegrityError: its bytes have another md5 than DVC has recorded.
        """
        wanted, place = self._objects[file.path], self._places[file.path]
        target = below(folder, file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_scratch(target, place.chunks(wanted))
        if not has_md5(target, wanted):
            raise changed(file.path, wanted, place)
        return target

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return nothing: objects of DVC are checked by their md5; see `Landing.changed`.

        Args:
            files: as `list` returned them.
        """
        return []

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return true: a stamp is the md5 of the content; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        return True
