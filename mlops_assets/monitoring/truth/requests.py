"""The samples of logged requests that labels are of, and the days that have any.

Only the columns that name samples are read, as labels may be of any day.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference, check_name
from mlops_assets.paths import TRUTH
from mlops_assets.serving.request_log.day_file import check_day, logged_days, published_day
from mlops_assets.store import Store

_COLUMNS = ["request", "row", "version"]
_KINDS = {"id": "str", "row": "int64", "version": "str", "day": "str"}


def days_of(store: Store, model: str) -> list[str]:
    """Return the days with requests or labels of a model, `YYYY-MM-DD`, oldest first."""
    prefix = f"{TRUTH}/{check_name(model)}"
    labelled = {key.split("/")[2] for key in store.workspace.list(prefix) if key.count("/") > 2}
    return sorted({*logged_days(store, model), *labelled})


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
        NameRefused: model or day cannot be one.
        StorageError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    days = logged_days(store, model) if day is None else [check_day(day)]
    wanted = None if ids is None else pa.array(sorted(set(ids)), pa.string())
    found = [pd.DataFrame(columns=["id", "row", "version", "day"], dtype=object)]
    for each in days:
        with published_day(store, model, each) as file:
            if file is None:
                continue
            table = pq.read_table(file.path, columns=_COLUMNS)
        if wanted is not None:
            table = table.filter(pc.is_in(table["request"], wanted))
        if len(table):
            found.append(
                table.rename_columns(["id", "row", "version"]).to_pandas().assign(day=each)
            )
    samples = pd.concat(found[1:] or found, ignore_index=True).astype(_KINDS)
    seen = {version for version in samples["version"].unique() if _visible(store, model, version)}
    return samples[samples["version"].isin(seen)].drop_duplicates(ignore_index=True)


def _visible(store: Store, model: str, version: str) -> bool:
    try:
        store.registry.model_version(Reference(model, version))
    except NotFound:
        return False
    return True
