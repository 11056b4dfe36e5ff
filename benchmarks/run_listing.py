"""Listing, filtering and sorting very many runs, by the function that `mlops runs list` calls.

MLflow takes minutes over 30,000 runs (its issue 2730); 200 ms are wanted here.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from benchmarks.options import Options
from benchmarks.processes import postgres_server
from benchmarks.tables import median, print_table
from mlops_assets.registry import Registry, Run
from mlops_assets.registry.search.run_search import search_runs

RUNS = 30_000
METRICS = 20
ROUNDS = 15
WANTED = 200
_FILTER = "macro_f1 > 0.8 AND params.learning_rate < 0.01"
QUESTIONS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "the newest of one model": {"model": "model_1"},
    f"`{_FILTER}`": {"where": _FILTER},
    "a filter that few runs pass": {
        "where": "macro_f1 > 0.999 AND params.optimizer = 'sgd' AND params.augment"
    },
    "sorted by a metric": {"sort": "-macro_f1"},
    "sorted by a parameter": {"sort": "params.learning_rate"},
    "the filter, sorted by another metric": {"where": _FILTER, "sort": f"-metric_{METRICS - 1}"},
    "`status = 'failed'`, sorted by duration": {"where": "status = 'failed'", "sort": "-seconds"},
}


def measure(options: Options) -> None:
    """Print the milliseconds until 50 runs of 30,000 are there."""
    registries = {"SQLite": Registry(f"sqlite:///{options.folder / 'registry.db'}")}
    with postgres_server() as url:
        registries["PostgreSQL"] = Registry(url)
        for registry in registries.values():
            fill(registry, RUNS, METRICS)
        rows = []
        for question, arguments in QUESTIONS.items():
            times: dict[str, list[float]] = {name: [] for name in registries}
            for _ in range(ROUNDS):
                for name, registry in registries.items():
                    started = time.perf_counter()
                    search_runs(registry, **arguments)
                    times[name].append(1000 * (time.perf_counter() - started))
            rows.append(
                (question, *(f"{median(found):.0f}" for found in times.values()), str(WANTED))
            )
        for registry in registries.values():
            registry.close()
    header = f"50 of {RUNS:,} runs with {METRICS} metrics and 10 parameters, median of {ROUNDS}"
    print_table((header, *(f"{name}, ms" for name in registries), "wanted"), rows)


def fill(registry: Registry, runs: int, metrics: int) -> None:
    """Record finished runs, each with `macro_f1`, `metric_1`, … and 10 parameters."""
    rows = list(_rows(runs, metrics))
    for first in range(0, runs, 5_000):
        # not by the API: reading is measured, not writing
        with registry._engine.begin() as connection:
            connection.execute(insert(Run), rows[first : first + 5_000])


def _rows(runs: int, metrics: int) -> Iterator[dict[str, object]]:
    rng = random.Random(0)
    for number in range(runs):
        started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        yield {
            "run_id": str(uuid.UUID(int=rng.getrandbits(128))),
            "model": f"model_{number % 5}",
            "dataset": "fields",
            "data_version": f"v{1 + number // 5_000}",
            "data_digest": f"{number:064d}",
            "status": rng.choice(["succeeded"] * 8 + ["failed", "canceled"]),
            "parameters": {
                "learning_rate": 10 ** rng.uniform(-5, -1),
                "optimizer": rng.choice(["adam", "sgd"]),
                "augment": rng.random() < 0.5,
                "epochs": rng.randint(1, 100),
                "schedule": {"name": "cosine", "warmup": rng.random()},
                **{f"parameter_{index}": rng.random() for index in range(5)},
            },
            "seed": number,
            "trainer": "mlops_assets.training.trainers.sklearn:train",
            "code_version": "1a2b3c4d5e6f",
            "hardware": {
                "host": "node",
                "machine": "x86_64",
                "system": "Linux-6.1",
                "cpus": 16,
                "gpus": ["NVIDIA H100"],
            },
            "metrics": {
                "macro_f1": rng.random(),
                **{f"metric_{index}": rng.random() for index in range(1, metrics)},
            },
            "started": started,
            "finished": started + timedelta(minutes=5),
            "host": "node",
            "pid": 1,
            "seconds": 300 * rng.random(),
            "phases": {"data": 1.5, "fit": 290.0, "save": 0.5},
            "usage": {"peak_memory_bytes": rng.randint(10**8, 10**10), "cpu_seconds": 500.0},
            "environment": "0" * 64,
        }
