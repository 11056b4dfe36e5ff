"""A Git repository, read from a bare clone: no files are checked out.

Without a checkout there are no hooks, filters or submodules; the user's and the machine's Git
configuration are left out. What DVC has in the repository is read in `tracked`.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess  # nosec B404
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import NotFound, SettingsError, StorageError, StorageUnreachable
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import local_folder
from mlops_assets.text.secret_urls import redacted

SYMLINK = "120000"
CLONE_SECONDS = 600
COMMAND_SECONDS = 60
# .dvc files take a hundred bytes; dvc.lock of thousands of stages a few MB
MAX_METADATA_BYTES = 64 << 20
_SCP = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:\S+")
_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "fetch.fsckObjects=true"),
    *("-c", "submodule.recurse=false"),
)
_AWAY = re.compile(
    r"(?i)could not resolve|failed to connect|connection (refused|timed out|reset)|couldn't connect"
)


@dataclass(frozen=True)
class GitFile:
    """A file of a commit: path, mode, object id and size in bytes."""

    path: str
    mode: str
    blob: str
    size: int


@dataclass(frozen=True)
class Revision:
    """A commit.

    Attributes:
        commit: its hash.
        committed: when it was committed, seconds since the epoch.
        authored: when it was written, ISO 8601.
        message: the whole message.
        tags: that point to it.
    """

    commit: str
    committed: int
    authored: str
    message: str
    tags: Sequence[str] = field(default=())


class GitRepository:
    """A bare clone.

    Attributes:
        url: of the repository it was cloned from.
        origin: folder of that repository, if it is on this machine.
    """

    def __init__(self, url: str, folder: Path) -> None:
        """Take the repository's URL and the folder of its clone."""
        self.url = url
        self._folder = folder

    @property
    def origin(self) -> Path | None:
        """Folder of the repository that was cloned, if it is on this machine."""
        return local_folder(self.url) if self.url.startswith("file:") else None

    def revision(self, name: str) -> Revision:
        """Return the commit that a branch, tag or hash names.

        Raises:
            NotFound: there is no such commit.
        """
        commit = self._commit(name)
        if commit is None:
            known = ", ".join(self._tags()[-5:]) or "none"
            raise NotFound(
                f"{self.url} has no revision {name!r}; give a branch, a tag or a commit hash that"
                f" was pushed (tags: {known})"
            )
        tags = [tag for tag in self._tags() if self._commit(f"refs/tags/{tag}") == commit]
        return self._described(commit, tags)

    def tagged(self) -> list[Revision]:
        """Return the commits that have tags, in the order in which they were committed.

        Raises:
            NotFound: no commit has a tag.
        """
        tags: dict[str, list[str]] = {}
        for tag in self._tags():
            commit = self._commit(f"refs/tags/{tag}")
            if commit is not None:  # tags of trees and blobs name no commit
                tags.setdefault(commit, []).append(tag)
        if not tags:
            raise NotFound(f"{self.url} has no tags; name a revision with --rev")
        found = [self._described(commit, names) for commit, names in tags.items()]
        return sorted(found, key=lambda revision: (revision.committed, revision.commit))

    def files(self, commit: str) -> dict[str, GitFile]:
        """Return the files of a commit by path, symbolic links among them; not submodules."""
        found: dict[str, GitFile] = {}
        for entry in self._run("ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
            described, _, name = entry.partition(b"\t")
            if not name:
                continue
            mode, kind, blob, size = described.decode().split()
            if kind == "blob":
                path = name.decode(errors="surrogateescape")
                found[path] = GitFile(path, mode, blob, int(size))
        return found

    def contents(self, files: Sequence[GitFile]) -> list[bytes]:
        """Return the contents of files, in order.

        Raises:
            StorageError: one is too large to be metadata of DVC.
        """
        for file in files:
            if file.size > MAX_METADATA_BYTES:
                raise StorageError(
                    f"{self.url}: {file.path} has {file.size:,} bytes, too many for metadata of"
                    f" DVC; {MAX_METADATA_BYTES:,} at most"
                )
        if not files:
            return []
        wanted = "".join(f"{file.blob}\n" for file in files).encode()
        answer = memoryview(self._run("cat-file", "--batch", given=wanted))
        found: list[bytes] = []
        start = 0
        for file in files:
            # a line '<id> blob <size>', then the bytes and a line feed
            start += len(f"{file.blob} blob {file.size}\n")
            found.append(bytes(answer[start : start + file.size]))
            start += file.size + 1
        return found

    def _tags(self) -> list[str]:
        listed = self._run("for-each-ref", "--sort=creatordate", "--format=%(refname)", "refs/tags")
        names = listed.decode(errors="replace").splitlines()
        return [name.removeprefix("refs/tags/") for name in names]

    def _commit(self, name: str) -> str | None:
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        ended = _git(self._folder, arguments)
        return ended.stdout.decode().strip() if ended.returncode == 0 else None

    def _described(self, commit: str, tags: Sequence[str]) -> Revision:
        shown = self._run("show", "-s", "--no-show-signature", "--format=%ct%x00%aI%x00%B", commit)
        committed, authored, message = shown.decode(errors="replace").split("\0", 2)
        return Revision(commit, int(committed), authored, message.strip(), sorted(tags))

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        ended = _git(self._folder, arguments, given)
        if ended.returncode:
            raise StorageError(
                f"{self.url} could not be read: git {arguments[0]}: {_reason(ended.stderr)}; check"
                " the repository with 'git fsck'"
            )
        return ended.stdout


def repository_url(repository: str) -> str:
    """Return the URL of a repository that is given by URL or path.

    Raises:
        SettingsError: it has credentials in it, or a scheme that is not supported.
    """
    if _SCP.fullmatch(repository):
        return repository
    if "://" not in repository:
        return Path(repository).resolve().as_uri()
    parts = urlsplit(repository)
    if parts.scheme not in ("file", "https", "http", "ssh"):
        raise SettingsError(
            f"{redacted(repository)}: repositories on {parts.scheme}:// are not supported; give a"
            " folder, or a file://, https:// or ssh:// URL"
        )
    secret = "@" in parts.netloc if parts.scheme != "ssh" else parts.password is not None
    if secret or redacted(repository) != repository:
        hidden = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise SettingsError(
            f"{redacted(hidden)}: has credentials in it, and the URL ends up in records; use"
            " ssh://, or clone the repository and give its folder"
        )
    return repository


@contextmanager
def cloned(repository: str) -> Iterator[GitRepository]:
    """Clone a repository for the time of the context, without a checkout.

    Args:
        repository: URL or path.

    Raises:
        SettingsError: the URL has credentials in it, or is not supported.
        NotFound: git is missing.
        StorageUnreachable: the server does not answer.
        StorageError: the repository cannot be cloned.
    """
    url = repository_url(repository)
    source = url
    if url.startswith("file:"):
        source = str(local_folder(url))
        if not Path(source).is_dir():
            raise StorageError(f"{source} is not there; give the folder of a Git repository")
    with scratch_folder("cloning") as folder:
        arguments = ("clone", "--bare", "--quiet", "--no-local", "--template=", "--", source, ".")
        ended = _git(folder, arguments, seconds=CLONE_SECONDS)
        if ended.returncode:
            reason = _reason(ended.stderr)
            kind = StorageUnreachable if _AWAY.search(reason) else StorageError
            raise kind(
                f"{url} could not be cloned: {reason}; check the URL and your access to it with"
                " 'git ls-remote'"
            )
        yield GitRepository(url, folder)


def _git(
    folder: Path, arguments: Sequence[str], given: bytes = b"", seconds: int = COMMAND_SECONDS
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # nosec B603 B607
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env=_environment(),
            input=given,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotFound("git is not installed; install it to import from DVC") from error
    except subprocess.TimeoutExpired as error:
        raise StorageUnreachable(
            f"git {arguments[0]} took more than {seconds} s; try again, or clone the repository"
            " and give its folder"
        ) from error


def _environment() -> dict[str, str]:
    """Return an environment in which Git asks nothing and reads no other configuration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") and name != "SSH_ASKPASS"
    }
    return kept | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": "file:https:http:ssh",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        "LC_ALL": "C",
    }


def _reason(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    of_git = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return redacted((of_git or lines or ["it gave no reason"])[0])


def inside(folder: str, path: str) -> str | None:
    """Return the path in a repository that `path` is from one of its folders; None if it leaves."""
    if path.startswith("/") or "\\" in path or re.match(r"[A-Za-z]:", path) or "\0" in path:
        return None
    joined = posixpath.normpath(posixpath.join(folder, path))
    return None if joined == ".." or joined.startswith("../") else joined
