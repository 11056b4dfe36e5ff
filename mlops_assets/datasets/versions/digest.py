"""The digest of a data version: equal contents have equal digests, on any machine."""

from __future__ import annotations

import hashlib
import json

import pandas as pd

from mlops_assets.datasets.versions.contents import ascends
from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.text.json_values import Json

# options that locate the files; they do not change the content and are not part of the digest
_WHERE = {"url", "notifications", "files", "catalog", "collections", "bbox", "datetime", "query"}
_ROWS_AT_ONCE = 50_000  # rows that are text in memory at once


def digest_of_documents(
    files: pd.DataFrame, samples: pd.DataFrame, document: VersionDocument
) -> str:
    """Return the digest of a data version.

    It is the sha256 of its canonical manifest, the same on any machine.

    Args:
        files: the manifest: path, sha256 and size of every file, its role, scene and part, and
            which bands are read, in any order.
        samples: place, label, group and split of every sample, in any order.
        document: classes, features, shape, labels and source; of the source the reading options
            count, not the location; and what it was made from. Its own version and digest are not
            read.
    """
    source = document.specification["source"]
    reading = _without_location(source)
    if isinstance(reading, dict) and "stac" in reading:
        reading["stac"] = _without_location(reading["stac"])
    header = {
        "classes": document.classes,
        "features": document.features,
        "input": document.input.model_dump(mode="json"),
        "reading": reading,
        "labels": document.labels,
    }
    if document.processing is not None:  # versions that have landed keep their digest
        header["processing"] = document.processing.identity()
    chosen = files.reindex(columns=["path", "bands"]).dropna(subset="bands").sort_values("path")
    if len(chosen):  # versions that read all bands in file order keep their digest
        header["bands"] = {
            path: list(map(int, bands)) for path, bands in chosen.itertuples(index=False)
        }
    digest = hashlib.sha256(
        (json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)).encode()
    )
    for frame, order, columns in (
        (
            files.astype({"part": "Int64"}),
            ["path"],
            ["path", "sha256", "size", "role", "scene", "part"],
        ),
        (samples, ["path", "row", "column"], ["path", "row", "column", "label", "group", "split"]),
    ):
        rows = _in_order(frame[columns], order)
        for start in range(0, max(len(rows), 1), _ROWS_AT_ONCE):
            part = rows.iloc[start : start + _ROWS_AT_ONCE]
            digest.update(part.to_csv(index=False, header=start == 0, lineterminator="\n").encode())
    return digest.hexdigest()


def _in_order(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return rows sorted by columns; those that are in order already are not copied."""
    return rows if ascends(rows[columns[0]]) else rows.sort_values(columns, kind="stable")


def _without_location(options: Json) -> Json:
    if not isinstance(options, dict):
        return options
    return {name: value for name, value in options.items() if name not in _WHERE}
