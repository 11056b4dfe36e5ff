"""What code servers of Dagster serve: the jobs, sensors and schedules of a project."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dagster as dg
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteJob, RemoteRepository
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._utils.warnings import disable_dagster_warnings

from mlops_assets.errors import NotFound, OrchestratorUnavailable, SpecificationError

# a code server imports the frameworks of all trainers before it answers
WAIT_SECONDS = 60.0
SILENT = (
    "the code server of Dagster does not answer; try again, or start the hub or 'mlops up' again"
)
_NO_ANSWER = "_InactiveRpcError"  # error of gRPC, as Dagster names it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedJob:
    """A job as its code server serves it.

    Attributes:
        location: the code server.
        repository: in which it is.
        job: itself.
    """

    location: CodeLocation
    repository: RemoteRepository
    job: RemoteJob


class CodeLocations:
    """The code locations of a Dagster workspace, connected to in a thread.

    Args:
        instance: the Dagster instance.
        target: names the code servers.
        project: name of the location whose jobs are meant, where several have one of a name; None
            for the first.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        target: WorkspaceLoadTarget,
        project: str | None = None,
    ) -> None:
        self.instance = instance
        self._project = project
        self._target = target
        self._stack = ExitStack()
        self._context: WorkspaceProcessContext | None = None
        self._failure: str | None = None
        self._connecting = threading.Thread(target=self._connect, name="code servers", daemon=True)

    def __enter__(self) -> Self:
        """Begin to connect."""
        self._connecting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._connecting.join()
        self._stack.close()

    def context(self, seconds: float = WAIT_SECONDS) -> WorkspaceRequestContext:
        """Return what the code servers serve at present.

        Args:
            seconds: to wait at most for the first connection.

        Raises:
            OrchestratorUnavailable: they are not connected yet, or cannot be.
        """
        self._connecting.join(seconds)
        if self._failure is not None:
            raise OrchestratorUnavailable(
                f"the code server of Dagster cannot be reached: {self._failure}; start"
                " the hub or 'mlops up' again, or correct MLOPS_CODE_SERVERS"
            )
        if self._context is None:
            raise OrchestratorUnavailable(
                "the code server of Dagster is still loading the project; try again in a minute"
            )
        return self._context.create_request_context()

    def repositories(self) -> list[tuple[CodeLocation, RemoteRepository]]:
        """Return the repositories of all code servers that have loaded theirs.

        Raises:
            SpecificationError: none has; Dagster cannot load the project.
            OrchestratorUnavailable: they are not connected, or have exited.
        """
        entries = self.context().get_code_location_entries().values()
        found = [
            (entry.code_location, repository)
            for entry in entries
            if entry.code_location is not None
            for repository in entry.code_location.get_repositories().values()
        ]
        errors = [entry.load_error for entry in entries if entry.load_error is not None]
        if errors and not found:
            error = errors[0]
            while error.cause is not None:
                error = error.cause  # the others only wrap it
            if error.cls_name == _NO_ANSWER:
                raise OrchestratorUnavailable(SILENT)
            raise SpecificationError(f"Dagster cannot load the project: {error.message.strip()}")
        return found

    def job(self, name: str) -> ServedJob:
        """Return a job.

        Raises:
            NotFound: no code server has it.
            SpecificationError: several have it, and none is that of the project.
            OrchestratorUnavailable: none is connected.
        """
        found = [
            (location, repository)
            for location, repository in self.repositories()
            if repository.has_job(name)
        ]
        own = [each for each in found if each[0].name == self._project]
        if self._project is not None and len(found) > 1 and not own:
            raise SpecificationError(
                f"several code locations have a job {name!r}:"
                f" {', '.join(location.name for location, _ in found)}; call that of this project"
                f" {self._project!r} in MLOPS_CODE_SERVERS, or name it with --module"
            )
        for location, repository in own or found:
            return ServedJob(location, repository, repository.get_full_job(name))
        raise NotFound(
            f"Dagster's code server has no job {name!r}; reload its definitions, or see which jobs"
            " there are on Dagster's page 'Jobs'"
        )

    def _connect(self) -> None:
        try:
            with disable_dagster_warnings():
                self._context = self._stack.enter_context(
                    WorkspaceProcessContext(self.instance, self._target)
                )
        except Exception as error:
            # it would be lost with the thread; callers get it
            log.exception("the code servers of Dagster cannot be connected to")
            self._failure = f"{type(error).__name__}: {error}"
