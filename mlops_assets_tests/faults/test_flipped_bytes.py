"""One bit of one object changes on its way from the store.

It is not used, or read again, and the error names it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import MlopsError
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import write_scene
from mlops_assets_tests.faults.life import STEPS, Step, state
from mlops_assets_tests.faults.tally import LONG, Tally
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.servers.buckets import FaultyBucket

NAMES = (
    "assess v1",
    "record v1",
    "train on v1",
    "train patiently",
    "export",
    "evaluate",
    "record the model",
    "promote",
    "evaluate again",
)
SHORT = ("train on v1", "evaluate", "predict")

pytestmark = [
    pytest.mark.faults("a bit flips on its way from the object store"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@dataclass
class Places:
    """Workspaces in one bucket, each below a name of its own.

    Each is opened afresh, with an empty cache.
    """

    bucket: FaultyBucket
    folder: Path
    opened: int = 0

    @contextmanager
    def open(self, name: str) -> Iterator[Store]:
        self.opened += 1
        workspace = Workspace(f"{self.bucket.url}/{name}", self.folder / f"cache-{self.opened}")
        store = Store(
            workspace, Registry(f"sqlite:///{self.folder / name}.db").acting(local("tester"))
        )
        try:
            yield store
        finally:
            store.registry.close()

    def copy(self, source: str, target: str) -> None:
        for path in self.bucket.paths(source):
            self.bucket.put(f"{target}{path.removeprefix(source)}", self.bucket.get(path))
        shutil.copy(self.folder / f"{source}.db", self.folder / f"{target}.db")

    def reads(self) -> list[str]:
        """The objects that were read so far, through the faults."""
        return [request for request in self.bucket.faults.asked("GET *") if "?" not in request]

    def require_whole(self, name: str) -> None:
        with self.open(name) as store:
            assert verify_all(store).problems == []


def test_a_flipped_bit_is_never_used(faulty_s3: FaultyBucket, tmp_path: Path, tally: Tally) -> None:
    write_scene(tmp_path / "landed", size=32)
    faulty_s3.land(tmp_path / "landed", "life/landing/scenes")
    places = Places(faulty_s3, tmp_path)
    with places.open("life") as store:
        STEPS["commit v1"](store)
    for name, step in _steps(tmp_path).items():
        start = name.replace(" ", "-")
        places.copy("life", start)
        before = len(places.reads())
        with places.open("life") as store:
            step(store)
            expected = state(store)
        reads = len(places.reads()) - before
        places.require_whole("life")
        for number in range(reads if LONG or name in SHORT else 0):
            attempt = f"{start}-{number}"
            places.copy(start, attempt)
            with tally.trial(f"{name}, read {number}") as trial:
                trial.outcome = _try(attempt, number, step, expected, places)


def _try(place: str, number: int, step: Step, expected: dict[str, object], places: Places) -> str:
    before = len(places.reads())
    places.bucket.faults.add("*", method="GET", flip=True, after=number, times=1)
    outcome = "held"
    with places.open(place) as store:
        try:
            step(store)
        except MlopsError as error:
            outcome = "repaired"
            key = places.reads()[before + number].partition(f"{place}/")[2]
            names = [key, *_landed_as(store, key)]
            assert any(name in str(error) for name in names), (
                f"{key} is not named: {type(error).__name__}: {error}"
            )
    places.bucket.faults.clear()
    places.require_whole(place)
    with places.open(place) as store:
        if outcome == "repaired":
            step(store)
        assert state(store) == expected
    places.require_whole(place)
    return outcome


def _landed_as(store: Store, key: str) -> list[str]:
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("scenes", "v1"))
    files = zip(committed.manifest["path"], committed.manifest["sha256"], strict=True)
    return [path for path, sha256 in files if object_key(sha256) == key]


def _steps(folder: Path) -> dict[str, Step]:
    def predict(store: Store) -> object:
        row = store.registry.model_versions("crops")[-1]
        return map_scene(store, row, folder / "landed/images/a.tif", "map")

    def recalled(store: Store) -> object:
        committed = CommittedDataset.open(
            store.workspace, store.registry, Reference("scenes", "v1")
        )
        shutil.rmtree(folder / "recalled", ignore_errors=True)
        return recall(committed, folder / "recalled")

    return {**{name: STEPS[name] for name in NAMES}, "predict": predict, "recall": recalled}
