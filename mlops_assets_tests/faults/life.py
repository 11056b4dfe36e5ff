"""A life of two data versions and two models, each step in a fork of a preloaded process.

Durable operations are writing and removing an object, renaming a file of the workspace, and
committing a transaction that wrote. They are found in obstore, SQLAlchemy and the interpreter, so
that new ones are found by themselves.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, event

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError
from mlops_assets.models.evaluation.evaluate import evaluate_version
from mlops_assets.models.export.export import export
from mlops_assets.models.promotion import promote
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.mlm.facts import ModelDeclaration
from mlops_assets.stac.models import write_model_record
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import (
    HERE,
    model_specification,
    training_request,
)

MODEL = "crops"
REGISTRY = "registry.url"
_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")
Step = Callable[[Store], object]


def opened(root: Path) -> Store:
    """The workspace at a folder.

    Its registry is SQLite, unless a file there has the URL of another.
    """
    file = root / REGISTRY
    url = file.read_text() if file.exists() else f"sqlite:///{root / 'registry.db'}"
    return Store(Workspace(root.as_uri()), Registry(url).acting(local("tester")))


@contextmanager
def watched(root: Path, before: Callable[[str], None]) -> Iterator[None]:
    """Call `before` with a description before each durable operation of this process.

    Only operations on the workspace at `root` count. No file is being put meanwhile by another
    thread, so that what dies there dies between two of them.
    """
    one_at_a_time = threading.RLock()
    originals = {name: getattr(obstore, name) for name in ("put", "delete", "copy", "rename")}
    watching = True

    def announced(name: str) -> Callable[..., object]:
        def call(store: object, path: object, *rest: object, **options: object) -> object:
            with one_at_a_time:
                before(f"{name} {path}")
                return originals[name](store, path, *rest, **options)

        return call

    def executing(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.lstrip().startswith(_WRITES):
            connection.info["wrote"] = statement.strip()

    def committing(connection: Connection) -> None:
        if wrote := connection.info.pop("wrote", None):
            with one_at_a_time:
                before(f"commit {wrote.splitlines()[0]}")

    # the hook cannot be removed
    def audited(name: str, arguments: tuple[Any, ...]) -> None:
        if watching and name == "os.rename" and str(arguments[1]).startswith(f"{root}{os.sep}"):
            with one_at_a_time:
                before(f"rename {Path(arguments[1]).relative_to(root)}")

    for name in originals:
        setattr(obstore, name, announced(name))
    event.listen(Engine, "before_cursor_execute", executing)
    event.listen(Engine, "commit", committing)
    sys.addaudithook(audited)
    try:
        yield
    finally:
        watching = False
        for name, original in originals.items():
            setattr(obstore, name, original)
        event.remove(Engine, "before_cursor_execute", executing)
        event.remove(Engine, "commit", committing)


def state(store: Store) -> dict[str, object]:
    """Return all that is recorded, under its final names."""
    registry = store.registry
    models = sorted({row.model for row in registry.model_versions()})
    return {
        "data versions": [(row.version, row.digest) for row in registry.data_versions()],
        "model versions": [
            (row.model, row.version, row.stage, row.metrics) for row in registry.model_versions()
        ],
        "runs": [(run.run_id, run.status, registry.series(run.run_id)) for run in registry.runs()],
        "checkpoints": [
            (row.run_id, row.step)
            for run in registry.runs()
            for row in registry.checkpoints(run.run_id)
        ],
        "tags": registry.tags("scenes"),
        "aliases": {model: registry.aliases(model) for model in models},
        "promotions": [
            (row.alias, row.version, row.previous)
            for each in models
            for row in registry.promotions(each)
        ],
        "files": [file.path for file in registry.files()],
        "staged": registry.staged(),
    }


def kept_files(root: Path) -> set[str]:
    """The files of a workspace, also those that no listing shows.

    Not those of the database and of locks, nor entries of the log: a step that was done and is
    done again has one more, and `verify` compares them with the registry.
    """
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    return {
        path
        for path in found
        if not path.startswith(("registry.", "log/")) and not path.endswith(".lock")
    }


def held_locks(root: Path) -> list[str]:
    """The locks of a workspace that somebody holds."""
    found = []
    for path in root.rglob("*.lock"):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            found.append(path.name)
    return found


def land(root: Path, scene: str, seed: int) -> None:
    """Let a scene arrive."""
    write_scene(root / "landing/scenes", scene, size=32, seed=seed, crs="EPSG:32632")


def _commit(store: Store) -> object:
    return commit(store.workspace, store.registry, scenes_specification())


def _dataset(store: Store, version: str) -> CommittedDataset:
    return CommittedDataset.open(store.workspace, store.registry, Reference("scenes", version))


def _assess(version: str, **thresholds: float) -> Step:
    def assessed(store: Store) -> None:
        found = assess(store.registry, _dataset(store, version), QualityThresholds(**thresholds))
        if failed := [
            check.description
            for check in found.checks
            if check.name == "readable" and not check.passed
        ]:
            raise IntegrityError("; ".join(failed))

    return assessed


def _record(version: str) -> Step:
    return lambda store: write_dataset_record(
        store.workspace, store.registry, _dataset(store, version)
    )


def _specification(gates: tuple[str, ...] = ()) -> ModelSpecification:
    declared = [{"metric": metric, "min": 0} for metric in gates]
    return model_specification(MODEL, dataset="scenes", inputs="patch", gates=declared)


def _train(version: str) -> Step:
    run_id = f"{version}{'0' * 30}"
    return lambda store: train(store, training_request(_specification(), version, run_id=run_id))


def _train_patiently(store: Store) -> object:
    """Train with checkpoints, from which the next run resumes."""
    specification = model_specification(
        "patient", dataset="scenes", inputs="patch", trainer=f"{HERE}:patient"
    )
    return train(
        store, training_request(specification, "v1", {"steps": 8}, run_id=f"wait{'0' * 28}")
    )


def _train_supervised(store: Store) -> object:
    specification = model_specification("supervised", dataset="scenes", inputs="patch")
    return train_supervised(store, training_request(specification, run_id=f"sup{'0' * 29}"))


def _row(store: Store, version: str) -> ModelVersion:
    return store.registry.model_versions(MODEL, data_version=version)[-1]


def _export(version: str) -> Step:
    return lambda store: export(store, _specification(), _row(store, version))


def _evaluate(version: str, *gates: str) -> Step:
    return lambda store: evaluate_version(store, _specification(gates), _row(store, version))


def _record_model(version: str, title: str) -> Step:
    return lambda store: write_model_record(
        store.workspace, store.registry, _row(store, version), ModelDeclaration(title)
    )


def _promote(version: str) -> Step:
    return lambda store: promote(store, _row(store, version), [])


def _predict(version: str, scene: str) -> Step:
    """Predict; the map has the same name whatever the scene, and so replaces another."""

    def predict(store: Store) -> object:
        path = store.workspace.root / f"landing/scenes/images/{scene}.tif"
        return map_scene(store, _row(store, version), path, "map")

    return predict


STEPS: dict[str, Step] = {
    "commit v1": _commit,
    "tag": lambda store: store.registry.tag("scenes", "v1", "spring"),
    "assess v1": _assess("v1"),
    "record v1": _record("v1"),
    "train on v1": _train("v1"),
    "train patiently": _train_patiently,
    "export": _export("v1"),
    "evaluate": _evaluate("v1"),
    "record the model": _record_model("v1", "Crops"),
    "promote": _promote("v1"),
    "predict": _predict("v1", "a"),
    "commit v2": _commit,
    "assess v1 by other thresholds": _assess("v1", min_distance=3.0),
    "record v2 and link v1": _record("v2"),
    "evaluate again": _evaluate("v1", "recall.water"),
    "record the model again": _record_model("v1", "Crops of spring"),
    "predict again": _predict("v1", "b"),
    "train on v2": _train("v2"),
    "train in a process": _train_supervised,
}
LANDED = {"commit v1": ("a", 0), "commit v2": ("b", 1)}
SUPERVISED = (  # which is slow to start, and whose durable operations are not in ours
    "train in a process"
)
# not to be done again once done
ONCE = (
    "promote",
    "train on v1",
    "train patiently",
    "train on v2",
    SUPERVISED,
)
