"""What DVC tracks in a commit: the outputs of `.dvc` files and of `dvc.lock`.

Format: https://dvc.org/doc/user-guide/project-structure. Objects are read in `remote`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml

from mlops_assets.errors import DataProblems, NotFound
from mlops_assets.integrations.dvc.git import SYMLINK, GitFile, GitRepository, inside
from mlops_assets.text.listing import named

FOLDER = ".dir"
_MD5 = re.compile(r"[0-9a-f]{32}")
# of DVC 1 and 2, whose checksums of text files leave out carriage returns
LEGACY = "md5-dos2unix"


class DvcObject(NamedTuple):
    """An object of DVC's cache and remotes.

    Attributes:
        md5: checksum (hex).
        legacy: whether it is stored as by DVC 1 and 2.
        remote: name of the remote that its output declares, if any.
    """

    md5: str
    legacy: bool
    remote: str | None = None


class Output(NamedTuple):
    """A file or a folder that DVC tracks: its path in the repository, and its object."""

    path: str
    content: DvcObject
    is_folder: bool


class _Malformed(Exception):
    """A document of DVC that cannot be used."""


def tracked_outputs(repository: GitRepository, commit: str) -> list[Output]:
    """Return what DVC tracks in a commit, sorted by path.

    Raises:
        DataProblems: files of DVC that cannot be used; all are named.
        NotFound: DVC tracks nothing there.
    """
    files = repository.files(commit)
    found: dict[str, Output] = {}
    problems: list[str] = []
    documents = {path: file for path, file in files.items() if _is_metadata(path)}
    contents = repository.contents(list(documents.values()))
    texts = dict(zip(documents, contents, strict=True))
    for path, content in texts.items():
        if documents[path].mode == SYMLINK:
            problems.append(f"{path} is a symbolic link; commit the file itself")
            continue
        if posixpath.basename(path) == "dvc.yaml":
            continue
        try:
            for output in _outputs(path, content, texts):
                if output.path in files:  # 'cache: false' in dvc.yaml: Git has it
                    continue
                problem = _misplaced(output, files, found)
                if problem:
                    problems.append(f"{path}: {problem}")
                else:
                    found[output.path] = output
        except _Malformed as error:
            problems.append(f"{path}: {error}")
    problems += [
        f"{path} is inside of {parent}, which DVC tracks as well"
        for path in found
        for parent in _parents(path)
        if parent in found
    ]
    if problems:
        raise DataProblems(f"{repository.url} at {commit[:12]}", problems)
    if not found:
        raise NotFound(
            f"{repository.url} at {commit[:12]} has no data that DVC tracks; 'dvc add' it, commit"
            " the .dvc file and push both"
        )
    return [found[path] for path in sorted(found)]


def folder_entries(path: str, content: bytes, folder: DvcObject) -> list[tuple[str, DvcObject]]:
    """Return relative path and object of each file of a folder, by its `.dir` object.

    Args:
        path: of the folder, for messages.
        content: of the `.dir` object.
        folder: the `.dir` object itself.

    Raises:
        DataProblems: it is not such a list, or has paths that leave the folder.
    """
    try:
        listed = json.loads(content)
        if not isinstance(listed, list):
            raise _Malformed("it is not a list of files")
        entries: dict[str, DvcObject] = {}
        for entry in listed:
            if not isinstance(entry, dict):
                raise _Malformed("it is not a list of files")
            name = entry.get("relpath")
            if not isinstance(name, str) or not name:
                raise _Malformed("an entry has no relpath")
            relative = inside("", name)
            if relative is None or relative != name or relative == ".":
                raise _Malformed(f"{name!r} leads out of the folder, or is not a plain path")
            if relative in entries:
                raise _Malformed(f"{name!r} is listed twice")
            entries[relative] = folder._replace(md5=_md5(entry.get("md5"), name))
    except (ValueError, RecursionError, _Malformed) as error:
        raise DataProblems(
            f"folder {path} of DVC", [f"its list of files {folder.md5}{FOLDER}: {error}"]
        ) from error
    return list(entries.items())


def below(outputs: list[Output], wanted: str | None, where: str) -> list[Output]:
    """Return the outputs at a path, below it, or above it.

    Args:
        outputs: all that DVC tracks.
        wanted: path in the repository; None for all.
        where: the repository, for messages.

    Raises:
        NotFound: nothing is tracked there.
    """
    if wanted is None:
        return outputs
    found = [
        output
        for output in outputs
        if output.path == wanted
        or output.path.startswith(f"{wanted}/")
        or (output.is_folder and wanted.startswith(f"{output.path}/"))
    ]
    if not found:
        known = named([output.path for output in outputs])
        raise NotFound(f"{where}: DVC tracks nothing at {wanted!r}; it tracks {known}")
    return found


def _is_metadata(path: str) -> bool:
    name = posixpath.basename(path)
    hidden = path.startswith(".dvc/") or "/.dvc/" in path
    return not hidden and (name in ("dvc.lock", "dvc.yaml") or name.endswith(".dvc"))


def _outputs(path: str, content: bytes, texts: Mapping[str, bytes]) -> Iterator[Output]:
    document = _document(content)
    folder = posixpath.dirname(path)
    if posixpath.basename(path) != "dvc.lock":
        yield from _outputs_of(document, folder, _text(document, "wdir") or ".")
        return
    # schema 1.0 has the stages at the top
    stages = document.get("stages", {} if "schema" in document else document)
    pipeline = texts.get(posixpath.join(folder, "dvc.yaml"))
    folders = {} if pipeline is None else _stage_folders(_document(pipeline))
    for name, stage in _mapping(stages, "stages").items():
        where = folders.get(str(name).partition("@")[0], ".")
        yield from _outputs_of(_mapping(stage, f"stage {name}"), folder, where)


def _outputs_of(stage: Mapping[str, object], folder: str, where: str) -> Iterator[Output]:
    outputs = stage.get("outs", [])
    if not isinstance(outputs, list):
        raise _Malformed("'outs' is not a list")
    working = inside(folder, where)
    if working is None:
        raise _Malformed(f"wdir {where!r} leads out of the repository")
    for entry in outputs:
        output = _mapping(entry, "an entry of 'outs'")
        path = _text(output, "path")
        if path is None:
            raise _Malformed("an entry of 'outs' has no path")
        if output.get("cache") is False:  # Git has it
            continue
        if "://" in path:
            raise _Malformed(f"{path} is outside of the repository; 'dvc import-url' copies it in")
        place = inside(working, path)
        if place is None or place == ".":
            raise _Malformed(f"path {path!r} leads out of the repository")
        checksum = output.get("md5")
        if checksum is None or "files" in output:
            raise _Malformed(
                f"{path} has no md5, so that it is not in DVC's cache; cloud versioning and"
                " outputs that were never committed ('dvc commit') cannot be imported"
            )
        algorithm = output.get("hash", LEGACY)
        if algorithm not in ("md5", LEGACY):
            raise _Malformed(f"{path} has a checksum by {algorithm!r}; only md5 can be imported")
        is_folder = isinstance(checksum, str) and checksum.endswith(FOLDER)
        plain = str(checksum).removesuffix(FOLDER) if is_folder else checksum
        content = DvcObject(_md5(plain, path), algorithm == LEGACY, _text(output, "remote"))
        yield Output(place, content, is_folder)


def _stage_folders(pipeline: Mapping[str, object]) -> dict[str, str]:
    """Return the working folder of each stage of a dvc.yaml that has one."""
    found: dict[str, str] = {}
    for name, stage in _mapping(pipeline.get("stages") or {}, "stages of dvc.yaml").items():
        declared = stage.get("do", stage) if isinstance(stage, dict) else {}
        where = _text(_mapping(declared, f"stage {name} of dvc.yaml"), "wdir")
        if where is not None:
            if "${" in where:
                raise _Malformed(f"stage {name} has a templated wdir, {where!r}; write it out")
            found[str(name)] = where
    return found


def _misplaced(
    output: Output, files: Mapping[str, GitFile], found: Mapping[str, Output]
) -> str | None:
    """Return why an output cannot be where it is, None if it can."""
    for parent in _parents(output.path):
        if parent in files:
            what = "a symbolic link" if files[parent].mode == SYMLINK else "a file"
            return f"{output.path} is below {parent}, which is {what} in Git"
    other = found.get(output.path)
    if other is not None and other != output:
        return f"{output.path} is tracked twice, with different content"
    return None


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _document(content: bytes) -> Mapping[str, object]:
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise _Malformed(f"is not valid YAML ({first})") from error
    return _mapping({} if document is None else document, "the document")


def _mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _Malformed(f"{what} is not a mapping")
    return value


def _text(document: Mapping[str, object], key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise _Malformed(f"{key!r} is not a text")
    return value


def _md5(value: object, path: str) -> str:
    if not isinstance(value, str) or not _MD5.fullmatch(value):
        raise _Malformed(f"{path} has {value!r}, which is not an md5 checksum")
    return value
