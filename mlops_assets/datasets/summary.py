"""A data version at a glance: where and when it is of, and how many samples of each class each split has.

Read column by column, so that a command that only shows it need not load pandas. pyarrow imports it for `to_numpy`,
`group_by`, and arrays or scalars of Python's objects: hence none of them. Samples and files are read by `versions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mlops_assets.datasets.documents import published_documents
from mlops_assets.datasets.extents import Interval, declared_interval, enclosing
from mlops_assets.datasets.manifest import BBOX, MAIN_ROLES, TIME_COLUMNS, WORKSPACE, file_times
from mlops_assets.datasets.specification import SPLITS, DatasetSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.storage import Workspace

LEFT_OUT = "left_out"  # what samples in no split are counted as
_FILE_COLUMNS = ["assets.data.href", "mlops:role", "proj:code", "proj:wkt2", "bbox", *TIME_COLUMNS]


@dataclass(frozen=True)
class Summary:
    """One data version, as its documents say; each is checked against its published checksum when it is read.

    Attributes:
        row: its row in the registry.
        document: `version.json`.
        files: of each file its href, role, coordinate reference system, box and time.
        samples: label, split and time of each sample.
    """

    row: DataVersion
    document: Mapping[str, Any]
    files: pa.Table
    samples: pa.Table

    @classmethod
    def open(cls, workspace: Workspace, registry: Registry, reference: Reference) -> Summary:
        """Open `dataset@version`.

        Raises:
            NotFound: there is no such version.
            IntegrityError: a document is not as it was published.
        """
        row = registry.data_version(reference)
        document, files, samples = published_documents(workspace, registry, row)
        return cls(row, document, _table(files, _FILE_COLUMNS), _table(samples, ["label", "split", "time"]))

    @cached_property
    def specification(self) -> DatasetSpecification:
        """The declaration as it was when this version was committed."""
        return DatasetSpecification.model_validate(self.document["specification"])

    @property
    def reference_systems(self) -> list[str]:
        """Coordinate reference systems of its files."""
        codes = pc.coalesce(self.files["proj:code"], self.files["proj:wkt2"])
        return sorted(pc.unique(codes).drop_null().to_pylist())

    @property
    def by_reference(self) -> int:
        """How many files are kept where they landed."""
        href = pc.struct_field(pc.struct_field(self.files["assets"], "data"), "href")
        return int(pc.sum(pc.invert(pc.starts_with(href, WORKSPACE))).as_py() or 0)

    @property
    def bbox(self) -> list[float] | None:
        """West, south, east, north in degrees: of its files, else as declared, else None."""
        boxes = self._main["bbox"]
        if len(boxes) and not boxes.null_count:
            return enclosing([[box[side] for side in BBOX] for box in boxes.to_pylist()])
        declared = self.specification.extent
        return list(declared.bbox) if declared else None

    @property
    def interval(self) -> Interval | None:
        """First and last time: of its files, else of its samples, else as declared, else None."""
        times, sampled = file_times(self._main), self.samples["time"]
        if times.null_count and sampled.null_count < len(sampled):
            times = sampled
        if len(times) and not times.null_count:
            ends = pc.min_max(times).as_py()
            return ends["min"], ends["max"]
        return declared_interval(self.specification)

    def class_counts(self) -> list[dict[str, Any]]:
        """Return value, name and samples in each split of every class; the samples are null for windows."""
        labels = self.samples["label"]
        known = labels.null_count < len(labels)
        (label_codes, names), (split_codes, splits) = _encoded(labels), _encoded(self.samples["split"])
        found = np.bincount(label_codes * len(splits) + split_codes, minlength=len(names) * len(splits)).tolist()
        pairs = product(names, (split or LEFT_OUT for split in splits))
        counts = dict(zip(pairs, found, strict=True))
        return [
            entry
            | {split: counts.get((str(entry["value"]), split), 0) if known else None for split in (*SPLITS, LEFT_OUT)}
            for entry in self.document["classes"] or []
        ]

    @cached_property
    def _main(self) -> pa.Table:
        return self.files.filter(pc.match_substring_regex(self.files["mlops:role"], f"^({'|'.join(MAIN_ROLES)})$"))


def _encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str | None]]:
    """Return the code of each text, and the texts by their codes; one of them may be null."""
    encoded = column.combine_chunks().dictionary_encode("encode")
    return np.from_dlpack(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _table(content: bytes, columns: list[str]) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(content)).read(columns=columns)
