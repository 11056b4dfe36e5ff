"""Measure how long our definitions take to import and load, beside `import dagster` itself, in one run."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.options import Options
from benchmarks.tables import median, print_table

ROUNDS = 5
COMMANDS = {
    "import dagster": "import dagster",
    "import mlops_assets.definitions": "import mlops_assets.definitions",
    "… and load the example": "import mlops_assets.definitions as d; d.defs()",
    "import torch": "import torch",
}


def measure(options: Options) -> None:
    """Print median seconds, and the ratio to `import dagster`."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, code in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - started)
    base = median(times["import dagster"])
    rows = [(name, f"{median(found):.2f}", f"{median(found) / base:.2f}") for name, found in times.items()]
    print_table((f"what, median of {ROUNDS} interleaved processes", "seconds", "× dagster"), rows)
