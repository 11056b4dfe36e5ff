"""The contract of a reader, for one layout of training data in a landing.

It lands a few files, commits them, and compares the data version with the landed data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.datasets.readers import LAYOUTS, Layout, View
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.sources import folder as folder_landing
from mlops_assets.datasets.splits.assign import assign_splits
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import SAMPLE_COLUMNS
from mlops_assets.datasets.versions.manifest import COLUMNS
from mlops_assets.errors import DataProblems, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.storage import sha256_of
from mlops_assets.testing.reader_assertions import (
    assert_fact,
    assert_labels,
    assert_not_moved,
    assert_places_and_times,
    assert_same_again,
    cut,
)
from mlops_assets.testing.reader_cases import (
    FEW,
    MORE,
    Committed,
    ReaderCase,
    Truth,
    commit_as,
    land_what_is_new,
    landing,
    new_store,
    read_landing,
)

__all__ = ["ReaderCase", "ReaderContract", "Truth"]

VIEWS: dict[str, list[View]] = {
    "row": ["row"],
    "patch": ["patch", "pixel"],
    "window": ["window"],
    "image": ["image"],
}


class ReaderContract:
    """The guarantees of a reader that the platform relies on.

    Subclass it, and override the fixture `case`; for a reader that is not one of the platform's,
    override `reader` too.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def case(cls) -> ReaderCase:
        """Return training data in the layout of the reader, and the facts about it."""
        pytest.fail("override the fixture 'case' of scope class: return a ReaderCase")

    @pytest.fixture(scope="class")
    @classmethod
    def reader(cls, case: ReaderCase) -> Layout:
        """Return the reader; it serves the layout of the case while the suite runs."""
        return LAYOUTS[case.layout]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _registered(cls, case: ReaderCase, reader: Layout) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(LAYOUTS, case.layout, reader)
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def committed(
        cls, case: ReaderCase, _registered: None, tmp_path_factory: pytest.TempPathFactory
    ) -> Committed:
        """Return the case, committed once; its landing must not be written to."""
        store = new_store(tmp_path_factory.mktemp("committed"))
        folder = landing(store)
        truth = case.land(folder, FEW)
        found = commit_as(store, case)
        dataset = CommittedDataset.open(store.workspace, store.registry, Reference("data", "v1"))
        return Committed(case, store, folder, truth, found, dataset)

    def test_every_labelled_place_is_a_sample_with_its_label_place_and_time(
        self,
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

    def test_the_manifest_has_every_used_file_and_the_document_describes_the_input(
        self,
        committed: Committed,
    ) -> None:
        case = committed.case
        declared = case.classes or case.found_classes
        expected = [
            {"value": value, "name": name} for value, name in (declared or {}).items()
        ] or None
        assert committed.dataset.classes == expected
        assert committed.dataset.document.features == case.features
        assert committed.dataset.document.input.kind == case.kind
        manifest = committed.dataset.manifest
        assert list(manifest.columns) == COLUMNS
        assert manifest["path"].tolist() == sorted(committed.truth.files)
        for row in manifest.to_dict("records"):
            local = committed.folder / row["path"]
            referenced = case.referenced
            # the Items that are used, and the paths of their assets among the files
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
        assert stored == (1 if case.referenced else manifest["sha256"].nunique())

    def test_samples_are_read_as_they_were_landed(self, committed: Committed) -> None:
        layout = LAYOUTS[committed.dataset.layout]
        kind = committed.case.kind
        size = getattr(committed.dataset.document.input, "size", 1)
        for path, samples in committed.dataset.samples.groupby("path"):
            places = (
                samples[["row", "column"]].sample(frac=1, random_state=0).to_numpy(dtype=np.int64)
            )
            values = committed.truth.values[str(path)]
            for view in VIEWS[kind]:
                found = layout.read(committed.dataset, str(path), places, view)
                np.testing.assert_array_equal(found, cut(values, places, view, size), strict=True)
                none = layout.read(committed.dataset, str(path), places[:0], view)
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
            assert layout.read_labels(committed.dataset, str(path), places[:0]).shape == (
                0,
                size,
                size,
            )

    def test_recalled_files_commit_to_the_same_version_elsewhere(
        self, committed: Committed, tmp_path: Path
    ) -> None:
        other = new_store(tmp_path)
        recall(committed.dataset, landing(other), copy=True)
        again = commit_as(other, committed.case)
        assert again.version.digest == committed.commit.version.digest
        found = CommittedDataset.open(other.workspace, other.registry, Reference("data", "v1"))
        kept = [column for column in COLUMNS if column not in ("href", "source")]
        pd.testing.assert_frame_equal(found.manifest[kept], committed.dataset.manifest[kept])
        pd.testing.assert_frame_equal(found.samples, committed.dataset.samples)

    def test_growth_in_steps_gives_the_version_of_a_commit_at_once(
        self, committed: Committed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # every landed file is settled at once
        monkeypatch.setattr(folder_landing, "CLOCK_SECONDS", -3600.0)
        case = committed.case
        grown = new_store(tmp_path / "grown")
        whole = new_store(tmp_path / "whole")
        case.land(landing(grown), FEW)
        assert commit_as(grown, case).version.digest == committed.commit.version.digest
        assert_same_again(committed, grown)
        case.land(landing(whole), MORE)
        land_what_is_new(landing(whole), landing(grown))
        found = commit_as(grown, case)
        expected = commit_as(whole, case)
        assert (found.version.version, found.version.digest) == ("v2", expected.version.digest)
        assert set(grown.workspace.list("objects")) >= set(whole.workspace.list("objects"))
        versions = [Reference("data", version) for version in ("v1", "v2")]
        assert_not_moved(
            *(CommittedDataset.open(grown.workspace, grown.registry, at).samples for at in versions)
        )
        for name in ("samples", "manifest"):
            first, second = (
                getattr(
                    CommittedDataset.open(store.workspace, store.registry, Reference("data")), name
                )
                for store in (grown, whole)
            )
            pd.testing.assert_frame_equal(
                first.drop(columns=["href"], errors="ignore"),
                second.drop(columns=["href"], errors="ignore"),
            )
        few, more = (
            read_landing(folder, case.specification())
            for folder in (committed.folder, landing(whole))
        )
        for method in case.splits:
            split = case.specification(method).split
            assert_not_moved(assign_splits(few, split), assign_splits(more, split))

    def test_all_damaged_files_are_named_at_once_and_nothing_is_published(
        self, committed: Committed, tmp_path: Path
    ) -> None:
        store = new_store(tmp_path / "else where")
        case = committed.case
        truth = case.land(landing(store), FEW)
        paths = [
            path
            for path, facts in truth.files.items()
            if facts["role"] not in ("sidecar", "catalog")
        ]
        whole = {path: (landing(store) / path).read_bytes() for path in paths}
        for damaged in ({paths[0], paths[-1]}, set(paths)):
            for path in damaged:
                (landing(store) / path).write_bytes(b"damaged")
            with pytest.raises(DataProblems) as raised:
                commit_as(store, case)
            named = [problem.split(":")[0] for problem in raised.value.problems]
            assert sorted(named) == sorted(damaged), raised.value.problems
            assert all("; " in problem for problem in raised.value.problems), raised.value.problems
            assert store.registry.data_versions() == []
            assert store.registry.files() == []
            assert list(store.workspace.list("datasets")) == []
        for path, content in whole.items():
            (landing(store) / path).write_bytes(content)
        repaired = commit_as(store, case)
        assert repaired.created
        assert repaired.version.digest == committed.commit.version.digest

    @pytest.mark.parametrize(
        "documents", [True, False], ids=["all files", "all but STAC documents"]
    )
    def test_git_lfs_pointers_are_reported_once(
        self, case: ReaderCase, documents: bool, tmp_path: Path
    ) -> None:
        store = new_store(tmp_path)
        folder = landing(store)
        case.land(folder, 1)
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
            commit_as(store, case)
        assert len(raised.value.problems) == 1
