"""Logging points of metrics.

`run.log` into our registry is compared with MLflow's `log_batch`, on this machine in one run.

MLflow is called as its documentation advises for many points: 1,000 in a call, which is the most
that it takes. Both sides have a fresh process and an empty database; imports are not counted, and
the last flush is.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.options import Options
from benchmarks.processes import clean_environment, postgres_server, server, take_steps
from benchmarks.tables import median, print_table

_POINTS = 200_000  # of 4 metrics, 50,000 steps
_PEER = Path(sys.prefix, "mlflow-server", "bin")  # by `make mlflow`
_SERVED = "MLflow log_batch, server on SQLite"
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}


def measure(options: Options) -> None:
    """Print points a second of each side, and how much faster ours is than MLflow's server."""
    if not (_PEER / "mlflow").exists():
        raise SystemExit("the benchmark 'logging' needs MLflow; run: make mlflow")
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(options.rounds):
        folder = options.folder / f"round-{number}"
        folder.mkdir()
        with _mlflow_server(folder / "mlflow") as url, postgres_server() as postgres:
            sides = [
                ("run.log, SQLite", _ours, f"sqlite:///{folder / 'registry.db'}"),
                ("run.log, PostgreSQL", _ours, postgres),
                (_SERVED, _theirs, url),
                (
                    "MLflow log_batch, SQLite without a server",
                    _theirs,
                    f"sqlite:///{folder / 'direct.db'}",
                ),
            ]
            for name, side, where in sides if number % 2 == 0 else reversed(sides):
                taken[name].append(side(where))
                print(
                    f"round {number + 1}, {name}: {taken[name][-1]:.2f} s",
                    file=sys.stderr,
                    flush=True,
                )
    served = median(taken[_SERVED])
    rows = [
        (
            name,
            f"{median(seconds):.2f}",
            f"{_POINTS / median(seconds):,.0f}",
            f"{served / median(seconds):.1f}",
        )
        for name, seconds in sorted(taken.items(), key=lambda side: side[0].startswith("MLflow"))
    ]
    header = (
        f"{_POINTS:,} points of 4 metrics, median of {options.rounds} round(s)",
        "s",
        "points/s",
        "× MLflow's server",
    )
    print_table(header, rows)


def _ours(registry: str) -> float:
    return take_steps("benchmarks.logging_steps", registry, str(_POINTS)).total


def _theirs(uri: str) -> float:
    python = str(_PEER / "python")
    environment = clean_environment(**_QUIET)
    return take_steps(
        "benchmarks.mlflow_steps", uri, str(_POINTS), python=python, environment=environment
    ).total


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    """Serve an empty MLflow on SQLite with the workers it has by default; yield its URL."""
    folder.mkdir()
    command = [
        str(_PEER / "mlflow"),
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]

    def serve(host: str, port: int) -> list[str]:
        return [*command, "--host", host, "--port", str(port)]

    with server(serve, folder / "log", clean_environment(**_QUIET)) as address:
        yield f"http://{address}"
