"""A data version, or the difference between two, as TrainingDML-AI.

OGC Training Data Markup Language for AI (23-008r3, 24-006r4). `datasets.diff` finds the
differences.

An `AI_EOTrainingData` is one image of kind `image`, and otherwise all samples of one split in one
file or scene: TrainingDML-AI has no place for windows and rows within a file. They are in
`samples.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import pandas as pd

from mlops_assets.datasets.diff.diff import VersionDiff
from mlops_assets.datasets.io.media_types import GEOTIFF, media_type
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.paths import dataset_record_folder, object_href, version_folder
from mlops_assets.stac.catalog import is_private, relative
from mlops_assets.stac.extents import known_bbox, known_interval, text
from mlops_assets.stac.item_files import ItemFiles, ManifestRow, groups

TRAINING_DML = "training-dml.json"
TRAINING_TYPES = {"train": "training", "validation": "validation", "test": "test"}
TASKS = {"image": "Scene Classification", "window": "Semantic Segmentation"}
# Formats of labels in the code list AI_ImageFormatCode, by media type; labels in other formats
# are represented by their classes.
LABEL_FORMATS = {
    GEOTIFF: GEOTIFF,
    "image/png": "image/png",
    "image/jp2": "image/jp2",
    "image/jpeg": "image/jpeg",
    "application/geo+json": "application/json",
    "application/geopackage+sqlite3": "application/geopackage+sqlite3",
}
# The document is one JSON text that readers hold in memory as a whole, at about 500 bytes an entry.
# Beyond so many entries `data` is the URL of the table of samples, which the standard allows.
MAX_ENTRIES = 10_000


def document_key(committed: CommittedDataset) -> str:
    """Return the key of the document of a data version, beside its Collection.

    URLs in the document are relative to it.
    """
    row = committed.row
    return f"{dataset_record_folder(row.dataset, row.version, is_private(row))}/{TRAINING_DML}"


def training_dataset(committed: CommittedDataset) -> dict[str, object]:
    """Return a data version as an `AI_EOTrainingDataset`; what is not known is not in it."""
    specification, row = committed.specification, committed.row
    shape = committed.document.input
    identity = _identity(committed)
    name = specification.title or row.dataset
    classes = committed.classes or []
    task = "Regression" if committed.classes is None else TASKS.get(shape.kind, "Classification")
    found: dict[str, object] = {
        "id": identity,
        "name": name,
        "description": specification.description or f"Training data {row.dataset}.",
        "license": specification.license,
        "version": row.version,
        # a time has a zone by the standard, and none by pytdml
        "createdTime": (row.created.date().isoformat()),
        "providers": [provider.name for provider in specification.providers],
        "keywords": [row.dataset, *(entry["name"] for entry in classes)],
        "doi": specification.doi,
        "amountOfTrainingData": sum(row.counts.values()),
        "classes": [{"key": entry["name"], "value": entry["value"]} for entry in classes],
        "numberOfClasses": len(classes) or None,
        "extent": known_bbox(committed),
        "tasks": [
            {
                "type": "AI_EOTask",
                "id": f"{identity}-task",
                "datasetId": identity,
                "taskType": task,
                "description": f"{task} on {name}",
            }
        ],
    }
    if shape.kind != "row":
        height, width = shape.sides
        found |= {"bands": committed.document.features, "imageSize": f"{width}x{height}"}
    data: object = relative(
        document_key(committed), f"{version_folder(row.dataset, row.version)}/samples.parquet"
    )
    if _entry_count(committed) <= MAX_ENTRIES:
        data = [entry.document() for entry in _entries(committed)]
    known = {field: value for field, value in found.items() if value not in (None, [])}
    return {"type": "AI_EOTrainingDataset", **known, "data": data}


def changeset(
    before: CommittedDataset, after: CommittedDataset, difference: VersionDiff
) -> dict[str, object]:
    """Return the difference between two data versions as an `AI_TDChangeset`.

    URLs of deleted entries are relative to the document of `before`, those of other entries to the
    document of `after`. A renamed file is one entry deleted and one added.

    Args:
        before: the older version.
        after: the newer version.
        difference: what differs between them.
    """
    files, samples = difference.files, difference.samples
    changed = set(files.changed["path"])
    parts = {
        *_parts(samples.added, "split"),
        *_parts(samples.removed, "split"),
        *_parts(samples.relabelled, "split"),
        *_parts(samples.moved, "before"),
        *_parts(samples.moved, "after"),
    }
    touched = {path for path, _ in parts} | changed
    was = {
        entry.id: entry
        for entry in _entries(before, touched | {*files.removed["path"], *files.renamed["before"]})
    }
    now = {
        entry.id: entry
        for entry in _entries(after, touched | {*files.added["path"], *files.renamed["path"]})
    }
    changes = {
        "add": [entry.document() for name, entry in now.items() if name not in was],
        "modify": [
            entry.document()
            for name, entry in now.items()
            if name in was and entry.touched(changed, parts)
        ],
        "delete": [entry.document() for name, entry in was.items() if name not in now],
    }
    return {
        "type": "AI_TDChangeset",
        "id": f"{before.reference}..{after.reference}",
        "datasetId": _identity(after),
        "version": after.row.version,
        "createdTime": after.row.created.date().isoformat(),
        "changeCount": sum(map(len, changes.values())),
        **changes,
    }


@dataclass(frozen=True)
class _Entry:
    """The samples of one split in one file or scene.

    `labels` are the class values, or numbers, that occur.
    """

    committed: CommittedDataset
    group: ItemFiles
    split: str
    labels: list[str | float]

    @property
    def id(self) -> str:
        """An image stays the same entry when it changes its split."""
        return self.group.path if self._is_image else f"{self.group.path}#{self.split}"

    @property
    def _is_image(self) -> bool:
        return self.committed.document.input.kind == "image"

    def touched(self, changed: AbstractSet[str], parts: AbstractSet[tuple[str, str]]) -> bool:
        """Return whether one of the files or samples is not as it was."""
        splits = TRAINING_TYPES if self._is_image else [self.split]
        return not changed.isdisjoint(self.group.paths) or any(
            (self.group.path, split) in parts for split in splits
        )

    def document(self) -> dict[str, object]:
        """Return it as an `AI_EOTrainingData`."""
        labels = self._labels()
        interval = known_interval(self.committed, self.group.main)
        moments = list(dict.fromkeys(text(moment) for moment in interval or [] if moment))
        bbox = self.group.main[0]["bbox"]
        return {
            "type": "AI_EOTrainingData",
            "id": self.id,
            "datasetId": _identity(self.committed),
            "dataURL": _urls(self.committed, self.group.main),
            "trainingType": TRAINING_TYPES[self.split],
            "numberOfLabels": len(labels),
            "labels": labels,
            **({"extent": bbox} if bbox else {}),
            **({"dataTime": moments} if moments else {}),
        }

    def _labels(self) -> list[dict[str, object]]:
        # the defaults of the standard, which pytdml requires
        common = {
            "isNegative": False,
            "confidence": 1.0,
        }
        rows = self.group.labels
        formats = [LABEL_FORMATS.get(media_type(row["path"])) for row in rows]
        if formats and all(formats):
            return [
                {
                    "type": "AI_PixelLabel",
                    **common,
                    "imageURL": _urls(self.committed, rows),
                    "imageFormat": formats,
                }
            ]
        names = {str(entry["value"]): entry["name"] for entry in self.committed.classes or []}
        if not names and not self._is_image:  # numbers of many rows or pixels: what they are of
            return [{"type": "AI_SceneLabel", **common, "class": "number"}]
        return [
            {"type": "AI_SceneLabel", **common, "class": names.get(str(v), str(v))}
            for v in self.labels
        ]


def _entries(
    committed: CommittedDataset, touched: AbstractSet[str] | None = None
) -> Iterator[_Entry]:
    """Yield the entries of a data version; only those with a file among `touched`, if given."""
    samples = committed.samples.dropna(subset=["split"])
    found = {group.path: group for group in groups(committed, touched)}
    if touched is not None:
        samples = samples[samples["path"].isin(list(found))]
    labels = samples.drop_duplicates(["path", "split", "label"]).groupby(
        ["path", "split"], sort=True
    )["label"]
    for (path, split), values in labels:
        yield _Entry(committed, found[str(path)], str(split), sorted(values.dropna()))


def _entry_count(committed: CommittedDataset) -> int:
    return len(committed.samples.dropna(subset=["split"]).drop_duplicates(["path", "split"]))


def _parts(samples: pd.DataFrame, split: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of path and split that some samples are of."""
    yield from (
        samples[["path", split]].dropna().drop_duplicates().itertuples(index=False, name=None)
    )


def _identity(committed: CommittedDataset) -> str:
    return f"{committed.row.dataset}-{committed.row.version}"


def _urls(committed: CommittedDataset, rows: Sequence[ManifestRow]) -> list[str]:
    key = document_key(committed)
    return [row["href"] or relative(key, object_href(row["sha256"], row["pack"])) for row in rows]
