"""Training data that the contract of readers lands and commits, and the facts about it.

The comparisons are in `reader_assertions`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.sources import open_landing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store

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
    opened = open_landing(workspace, source)
    landed = Landed(workspace, opened, opened.list(), folder.parent / "staging", opened.scenes)
    return LAYOUTS[source.layout].contents(landed, specification)


def commit_as(store: Store, case: ReaderCase, split: str = "random") -> Commit:
    """Commit the dataset of a case."""
    return commit(store.workspace, store.registry, case.specification(split))


def land_what_is_new(source: Path, target: Path) -> None:
    """Copy the files that are missing or differ, and leave the others untouched."""
    for path in (path for path in source.rglob("*") if path.is_file()):
        other = target / path.relative_to(source)
        if not other.exists() or other.read_bytes() != path.read_bytes():
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, other)
