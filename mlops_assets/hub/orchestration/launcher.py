"""Runs of Dagster that the hub asks for: training, sweeps, commits, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from mlops_assets.choices import Direction, Method, PrunerName
from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.names import Reference
from mlops_assets.registry import Run
from mlops_assets.store import Store


@dataclass(frozen=True)
class Sweep:
    """A search for parameters, with the settings of `training.sweeps.settings.SweepSettings`.

    Attributes:
        trials: number of runs; as `mlops sweep` chooses it if None.
        parallel: runs at the same time.
        seed: of the search.
        space: parameter → values to search, as a user writes them; parameters of the request that
            are not among them are the same in all runs.
        method: of the search.
        metric: that is optimised; chosen by what the first run logs if None.
        direction: in which it gets better; by its name if None.
        prune: pruner that stops runs that do badly.
        timeout: seconds after which no further run starts.
    """

    trials: int | None = None
    parallel: int = 1
    seed: int = 0
    space: Mapping[str, JsonValue] = field(default_factory=dict)
    method: Method = "tpe"
    metric: str | None = None
    direction: Direction | None = None
    prune: PrunerName = "none"
    timeout: float | None = None


@dataclass(frozen=True)
class TrainingRequest:
    """A training that a user asks for.

    Attributes:
        model: a declared model.
        data: data version to train on.
        parameters: that differ from the declared ones.
        seed: random seed; the declared one if None.
        compute: resources that differ from the declared ones, such as `gpus`.
        sweep: of which it is one; None for one run.
        tags: of the run.
        note: first note of the run; empty if there is none.
    """

    model: str
    data: Reference
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    seed: int | None = None
    compute: Mapping[str, JsonValue] = field(default_factory=dict)
    sweep: Sweep | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Launched:
    """A run of Dagster that was launched.

    Attributes:
        orchestration_run: id of the Dagster run; runs of training have it, too.
        notice: what keeps it from starting, such as a daemon that does not run; empty if nothing.
    """

    orchestration_run: str
    notice: str = ""


@dataclass(frozen=True)
class LaunchedState:
    """What became of a run that was launched.

    Attributes:
        status: in Dagster's words, such as QUEUED, STARTED, SUCCESS, FAILURE, CANCELED.
        errors: of its steps, one line each.
        runs: ids of the training runs that it has begun.
        job: name of the job.
        model: that it trains; None if none.
        dataset: whose version it works on, or makes.
        partition: data version that it works on; None if it makes one.
        notice: what keeps it from starting; empty if nothing.
    """

    status: str
    errors: list[str]
    runs: list[str]
    job: str = ""
    model: str | None = None
    dataset: str | None = None
    partition: str | None = None
    notice: str = ""


class Launcher(Protocol):
    """Launches runs by the Dagster instance of the project, on behalf of the principal of a store.

    Every method raises Forbidden if the principal may not, and OrchestratorUnavailable if Dagster
    is out of reach.
    """

    def train(self, store: Store, request: TrainingRequest) -> Launched:
        """Launch a training, or a sweep.

        Raises:
            NotFound: the model is not declared, or there is no such data version.
            SpecificationError: a parameter or resource is not valid.
        """

    def commit(self, store: Store, dataset: str) -> Launched:
        """Launch the commit of what has landed of a dataset.

        Raises:
            NotFound: the dataset is not declared.
        """

    def resume(self, store: Store, run: Run) -> Launched:
        """Launch the continuation of a run that failed or was stopped.

        Raises:
            Conflict: it is running, or has succeeded.
        """

    def stop(self, store: Store, run: Run) -> None:
        """Stop a run that is under way, so that it can be resumed.

        Raises:
            Conflict: it is not under way, or only another machine can stop it.
        """

    def cancel(self, store: Store, orchestration_run: str) -> None:
        """Cancel a run of Dagster that was launched, whether it has begun or not.

        Raises:
            NotFound: there is no such run.
            Conflict: it has ended, or only another machine can stop it.
        """

    def state(self, store: Store, orchestration_run: str) -> LaunchedState:
        """Return what became of a run that was launched.

        Raises:
            NotFound: there is no such run.
        """


class NoLauncher:
    """The launcher of a hub without Dagster."""

    def train(self, store: Store, request: TrainingRequest) -> Launched:
        """Refuse."""
        raise _unavailable()

    def commit(self, store: Store, dataset: str) -> Launched:
        """Refuse."""
        raise _unavailable()

    def resume(self, store: Store, run: Run) -> Launched:
        """Refuse."""
        raise _unavailable()

    def stop(self, store: Store, run: Run) -> None:
        """Refuse."""
        raise _unavailable()

    def cancel(self, store: Store, orchestration_run: str) -> None:
        """Refuse."""
        raise _unavailable()

    def state(self, store: Store, orchestration_run: str) -> LaunchedState:
        """Refuse."""
        raise _unavailable()


def _unavailable() -> OrchestratorUnavailable:
    return OrchestratorUnavailable("this hub has no Dagster; start it by 'mlops up'")
