import json
from typing import Any

from mlops_assets.datasets.versions.documents import json_bytes
from mlops_assets.datasets.versions.version_document import VersionDocument

FIRST_RELEASE: dict[str, Any] = {
    "dataset": "fields",
    "version": "v1",
    "digest": "0" * 64,
    "specification": {"name": "fields", "source": {"layout": "table"}},
    "classes": [{"name": "wheat", "value": 1}, {"name": "rye", "value": "r"}],
    "features": ["a", "b"],
    "input": {"kind": "row", "size": 1},
}
CLASSES = [
    {"name": "wheat", "value": 1, "train": 2, "validation": 0, "test": 1, "left_out": None},
]
SUMMARY = {
    "bbox": [9.0, 47.1, 9.5, 47.2],
    "classes": CLASSES,
    "crs": ["EPSG:32632"],
    "interval": ["2024-05-01T00:00:00+00:00", None],
    "kept_by_reference": 0,
}
COMPLETE = FIRST_RELEASE | {
    "created": "2024-06-01T10:11:12.345678+00:00",
    "created_by": "Zoë",
    "notes": ["a note"],
    "labels": {"a.tif": "labels.tif"},
    "described": [
        {"scenes": ["a"], "properties": {"platform": "x", "gsd": 10}},
        {"scenes": ["b"], "assets": [{"bands": [{"name": "B02"}], "gsd": 10.0}, {}]},
    ],
    "summary": SUMMARY,
}


def test_a_document_is_written_as_it_was_read() -> None:
    stored = json_bytes(COMPLETE)
    assert json_bytes(VersionDocument.model_validate_json(stored).content()) == stored


def test_documents_of_earlier_releases_lack_fields() -> None:
    found = VersionDocument.model_validate_json(json.dumps(FIRST_RELEASE))
    assert (found.created, found.created_by, found.summary) == (None, None, None)
    assert (found.notes, found.labels, found.described) == ([], {}, [])


def test_keys_of_later_releases_are_kept() -> None:
    later = COMPLETE | {
        "colour": "red",
        "input": {"kind": "image", "height": 3, "width": 4, "depth": 2},
        "classes": [{"name": "wheat", "value": 1, "colour": "yellow"}],
        "summary": SUMMARY | {"area": 1.5},
    }
    assert VersionDocument.model_validate(later).content() == later
