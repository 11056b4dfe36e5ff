"""Time of a model's whole lifecycle from the shell, less fitting, exporting and measuring it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from benchmarks.options import Options
from benchmarks.processes import clean_environment, run_measured
from benchmarks.tables import median, print_table

_MLOPS = str(Path(sys.executable).with_name("mlops"))
_WORK = ("fit", "exported", "evaluated")  # phases of a run that are the model's own


class _Run(BaseModel):
    run_id: str
    started: str
    phases: dict[str, float] = {}


_RUNS = TypeAdapter(list[_Run])


def measure(options: Options) -> None:
    """Print the wall time of `mlops train` on the project of `mlops init`, and our overhead."""
    project = options.folder / "overhead"
    environment = clean_environment()
    run_measured([[_MLOPS, "init", str(project)]], environment, options.folder)
    run_measured([[_MLOPS, "dataset", "commit", "samples"]], environment, project)
    # the quality report is there from now on
    run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)
    walls = []
    works = []
    for _ in range(max(3, options.rounds)):
        started = time.perf_counter()
        run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)
        walls.append(time.perf_counter() - started)
        works.append(_work(project, environment))
    overheads = [wall - work for wall, work in zip(walls, works, strict=True)]
    row = (
        "scikit-learn forest on a table",
        *(f"{median(v):.1f}" for v in (walls, works, overheads)),
        "6",
    )
    print_table(
        ("`mlops train`, median", "wall, s", "fit, export, evaluation, s", "the rest, s", "wanted"),
        [row],
    )
    shutil.rmtree(project)


def _work(project: Path, environment: dict[str, str]) -> float:
    """Return the seconds of the newest run that are the model's own."""
    listed = _output(project, environment, "list", "samples_forest")
    newest = max(_RUNS.validate_json(listed), key=lambda run: run.started)
    run = _Run.model_validate_json(_output(project, environment, "show", newest.run_id))
    return sum(run.phases[name] for name in _WORK)


def _output(project: Path, environment: dict[str, str], *arguments: str) -> bytes:
    """Return the JSON output of a command of `mlops runs`."""
    command = [_MLOPS, "runs", *arguments, "--json"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=True)
    return done.stdout
