"""The contract of every layout, for every way that training data may lie in a landing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit import ingest
from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.readers import LAYOUTS, image_folder
from mlops_assets.datasets.readers.scenes import open_scene
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.sources import folder as folder_landing
from mlops_assets.datasets.splits.assign import assign_splits
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import SAMPLE_COLUMNS
from mlops_assets.datasets.versions.manifest import COLUMNS
from mlops_assets.errors import DataProblems, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.datasets.readers.implementations import Implementation, Truth
from mlops_assets_tests.datasets.readers.landed_catalogues import CATALOGUES
from mlops_assets_tests.datasets.readers.landed_images import IMAGES
from mlops_assets_tests.datasets.readers.landed_scenes import SCENES
from mlops_assets_tests.datasets.readers.landed_tables import TABLES
from mlops_assets_tests.datasets.readers.landing import mirrored, read_landing

ALL = [*TABLES, *IMAGES, *SCENES, *CATALOGUES]
VIEWS = {"row": ["row"], "patch": ["patch", "pixel"], "window": ["window"], "image": ["image"]}
FEW, MORE = 3, 4  # units that land first, and after the dataset has grown


@dataclass
class Committed:
    """A landed and committed dataset."""

    implementation: Implementation
    store: Store
    folder: Path
    truth: Truth
    commit: Commit
    dataset: CommittedDataset


def new_store(folder: Path) -> Store:
    workspace = Workspace((folder / "workspace").as_uri())
    return Store(
        workspace, Registry(f"sqlite:///{workspace.root / 'registry.db'}").acting(local("tester"))
    )


def landing(store: Store) -> Path:
    folder = store.workspace.root / "landing" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def commit_as(store: Store, implementation: Implementation, split: str = "random") -> Commit:
    return commit(store.workspace, store.registry, implementation.specification(split))


@pytest.fixture(scope="module", params=ALL, ids=str)
def committed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Committed:
    """Each of them, committed once; its landing must not be written to."""
    store = new_store(tmp_path_factory.mktemp("committed"))
    folder = landing(store)
    truth = request.param.land(folder, FEW)
    found = commit_as(store, request.param)
    dataset = CommittedDataset.open(store.workspace, store.registry, Reference("data", "v1"))
    return Committed(request.param, store, folder, truth, found, dataset)


# samples


def test_every_labelled_place_is_a_sample_with_its_label_place_and_time(
    committed: Committed,
) -> None:
    samples = committed.dataset.samples
    types = {column: str(dtype) for column, dtype in samples.dtypes.items()}
    assert list(types) == SAMPLE_COLUMNS
    label = "float64" if committed.dataset.classes is None else "str"
    assert types == {
        "path": "str",
        "row": "int64",
        "column": "int64",
        "label": label,
        "group": "str",
        "split": "str",
        "reason": "str",
        "longitude": "float64",
        "latitude": "float64",
        "time": "datetime64[us, UTC]",
    }
    assert set(samples["split"].dropna()) <= {"train", "validation", "test"}
    assert (samples["split"].isna() == samples["reason"].notna()).all()
    assert not samples.duplicated(["path", "row", "column"]).any()
    assert_labels(committed)
    assert_places_and_times(committed)


def assert_labels(committed: Committed) -> None:
    samples, expected = committed.dataset.samples, expected_labels(committed)
    found = {
        (p, r, c): label
        for p, r, c, label in samples[["path", "row", "column", "label"]].itertuples(index=False)
    }
    assert set(found) == set(expected)
    if committed.implementation.kind == "window":
        assert samples["label"].isna().all()
    elif committed.dataset.classes is None:
        assert [found[place] for place in expected] == pytest.approx(
            list(expected.values()), rel=1e-6
        )
    else:
        assert found == expected


def expected_labels(committed: Committed) -> dict[tuple[str, int, int], Any]:
    """Place of every sample → its label.

    The class's value as text, a number, or None for windows.
    """
    values = {entry["name"]: str(entry["value"]) for entry in committed.dataset.classes or []}
    size = getattr(committed.dataset.document.input, "size", 1)

    def text(label: Any) -> Any:
        return label if committed.dataset.classes is None else values.get(label, str(label))

    found: dict[tuple[str, int, int], Any] = {}
    for path, labels in committed.truth.labels.items():
        if committed.implementation.kind == "row":
            found |= {(path, row, -1): text(label) for row, label in enumerate(labels)}
        elif committed.implementation.kind == "image":
            found[path, 0, 0] = text(labels)
        elif committed.implementation.kind == "window":
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
    """They are known or null."""
    samples, implementation = committed.dataset.samples, committed.implementation
    for columns, known in (
        (["longitude", "latitude"], implementation.located),
        (["time"], implementation.timed),
    ):
        assert (
            samples[columns].notna().all(axis=None)
            if known
            else samples[columns].isna().all(axis=None)
        )
    if implementation.located:  # all of it lies within 40 km of 3° W, 42.45° N
        assert samples["longitude"].between(-3.1, -2.5).all()
        assert samples["latitude"].between(42.4, 42.5).all()
        boxes = committed.dataset.manifest.set_index("path")["bbox"].dropna()
        for path, longitude, latitude in samples[["path", "longitude", "latitude"]].itertuples(
            index=False
        ):
            west, south, east, north = boxes[path]
            assert west - 1e-9 <= longitude <= east + 1e-9
            assert south - 1e-9 <= latitude <= north + 1e-9


# files


def test_every_file_that_is_used_is_in_the_manifest_and_the_document_says_how_they_are_read(
    committed: Committed,
) -> None:
    implementation = committed.implementation
    declared = implementation.classes or implementation.found_classes
    expected = [{"value": value, "name": name} for value, name in (declared or {}).items()] or None
    assert committed.dataset.classes == expected
    assert committed.dataset.document.features == implementation.features
    assert committed.dataset.document.input.kind == implementation.kind
    manifest = committed.dataset.manifest
    assert list(manifest.columns) == COLUMNS
    assert manifest["path"].tolist() == sorted(committed.truth.files)
    kept_elsewhere = "reference" in implementation.name
    for row in manifest.to_dict("records"):
        local, referenced = committed.folder / row["path"], kept_elsewhere
        # the Items that are used, and where their assets lie among the files
        if row["role"] == "catalog":
            local = committed.dataset.local_path(row["path"])
            items = json.loads(local.read_text())["features"]
            assert all(not item["links"] for item in items)
            hrefs = {asset["href"] for item in items for asset in item["assets"].values()}
            assert hrefs == {
                path
                for path, facts in committed.truth.files.items()
                if facts["role"] in ("image", "labels")
            }
            referenced = False
        assert (row["sha256"], row["size"]) == (sha256_of(local), local.stat().st_size)
        assert row["href"] == local.as_uri() if referenced else pd.isna(row["href"])
        assert committed.dataset.local_path(row["path"]).read_bytes() == local.read_bytes()
        facts = committed.truth.files[row["path"]]
        for fact in set(COLUMNS) - {"path", "sha256", "size", "href", "source"}:
            assert_fact(row["path"], fact, row[fact], facts.get(fact))
    stored = sum("objects/" in key for key in committed.store.workspace.list(""))
    # the catalogue is always kept
    assert stored == (1 if kept_elsewhere else manifest["sha256"].nunique())


def assert_fact(path: str, fact: str, found: Any, expected: Any) -> None:
    if expected is None:
        assert found is None or (not isinstance(found, list) and pd.isna(found)), (
            f"{path}: {fact} is made up: {found}"
        )
    elif fact == "bbox":
        assert list(found) == pytest.approx(expected, abs=1e-5), path
    else:
        assert (list(found) if fact == "transform" else found) == expected, f"{path}: {fact}"


# reading


def test_what_is_read_is_what_was_landed(committed: Committed) -> None:
    layout, kind = LAYOUTS[committed.dataset.layout], committed.implementation.kind
    size = getattr(committed.dataset.document.input, "size", 1)
    for path, samples in committed.dataset.samples.groupby("path"):
        places = samples[["row", "column"]].sample(frac=1, random_state=0).to_numpy(dtype=np.int64)
        values = committed.truth.values[str(path)]
        for view in VIEWS[kind]:
            found = layout.read(committed.dataset, str(path), places, view)  # type: ignore[arg-type]
            np.testing.assert_array_equal(found, cut(values, places, view, size), strict=True)
            none = layout.read(
                committed.dataset,
                str(path),
                places[:0],
                view,  # type: ignore[arg-type]
            )
            assert none.shape == (0, *found.shape[1:])
        if kind != "window":
            with pytest.raises(SpecificationError, match="samples"):
                layout.read_labels(committed.dataset, str(path), places)
            continue
        labels = committed.truth.labels[str(path)].astype(np.int64)
        windows = layout.read_labels(committed.dataset, str(path), places)
        np.testing.assert_array_equal(
            windows, cut(labels[None], places, "window", size)[:, 0], strict=True
        )
        assert layout.read_labels(committed.dataset, str(path), places[:0]).shape == (0, size, size)


def cut(values: NDArray[Any], places: NDArray[np.int64], view: str, size: int) -> NDArray[Any]:
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


# away and back


def test_what_is_recalled_and_committed_elsewhere_is_the_same_version(
    committed: Committed, tmp_path: Path
) -> None:
    elsewhere = new_store(tmp_path)
    recall(committed.dataset, landing(elsewhere), copy=True)
    again = commit_as(elsewhere, committed.implementation)
    assert again.version.digest == committed.commit.version.digest
    found = CommittedDataset.open(elsewhere.workspace, elsewhere.registry, Reference("data", "v1"))
    kept = [column for column in COLUMNS if column not in ("href", "source")]
    pd.testing.assert_frame_equal(found.manifest[kept], committed.dataset.manifest[kept])
    pd.testing.assert_frame_equal(found.samples, committed.dataset.samples)


# growth


def test_unchanged_content_is_the_same_version_and_what_grew_is_the_same_as_committed_at_once(
    committed: Committed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # everything that lies there is settled
    monkeypatch.setattr(folder_landing, "CLOCK_SECONDS", -3600.0)
    implementation = committed.implementation
    grown, whole = new_store(tmp_path / "grown"), new_store(tmp_path / "whole")
    implementation.land(landing(grown), FEW)
    assert commit_as(grown, implementation).version.digest == committed.commit.version.digest
    assert_same_again(committed, grown)
    implementation.land(landing(whole), MORE)
    land_what_is_new(landing(whole), landing(grown))
    found, expected = commit_as(grown, implementation), commit_as(whole, implementation)
    assert (found.version.version, found.version.digest) == ("v2", expected.version.digest)
    assert set(grown.workspace.list("objects")) >= set(whole.workspace.list("objects"))
    versions = [Reference("data", version) for version in ("v1", "v2")]
    assert_not_moved(
        *(CommittedDataset.open(grown.workspace, grown.registry, at).samples for at in versions)
    )
    for name in ("samples", "manifest"):
        first, second = (
            getattr(CommittedDataset.open(store.workspace, store.registry, Reference("data")), name)
            for store in (grown, whole)
        )
        pd.testing.assert_frame_equal(
            first.drop(columns=["href"], errors="ignore"),
            second.drop(columns=["href"], errors="ignore"),
        )
    few, more = (
        read_landing(folder, implementation.specification())
        for folder in (committed.folder, landing(whole))
    )
    for method in implementation.splits:
        split = implementation.specification(method).split
        assert_not_moved(assign_splits(few, split), assign_splits(more, split))


def assert_same_again(committed: Committed, store: Store) -> None:
    """Committing what a store has committed and remembers reads, stores and publishes nothing."""
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
        again = commit_as(store, committed.implementation)
    assert (again.created, again.version.digest) == (False, committed.commit.version.digest)
    assert sorted(store.workspace.list("")) == before


def assert_not_moved(before: pd.DataFrame, after: pd.DataFrame) -> None:
    old, new = (
        samples.set_index(["path", "row", "column"])[["split", "reason"]]
        for samples in (before, after)
    )
    assert len(new) > len(old)
    both = old.join(new.add_suffix(" then")).fillna("")
    assert (both["split"] == both["split then"]).all()
    assert (both["reason"] == both["reason then"]).all()


def land_what_is_new(source: Path, target: Path) -> None:
    """Copy the files that are not there or differ, and leave the others as they lie."""
    for path in (path for path in source.rglob("*") if path.is_file()):
        other = target / path.relative_to(source)
        if not other.exists() or other.read_bytes() != path.read_bytes():
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, other)


# problems


def test_all_damaged_files_are_named_at_once_and_nothing_is_published(
    committed: Committed, tmp_path: Path
) -> None:
    store, implementation = new_store(tmp_path / "else where"), committed.implementation
    truth = implementation.land(landing(store), FEW)
    paths = [
        path for path, facts in truth.files.items() if facts["role"] not in ("sidecar", "catalog")
    ]
    whole = {path: (landing(store) / path).read_bytes() for path in paths}
    for spoiled in ({paths[0], paths[-1]}, set(paths)):
        for path in spoiled:
            (landing(store) / path).write_bytes(b"damaged")
        with pytest.raises(DataProblems) as raised:
            commit_as(store, implementation)
        named = [problem.split(":")[0] for problem in raised.value.problems]
        assert sorted(named) == sorted(spoiled), raised.value.problems
        assert all("; " in problem for problem in raised.value.problems), raised.value.problems
        assert store.registry.data_versions() == []
        assert store.registry.files() == []
        assert list(store.workspace.list("datasets")) == []
    for path, content in whole.items():
        (landing(store) / path).write_bytes(content)
    mended = commit_as(store, implementation)
    assert (mended.created, mended.version.digest) == (True, committed.commit.version.digest)


@pytest.mark.parametrize("implementation", ALL, ids=str)
@pytest.mark.parametrize("documents", [True, False], ids=["all files", "all but STAC documents"])
def test_git_lfs_pointers_are_named_once(
    implementation: Implementation, documents: bool, tmp_path: Path
) -> None:
    store = new_store(tmp_path)
    folder = landing(store)
    implementation.land(folder, 1)
    for path in (
        path
        for path in folder.rglob("*")
        if path.is_file() and (documents or path.suffix != ".json")
    ):
        path.write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
        )
    with pytest.raises(
        DataProblems, match=r"Git LFS pointers?, .*; run 'git lfs pull' in the repository"
    ) as raised:
        commit_as(store, implementation)
    assert len(raised.value.problems) == 1
