"""What a training that was asked for will run, before it is started."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import yaml

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
        seconds: how long it may take, from earlier runs of the model; None if there is none.
        notes: what the command does not do, and where it is declared instead.
    """

    job: str
    partition: str
    command: str
    space: str
    seconds: float | None
    notes: list[str]


def preview_of(form: TrainingForm, request: TrainingRequest) -> Preview:
    """Return what a request will run."""
    reference = f"{request.model}@{request.data.what}"
    notes = _notes(request)
    sweep = request.sweep
    if sweep is None:
        settings = dict(request.parameters)
        if request.seed is not None:
            settings["seed"] = request.seed
        options = [f"{name}={written_value(value)}" for name, value in settings.items()]
        given = [part for option in options for part in ("-p", option)]
        command = shlex.join(["mlops", "train", reference, *given])
        return Preview(form.job, str(request.data.what), command, "", _seconds(form.earlier), notes)
    command = shlex.join(["mlops", "sweep", reference, "--space", SPACE_FILE])
    return Preview(
        form.sweep_job,
        str(request.data.what),
        command,
        space_file(request, sweep),
        _seconds(form.earlier, sweep),
        notes,
    )


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
