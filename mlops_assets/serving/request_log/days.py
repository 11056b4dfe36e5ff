"""The days of the request log of a model, for people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_assets.errors import NotFound
from mlops_assets.paths import requests_key, segments_folder
from mlops_assets.serving.request_log.day_file import (
    DayNotes,
    check_day,
    dropped_on,
    logged_days,
    notes_of_counters,
    published_day,
)
from mlops_assets.serving.request_log.spool import SEGMENT, ship_left_overs
from mlops_assets.store import Store

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class LoggedDay:
    """A day of the log.

    Attributes:
        day: `YYYY-MM-DD`, UTC.
        compacted: whether there is a file of it.
        bytes: of that file.
        segments: that are not in it yet.
        segment_bytes: of those.
        dropped: requests that were dropped, as far as known.
    """

    day: str
    compacted: bool
    bytes: int
    segments: int
    segment_bytes: int
    dropped: int


@dataclass(frozen=True)
class VersionSummary:
    """Logged requests of a model version on a day.

    Attributes:
        version: of the model.
        requests: their number.
        samples: of the requests.
        latency_ms: percentile → milliseconds, of the samples.
    """

    version: str
    requests: int
    samples: int
    latency_ms: dict[str, float]


@dataclass(frozen=True)
class DaySummary:
    """Logged requests of a model on a day.

    Attributes:
        model: name of the model.
        day: `YYYY-MM-DD`, UTC.
        dropped: requests that were dropped, as far as known.
        segments: that are not counted yet.
        versions: of the model that the principal may see, the one with most samples first.
    """

    model: str
    day: str
    dropped: int
    segments: int
    versions: list[VersionSummary]


def days_of(store: Store, model: str) -> list[LoggedDay]:
    """Return the days of which a model has logged requests, oldest first.

    Args:
        store: workspace and registry.
        model: name of the model.
    """
    found = []
    for day in logged_days(store, model):
        sizes = store.workspace.sizes(segments_folder(model, day))
        segments = [size for key, size in sizes.items() if key.endswith(SEGMENT)]
        file = next(iter(store.registry.files_at(requests_key(model, day))), None)
        found.append(
            LoggedDay(
                day,
                file is not None,
                0 if file is None else file.size,
                len(segments),
                sum(segments),
                dropped_on(store, model, day),
            )
        )
    return found


def days_to_compact(store: Store, model: str) -> list[str]:
    """Return the days with segments that are in no file yet, oldest first.

    What writers that are gone have left on this machine is shipped before.
    """
    ship_left_overs(store.workspace)
    return [
        day
        for day in logged_days(store, model)
        if any(True for _ in store.workspace.list(segments_folder(model, day)))
    ]


def summary_of(store: Store, model: str, day: str | None = None) -> DaySummary:
    """Return what is logged of a day.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: `YYYY-MM-DD`, UTC; the newest if None.

    Raises:
        NotFound: nothing is logged of it.
    """
    days = logged_days(store, model)
    wanted = max(days, default="") if day is None else check_day(day)
    if wanted not in days:
        raise NotFound(
            f"no requests of {model} are logged{f' on {wanted}' if wanted else ''}; see 'mlops"
            f" inference list {model}'"
        )
    segments = list(store.workspace.list(segments_folder(model, wanted)))
    notes, versions = DayNotes(), []
    with published_day(store, model, wanted) as published:
        if published is not None:
            notes = published.notes
            table = pq.read_table(published.path, columns=["version", "request", "latency_ms"])
            versions = [
                _summary(version, table.filter(pc.equal(table["version"], version)))
                for version in _visible(store, model, table["version"])
            ]
    notes = notes.joined(notes_of_counters(store, segments))
    versions.sort(key=lambda each: (-each.samples, each.version))
    count = sum(key.endswith(SEGMENT) for key in segments)
    return DaySummary(model, wanted, sum(notes.dropped.values()), count, versions)


def _visible(store: Store, model: str, versions: pa.ChunkedArray) -> list[str]:
    visible = {row.version for row in store.registry.model_versions(model)}
    return [version for version in versions.unique().to_pylist() if version in visible]


def _summary(version: str, table: pa.Table) -> VersionSummary:
    latency = np.percentile(table["latency_ms"].to_numpy(), PERCENTILES)
    return VersionSummary(
        version,
        len(table["request"].unique()),
        len(table),
        {f"p{each}": round(float(ms), 3) for each, ms in zip(PERCENTILES, latency, strict=True)},
    )
