"""What a training that was asked for will run, before it is started."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass

import yaml
from pydantic import JsonValue

from mlops_assets.hub.orchestration.launcher import Sweep, TrainingRequest
from mlops_assets.hub.views.training.fields import written_value
from mlops_assets.hub.views.training.form import EarlierRuns, TrainingForm
from mlops_assets.training.sweeps.settings import DEFAULT_TRIALS

SPACE_FILE = "space.yaml"


@dataclass(frozen=True)
class Preview:
    """What will run.

    Attributes:
        job: of Dagster.
        partition: of the job: the data version.
        command: that does the same, for a shell.
        space: content of the file `space.yaml` that the command of a sweep reads; empty for one
            run.
        body: of `POST /api/v1/trainings`, which starts the same.
        seconds: how long it may take, from earlier runs of the model; None if there is none.
        notes: what the command does not do, and where it is declared instead.
    """

    job: str
    partition: str
    command: str
    space: str
    body: dict[str, JsonValue]
    seconds: float | None
    notes: list[str]


def preview_of(form: TrainingForm, request: TrainingRequest) -> Preview:
    """Return what a request will run."""
    reference = f"{request.model}@{request.data.what}"
    sweep = request.sweep
    if sweep is None:
        settings = dict(request.parameters)
        if request.seed is not None:
            settings["seed"] = request.seed
        options = [f"{name}={written_value(value)}" for name, value in settings.items()]
        given = [part for option in options for part in ("-p", option)]
        command = ["mlops", "train", reference, *given]
    else:
        command = ["mlops", "sweep", reference, "--space", SPACE_FILE]
    return Preview(
        job=form.job if sweep is None else form.sweep_job,
        partition=str(request.data.what),
        command=shlex.join(command),
        space="" if sweep is None else space_file(request, sweep),
        body=body_of(request),
        seconds=_seconds(form.earlier, sweep),
        notes=_notes(request),
    )


def body_of(request: TrainingRequest) -> dict[str, JsonValue]:
    """Return the body of `POST /api/v1/trainings` that asks for the same; defaults are left out."""
    values: dict[str, JsonValue] = {"model": request.model, "data": str(request.data)}
    given: dict[str, JsonValue] = {
        "parameters": dict(request.parameters),
        "compute": dict(request.compute),
        "tags": dict(request.tags),
        "note": request.note,
    }
    values |= {name: value for name, value in given.items() if value}
    if request.seed is not None:
        values["seed"] = request.seed
    if request.sweep is not None:
        default = Sweep()
        values["sweep"] = {
            name: value
            for name, value in asdict(request.sweep).items()
            if name == "space" or value != getattr(default, name)
        }
    return values


def space_file(request: TrainingRequest, sweep: Sweep) -> str:
    """Return the file that `mlops sweep` reads for a sweep."""
    values: dict[str, object] = {"parameters": {**request.parameters, **sweep.space}}
    settings = {
        "method": (sweep.method, "tpe"),
        "metric": (sweep.metric, None),
        "direction": (sweep.direction, None),
        "trials": (sweep.trials, None),
        "parallel": (sweep.parallel, 1),
        "prune": (sweep.prune, "none"),
        "seed": (sweep.seed, 0),
        "timeout": (sweep.timeout, None),
    }
    values |= {name: value for name, (value, default) in settings.items() if value != default}
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text


def _seconds(earlier: EarlierRuns | None, sweep: Sweep | None = None) -> float | None:
    if earlier is None:
        return None
    if sweep is None:
        return earlier.median
    trials = sweep.trials or DEFAULT_TRIALS
    return earlier.median * -(-trials // sweep.parallel)


def _notes(request: TrainingRequest) -> list[str]:
    notes = []
    if request.compute:
        names = ", ".join(request.compute)
        notes.append(f"the command takes {names} from the model's declaration, 'compute'")
    if request.tags or request.note:
        notes.append("'mlops run tag' and 'mlops run note' add tags and notes to a run")
    return notes
