"""Runs that a Dagster instance executes: submitted to its run coordinator, and followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import dagster as dg

from mlops_assets.components.project.storage_failures import database_required
from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.identity.delegation import delegate, delegation_key
from mlops_assets.orchestration.code import open_locations, runs_on_this_machine
from mlops_assets.orchestration.code_locations import CodeLocations
from mlops_assets.orchestration.following.follow import Follower
from mlops_assets.orchestration.following.interrupts import Interrupts
from mlops_assets.orchestration.results import RunResult
from mlops_assets.orchestration.submission import Submission, daemon_notice, submit
from mlops_assets.settings import Settings
from mlops_assets.store import Store, open_store
from resources.store import ACTS_FOR


@dataclass(frozen=True)
class InstanceLauncher:
    """Submits runs to an instance for the user of a command, and follows them.

    Attributes:
        locations: have the jobs.
        store: of the user.
        key: signs who a run acts for; None if runs cannot check it.
        report: called with each line for the user.
    """

    locations: CodeLocations
    store: Store
    key: bytes | None
    report: Callable[[str], None]

    @property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance."""
        return self.locations.instance

    @database_required()
    def submit(self, submission: Submission) -> str:
        """Submit a run; return its id.

        Raises:
            NotFound: there is no such job.
            SpecificationError: its config is not valid.
            OrchestratorUnavailable: no daemon would start it, or a code server or the database of
                Dagster is out of reach.
        """
        if daemon_notice(self.instance):
            raise OrchestratorUnavailable(
                "Dagster's daemon does not run on this instance, so that no run would start; start"
                " it with 'mlops up' or 'dagster-daemon run', or set MLOPS_LAUNCH=here"
            )
        tags = dict(submission.tags)
        user = self.store.registry.principal
        if self.key is not None:
            tags = {ACTS_FOR: delegate(user, submission.run_id, self.key), **tags}
        else:
            self.report(
                f"the run acts for the user of its own process, not for {user.name}; for that, set"
                " MLOPS_DELEGATION_KEY to the same value there and here"
            )
        submit(self.locations, replace(submission, tags=tags))
        return submission.run_id

    def launch(self, submission: Submission) -> RunResult:
        """Submit a run and follow it to its end.

        Raises:
            NotFound: there is no such job.
            SpecificationError: its config is not valid.
            OrchestratorUnavailable: no daemon would start it, or a code server is out of reach.
            CheckFailure: a blocking check failed.
            StepFailure: a step failed, or the run could not be started, or others cancelled it.
            KeyboardInterrupt: it was cancelled by an interrupt.
            StillRunning: the command ends and the run does not.
        """
        # so that an interrupt does not leave a run behind that was made and not submitted
        with Interrupts(submission.run_id) as interrupts:
            run_id = self.submit(submission)
            return Follower(self.instance, self.store.registry, self.report).follow(
                run_id, interrupts
            )


@contextmanager
def instance_launcher(
    settings: Settings, instance: dg.DagsterInstance, module: str, report: Callable[[str], None]
) -> Iterator[InstanceLauncher]:
    """Open the launcher of a command.

    Args:
        settings: those of the project.
        instance: its Dagster instance.
        module: definitions of the project.
        report: called with each line for the user.

    Raises:
        NotFound: there is no file of code servers.
        StorageError: the key of runs that act for others cannot be used.
    """
    with open_locations(instance, module, settings.code_servers) as locations:
        key = None
        if settings.delegation_key is not None or runs_on_this_machine(locations):
            key = delegation_key(settings.delegation_key, settings.dagster_home)
        yield InstanceLauncher(locations, open_store(settings), key, report)
