"""The documents of a run that has ended.

`run.json` has its record, and `points.parquet` everything that it logged; a lost registry is
rebuilt from them. Runs that succeeded publish theirs with their model version; see `publish`.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic_core import to_json

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.errors import Conflict, StorageError
from mlops_assets.paths import run_document_key, run_points_key
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import NO_FACTS, LoggedPoint, RunFacts, set_ended
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    import pyarrow as pa

UNDOCUMENTED = frozenset({"user_tags"})  # columns that users change after the run has ended

log = logging.getLogger(__name__)


def end_run(
    store: Store,
    run_id: str,
    status: str,
    error: str | None = None,
    facts: RunFacts = NO_FACTS,
) -> None:
    """Record the end of a run without a model, and publish its documents.

    The run has ended even if they cannot be written, as on a full disk.

    Args:
        store: workspace and registry of the run.
        run_id: the run.
        status: `failed`, `canceled` or `pruned`.
        error: message or traceback.
        facts: of this attempt.

    Raises:
        Conflict: the run has succeeded.
        StorageError: the registry is unreachable for too long.
    """
    finished = now()
    registry = store.registry
    error = None if error is None else redacted(error)  # all who may read runs see it
    # wait for a registry that is unreachable just now, so that nothing below fails because of it
    patiently(lambda: registry.run(run_id))
    try:
        with publication(store.workspace, registry) as publishing:
            run = registry.run(run_id)
            set_ended(run, status, error, finished, facts)
            publishing.put_all(run_documents(run, registry.points(run_id)))
            registry.finish_run(run_id, status, error, finished, publishing.files, facts)
    except (StorageError, Conflict) as problem:
        patiently(lambda: registry.finish_run(run_id, status, error, finished, facts=facts))
        log.warning("the documents of run %s could not be written: %s", run_id, problem)


def run_documents(
    run: Run, points: Sequence[LoggedPoint], made: ModelVersion | None = None
) -> dict[str, bytes]:
    """Return key → content of the documents of a run that has ended.

    Args:
        run: its row.
        points: all points that it has logged; a run without points has no file of them.
        made: its model version.
    """
    document = run_columns(run)
    if made is not None:
        series: dict[str, Json] = {
            name: [[step, value] for step, value in values]
            for name, values in series_of(points).items()
        }
        document |= {
            "series": series,
            "signature": made.signature,
            "task": made.task,
            "framework": made.framework,
        }
    documents = {run_document_key(run.run_id): json_bytes(document)}
    if points:
        documents[run_points_key(run.run_id)] = _points_bytes(points)
    return documents


def run_columns(run: Run) -> JsonObject:
    """Return the columns of a run, as JSON values, but for what users may change later."""
    values = {
        column.name: getattr(run, column.name)
        for column in Run.__table__.columns
        if column.name not in UNDOCUMENTED
    }
    times = {
        name: value.isoformat() for name, value in values.items() if isinstance(value, datetime)
    }
    columns: JsonObject = json.loads(to_json({**values, **times}, inf_nan_mode="strings"))
    return columns


def series_of(points: Sequence[LoggedPoint]) -> dict[str, list[tuple[int, float]]]:
    """Return name → [(step, value), …], in the order logged."""
    found: dict[str, list[tuple[int, float]]] = {}
    for _, name, step, value, _ in points:
        found.setdefault(name, []).append((step, value))
    return found


def _points_bytes(points: Sequence[LoggedPoint]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _points_schema()
    columns = [
        pa.array(column, kind)
        for column, kind in zip(zip(*points, strict=True), schema.types, strict=True)
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read_points(content: bytes) -> list[LoggedPoint]:
    """Return the points of a `points.parquet`, in the order logged.

    Raises:
        ValueError: the file is damaged, or of another kind.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
    # pyarrow raises it for a damaged file
    except OSError as error:
        raise ValueError(str(error)) from error
    if not table.schema.equals(_points_schema()):
        raise ValueError(
            f"it has the columns {', '.join(table.column_names)}, and not those of points"
        )
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _points_schema() -> pa.Schema:
    import pyarrow as pa

    numbers = (("step", pa.int64()), ("value", pa.float64()), ("logged", pa.float64()))
    return pa.schema([("seq", pa.int64()), ("name", pa.string()), *numbers])
