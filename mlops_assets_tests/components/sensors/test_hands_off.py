"""A project left to Dagster's own daemon: sensors are started by nothing but their declarations."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.scheduler.instigation import InstigatorTick

from mlops_assets.components.project.home import prepare_home
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.store import Store
from mlops_assets_tests.components.sensors.hands_off import BEGUN, GO
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.interpreter import Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
MODULE = "mlops_assets_tests.components.sensors.hands_off"
CHECKOUT = Path(__file__).parents[3]
JOBS = ("crop_forest_lifecycle", "plots_assessment")
# seconds for each step, on a machine that does much else
DEADLINE = 400.0


@contextmanager
def daemon(home: Path, reload_seconds: int = 600) -> Iterator[Process]:
    # the code server that it starts imports the project, too
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}
    with Process(["-m", MODULE, str(reload_seconds)], env=environment) as running:
        yield running
        running.terminate()
        running.wait(60)


def wait_until(reached: Callable[[], object], what: str, process: Process) -> None:
    deadline = time.monotonic() + DEADLINE
    while not reached():
        assert process.poll() is None, process.err[-2000:]
        assert time.monotonic() < deadline, f"{what}: {process.err[-4000:]}"
        time.sleep(0.5)


def ticks(instance: dg.DagsterInstance) -> Mapping[str, InstigatorTick]:
    """The newest tick of each sensor."""
    found = {}
    for state in instance.all_instigator_state():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1):
            found[state.name] = tick
    return found


def runs(instance: dg.DagsterInstance, job: str) -> list[tuple[str | None, str]]:
    """The version and the status of each run of a job, oldest first."""
    return [
        (run.tags.get("dagster/partition"), run.status.value)
        for run in instance.get_runs(dg.RunsFilter(job_name=job), ascending=True)
    ]


def code_servers(process: Process) -> set[int]:
    """The running processes that have loaded the code location."""
    found = set()
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "grpc" in child.cmdline():
                found.add(child.pid)
    return found


def test_a_landing_becomes_a_recorded_model_while_the_code_location_reloads(
    store: Store, tmp_path: Path
) -> None:
    landing = store.workspace.root / "landing/fields/samples.csv"
    landing.parent.mkdir(parents=True)
    landing.write_text("x,y\n1,2\n")
    home = prepare_home(tmp_path / "dagster")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        with daemon(home, reload_seconds=30) as process:

            def named() -> bool:
                reasons = [tick.skip_reason or "" for tick in ticks(instance).values()]
                return sum("failed: " in reason for reason in reasons) == 2

            wait_until(named, "the failed commits are named", process)
            crops_table(60).to_csv(landing, index=False)
            wait_until(BEGUN.exists, "training has begun", process)
            before = code_servers(process)
            wait_until(
                lambda: len(code_servers(process) - before) > 0, "the location reloads", process
            )
            GO.touch()
            first = [("v1", "SUCCESS")]
            wait_until(
                lambda: [runs(instance, job) for job in JOBS] == [first, first],
                "it is trained and recorded",
                process,
            )
        records = [dg.AssetKey([name, "record"]) for name in ("crop_forest", "fields", "plots")]
        assert [instance.get_materialized_partitions(key) for key in records] == [{"v1"}] * 3
        assert runs(instance, "fields_landing") == [(None, "FAILURE"), (None, "SUCCESS")]
        assert runs(instance, "plots_landing") == [(None, "FAILURE"), (None, "SUCCESS")]
        for seed in (1, 2):
            crops_table(60, seed).to_csv(landing, index=False)
            commit(store.workspace, store.registry, table_specification())
        versions = [f"v{number}" for number in range(1, 4)]
        done = [(version, "SUCCESS") for version in versions]
        with daemon(home) as process:
            wait_until(
                lambda: runs(instance, JOBS[0]) == done,
                "what was committed meanwhile is trained and recorded",
                process,
            )
        assert runs(instance, "fields_assessment") == [], "the lifecycles did that"
    # two train at once, in any order
    assert sorted(BEGUN.read_text().split()) == [f"fields@{version}" for version in versions]
    trained = sorted((run.data_version, run.status, run.attempts) for run in store.registry.runs())
    assert trained == [(version, "succeeded", 1) for version in versions]
