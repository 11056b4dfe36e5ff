"""Cost of loading our definitions and starting our commands, beside `import dagster`, in one run.

In CPU seconds of the process and its children: on a busy machine they vary less than wall time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.options import Options
from benchmarks.processes import clean_environment, run_measured
from benchmarks.tables import median, print_table

_MLOPS = str(Path(sys.executable).with_name("mlops"))
_BASE = "import dagster"
_WANTED_HELP = 0.4
_WANTED_LISTING = 0.9
_WANTED_DEFINITIONS = 1.6


def measure(options: Options) -> None:
    """Print median seconds of the processor, and the ratio to `import dagster`."""
    project = _recorded_model(options)
    environment = clean_environment()
    listed = subprocess.run(
        [_MLOPS, "model", "list", "--json"],
        cwd=project,
        env=environment,
        capture_output=True,
        check=True,
    )
    version = json.loads(listed.stdout)[-1]["version"]
    commands: dict[str, tuple[Sequence[str], float | None]] = {
        _BASE: ([sys.executable, "-c", _BASE], None),
        "import mlops_assets.definitions": (
            [sys.executable, "-c", "import mlops_assets.definitions"],
            None,
        ),
        "… and load the example": (
            [sys.executable, "-c", "import mlops_assets.definitions as d; d.defs()"],
            _WANTED_DEFINITIONS,
        ),
        "mlops --help": ([_MLOPS, "--help"], _WANTED_HELP),
        "mlops --version": ([_MLOPS, "--version"], _WANTED_HELP),
        "mlops train (usage error)": ([_MLOPS, "train"], _WANTED_HELP),
        "mlops run list": ([_MLOPS, "run", "list"], _WANTED_LISTING),
        "mlops model list": ([_MLOPS, "model", "list"], _WANTED_LISTING),
        "mlops model show": (
            [_MLOPS, "model", "show", f"samples_forest@{version}"],
            _WANTED_LISTING,
        ),
        "mlops dataset list": ([_MLOPS, "dataset", "list"], _WANTED_LISTING),
        "mlops dataset show": ([_MLOPS, "dataset", "show", "samples"], _WANTED_LISTING),
        "mlops status": ([_MLOPS, "status"], _WANTED_LISTING),
        "import torch": ([sys.executable, "-c", "import torch"], None),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(max(5, options.rounds)):
        for name, (command, _wanted) in commands.items():
            seconds[name].append(_processor_seconds(command, project, environment))
    base = median(seconds[_BASE])
    rows = []
    for name, (_command, wanted) in commands.items():
        ratio = median(seconds[name]) / base
        goal = "" if wanted is None else str(wanted)
        if wanted is not None and ratio > wanted:
            goal += ": **missed**"
        rows.append((name, f"{median(seconds[name]):.2f}", f"{ratio:.2f}", goal))
    print_table(
        (
            f"what, median of {len(seconds[_BASE])} interleaved processes",
            "CPU s",
            "× dagster",
            "wanted",
        ),
        rows,
    )


def _recorded_model(options: Options) -> Path:
    """Return the project of `mlops init` with one data version and one recorded model version."""
    project = options.folder / "started"
    environment = clean_environment()
    run_measured([[_MLOPS, "init", str(project)]], environment, options.folder)
    run_measured([[_MLOPS, "dataset", "commit", "samples"]], environment, project)
    run_measured([[_MLOPS, "train", "samples_forest"]], environment, project)
    return project


def _processor_seconds(command: Sequence[str], folder: Path, environment: dict[str, str]) -> float:
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 2):  # 2 is that of wrong usage, which is measured too
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
