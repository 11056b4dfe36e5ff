"""Listing very many model versions, by the functions that `mlops model list` calls.

Issue 15 wants 300 ms for 10,000 versions. Measured is the time of the calling process, in which
nearly all is spent, as machines that measure are shared.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from benchmarks.options import Options
from benchmarks.processes import postgres_server
from benchmarks.tables import median, print_table
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Alias, DataVersion, ModelVersion, Registry, Run

VERSIONS = 10_000
DATA_VERSIONS = 100
MODELS = 20
BANDS = 200  # of the example data, each with its scaling in the signature
CLASSES = 16
ROUNDS = 9
WANTED = 300
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def measure(options: Options) -> None:
    """Print the CPU milliseconds until all of 10,000 model versions are there, or some."""
    registries = {"SQLite": Registry(f"sqlite:///{options.folder / 'registry.db'}")}
    with postgres_server() as url:
        registries["PostgreSQL"] = Registry(url)
        rows = []
        for registry in registries.values():
            fill(registry)
        scientist = Principal("ann", frozenset({Role.SCIENTIST}))
        questions: dict[str, tuple[bool, dict[str, Any]]] = {
            "all, by an operator": (True, {}),
            "all that a scientist sees, a tenth being private": (False, {}),
            "of one model": (True, {"model": "model_1"}),
            "`--data fields@v7`": (True, {"data": Reference("fields", "v7")}),
        }
        for question, (sees_all, arguments) in questions.items():
            times: dict[str, list[float]] = {name: [] for name in registries}
            for _ in range(ROUNDS):
                for name, registry in registries.items():
                    acting = registry if sees_all else registry.acting(scientist)
                    started = time.process_time()
                    acting.list_model_versions(**arguments)
                    acting.all_aliases()
                    times[name].append(1000 * (time.process_time() - started))
            rows.append(
                (question, *(f"{median(found):.0f}" for found in times.values()), str(WANTED))
            )
        for registry in registries.values():
            registry.close()
    header = f"{VERSIONS:,} model versions of {MODELS} models, median of {ROUNDS}"
    print_table((header, *(f"{name}, CPU ms" for name in registries), "wanted"), rows)


def fill(registry: Registry) -> None:
    """Record model versions of the size that those of hyperspectral data have."""
    signature = {
        "view": "patch",
        "shape": [BANDS, 9, 9],
        "features": [f"band_{number}" for number in range(BANDS)],
        "scaling": [
            {"type": "z-score", "mean": 0.1 * number, "stddev": 1.5} for number in range(BANDS)
        ],
        "classes": [{"name": f"class {number}", "value": number} for number in range(CLASSES)],
        "architecture": "cnn",
    }
    names = ["accuracy", "macro_f1", "kappa", *(f"f1/class {number}" for number in range(CLASSES))]
    metrics = dict.fromkeys(names, 0.123456789)
    versions: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    for number in range(VERSIONS):
        run_id = str(uuid.UUID(int=number))
        data = f"v{1 + number % DATA_VERSIONS}"
        made = {
            "model": f"model_{number % MODELS}",
            "run_id": run_id,
            "dataset": "fields",
            "data_version": data,
            "data_digest": "0" * 64,
            "metrics": metrics,
        }
        versions.append(
            made
            | {
                "version": f"{data}-{number:08x}",
                "task": "classification",
                "framework": "pytorch",
                "signature": signature,
                "stage": "recorded",
                "created": STARTED + timedelta(minutes=number),
                "visibility": "workspace" if number % 10 else "private",
            }
        )
        runs.append(
            made
            | {
                "status": "succeeded",
                "parameters": {},
                "seed": 0,
                "trainer": "t",
                "code_version": "c",
                "hardware": {},
                "started": STARTED + timedelta(minutes=number),
                "host": "node",
                "pid": 1,
                "model_version": f"{data}-{number:08x}",
                "created_by": "ann" if number % 20 else "ben",
            }
        )
    data_versions = [_data_version(number) for number in range(1, DATA_VERSIONS + 1)]
    aliases = [
        {"model": row["model"], "alias": "production", "version": row["version"], "since": STARTED}
        for row in versions[:MODELS]
    ]
    # not by the API: reading is measured, not writing
    with registry._engine.begin() as connection:
        for table, rows in (
            (DataVersion, data_versions),
            (Run, runs),
            (ModelVersion, versions),
            (Alias, aliases),
        ):
            connection.execute(insert(table), rows)


def _data_version(number: int) -> dict[str, object]:
    return {
        "dataset": "fields",
        "version": f"v{number}",
        "number": number,
        "digest": f"{number:064d}",
        "created": STARTED,
        "created_by": "ann",
        "files": 10_000,
        "samples": 10_000,
        "size": 1,
        "specification": {},
        "counts": {"train": 10_000},
    }
