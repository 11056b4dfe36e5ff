"""Comparisons of a committed dataset with the landed data.

Landing and committing are in `reader_cases`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit import ingest
from mlops_assets.datasets.readers import image_folder
from mlops_assets.datasets.readers.scenes import open_scene
from mlops_assets.store import Store
from mlops_assets.testing.reader_cases import Committed, commit_as


def assert_labels(committed: Committed) -> None:
    """Assert that every labelled place is a sample with its label."""
    samples = committed.dataset.samples
    expected = expected_labels(committed)
    found = {
        (p, r, c): label
        for p, r, c, label in samples[["path", "row", "column", "label"]].itertuples(index=False)
    }
    assert set(found) == set(expected)
    if committed.case.kind == "window":
        assert samples["label"].isna().all()
    elif committed.dataset.classes is None:
        assert [found[place] for place in expected] == pytest.approx(
            list(expected.values()), rel=1e-6
        )
    else:
        assert found == expected


def expected_labels(committed: Committed) -> dict[tuple[str, int, int], object]:
    """Return (path, row, column) of every sample → its label.

    A label is the class's value as text, a number, or None for windows.
    """
    values = {entry["name"]: str(entry["value"]) for entry in committed.dataset.classes or []}
    size = getattr(committed.dataset.document.input, "size", 1)

    def text(label: object) -> object:
        if committed.dataset.classes is None:
            return label
        return values.get(str(label), str(label))

    found: dict[tuple[str, int, int], object] = {}
    for path, labels in committed.truth.labels.items():
        if committed.case.kind == "row":
            found |= {(path, row, -1): text(label) for row, label in enumerate(labels)}
        elif committed.case.kind == "image":
            found[path, 0, 0] = text(labels)
        elif committed.case.kind == "window":
            places = [
                (r, c) for r in range(0, len(labels), size) for c in range(0, len(labels[0]), size)
            ]
            found |= {
                (path, r, c): None for r, c in places if labels[r : r + size, c : c + size].any()
            }
        else:
            rows, columns = np.nonzero(np.nan_to_num(labels))
            found |= {
                (path, r, c): text(labels[r, c])
                for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
            }
    return found


def assert_places_and_times(committed: Committed) -> None:
    """Assert that places and times are known for all samples, or null for all."""
    samples = committed.dataset.samples
    bounds = committed.case.bounds
    for columns, known in (
        (["longitude", "latitude"], bounds is not None),
        (["time"], committed.case.timed),
    ):
        expected = samples[columns].notna() if known else samples[columns].isna()
        assert expected.all(axis=None)
    if bounds is not None:
        assert samples["longitude"].between(bounds[0], bounds[2]).all()
        assert samples["latitude"].between(bounds[1], bounds[3]).all()
        boxes = committed.dataset.manifest.set_index("path")["bbox"].dropna()
        for path, longitude, latitude in samples[["path", "longitude", "latitude"]].itertuples(
            index=False
        ):
            west, south, east, north = boxes[path]
            assert west - 1e-9 <= longitude <= east + 1e-9
            assert south - 1e-9 <= latitude <= north + 1e-9


def assert_fact(path: str, fact: str, found: Any, expected: Any) -> None:
    """Assert that the manifest has one fact about a file, or null where it is unknown."""
    if expected is None:
        assert found is None or (not isinstance(found, list) and pd.isna(found)), (
            f"{path}: {fact} is {found} and should be unknown"
        )
    elif fact == "bbox":
        assert list(found) == pytest.approx(expected, abs=1e-5), path
    else:
        assert (list(found) if fact == "transform" else found) == expected, f"{path}: {fact}"


def cut(
    values: NDArray[np.generic], places: NDArray[np.int64], view: str, size: int
) -> NDArray[np.generic]:
    """Return samples of landed values: (n, features or bands), or (n, bands, rows, columns)."""
    if view == "row":
        return values[places[:, 0]]
    if view == "pixel":
        return values[:, places[:, 0], places[:, 1]].T
    if view == "patch":
        return mirrored(values, places, size)
    if view == "image":
        return np.stack([values] * len(places))
    return np.stack([values[:, row : row + size, column : column + size] for row, column in places])


def mirrored(
    image: NDArray[np.generic], centres: NDArray[np.int64], size: int
) -> NDArray[np.generic]:
    """Return the patches around pixels of an image (bands, rows, columns), mirrored at edges."""
    half = size // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="symmetric")
    return np.stack([padded[:, r : r + size, c : c + size] for r, c in centres])


def assert_same_again(committed: Committed, store: Store) -> None:
    """Assert that committing known files again reads, stores and publishes nothing."""
    rasters = [
        values
        for path, values in committed.truth.values.items()
        if not path.endswith(("csv", "parquet"))
    ]
    nodata = any("nodata" in facts for facts in committed.truth.files.values())
    before = sorted(store.workspace.list(""))

    def fail(what: str) -> Callable[..., object]:
        return lambda *_, **__: pytest.fail(what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "_store", fail("stored or hashed a file that is known"))
        patch.setattr(image_folder, "image_facts", fail("read an image that is known"))
        if rasters and not nodata:
            patch.setattr(open_scene, "_read", fail("read pixels of a scene that is known"))
        again = commit_as(store, committed.case)
    assert (again.created, again.version.digest) == (False, committed.commit.version.digest)
    assert sorted(store.workspace.list("")) == before


def assert_not_moved(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Assert that every sample of before has kept its split."""
    old, new = (
        samples.set_index(["path", "row", "column"])[["split", "reason"]]
        for samples in (before, after)
    )
    assert len(new) > len(old)
    both = old.join(new.add_suffix(" then")).fillna("")
    assert (both["split"] == both["split then"]).all()
    assert (both["reason"] == both["reason then"]).all()
