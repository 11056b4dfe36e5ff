"""Measure how long our definitions take to import and load, beside `import dagster` itself, in one run."""

import statistics
import subprocess
import sys
import time

ROUNDS = 5
COMMANDS = {
    "import dagster": "import dagster",
    "import mlops_assets.definitions": "import mlops_assets.definitions",
    "… and load the example": "import mlops_assets.definitions as d; d.defs()",
    "import torch": "import torch",
}


def main() -> None:
    """Print a Markdown table: median seconds, and the ratio to `import dagster`."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, code in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - started)
    base = statistics.median(times["import dagster"])
    print(f"| what, median of {ROUNDS} interleaved processes | seconds | × dagster |\n|---|---|---|")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"| {name} | {median:.2f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
