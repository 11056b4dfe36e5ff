"""What the whole lifecycle of one model takes from the shell, less fitting, exporting and measuring it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.options import Options
from benchmarks.processes import clean_environment, run_measured
from benchmarks.tables import median, print_table

_MLOPS = str(Path(sys.executable).with_name("mlops"))
_WORK = ("fit", "exported", "evaluated")  # phases of a run that are the model's own


def measure(options: Options) -> None:
    """Print the wall time of `mlops train` on the project that `mlops init` makes, and what of it is not the model's."""
    project = options.folder / "overhead"
    environment = clean_environment()
    run_measured([[_MLOPS, "init", str(project)]], environment, options.folder)
    run_measured([[_MLOPS, "dataset", "commit", "samples"]], environment, project)
    run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)  # the quality report is there from now on
    walls, works = [], []
    for _ in range(max(3, options.rounds)):
        started = time.perf_counter()
        run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)
        walls.append(time.perf_counter() - started)
        works.append(_work(project, environment))
    overheads = [wall - work for wall, work in zip(walls, works, strict=True)]
    row = ("scikit-learn forest on a table", *(f"{median(v):.1f}" for v in (walls, works, overheads)), "6")
    print_table(("`mlops train`, median", "wall, s", "fit, export, evaluation, s", "the rest, s", "wanted"), [row])
    shutil.rmtree(project)


def _work(project: Path, environment: dict[str, str]) -> float:
    """Return the seconds of the newest run that are the model's own."""
    listed = subprocess.run(
        [_MLOPS, "runs", "list", "samples_forest", "--json"],
        cwd=project,
        env=environment,
        capture_output=True,
        check=True,
    )
    newest = max(json.loads(listed.stdout), key=lambda run: run["started"])
    shown = subprocess.run(
        [_MLOPS, "runs", "show", newest["run_id"], "--json"],
        cwd=project,
        env=environment,
        capture_output=True,
        check=True,
    )
    phases = json.loads(shown.stdout)["phases"]
    return sum(phases[name] for name in _WORK)
