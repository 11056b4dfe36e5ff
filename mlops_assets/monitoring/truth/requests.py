"""The samples of logged requests that labels are of, and the days that have any.

Only the columns that name samples are read, as labels may be of any day.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date

import pandas as pd

from mlops_assets.errors import NameRefused, NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import INFERENCE, TRUTH, requests_key
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.store import Store

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def check_day(day: str) -> str:
    """Return `day` if it is a day as keys have it.

    Raises:
        NameRefused: it is not written `YYYY-MM-DD`, or there is no such day.
    """
    try:
        if _DAY.fullmatch(day) and date.fromisoformat(day):
            return day
    except ValueError:
        pass
    raise NameRefused(f"day {day[:40]!r} is not valid; write it YYYY-MM-DD, such as 2026-11-30")


def days_of(store: Store, model: str) -> list[str]:
    """Return the days with requests or labels of a model, `YYYY-MM-DD`, in order."""
    found: set[str] = set()
    for folder in (INFERENCE, TRUTH):
        prefix = f"{folder}/{model}/"
        parts = (key.removeprefix(prefix).split("/") for key in store.workspace.list(prefix))
        found.update(part[0] for part in parts)
    return sorted(day for day in found if _DAY.fullmatch(day))


def samples_of(
    store: Store, model: str, ids: Collection[str] | None = None, day: str | None = None
) -> pd.DataFrame:
    """Return logged samples.

    Only versions that the principal may see are read.

    Args:
        store: workspace and registry.
        model: name of the model.
        ids: of their requests; all if None.
        day: only that day, `YYYY-MM-DD`; all days if None.

    Returns:
        Columns `id`, `row`, `day`, `version`, in the order of the days, each sample once.

    Raises:
        IntegrityError: a file of the log is not as it was published.
        NameRefused: the day is not valid.
        StorageError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    days = days_of(store, model) if day is None else [check_day(day)]
    keys = {requests_key(model, each): each for each in days}
    wanted = None if ids is None else pa.array(sorted(set(ids)), pa.string())
    found = [pd.DataFrame(columns=["id", "row", "version", "day"], dtype=object)]
    for file in store.registry.files_at(*keys):
        path = published_path(store.workspace, store.registry, file.path)
        table = pq.read_table(path, columns=["request", "row", "version"])
        if wanted is not None:
            table = table.filter(pc.is_in(table["request"], wanted))
        if len(table):
            own = table.rename_columns(["id", "row", "version"]).to_pandas()
            found.append(own.assign(day=keys[file.path]))
    samples = pd.concat(found[1:] or found, ignore_index=True).astype({"row": "int64"})
    seen = {version for version in samples["version"].unique() if _visible(store, model, version)}
    samples = samples[samples["version"].isin(seen)]
    return samples.drop_duplicates(ignore_index=True).sort_values(
        "day", kind="stable", ignore_index=True
    )


def _visible(store: Store, model: str, version: str) -> bool:
    try:
        store.registry.model_version(Reference(model, version))
    except NotFound:
        return False
    return True
