"""Very many runs in the queue of an instance on PostgreSQL: whether each is executed, and once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import yaml
from sqlalchemy import create_engine, select

from benchmarks.options import Options
from benchmarks.processes import clean_environment, postgres_server
from benchmarks.queued_runs_project import DATABASE, EXECUTED, JOB
from benchmarks.tables import print_table
from mlops_assets.orchestration.code import open_locations
from mlops_assets.orchestration.submission import Submission, submit

MODULE = "benchmarks.queued_runs_project"
RUNS = 200
AT_ONCE = 20
WITHIN_SECONDS = 7200.0
POLL_SECONDS = 3.0
MIB = 1 << 20


def measure(options: Options) -> None:
    """Submit runs, have a daemon execute them, and print what became of them."""
    with postgres_server() as url:
        home = options.folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text(yaml.safe_dump(_settings(url)))
        engine = create_engine(url)
        EXECUTED.create(engine)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            started = time.perf_counter()
            with open_locations(instance, MODULE, None) as locations:
                submitted = []
                for _ in range(RUNS):
                    submission = Submission(JOB)
                    submit(locations, submission)
                    submitted.append(submission.run_id)
            queued = time.perf_counter() - started
            environment = clean_environment(DAGSTER_HOME=str(home), **{DATABASE: url})
            started = time.perf_counter()
            with _daemon(environment, options.folder / "daemon.log") as daemon:
                peak = _wait(instance, daemon)
            seconds = time.perf_counter() - started
            records = instance.get_run_records()
        with engine.connect() as connection:
            executed = Counter(connection.scalars(select(EXECUTED.c.run_id)))
        engine.dispose()
    lost = [run_id for run_id in submitted if run_id not in executed]
    twice = [run_id for run_id, times in executed.items() if times > 1]
    statuses = Counter(record.dagster_run.status.value for record in records)
    spans = [(record.start_time or 0.0, record.end_time or 0.0) for record in records]
    print_table(
        [
            "runs",
            "succeeded",
            "lost",
            "twice",
            "at once",
            "submitted in, s",
            "done in, s",
            "peak GiB",
        ],
        [
            [
                str(RUNS),
                str(statuses["SUCCESS"]),
                str(len(lost)),
                str(len(twice)),
                str(_overlap(spans)),
                f"{queued:.1f}",
                f"{seconds:.0f}",
                f"{peak / 1024:.1f}",
            ]
        ],
    )


def _settings(url: str) -> dict[str, object]:
    """Return the dagster.yaml of an instance on PostgreSQL that executes so many runs at once."""
    return {
        "storage": {
            "postgres": {"postgres_url": url.replace("postgresql+psycopg:", "postgresql+psycopg2:")}
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            # else each run is launched only once the process of the one before has been loaded
            "config": {"dequeue_use_threads": True, "dequeue_num_workers": AT_ONCE},
        },
        "concurrency": {"runs": {"max_concurrent_runs": AT_ONCE}},
        "telemetry": {"enabled": False},
    }


@contextmanager
def _daemon(environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """Run Dagster's daemon, and below it the code server and the runs."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-m", MODULE]
    with log.open("wb") as output:
        # not in the checkout, whose .env names another instance
        process = subprocess.Popen(
            command, cwd=log.parent, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(instance: dg.DagsterInstance, daemon: psutil.Process) -> float:
    """Wait until no run is left; return the peak memory of daemon, code server and runs, in MiB.

    Memory that processes share is counted once (proportional set size).

    Raises:
        RuntimeError: they take too long, or the daemon has exited.
    """
    unfinished = dg.RunsFilter(
        statuses=[
            dg.DagsterRunStatus.QUEUED,
            dg.DagsterRunStatus.NOT_STARTED,
            dg.DagsterRunStatus.STARTING,
            dg.DagsterRunStatus.STARTED,
        ]
    )
    deadline = time.monotonic() + WITHIN_SECONDS
    peak = 0.0
    while instance.get_runs_count(unfinished):
        if time.monotonic() > deadline or not daemon.is_running():
            raise RuntimeError(f"{instance.get_runs_count(unfinished)} runs are left")
        peak = max(peak, _memory(daemon))
        time.sleep(POLL_SECONDS)
    return peak


def _memory(daemon: psutil.Process) -> float:
    """Return the memory of a process and all below it in MiB."""
    total = 0.0
    for each in [daemon, *daemon.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss / MIB
        except psutil.Error:  # it has ended
            continue
    return total


def _overlap(spans: list[tuple[float, float]]) -> int:
    """Return how many spans, each with start and end, were open at the same time at most."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
