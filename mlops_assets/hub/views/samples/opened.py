"""Data versions that stay open between requests, as one page asks for dozens of chips."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.quality.checks import Report
from mlops_assets.datasets.quality.published import published_report
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.hub.views.samples.band_choice import Composite, composites
from mlops_assets.names import Reference
from mlops_assets.store import Store

MAX_OPEN = 4  # versions; one with 100,000 files takes about 100 MB
MAX_AGE = 600.0  # seconds, after which documents and files are compared with checksums again


@dataclass(frozen=True, eq=False)
class OpenVersion:
    """A data version that is open.

    Attributes:
        committed: the data version.
        report: its quality report; None if it was not assessed.
        opened: when, in seconds of a monotonic clock.
    """

    committed: CommittedDataset
    report: Report | None
    opened: float

    @cached_property
    def images(self) -> pd.DataFrame:
        """Manifest rows of the files that samples are read from, by path."""
        manifest = self.committed.manifest
        return manifest[manifest["role"].isin(["image", "table"])].set_index("path")

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of the classes by their value as text."""
        return {str(entry["value"]): entry["name"] for entry in self.committed.classes or []}

    @cached_property
    def composites(self) -> list[Composite]:
        """Pictures that the bands allow; none of a table."""
        return composites(self.committed)

    @cached_property
    def tables(self) -> dict[str, NDArray[np.float32]]:
        """Features of the table that was read last, by path, (rows, features)."""
        return {}

    @cached_property
    def _positions(self) -> Mapping[str, NDArray[np.int64]]:
        return cast(
            "Mapping[str, NDArray[np.int64]]",
            self.committed.samples.reset_index(drop=True).groupby("path").indices,
        )

    def samples_of(self, path: str) -> pd.DataFrame:
        """Return the samples of a file, in order."""
        return self.committed.samples.iloc[self.positions_of(path)]

    def positions_of(self, path: str) -> NDArray[np.int64]:
        """Return the positions of the samples of a file, ascending."""
        return self._positions.get(path, np.empty(0, dtype=np.int64))


_lock = threading.Lock()
_open: OrderedDict[tuple[str, str, str], OpenVersion] = OrderedDict()


def open_version(store: Store, reference: Reference) -> OpenVersion:
    """Return a data version, opened; the registry decides each time whether the caller may see it.

    Args:
        store: of the caller.
        reference: a version, a tag, or the newest.

    Raises:
        NotFound: no such version, or it is hidden from the caller.
        IntegrityError: a document is not as it was published.
        StorageError: a document cannot be read.
    """
    row = store.registry.data_version(reference)
    key = (store.workspace.url, f"{row.dataset}@{row.version}", row.digest)
    now = time.monotonic()
    with _lock:
        found = _open.get(key)
        if found is not None:
            _open.move_to_end(key)
    # a version may be assessed after it was opened
    if found is not None and found.report is not None and now - found.opened < MAX_AGE:
        return found
    if found is None or now - found.opened >= MAX_AGE:
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference(row.dataset, row.version)
        )
    else:
        committed, now = found.committed, found.opened
    report = published_report(store.workspace, store.registry, row)
    opened = OpenVersion(committed, report, now)
    if found is not None and report is None and committed is found.committed:
        return found
    with _lock:
        _open[key] = opened
        _open.move_to_end(key)
        while len(_open) > MAX_OPEN:
            _open.popitem(last=False)
    return opened
