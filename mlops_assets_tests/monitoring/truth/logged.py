"""A day of the request log with only what labels and metrics are made of."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.paths import inference_owner, requests_key
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.store import Store

DAY = "2026-11-20"


def log_requests(
    store: Store, row: ModelVersion, rows_of: dict[str, int], day: str = DAY, predicted: int = 0
) -> None:
    """Publish the requests of a day: id → number of samples, of which one class is predicted."""
    ids = np.repeat(np.array(list(rows_of), dtype=object), list(rows_of.values()))
    rows = np.concatenate([np.arange(count) for count in rows_of.values()])
    total = len(ids)
    table = pa.table(
        {
            "request": pa.array(ids, pa.string()),
            "row": pa.array(rows, pa.int32()),
            "version": pa.array([row.version] * total, pa.string()),
            "label": pa.array([predicted] * total, pa.int32()),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(requests_key(row.model, day), sink.getvalue())
        store.registry.add_files(inference_owner(row.model, day), publishing.files)
