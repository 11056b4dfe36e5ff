"""Logged samples as a model version predicts them, without a log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.monitoring.truth.stored import Truth
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification

DAY = "2026-11-20"
BY_FARM = {
    "source": {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "group": "farm"},
    },
    "split": {"method": "group", "fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}},
}
FIELDS = table_specification(**BY_FARM)


def overlapping_crops(rows: int = 900, seed: int = 0, spread: float = 0.15) -> pd.DataFrame:
    """Crops that a model confuses now and then."""
    frame = crops_table(rows, seed)
    months = [name for name in frame.columns if name.startswith("ndvi")]
    rng = np.random.default_rng(seed + 1)
    # one deviation for all months, so that they do not average out
    frame[months] += rng.normal(0, spread, (rows, 1))
    return frame


def features(frame: pd.DataFrame) -> NDArray[np.float32]:
    """The predictors of a table of crops."""
    names = [name for name in frame.columns if name.startswith("ndvi")]
    return frame[names].to_numpy(dtype=np.float32)


def logged(samples: int, row: ModelVersion | None = None, **fields: Any) -> LoggedSamples:
    """Samples of requests `r0`, `r1`, …, a sample each; `fields` replace attributes."""
    found: dict[str, Any] = {
        "model": "crops" if row is None else row.model,
        "version": "v1-1" if row is None else row.version,
        "data_version": "fields@v1",
        "day": DAY,
        "requests": np.array([f"r{number}" for number in range(samples)], dtype=object),
        "rows": np.zeros(samples, dtype=np.int32),
        "times": np.zeros(samples, dtype="datetime64[us]"),
        "latency_ms": np.ones(samples, dtype=np.float32),
        "values": None,
        "kept": np.zeros(samples, dtype=bool),
        "statistics": None,
        "labels": None,
        "scores": None,
        "numbers": None,
    }
    return LoggedSamples(**(found | fields))


def predicted(store: Store, row: ModelVersion, X: NDArray[np.float32]) -> LoggedSamples:
    """Samples with what the model version predicts of them."""
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    outputs = OnnxModel(published_path(store.workspace, store.registry, key)).predict(X)
    kept = {"values": X, "kept": np.ones(len(X), dtype=bool)}
    if row.task == "regression":
        return logged(len(X), row, numbers=decide(outputs).astype(np.float32), **kept)
    labels = decide(outputs).astype(np.int32)
    return logged(len(X), row, labels=labels, scores=outputs.get("scores"), **kept)


def truth_of(
    samples: LoggedSamples,
    labels: list[str] | None = None,
    numbers: NDArray[np.float64] | None = None,
    slices: dict[str, list[str | None]] | None = None,
) -> Truth:
    """Labels of all samples: names of classes, or numbers."""
    count = len(samples)
    return Truth(
        samples.model,
        samples.day,
        samples.requests,
        samples.rows,
        np.array([None] * count if labels is None else labels, dtype=object),
        np.full(count, np.nan) if numbers is None else numbers,
        np.zeros(count, dtype="datetime64[us]"),
        {name: np.array(values, dtype=object) for name, values in (slices or {}).items()},
        0,
        "0" * 64,
    )
