"""Dagster as a hub has it: its launcher, and the code server that it needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.workspace.load_target import WorkspaceFileTarget

from mlops_assets.components.project.launch import models_of_project, prepare_home
from mlops_assets.hub.orchestration.code_locations import CodeLocations
from mlops_assets.hub.orchestration.code_server import serve_code
from mlops_assets.hub.orchestration.dagster_launcher import DagsterLauncher
from mlops_assets.identity.delegation import delegation_key
from mlops_assets.settings import Settings


@dataclass(frozen=True)
class DagsterService:
    """Dagster as a hub has it.

    Attributes:
        launcher: launches runs.
        workspace: file of Dagster that names the code servers.
        folder: of this process only, for sockets.
    """

    launcher: DagsterLauncher
    workspace: Path
    folder: Path


@contextmanager
def dagster_service(
    settings: Settings, module: str, workspace: Path | None = None
) -> Iterator[DagsterService]:
    """Connect to the code servers of a project, and start one if none is given.

    Args:
        settings: name the Dagster instance.
        module: definitions of the project.
        workspace: file of Dagster that names code servers which are running; None to start one.

    Raises:
        NotFound: the project cannot be loaded.
        StorageError: the key of runs that act for others cannot be used.
    """
    home = prepare_home(settings.dagster_home)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-hub-")))
        file = workspace or stack.enter_context(serve_code(module, home, folder))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        locations = stack.enter_context(CodeLocations(instance, WorkspaceFileTarget([str(file)])))
        launcher = DagsterLauncher(
            locations, models_of_project(module), delegation_key(settings.delegation_key, home)
        )
        yield DagsterService(launcher, file, folder)
