"""The values of a data version's samples in blocks: all, or of a large version a fixed subsample.

`scan` evaluates them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasters import numpy_type
from mlops_assets.datasets.loading.scratch_dataset import ScratchDataset
from mlops_assets.datasets.loading.streamed import StreamedSplit, is_streamed
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.specification.dataset import SPLITS
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset, SplitName
from mlops_assets.datasets.versions.contents import bands_read
from mlops_assets.datasets.versions.decoded_cache import (
    chunks,
    decoded,
    read_samples,
    read_shown,
    read_window_indices,
)

# of decoded values, about a minute of reading; of a larger version a subsample is read
MAX_READ_BYTES = 2 << 30
MIN_READ = 1000  # samples of each split, however large they are
BLOCK_BYTES = 8 << 20  # values at once; larger blocks fall out of the processor's cache


@dataclass(frozen=True)
class Block:
    """Some samples.

    Attributes:
        positions: position of each in the data version's samples, (n,).
        X: values, (n, bands, ...), in the data's own type.
        y: class indices of windows, (n, height, width), -1 where unknown; else None.
        shown: which values alpha and masks leave, of the shape of X; None where there are none.
    """

    positions: NDArray[np.int64]
    X: NDArray[np.generic]
    y: NDArray[np.integer] | None
    shown: NDArray[np.bool_] | None


class SampleValues:
    """The values of a data version's samples.

    Attributes:
        kind: how a sample is shaped.
        bands: number of bands or features.
        classes: number of classes.
        chosen: positions of the samples to read, ascending, for each split.
    """

    def __init__(self, committed: CommittedDataset, most: int | None = None) -> None:
        """Choose what to read.

        Args:
            committed: the data version.
            most: approximate limit of decoded values, bytes; `MAX_READ_BYTES` by default.
        """
        self._committed = committed
        shape = committed.document.input
        self.kind = shape.kind
        self._shape = (len(committed.document.features), *shape.sides)
        self.bands = self._shape[0]
        self.classes = len(committed.classes or [])
        splits = committed.samples["split"].to_numpy(dtype=object)
        self._split = {split: np.flatnonzero(splits == split) for split in SPLITS}
        self.chosen = self._choice(MAX_READ_BYTES if most is None else most)
        self._file, paths = pd.factorize(committed.samples["path"])
        self._nodata = _nodata(committed, paths)

    @property
    def is_whole(self) -> bool:
        """True if all samples are read."""
        return all(len(self.chosen[split]) == len(own) for split, own in self._split.items())

    def nodata(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the nodata values of samples, (n, bands), NaN where not declared."""
        return np.broadcast_to(self._nodata[self._file[positions]], (len(positions), self.bands))

    def blocks(self, split: str, chosen: NDArray[np.int64]) -> Iterator[Block]:
        """Yield chosen samples of a split, in no order.

        If all samples of the split are to be read anyway, that fills the decoded cache, which
        training reads from, unless it is streamed.
        """
        limit = max(1, BLOCK_BYTES // (int(np.prod(self._shape)) * 4))
        where = (self._committed, cast(SplitName, split), self.kind, self._shape)
        streamed = is_streamed(*where)
        if len(self.chosen[split]) < len(self._split[split]) and not streamed:
            yield from self._read(chosen, limit)
            return
        found = (
            StreamedSplit(ScratchDataset(self._committed), *where[1:])
            if streamed
            else decoded(*where)
        )
        X = found.samples()
        y = found.labels() if self.kind == "window" else None
        shown = found.shown()
        inside = np.searchsorted(self._split[split], chosen)
        whole = len(inside) == len(X)
        for start in range(0, len(inside), limit):
            part = slice(start, start + limit) if whole else inside[start : start + limit]
            yield Block(
                chosen[start : start + limit],
                X[part],
                None if y is None else y[part],
                None if shown is None else shown[part],
            )

    def _read(self, chosen: NDArray[np.int64], limit: int) -> Iterator[Block]:
        samples = self._committed.samples.iloc[chosen]
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)
        for chunk in chunks(samples, limit, whole_files=self.kind == "row"):
            # no longer than they are read, which is here, whoever takes the blocks
            with self._committed.fetched(path for path, _ in chunk):
                read = [(own, self._read_file(path, places[own])) for path, own in chunk]
            for own, (X, y, shown) in read:
                for start in range(0, len(own), limit):
                    part = slice(start, start + limit)
                    yield Block(
                        chosen[own[part]],
                        X[part],
                        None if y is None else y[part],
                        None if shown is None else shown[part],
                    )

    def _read_file(
        self, path: str, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.generic], NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        """Read samples of one file, and of these the labels of windows and what masks leave."""
        X = read_samples(self._committed, path, places, self.kind, self._shape)
        y = read_window_indices(self._committed, path, places) if self.kind == "window" else None
        masked = self._committed.masked
        shown = read_shown(self._committed, path, places, self.kind) if masked else None
        return X, y, shown

    def _choice(self, most: int) -> dict[str, NDArray[np.int64]]:
        dtypes = self._committed.manifest["dtype"].dropna().unique()
        item = max((numpy_type(str(dtype)).itemsize for dtype in dtypes), default=4)
        total = sum(map(len, self._split.values()))
        share = most / max(total * int(np.prod(self._shape)) * item, 1)
        return {
            split: draw(own, max(MIN_READ, int(len(own) * share))) if share < 1 else own
            for split, own in self._split.items()
        }


def _nodata(committed: CommittedDataset, paths: pd.Index) -> NDArray[np.float64]:
    """Return the nodata values of each file's samples.

    Their shape is (files, bands), or (files, 1) where all bands have the same.
    """
    # physical values have no nodata value; see `CommittedDataset.masked`
    if committed.is_scaled:
        return np.full((len(paths), 1), np.nan)
    declared = pd.to_numeric(committed.manifest.set_index("path")["nodata"], errors="coerce")
    images = {
        row["path"]: row for row in committed.manifest.to_dict("records") if row["role"] == "image"
    }
    if committed.layout not in ("scenes", "stac") or committed.document.input.kind == "image":
        return np.asarray(declared.reindex(paths), dtype=np.float64)[:, None]
    rows = []
    for path in paths:
        parts = committed.scene_images(path)
        counts = [len(bands_read(images[part])) for part in parts]
        rows.append(np.repeat(declared[parts].to_numpy(dtype=np.float64), counts))
    return np.array(rows, dtype=np.float64).reshape(len(paths), -1)
