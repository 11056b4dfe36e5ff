"""Labels of the requests of a day, as they are published: every one that was ever added.

The newest of a sample counts. Nothing is matched or written here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.monitoring.truth.texts import objects_of
from mlops_assets.paths import truth_key
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store

SLICE = "slice:"  # before the name of a column that metrics are divided by
SAMPLE = ["id", "row"]  # columns that name a sample
COLUMNS = {
    "id": "str",
    "row": "int32",
    "label": "str",
    "number": "float64",
    "time": "datetime64[us, UTC]",
    "added": "datetime64[us, UTC]",
    "added_by": "str",
}


@dataclass(frozen=True)
class Truth:
    """The newest label of each labelled sample of a model's requests on a day.

    Attributes:
        model: name of the model.
        day: `YYYY-MM-DD`, UTC, of the requests.
        requests: id of each sample's request, (n,), text.
        rows: number of the sample in its request, (n,).
        labels: names of classes, (n,); None for regression.
        numbers: (n,), NaN where the label is a class.
        added: when the label was added, UTC, (n,), datetime64[us].
        slices: column → its values, (n,), text, None where there is none.
        corrected: samples whose label was another one before.
        sha256: of the published file.
    """

    model: str
    day: str
    requests: NDArray[np.object_]
    rows: NDArray[np.int32]
    labels: NDArray[np.object_]
    numbers: NDArray[np.float64]
    added: NDArray[np.datetime64]
    slices: Mapping[str, NDArray[np.object_]]
    corrected: int
    sha256: str

    def __len__(self) -> int:
        """Number of labelled samples."""
        return len(self.requests)

    def positions(self, samples: LoggedSamples) -> NDArray[np.int64]:
        """Return the position of the label of each sample, (n,); -1 where there is none."""
        own = pd.MultiIndex.from_arrays([self.requests, self.rows.astype(np.int64)])
        wanted = pd.MultiIndex.from_arrays([samples.requests, samples.rows.astype(np.int64)])
        return np.asarray(own.get_indexer(wanted), dtype=np.int64)


def read_truth(store: Store, model: str, day: str) -> Truth | None:
    """Return the labels of a model's requests on a day; None if there are none.

    Raises:
        IntegrityError: they are not as they were published.
        StorageError: they cannot be read.
    """
    key = truth_key(model, day)
    published = store.registry.files_at(key)
    if not published:
        return None
    history = read_history(store, model, day)
    current = newest(history)
    different = history.drop_duplicates([*SAMPLE, "label", "number"])
    return Truth(
        model,
        day,
        current["id"].to_numpy(dtype=object),
        current["row"].to_numpy(dtype=np.int32),
        objects_of(current["label"]),
        current["number"].to_numpy(dtype=np.float64),
        current["added"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]"),
        {
            name.removeprefix(SLICE): objects_of(current[name])
            for name in current.columns
            if name.startswith(SLICE)
        },
        int((different.groupby(SAMPLE).size() > 1).sum()),
        published[0].sha256,
    )


def read_history(store: Store, model: str, day: str) -> pd.DataFrame:
    """Return every label that was added for a day, oldest first; empty if there is none.

    Raises:
        IntegrityError: they are not as they were published.
        StorageError: they cannot be read.
    """
    key = truth_key(model, day)
    if not store.registry.files_at(key):
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    content = read_published(store.workspace, store.registry, key)
    return pd.read_parquet(io.BytesIO(content))


def newest(history: pd.DataFrame) -> pd.DataFrame:
    """Return the newest label of each sample, in the order of the history."""
    return history.drop_duplicates(SAMPLE, keep="last").reset_index(drop=True)


def parquet_of(history: pd.DataFrame) -> bytes:
    """Return the labels of a day as Parquet."""
    sink = io.BytesIO()
    history.astype(COLUMNS).to_parquet(sink, index=False, compression="zstd")
    return sink.getvalue()
