"""`python -m benchmarks [NAME …]`: measure, and print the tables of README.md."""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from pathlib import Path

from benchmarks.options import Options

# name → module and title; in the order in which they run
BENCHMARKS = {
    "start-up": ("benchmarks.start_up", "Start-up"),
    "dvc": ("benchmarks.against_dvc", "Commit, upload and recall, beside DVC"),
    "many-files": ("benchmarks.many_files", "Very many small files"),
    "gc": ("benchmarks.garbage", "Removing what nothing needs, and backups"),
    "reading": ("benchmarks.reading", "Reading for training"),
    "scene": ("benchmarks.large_scene", "One large scene"),
    "logging": ("benchmarks.logging", "Logging metrics, beside MLflow"),
    "runs": ("benchmarks.run_listing", "Finding runs"),
    "hub": ("benchmarks.hub", "The hub with very many runs"),
    "versions": ("benchmarks.version_listing", "Finding model versions"),
    "publishing": ("benchmarks.publishing", "Publishing one more version"),
    "discovery": ("benchmarks.discovery", "The STAC API, beside pgstac"),
    "registration": ("benchmarks.registration", "Registration, in bulk and one by one"),
    "sensors": ("benchmarks.sensors", "Sensor ticks"),
    "queued-runs": ("benchmarks.queued_runs", "Very many queued runs"),
    "training": ("benchmarks.training", "Training, beside the bare loop"),
    "gates": ("benchmarks.gates", "Gates that know chance"),
    "applicability": ("benchmarks.applicability", "Area of applicability"),
    "drift": ("benchmarks.drift", "Drift"),
    "chance": ("benchmarks.chance", "False alarms of drift"),
    "season": ("benchmarks.season", "One simulated season"),
    "prediction": ("benchmarks.prediction", "Maps of whole scenes"),
    "serving": ("benchmarks.serving", "Serving, beside KServe and MLServer"),
    "scale": ("benchmarks.scale", "100 models and 1,000 data versions of each"),
    "lifecycle": ("benchmarks.lifecycle", "The lifecycle of a model from the shell"),
}


def main() -> None:
    """Run the benchmarks that are named, all if none is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one or more of {', '.join(BENCHMARKS)}; all if none",
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="rounds of the comparisons with a peer (1)"
    )
    parser.add_argument(
        "--all", action="store_true", help="at full size: 600,000 files instead of 100,000"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to work; where temporary files go if not given"
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    for name in arguments.names or BENCHMARKS:
        module, title = BENCHMARKS[name]
        print(f"## {title}\n", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory(
            prefix="mlops-benchmarks-", dir=arguments.folder
        ) as folder:
            options = Options(Path(folder).resolve(), arguments.rounds, arguments.all)
            importlib.import_module(module).measure(options)
        print(f"({name}: {time.monotonic() - started:.0f} s in all)\n", flush=True)


if __name__ == "__main__":
    main()
