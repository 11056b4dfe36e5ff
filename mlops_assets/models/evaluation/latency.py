"""The time that an ONNX model takes for one sample and for a batch, on this machine."""

from __future__ import annotations

import os
import socket
import time

import numpy as np
from numpy.typing import NDArray

from mlops_assets.machine import cpu_name
from mlops_assets.models.onnx.session import OnnxModel, at_once
from mlops_assets.registry.model_documents import BatchLatency, Latency

MAX_RUNS = 50
SECONDS = 0.2  # for the runs of one batch size; one run at least


def measure_latency(model: OnnxModel, X: NDArray[np.float32]) -> Latency:
    """Time a model with ONNX Runtime.

    Args:
        model: the ONNX model.
        X: real samples; as many of them as are run together make the batch.
    """
    import onnxruntime

    threads = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return Latency(
        host=socket.gethostname(),
        cpu=cpu_name(),
        threads=threads,
        runtime=f"onnxruntime {onnxruntime.__version__}, CPUExecutionProvider",
        one=_timed(model, X[:1]),
        batch=_timed(model, X[: at_once(X)]),
    )


def _timed(model: OnnxModel, X: NDArray[np.float32]) -> BatchLatency:
    # the first run allocates memory
    model.predict(X, len(X))
    taken: list[float] = []
    while len(taken) < MAX_RUNS and sum(taken) < SECONDS:
        started = time.perf_counter()
        model.predict(X, len(X))
        taken.append(time.perf_counter() - started)
    median, slow = np.percentile(taken, (50, 90)) * 1000
    return BatchLatency(
        samples=len(X), median_ms=float(median), p90_ms=float(slow), runs=len(taken)
    )
