"""Compute the summary of a data version from its manifest and samples; `summary` reads it.

It works by column and without pandas, as commands compute the summary of versions of earlier
releases. pyarrow imports pandas for `to_numpy`, `group_by`, and arrays or scalars of Python
objects, which are therefore avoided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import SPLITS, DatasetSpecification
from mlops_assets.datasets.versions.contents import ClassName
from mlops_assets.datasets.versions.extents import Interval, declared_interval, enclosing
from mlops_assets.datasets.versions.manifest import (
    BBOX,
    MAIN_ROLES,
    TIME_COLUMNS,
    WORKSPACE,
    file_times,
)
from mlops_assets.datasets.versions.summary import LEFT_OUT
from mlops_assets.datasets.versions.version_document import (
    ClassCounts,
    VersionDocument,
    VersionSummary,
)

_HREF = "assets.data.href"
_FILE_COLUMNS = ["mlops:role", "proj:code", "proj:wkt2", "bbox", *TIME_COLUMNS]


def summarise(
    document: VersionDocument,
    manifest: bytes | Path,
    samples: bytes | Path,
    pixels: NDArray[np.int32] | None = None,
) -> VersionSummary:
    """Return place, time and class counts of a data version.

    Args:
        document: `version.json`; its own summary is not read.
        manifest: the content of `manifest.parquet`, or its local path.
        samples: the content of `samples.parquet`, or its local path.
        pixels: of windows, labelled pixels of each class in each sample, (samples, classes), which
            are known when they are committed.
    """
    specification = DatasetSpecification.model_validate(document.specification)
    files, taken = _Files(), _Samples(document.classes or [], pixels)
    for table in _row_groups(manifest, _FILE_COLUMNS):
        files.add(table)
    for table in _row_groups(samples, ["label", "split", "time"]):
        taken.add(table)
    interval = _interval(files.times, taken.times, specification)
    return VersionSummary(
        crs=sorted(files.systems),
        bbox=_bbox(files, specification),
        interval=interval and [None if end is None else end.isoformat() for end in interval],
        kept_by_reference=_by_reference(manifest),
        classes=taken.class_counts(),
    )


class _Times:
    """First and last of many times, and whether all are known."""

    def __init__(self) -> None:
        self.count = self.unknown = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, times: pa.ChunkedArray | pa.Array) -> None:
        self.count += len(times)
        self.unknown += times.null_count
        ends = pc.min_max(times).as_py()
        if ends["min"] is not None:
            self.first = min(ends["min"], self.first or ends["min"])
            self.last = max(ends["max"], self.last or ends["max"])


class _Files:
    """Place and time of the files whose rows were added.

    Attributes:
        systems: their CRSs.
        boxes: of the main files, west, south, east, north in degrees; None where one is unknown.
        times: of the main files.
    """

    def __init__(self) -> None:
        self.systems: set[str] = set()
        self.boxes: list[NDArray[np.float64]] | None = []
        self.times = _Times()

    def add(self, files: pa.Table) -> None:
        codes = pc.coalesce(files["proj:code"], files["proj:wkt2"])
        self.systems.update(pc.unique(codes).drop_null().to_pylist())
        main = files.filter(
            pc.match_substring_regex(files["mlops:role"], f"^({'|'.join(MAIN_ROLES)})$")
        )
        self.times.add(file_times(main))
        boxes = main["bbox"]
        if boxes.null_count:
            self.boxes = None
        elif len(boxes) and self.boxes is not None:
            sides = [np.from_dlpack(pc.struct_field(boxes, side).combine_chunks()) for side in BBOX]
            self.boxes.append(np.stack(sides, axis=1))


class _Samples:
    """Time and class counts of the samples whose rows were added.

    Attributes:
        times: of the samples.
    """

    def __init__(self, classes: list[ClassName], pixels: NDArray[np.int32] | None) -> None:
        self._classes = classes
        self._pixels = pixels
        self._known = pixels is not None
        self._counts: Counter[tuple[str | None, str]] = Counter()
        self.times = _Times()

    def add(self, samples: pa.Table) -> None:
        place = slice(self.times.count, self.times.count + len(samples))
        self.times.add(samples["time"])
        self._known |= samples["label"].null_count < len(samples)
        found = (
            _samples(samples)
            if self._pixels is None
            else _pixels(samples, self._classes, self._pixels[place])
        )
        self._counts.update(found)

    def class_counts(self) -> list[ClassCounts]:
        """Return the samples of every class in each split, or of windows their pixels."""
        return [
            ClassCounts(
                **entry,
                **{
                    split: self._counts[str(entry["value"]), split] if self._known else None
                    for split in (*SPLITS, LEFT_OUT)
                },
            )
            for entry in self._classes
        ]


def _by_reference(manifest: bytes | Path) -> int:
    """Return how many files are kept by reference.

    URLs are long: those of a row group are read only if its statistics do not show that all begin
    with the same, as keys of the workspace do.
    """
    file = _opened(manifest)
    count = 0
    for number in range(file.metadata.num_row_groups):
        if _begins_in_workspace(file.metadata.row_group(number)):
            continue
        part = file.read_row_group(number, columns=[_HREF], use_threads=False)
        href = pc.struct_field(pc.struct_field(part["assets"], "data"), "href")
        count += pc.sum(pc.invert(pc.starts_with(href, WORKSPACE))).as_py() or 0
    return count


def _begins_in_workspace(group: pq.RowGroupMetaData) -> bool:
    columns = map(group.column, range(group.num_columns))
    ends = next(column.statistics for column in columns if column.path_in_schema == _HREF)
    return (
        ends is not None
        and ends.has_min_max
        and ends.min.startswith(WORKSPACE)
        and ends.max.startswith(WORKSPACE)
    )


def _bbox(files: _Files, specification: DatasetSpecification) -> list[float] | None:
    """Return west, south, east, north in degrees: of the files, else as declared, else None."""
    if files.boxes:
        return enclosing(np.concatenate(files.boxes))
    declared = specification.extent
    return list(declared.bbox) if declared else None


def _interval(
    files: _Times, samples: _Times, specification: DatasetSpecification
) -> Interval | None:
    """Return first and last time.

    They are of the files, else of the samples, else as declared, else None.
    """
    times = samples if files.unknown and samples.unknown < samples.count else files
    if times.count and not times.unknown:
        return times.first, times.last
    return declared_interval(specification)


def _samples(samples: pa.Table) -> dict[tuple[str | None, str], int]:
    """Return the number of samples by label and split."""
    (label_codes, names), (codes, splits) = _encoded(samples["label"]), _encoded(samples["split"])
    found = np.bincount(
        label_codes * len(splits) + codes, minlength=len(names) * len(splits)
    ).tolist()
    pairs = product(names, (split or LEFT_OUT for split in splits))
    return dict(zip(pairs, found, strict=True))


def _pixels(
    samples: pa.Table, classes: list[ClassName], pixels: NDArray[np.int32]
) -> dict[tuple[str | None, str], int]:
    """Return the number of labelled pixels of windows by class and split."""
    codes, splits = _encoded(samples["split"])
    return {
        (str(entry["value"]), split or LEFT_OUT): int(pixels[codes == code, index].sum())
        for code, split in enumerate(splits)
        for index, entry in enumerate(classes)
    }


def _encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str | None]]:
    """Return the code of each text, and the texts by their codes; one of them may be null."""
    encoded = column.combine_chunks().dictionary_encode("encode")
    return np.from_dlpack(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _row_groups(file: bytes | Path, columns: list[str]) -> Iterator[pa.Table]:
    """Yield columns of each row group; what one takes is given back before the next is read."""
    opened = _opened(file)
    for number in range(opened.metadata.num_row_groups):
        yield opened.read_row_group(number, columns=columns, use_threads=False)
        pa.default_memory_pool().release_unused()


def _opened(file: bytes | Path) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(file) if isinstance(file, bytes) else file)
