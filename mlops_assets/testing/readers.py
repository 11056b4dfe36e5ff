"""The contract of a reader, for one layout of training data in a landing.

It lands a few files, commits them, and compares the data version with the landed data.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit import ingest
from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.readers import LAYOUTS, Layout, View, image_folder
from mlops_assets.datasets.readers.scenes import open_scene
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.sources import folder as folder_landing
from mlops_assets.datasets.sources import open_landing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.splits.assign import assign_splits
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import SAMPLE_COLUMNS, Contents
from mlops_assets.datasets.versions.manifest import COLUMNS
from mlops_assets.errors import DataProblems, SpecificationError
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.store import Store

VIEWS: dict[str, list[View]] = {
    "row": ["row"],
    "patch": ["patch", "pixel"],
    "window": ["window"],
    "image": ["image"],
}
# units that land first, and after the dataset has grown
FEW = 3
MORE = 4
HALVES = {"train": 0.5, "test": 0.5}


@dataclass
class Truth:
    """The landed data, in plain NumPy: what the reader has to return.

    Attributes:
        values: path of a table → its features (rows, features); path of an image, of stacked ones
            the first → its pixels (bands, rows, columns).
        labels: the same paths → list of the rows' labels; label of the whole image; or labels of
            the pixels (rows, columns), 0 or NaN where unknown.
        files: path of every file that is used → facts that the manifest must have; those not named
            must be unknown.
    """

    values: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReaderCase:
    """Training data in one layout, and the facts that the suite compares with.

    Attributes:
        name: its name in the names of tests.
        source: options of the source, without its `url`; `layout` is the reader's.
        land: `land(folder, count)` writes the first `count` units (files, rows or scenes) into an
            existing folder and returns their content. It is called with 1, 3 and 4; files that
            land with 3 are unchanged or extended with 4.
        kind: the shape of a sample: `row`, `patch`, `window` or `image`.
        splits: split method → its options, for methods that keep a sample in its split when the
            dataset grows; `random` is one of them.
        features: names of features or bands.
        classes: value → name, as declared.
        found_classes: value → name, as found if they are not declared; None where the label is a
            number.
        bounds: west, south, east, north in degrees that all samples lie in; None if samples have no
            place on the ground.
        timed: whether samples have a time.
        referenced: whether files stay where they are, and are not copied into the workspace.
    """

    name: str
    source: Mapping[str, object]
    land: Callable[[Path, int], Truth]
    kind: str
    splits: Mapping[str, Mapping[str, object]]
    features: list[str]
    classes: Mapping[Any, str] | None = None
    found_classes: Mapping[Any, str] | None = None
    bounds: tuple[float, float, float, float] | None = None
    timed: bool = False
    referenced: bool = False

    @property
    def layout(self) -> str:
        """The layout that the source declares."""
        return str(self.source["layout"])

    def specification(self, split: str = "random", name: str = "data") -> DatasetSpecification:
        """Return the declaration of the dataset, divided by one of `splits`."""
        return DatasetSpecification.model_validate(
            {
                "name": name,
                "source": {"url": f"landing/{name}", **self.source},
                "classes": self.classes,
                "split": {"method": split, "fractions": HALVES, **self.splits[split]},
            }
        )

    def __str__(self) -> str:
        return self.name


@dataclass
class Committed:
    """A case that was landed in `folder` and committed to `store`."""

    case: ReaderCase
    store: Store
    folder: Path
    truth: Truth
    commit: Commit
    dataset: CommittedDataset


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


def new_store(folder: Path) -> Store:
    """Return an empty workspace and registry below a folder."""
    workspace = Workspace((folder / "workspace").as_uri())
    return Store(
        workspace, Registry(f"sqlite:///{workspace.root / 'registry.db'}").acting(local("tester"))
    )


def landing(store: Store) -> Path:
    """Return the folder where the dataset `data` lands, and create it."""
    folder = store.workspace.root / "landing" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_landing(folder: Path, specification: DatasetSpecification) -> Contents:
    """Return the contents of a folder as the reader of the declared layout finds them."""
    workspace = Workspace(folder.parent.as_uri())
    source = specification.source.model_copy(update={"url": str(folder)})
    landing = open_landing(workspace, source)
    landed = Landed(workspace, landing, landing.list(), folder.parent / "staging", landing.scenes)
    return LAYOUTS[source.layout].contents(landed, specification)


def commit_as(store: Store, case: ReaderCase, split: str = "random") -> Commit:
    """Commit the dataset of a case."""
    return commit(store.workspace, store.registry, case.specification(split))


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


def land_what_is_new(source: Path, target: Path) -> None:
    """Copy the files that are missing or differ, and leave the others untouched."""
    for path in (path for path in source.rglob("*") if path.is_file()):
        other = target / path.relative_to(source)
        if not other.exists() or other.read_bytes() != path.read_bytes():
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, other)
