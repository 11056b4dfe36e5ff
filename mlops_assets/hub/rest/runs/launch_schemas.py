"""Request and response documents of runs that the hub launches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from mlops_assets.choices import Direction, Method, PrunerName
from mlops_assets.hub.external.runs import API
from mlops_assets.hub.orchestration import launcher
from mlops_assets.hub.orchestration.launcher import TrainingRequest
from mlops_assets.hub.orchestration.links import dagster_run_url
from mlops_assets.hub.rest.schemas import Number, Text
from mlops_assets.names import Reference
from mlops_assets.registry.runs.remarks import MAX_NOTE
from mlops_assets.strict import Strict


class SweepStart(Strict):
    """A search for parameters, with the settings of a file of `mlops sweep`.

    Attributes:
        space: parameter → `{"choices": […]}`, `{"min": …, "max": …}` or one value.
        trials: number of runs; 20, or the whole grid, if not given.
        parallel: runs at the same time.
        seed: of the search.
        method: of the search.
        metric: that is optimised; chosen by what the first run logs if not given.
        direction: in which it gets better; by its name if not given.
        prune: pruner that stops runs that do badly.
        timeout: seconds after which no further run starts.
    """

    space: dict[Text, JsonValue]
    trials: Annotated[int, Field(ge=1, le=100_000)] | None = None
    parallel: Annotated[int, Field(ge=1, le=1_000)] = 1
    seed: Number = 0
    method: Method = "tpe"
    metric: Text | None = None
    direction: Direction | None = None
    prune: PrunerName = "none"
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class TrainingStart(Strict):
    """A training that is asked for.

    Attributes:
        model: a model that the project declares.
        data: `dataset`, `dataset@version` or `dataset@tag`; the newest version if none is given.
        parameters: hyperparameters that differ from the declared ones.
        seed: random seed; the declared one if not given. Trials of a sweep have that.
        compute: resources that differ from the declared ones: `cpus`, `memory`, `gpus`,
            `processes`, `time_limit`.
        sweep: the search that it is; one run if not given.
        tags: name → value, of the run or of the trials.
        note: first note on the run; a sweep has none.
    """

    model: Text
    data: Text
    parameters: dict[Text, JsonValue] = Field(default={})
    seed: Number | None = None
    compute: dict[Text, JsonValue] = Field(default={})
    sweep: SweepStart | None = None
    tags: Annotated[dict[Text, Text], Field(max_length=100)] = Field(default={})
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""

    def request(self) -> TrainingRequest:
        """Return the request as a launcher takes it.

        Raises:
            NameRefused: `data` is not a reference.
        """
        return TrainingRequest(
            model=self.model,
            data=Reference.parse(self.data),
            parameters=self.parameters,
            seed=self.seed,
            compute=self.compute,
            sweep=None if self.sweep is None else launcher.Sweep(**self.sweep.model_dump()),
            tags=self.tags,
            note=self.note,
        )


class LaunchedRun(BaseModel):
    """A run of Dagster that was launched.

    Attributes:
        orchestration_run: id of the Dagster run; the runs of training have it, too.
        notice: what keeps it from starting, such as a daemon that does not run; null if nothing.
        links: `state`, and `dagster`, its page there.
    """

    orchestration_run: str
    notice: str | None
    links: dict[str, str]

    @classmethod
    def of(cls, launched: launcher.Launched) -> LaunchedRun:
        """Return the document."""
        run = launched.orchestration_run
        links = {"state": f"{API}/launched/{run}", "dagster": dagster_run_url(run)}
        return cls(orchestration_run=run, notice=launched.notice or None, links=links)


class LaunchedRunState(BaseModel):
    """What became of a run that was launched.

    Attributes:
        status: in Dagster's words, such as QUEUED, STARTED, SUCCESS, FAILURE, CANCELED.
        errors: of its steps, one line each.
        runs: ids of the training runs that it has begun.
        job: name of the job.
        model: that it trains; null if none.
        dataset: whose version it works on, or makes.
        partition: data version that it works on; null if it makes one.
        notice: what keeps it from starting; null if nothing.
    """

    status: str
    errors: list[str]
    runs: list[str]
    job: str
    model: str | None
    dataset: str | None
    partition: str | None
    notice: str | None

    @classmethod
    def of(cls, state: launcher.LaunchedState) -> LaunchedRunState:
        """Return the document."""
        return cls(**{**asdict(state), "notice": state.notice or None})


class StopRequested(BaseModel):
    """A run that was asked to stop; `status` is what it was then, and becomes `canceled`."""

    run_id: str
    status: str
