"""Compute the summary of a data version from its manifest and samples; `summary` reads it.

It works by column and without pandas, as commands compute the summary of versions of earlier
releases. pyarrow imports pandas for `to_numpy`, `group_by`, and arrays or scalars of Python
objects, which are therefore avoided.
"""

from __future__ import annotations

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
    files, rows = _table(manifest, _FILE_COLUMNS), _table(samples, ["label", "split", "time"])
    is_main = pc.match_substring_regex(files["mlops:role"], f"^({'|'.join(MAIN_ROLES)})$")
    main = files if pc.all(is_main).as_py() else files.filter(is_main)
    interval = _interval(main, rows, specification)
    return VersionSummary(
        crs=_reference_systems(files),
        bbox=_bbox(main, specification),
        interval=interval and [None if end is None else end.isoformat() for end in interval],
        kept_by_reference=_by_reference(manifest),
        classes=_class_counts(rows, document.classes or [], pixels),
    )


def _reference_systems(files: pa.Table) -> list[str]:
    codes = pc.coalesce(files["proj:code"], files["proj:wkt2"])
    return sorted(pc.unique(codes).drop_null().to_pylist())


def _by_reference(manifest: bytes | Path) -> int:
    """Return how many files are kept by reference; URLs are read in parts, as they are long."""
    count = 0
    for part in _opened(manifest).iter_batches(columns=["assets.data.href"]):
        href = pc.struct_field(pc.struct_field(part["assets"], "data"), "href")
        count += pc.sum(pc.invert(pc.starts_with(href, WORKSPACE))).as_py() or 0
    return count


def _bbox(main: pa.Table, specification: DatasetSpecification) -> list[float] | None:
    """Return west, south, east, north in degrees: of the files, else as declared, else None."""
    boxes = main["bbox"]
    if len(boxes) and not boxes.null_count:
        sides = [np.from_dlpack(pc.struct_field(boxes, side).combine_chunks()) for side in BBOX]
        return enclosing(np.stack(sides, axis=1))
    declared = specification.extent
    return list(declared.bbox) if declared else None


def _interval(
    main: pa.Table, samples: pa.Table, specification: DatasetSpecification
) -> Interval | None:
    """Return first and last time.

    They are of the files, else of the samples, else as declared, else None.
    """
    times, sampled = file_times(main), samples["time"]
    if times.null_count and sampled.null_count < len(sampled):
        times = sampled
    if len(times) and not times.null_count:
        ends = pc.min_max(times).as_py()
        return ends["min"], ends["max"]
    return declared_interval(specification)


def _class_counts(
    samples: pa.Table, classes: list[ClassName], pixels: NDArray[np.int32] | None
) -> list[ClassCounts]:
    """Return the samples of every class in each split, or of windows their pixels."""
    known = pixels is not None or samples["label"].null_count < len(samples)
    counts = _samples(samples) if pixels is None else _pixels(samples, classes, pixels)
    return [
        ClassCounts(
            **entry,
            **{
                split: counts.get((str(entry["value"]), split), 0) if known else None
                for split in (*SPLITS, LEFT_OUT)
            },
        )
        for entry in classes
    ]


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


def _table(file: bytes | Path, columns: list[str]) -> pa.Table:
    return _opened(file).read(columns=columns)


def _opened(file: bytes | Path) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(file) if isinstance(file, bytes) else file)
