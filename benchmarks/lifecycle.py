"""Time of a model's whole lifecycle from the shell, less fitting, exporting and measuring it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.processes import clean_environment, run_measured
from benchmarks.tables import median, print_table

_MLOPS = str(Path(sys.executable).with_name("mlops"))
_WORK = ("fit", "exported", "evaluated")  # phases of a run that are the model's own


def measure(options: Options) -> None:
    """Print the wall time of `mlops train` on the project of `mlops init`, and our overhead."""
    project = options.folder / "overhead"
    environment = clean_environment()
    run_measured([[_MLOPS, "init", str(project)]], environment, options.folder)
    run_measured([[_MLOPS, "dataset", "commit", "samples"]], environment, project)
    # the quality report is there from now on
    run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)
    walls, works = [], []
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
    newest = max(
        _told(project, environment, "list", "samples_forest"), key=lambda run: run["started"]
    )
    phases = _told(project, environment, "show", newest["run_id"])["phases"]
    return sum(float(phases[name]) for name in _WORK)


def _told(project: Path, environment: dict[str, str], *arguments: str) -> Any:
    """Return what a command of `mlops runs` tells as JSON."""
    command = [_MLOPS, "runs", *arguments, "--json"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=True)
    return json.loads(done.stdout)
