"""The definitions that runs are submitted from, and whether their runs see this machine's files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import (
    InProcessWorkspaceLoadTarget,
    WorkspaceFileTarget,
    WorkspaceLoadTarget,
)

from mlops_assets.errors import NotFound
from mlops_assets.orchestration.code_locations import CodeLocations
from mlops_assets.settings import container_image

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@contextmanager
def open_locations(
    instance: dg.DagsterInstance, module: str, code_servers: Path | None
) -> Iterator[CodeLocations]:
    """Open the code locations that a command submits runs of.

    They are those of running code servers, or else the definitions that this process has loaded
    anyway. The latter are called as `mlops up` and `mlops hub` call theirs, so that a daemon with
    such a code server finds its own; pods get the image of this process.

    Args:
        instance: the Dagster instance.
        module: definitions of the project.
        code_servers: Dagster's workspace.yaml that names running code servers.

    Raises:
        NotFound: there is no such file.
    """
    # a project that cannot be loaded is reported by those who ask for its jobs
    warnings.filterwarnings("ignore", "Error loading repository location", UserWarning)
    target: WorkspaceLoadTarget
    if code_servers is not None:
        if not code_servers.is_file():
            raise NotFound(
                f"MLOPS_CODE_SERVERS={code_servers} is not a file; name Dagster's workspace.yaml"
                " with the running code servers"
            )
        target = WorkspaceFileTarget([str(code_servers)])
    else:
        origin = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(
                executable_path=sys.executable,
                module_name=module,
                working_directory=str(Path.cwd()),
            ),
            container_image=container_image(),
            location_name=module,
        )
        target = InProcessWorkspaceLoadTarget([origin])
    with CodeLocations(instance, target, module) as locations:
        yield locations


def launcher_name(instance: dg.DagsterInstance) -> str:
    """Return the name of the class of an instance's run launcher.

    The launcher itself is not made for that: one of a cluster needs the cluster's configuration.
    """
    data = instance.get_ref().run_launcher_data
    return data.class_name if data else DefaultRunLauncher.__name__


def runs_on_this_machine(locations: CodeLocations) -> bool:
    """Return whether runs are executed by processes of this machine.

    These are runs that code servers of this machine start.
    """
    if launcher_name(locations.instance) != DefaultRunLauncher.__name__:
        return False
    origins = [location.origin for location, _ in locations.repositories()]
    return all(
        origin.socket is not None or origin.host in _LOOPBACK
        for origin in origins
        if isinstance(origin, GrpcServerCodeLocationOrigin)
    )
