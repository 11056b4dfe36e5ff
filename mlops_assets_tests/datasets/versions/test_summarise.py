"""The summary of a data version does not depend on the row groups of its files."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.versions import documents, manifest
from mlops_assets.datasets.versions.documents import write_samples
from mlops_assets.datasets.versions.manifest import write_manifest
from mlops_assets.datasets.versions.sample_shape import RowShape
from mlops_assets.datasets.versions.summarise import summarise
from mlops_assets.datasets.versions.version_document import VersionDocument, VersionSummary

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
FILES = [
    {
        "path": f"{number}.tif",
        "sha256": f"{number}" * 64,
        "size": 1,
        "role": "image",
        "crs": f"EPSG:3263{number % 2}",
        "bbox": bbox,
        "datetime": datetime(2020, 1, day, tzinfo=UTC),
        "href": href,
    }
    for number, (bbox, day, href) in enumerate(
        [
            ([178.0, 1.0, 179.0, 2.0], 5, None),
            ([179.5, -3.0, -179.0, -1.0], 2, "https://example.org/1.tif"),
            ([-178.0, 0.0, -177.0, 4.0], 9, "../elsewhere/2.tif"),
            ([178.0, 1.0, 179.0, 2.0], 3, None),
        ]
    )
]
SAMPLES = pd.DataFrame(
    {
        "path": [file["path"] for file in FILES],
        "row": 0,
        "column": 0,
        "label": ["x", None, "y", "x"],
        "split": ["train", "test", None, "train"],
    }
)


def summary_of(
    files: list[dict[str, Any]], rows_at_once: int, pixels: Any, monkeypatch: pytest.MonkeyPatch
) -> VersionSummary:
    for module in (documents, manifest):
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", rows_at_once)
    rows, taken = io.BytesIO(), io.BytesIO()
    write_manifest(rows, pd.DataFrame(files), "fields", "v1", CREATED)
    write_samples(taken, SAMPLES, numbers=False)
    document = VersionDocument(
        dataset="fields",
        version="v1",
        digest="",
        specification={"name": "fields", "source": {"url": "x", "layout": "image_folder"}},
        classes=[{"value": name, "name": name} for name in "xyz"],
        features=["f"],
        input=RowShape(),
    )
    return summarise(document, rows.getvalue(), taken.getvalue(), pixels)


@pytest.mark.parametrize("rows_at_once", [1, 3, 10])
def test_a_summary_is_of_all_row_groups(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = summary_of(FILES, rows_at_once, None, monkeypatch)
    assert found.bbox == [178.0, -3.0, -177.0, 4.0]
    assert found.crs == ["EPSG:32630", "EPSG:32631"]
    assert found.interval == ["2020-01-02T00:00:00+00:00", "2020-01-09T00:00:00+00:00"]
    assert found.kept_by_reference == 2
    assert [(c.value, c.train, c.test, c.left_out) for c in found.classes] == [
        ("x", 2, 0, 0),
        ("y", 0, 0, 1),
        ("z", 0, 0, 0),
    ]


@pytest.mark.parametrize("rows_at_once", [1, 3, 10])
def test_one_file_without_place_or_time_leaves_them_unknown(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [dict(FILES[0]), {**FILES[1], "bbox": None, "datetime": None}, *FILES[2:]]
    pixels = np.arange(12, dtype=np.int32).reshape(4, 3)
    found = summary_of(files, rows_at_once, pixels, monkeypatch)
    assert (found.bbox, found.interval) == (None, None)
    assert [(c.train, c.test, c.left_out) for c in found.classes] == [
        (9, 3, 6),
        (11, 4, 7),
        (13, 5, 8),
    ]
