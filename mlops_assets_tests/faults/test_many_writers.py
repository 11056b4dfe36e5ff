"""Eight processes that write one registry of SQLite: all that each has recorded is there, once.

No writer is refused.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.queues import Queue

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.registry import Registry
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.faults.forks import DEADLINE
from mlops_assets_tests.faults.tally import LONG
from mlops_assets_tests.registry.rows import model_version, new_run

PROCESSES = 8
ROUNDS = 20 if LONG else 4  # runs, tags and promotions of each
POINTS = 50

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.faults("8 processes write SQLite")
def test_what_eight_processes_record_at_once_is_all_there_and_nothing_twice(
    land_table: Callable[..., Commit], store: Store
) -> None:
    land_table()
    interpreter.start_server()
    context = multiprocessing.get_context("forkserver")
    refused = context.Queue()
    writers = [
        context.Process(target=_write, args=(store.registry.url, number, refused))
        for number in range(PROCESSES)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(DEADLINE)
    assert [refused.get() for _ in iter(refused.empty, True)] == []
    assert [writer.exitcode for writer in writers] == [0] * PROCESSES
    registry = store.registry
    names = {_run_id(number, turn) for number in range(PROCESSES) for turn in range(ROUNDS)}
    runs = {run.run_id: run for run in registry.runs()}
    assert set(runs) == names and {run.status for run in runs.values()} == {"succeeded"}
    for run_id in names:
        assert [point[0] for point in registry.points(run_id)] == list(range(POINTS))
    assert {row.run_id for row in registry.model_versions()} == names
    assert set(registry.tags("fields")) == {f"tag-{run_id}" for run_id in names}
    history = registry.promotions("crops")
    assert sorted(moved.version for moved in history) == sorted(f"v1-{run_id}" for run_id in names)
    assert [moved.previous for moved in history] == [
        None,
        *(moved.version for moved in history[:-1]),
    ]


def _run_id(number: int, turn: int) -> str:
    return f"{number}-{turn}"


def _write(url: str, number: int, refused: Queue[str]) -> None:
    registry = Registry(url)
    try:
        for turn in range(ROUNDS):
            _one_round(registry, _run_id(number, turn))
    except Exception as error:  # noqa: BLE001  the test lists them
        refused.put(f"{type(error).__name__}: {error}")


def _one_round(registry: Registry, run_id: str) -> None:
    registry.start_run(new_run(run_id, pid=os.getpid()))
    for start in range(0, POINTS, 10):
        registry.log(run_id, [(seq, "loss", seq, 1.0, 0.0) for seq in range(start, start + 10)])
    row = model_version(f"v1-{run_id}", run_id)
    registry.publish_model_version(row, [])
    registry.tag("fields", "v1", f"tag-{run_id}")
    registry.promote(row, [])
