"""The digest of a data version: what it depends on, and what it does not."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.datasets.versions.digest import digest_of_documents
from mlops_assets.datasets.versions.sample_shape import RowShape
from mlops_assets.datasets.versions.version_document import VersionDocument


def files_table(names: str) -> pd.DataFrame:
    """Manifest rows of files with these paths."""
    rows = [
        {"path": name, "sha256": name * 64, "size": 1, "role": "table", "scene": None}
        for name in names
    ]
    return pd.DataFrame(rows).assign(part=pd.array([None] * len(rows), "Int64"))


def digest_of(files: pd.DataFrame, samples: pd.DataFrame, source: dict[str, Any]) -> str:
    document = VersionDocument(
        dataset="fields",
        version="v1",
        digest="",
        specification={"source": source},
        classes=None,
        features=["f"],
        input=RowShape(),
    )
    return digest_of_documents(files, samples, document)


def test_the_digest_of_a_catalogue_does_not_depend_on_its_location_or_the_search() -> None:
    samples = pd.DataFrame(
        {"path": ["a"], "row": [0], "column": [0], "label": ["x"], "group": None, "split": "train"}
    )

    def digest(**stac: Any) -> str:
        source = {"url": "x", "layout": "stac", "stac": {"images": ["image"], **stac}}
        return digest_of(files_table("a"), samples, source)

    search = {
        "bbox": [0, 1, 2, 3],
        "datetime": "2020",
        "query": "x = 1",
        "collections": ["x"],
        "catalog": "y.json",
    }
    assert digest(**search) == digest()
    assert digest(images=["nir"]) != digest()


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.permutations(range(6)), st.permutations(range(3)))
def test_the_digest_does_not_depend_on_the_order_of_samples_or_files(
    rows: list[int], files: list[int]
) -> None:
    samples = pd.DataFrame(
        {
            "path": list("aabbcc"),
            "row": [0, 10, 9, 2, 0, 1],
            "column": [-1, 5, 5, 6, 7, 7],
            "label": list("xyxyxy"),
            "group": None,
            "split": ["train", "test", None, "train", "test", "train"],
        }
    )
    table = files_table("abc")
    permuted = samples.iloc[rows].reset_index(drop=True)
    source = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "decimal": "."},
    }
    expected = digest_of(table, samples, source)
    assert digest_of(table.iloc[files], permuted, source) == expected


def test_the_digest_depends_on_every_fact_of_a_sample() -> None:
    samples = pd.DataFrame(
        {
            "path": ["a"],
            "row": [0],
            "column": [-1],
            "label": ["x"],
            "group": ["farm 1"],
            "split": ["train"],
        }
    )
    source = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "group": "farm"},
    }
    changes: dict[str, Any] = {
        "path": "b",
        "row": 1,
        "column": 0,
        "label": "y",
        "group": "farm 2",
        "split": "test",
    }
    changed = [samples, *(samples.assign(**{name: [value]}) for name, value in changes.items())]
    digests = [digest_of(files_table("ab"), frame, source) for frame in changed]
    assert len(set(digests)) == 1 + len(changes)


def test_the_digest_depends_on_reading_options_but_not_on_the_location() -> None:
    samples = pd.DataFrame(
        {"path": ["a"], "row": [0], "column": [-1], "label": ["x"], "group": None, "split": "train"}
    )

    def digest(**source: Any) -> str:
        return digest_of(files_table("a"), samples, source)

    first = digest(url="landing/fields", layout="table", table={"label": "crop", "decimal": "."})
    watched = {"notifications": {"queue": "https://sqs/q"}, "files": ["a.csv"]}
    assert (
        digest(url="s3://b/x", layout="table", table={"label": "crop", "decimal": "."}, **watched)
        == first
    )
    assert digest(url="elsewhere", layout="table", table={"decimal": ".", "label": "crop"}) == first
    assert (
        digest(url="landing/fields", layout="table", table={"label": "crop", "decimal": ","})
        != first
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {
                "classes": [{"value": 1, "name": "wheat"}, {"value": "r", "name": "Weiß"}],
                "features": ["B04", "B08"],
                "input": {"kind": "window", "size": 8},
                "labels": {"a.tif": "c.gpkg"},
            },
            "ee7e1deabf5f2b9acfd4436394f62221988626f8ed8cd08935143870d70d2e26",
        ),
        (
            {"classes": None, "features": ["B04"], "input": {"kind": "row", "size": 1}},
            "077d0960e7e225555578623154f13bb5b5fb22c3a871a631465b5be529669cdf",
        ),
        (
            {
                "classes": [],
                "features": ["B04"],
                "input": {"kind": "image", "height": 3, "width": 4},
            },
            "27043c1bc08aef6d681bf90088a67b88848e455603be7ad07d9fee11d740c7d5",
        ),
    ],
    ids=["window", "row", "image"],
)
def test_the_digest_is_that_of_earlier_releases(content: dict[str, Any], expected: str) -> None:
    files = pd.DataFrame(
        {
            "path": ["a.tif", "b.tif", "c.gpkg"],
            "sha256": [letter * 64 for letter in "abc"],
            "size": [10, 20, 30],
            "role": ["image", "image", "labels"],
            "scene": ["a", "b", None],
            "part": [0.0, 0.0, None],
            "bands": [[2, 1], None, None],
        }
    )
    samples = pd.DataFrame(
        {
            "path": ["a.tif", "b.tif"],
            "row": [0, 8],
            "column": [8, 0],
            "label": None,
            "group": ["a", None],
            "split": ["train", None],
        }
    )
    stac = {"images": ["red"], "bbox": [0, 1, 2, 3]}
    source: dict[str, Any] = {"url": "landing/tiles", "layout": "stac", "stac": stac}
    document = VersionDocument(
        dataset="tiles", version="v1", digest="", specification={"source": source}, **content
    )
    assert digest_of_documents(files, samples, document) == expected
