"""Workspaces of branches: their marker, without which nothing is removed, and their removal."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import obstore
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from mlops_assets.errors import Conflict, StorageError
from mlops_assets.integrations.ci.branches import NAME, BranchWorkspace, branch_name
from mlops_assets.paths import BRANCH_MARKER
from mlops_assets.registry.engine import driver_message, open_engine
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import explained, local_folder, open_object_store


class PreparedModel(BaseModel):
    """A model of production in the workspace of a branch.

    Attributes:
        model: its name.
        data: data version here, as `dataset@version`.
        data_there: the same in production.
        digest: of that data version, here and there.
        baseline: version here of what it is compared with; None if production has none.
        baseline_there: version of that in production.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    data: str
    data_there: str
    digest: str
    baseline: str | None = None
    baseline_there: str | None = None


class Marker(BaseModel):
    """The document that makes a workspace that of a branch.

    Attributes:
        branch: name of the branch.
        registry_schema: schema of its registry in the database of all branches; None if it has a
            file.
        production: URL of the workspace of production.
        models: what it has of production.
    """

    model_config = ConfigDict(frozen=True)

    branch: str
    registry_schema: str | None = None
    production: str
    models: tuple[PreparedModel, ...] = ()

    def write(self, workspace: Workspace) -> None:
        """Write it into its workspace."""
        workspace.put(BRANCH_MARKER, self.model_dump_json(indent=1).encode())


@dataclass(frozen=True)
class Removal:
    """What is to become of something below the root of branches.

    Attributes:
        name: of its folder.
        action: what is done.
        branch: whose workspace it is; None if it is none.
        reason: why it is left, or removed.
    """

    name: str
    action: Literal["remove", "keep", "leave"]
    branch: str | None
    reason: str


def claim(found: BranchWorkspace, production: str, cache: Path | None = None) -> None:
    """Make the workspace of a branch, with its marker, unless it is there.

    Args:
        found: the workspace.
        production: URL of the workspace of production.
        cache: folder for copies of remote files.

    Raises:
        Conflict: there is something without a marker, or with that of another branch.
        StorageError: it cannot be made.
    """
    workspace = Workspace(found.workspace, cache)
    own = read_marker(workspace)
    if own is not None and own.branch != found.branch:
        raise Conflict(f"{found.workspace} is the workspace of the branch {own.branch!r}")
    if own is None:
        first = next(workspace.list(""), None)
        if first is not None:
            raise Conflict(
                f"{found.workspace} has no {BRANCH_MARKER} but {first!r}: it is not the workspace"
                " of a branch; name another MLOPS_CI_ROOT"
            )
        marker = Marker(branch=found.branch, registry_schema=found.schema, production=production)
        marker.write(workspace)
    if found.registry is not None:
        with _statements(found.registry) as connection:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{found.schema}"'))


def read_marker(workspace: Workspace) -> Marker | None:
    """Return the marker of a workspace; None if it is not that of a branch.

    Raises:
        StorageError: it is there, and cannot be read.
    """
    if not workspace.exists(BRANCH_MARKER):
        return None
    try:
        return Marker.model_validate_json(workspace.get(BRANCH_MARKER))
    except ValidationError as error:
        raise StorageError(
            f"{workspace.where(BRANCH_MARKER)} is not the marker of a branch; remove that workspace"
            " by hand if it is one"
        ) from error


def planned_removals(
    root: str, remove: Callable[[str], str | None], cache: Path
) -> Iterator[Removal]:
    """Yield what is to become of each folder below the root of branches.

    Args:
        root: URL that they are below.
        remove: branch → why its workspace is to be removed; None if it is kept.
        cache: folder for copies of remote files.

    Raises:
        StorageError: the root cannot be read.
    """
    for name in sorted(_folders(root)):
        if not NAME.fullmatch(name):
            yield Removal(name, "leave", None, "its name is not that of a branch's workspace")
            continue
        if root.startswith("file:") and (local_folder(root) / name).is_symlink():
            yield Removal(name, "leave", None, "it is a link")
            continue
        try:
            marker = read_marker(Workspace(f"{root}/{name}", cache))
        except StorageError as error:
            yield Removal(name, "leave", None, str(error))
            continue
        if marker is None:
            yield Removal(name, "leave", None, f"it has no {BRANCH_MARKER}")
        elif branch_name(marker.branch) != name:
            yield Removal(name, "leave", None, f"its {BRANCH_MARKER} is that of another workspace")
        elif (reason := remove(marker.branch)) is not None:
            yield Removal(name, "remove", marker.branch, reason)
        else:
            yield Removal(name, "keep", marker.branch, "the branch is open")


def not_open(branches: Collection[str]) -> Callable[[str], str | None]:
    """Return what removes the workspaces of branches that are not among those that are open.

    Raises:
        Conflict: none is open, which a repository that could not be read looks like.
    """
    if not branches:
        raise Conflict("no branch is open, which cannot be; nothing was removed")
    return lambda branch: None if branch in branches else "the branch is closed"


def remove_workspace(found: BranchWorkspace, cache: Path) -> None:
    """Remove the workspace of a branch, and the schema of its registry; the marker goes last.

    Args:
        found: the workspace; its marker has been read by `planned_removals`.
        cache: folder for copies of remote files.

    Raises:
        Conflict: it has no marker, or that of another branch.
        StorageError: something of it cannot be removed; the same again continues.
    """
    workspace = Workspace(found.workspace, cache)
    marker = read_marker(workspace)
    if marker is None or marker.branch != found.branch:
        raise Conflict(f"{found.workspace} is not the workspace of the branch {found.branch!r}")
    with explained(found.workspace, "removed", "fix permissions and run it again"):
        if workspace.is_local:
            _empty(workspace.root)
        else:
            for key in [key for key in workspace.list("") if key != BRANCH_MARKER]:
                workspace.remove(key)
    if found.registry is not None:
        with _statements(found.registry) as connection:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{found.schema}" CASCADE'))
    workspace.remove(BRANCH_MARKER)
    if workspace.is_local:
        workspace.root.rmdir()


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != BRANCH_MARKER:
            each.unlink()


def _folders(root: str) -> list[str]:
    if root.startswith("file:"):
        folder = local_folder(root)
        return [each.name for each in folder.iterdir()] if folder.is_dir() else []
    with explained(root, "listed"):
        found = obstore.list_with_delimiter(open_object_store(root))
        return [prefix.strip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]


@contextmanager
def _statements(registry: str) -> Iterator[Connection]:
    engine = open_engine(registry)
    try:
        with closing(engine.connect()) as connection:
            yield connection
            connection.commit()
    except DBAPIError as error:
        raise StorageError(
            f"the database of MLOPS_CI_REGISTRY: {driver_message(error)}; its user needs the"
            " right CREATE there"
        ) from error
    finally:
        engine.dispose()
