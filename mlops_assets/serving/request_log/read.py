"""Logged samples of a day, as monitoring takes them: by model version, from the published file."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.models.reference.bands import STATISTICS
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.day_file import published_day
from mlops_assets.serving.request_log.rows import BAND_VIEWS
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store

_LISTS = ("inputs", "statistics", "scores")


def read_day(store: Store, model: str, day: str) -> list[LoggedSamples]:
    """Return the logged samples of a day, by model version, the one with most samples first.

    Requests that are not in the file of the day yet are not there; `compact_day` puts them there.
    Nor are those of versions that the principal may not see.

    Args:
        store: workspace and registry.
        model: name of the model.
        day: `YYYY-MM-DD`, UTC.

    Raises:
        IntegrityError: the file is not as it was published.
        NameRefused: model or day cannot be one.
        StorageError: it cannot be read.
    """
    with published_day(store, model, day) as published:
        found = [] if published is None else _read(store, model, published.path)
    return sorted(
        (each.samples(day) for each in found), key=lambda each: (-len(each), each.version)
    )


def _read(store: Store, model: str, path: Path) -> list[_VersionRows]:
    rows = {row.version: row for row in store.registry.model_versions(model)}
    with pq.ParquetFile(path) as file:
        columns = [field.name for field in file.schema_arrow if field.name not in _LISTS]
        table = file.read(columns=columns)
        logged = table["version"].unique().to_pylist()
        found = [_VersionRows(rows[name], table) for name in logged if name in rows]
        start = 0
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, columns=list(_LISTS))
            for version in found:
                version.add(group, start)
            start += len(group)
    return found


class _VersionRows:
    """The rows of one model version, which are read a row group at a time."""

    def __init__(self, row: ModelVersion, table: pa.Table) -> None:
        """Prepare for them.

        Args:
            row: of the model version.
            table: all rows of the day, without lists.
        """
        self._row = row
        self._signature = Signature.of(row)
        self._places = np.flatnonzero(pc.equal(table["version"], row.version).to_numpy())
        self._table = table.take(pa.array(self._places))
        self._lists: dict[str, NDArray[np.float32]] = {}
        self._kept = np.zeros(len(self._places), bool)

    def add(self, group: pa.Table, start: int) -> None:
        """Take the lists of a row group.

        Args:
            group: its rows.
            start: place of the first of them in the day.
        """
        first, last = np.searchsorted(self._places, [start, start + len(group)])
        mine = self._places[first:last] - start
        if not len(mine):
            return
        for name in _LISTS:
            width = self._width(name)
            if not width:
                continue
            column = group[name].combine_chunks().take(pa.array(mine))
            is_there = pc.equal(pc.list_value_length(column), width).fill_null(False)
            there = is_there.to_numpy(zero_copy_only=False)
            if not there.any():
                continue
            if name not in self._lists:
                shape = (len(self._places), width)
                self._lists[name] = np.full(shape, np.nan, np.float32)
            values = column.filter(is_there).flatten().to_numpy(zero_copy_only=False)
            self._lists[name][first:last][there] = values.reshape(-1, width)
            if name == "inputs":
                self._kept[first:last] = there

    def _width(self, name: str) -> int:
        """Return the number of values of a sample, 0 for none."""
        signature = self._signature
        if name == "inputs":
            return prod(signature.shape)
        if name == "scores":
            return 0 if signature.classes is None else len(signature.classes)
        return len(signature.features) * len(STATISTICS) if signature.view in BAND_VIEWS else 0

    def samples(self, day: str) -> LoggedSamples:
        """Return the rows."""
        table, signature, row = self._table, self._signature, self._row
        values = self._lists.get("inputs")
        statistics = self._lists.get("statistics")
        is_of_bands = signature.view in BAND_VIEWS
        if is_of_bands and statistics is None:
            shape = (len(table), len(signature.features) * len(STATISTICS))
            statistics = np.full(shape, np.nan, np.float32)
        classes = signature.classes
        return LoggedSamples(
            model=row.model,
            version=row.version,
            data_version=f"{row.dataset}@{row.data_version}",
            day=day,
            requests=np.array(table["request"].to_pylist(), dtype=object),
            rows=table["row"].to_numpy(),
            times=table["time"].cast(pa.timestamp("us")).to_numpy(),
            latency_ms=table["latency_ms"].to_numpy(),
            values=None if values is None else values.reshape(len(table), *signature.shape),
            kept=self._kept,
            statistics=(
                None
                if statistics is None
                else statistics.reshape(len(table), len(signature.features), len(STATISTICS))
            ),
            labels=None if classes is None else table["label"].fill_null(-1).to_numpy(),
            scores=self._lists.get("scores"),
            numbers=None if classes is not None else table["number"].to_numpy(),
        )
