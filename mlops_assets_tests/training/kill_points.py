"""A life of two data versions and a model on them in steps, and a process that is killed between durable operations.

Durable are: writing, moving and removing a file of the workspace, and committing a transaction that wrote. Processes
are forked from one that has the heavy modules loaded and nothing opened.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from mlops_assets.datasets.freezing import freeze
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.specification import Quality
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.names import Reference
from mlops_assets.registry import Registry
from mlops_assets.serving.scenes import predict_scene
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.models import write_model_record
from mlops_assets.storage import Workspace
from mlops_assets.training.exporting import export
from mlops_assets.training.fitting import train
from mlops_assets.training.measuring import evaluate_version
from mlops_assets.training.promotion import promote
from mlops_assets.training.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.training.trainers import model_specification

KILLED = 86  # exit status
MODEL = "crops"
_WRITES = ("INSERT", "UPDATE", "DELETE")
Step = Callable[[Store], object]


def opened(root: Path) -> Store:
    """The workspace at a folder."""
    return Store(Workspace(root.as_uri()), Registry(f"sqlite:///{root / 'registry.db'}"), "tester")


@contextmanager
def watched(before: Callable[[str], None]) -> Iterator[None]:
    """Call `before` with a description before each durable operation of this process."""
    originals = {name: getattr(Workspace, name) for name in ("_put", "move", "remove")}

    def announced(name: str) -> Callable[..., Any]:
        def call(self: Workspace, key: str, *rest: Any) -> Any:
            before(f"{name} {key}")
            return originals[name](self, key, *rest)

        return call

    def executing(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith(_WRITES):
            connection.info["wrote"] = statement

    def committing(connection: Any) -> None:
        if wrote := connection.info.pop("wrote", None):
            before(f"commit {wrote.splitlines()[0]}")

    for name in originals:
        setattr(Workspace, name, announced(name))
    event.listen(Engine, "before_cursor_execute", executing)
    event.listen(Engine, "commit", committing)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(Workspace, name, original)
        event.remove(Engine, "before_cursor_execute", executing)
        event.remove(Engine, "commit", committing)


def killed_before(root: Path, step: str, operation: int) -> int | None:
    """Do a step in a process that ends, without a word, before its operation of this number; return its exit status."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_do_and_die, args=(root, step, operation))
    process.start()
    process.join(120)
    return process.exitcode


def _do_and_die(root: Path, step: str, operation: int) -> None:
    left = iter(range(operation, -1, -1))

    def die(_what: str) -> None:
        if next(left) == 0:
            os._exit(KILLED)

    store = opened(root)
    with watched(die):
        STEPS[step](store)


def land(store: Store, scene: str, seed: int) -> None:
    """Let a scene arrive."""
    write_scene(store.workspace.root / "landing/scenes", scene, size=32, seed=seed, crs="EPSG:32632")


def _commit(store: Store) -> object:
    return freeze(store.workspace, store.registry, scenes_specification(), "tester")


def _dataset(store: Store, version: str) -> FrozenDataset:
    return FrozenDataset.open(store.workspace, store.registry, Reference("scenes", version))


def _assess(version: str, **thresholds: float) -> Step:
    return lambda store: assess(store.registry, _dataset(store, version), Quality(**thresholds))


def _record(version: str) -> Step:
    return lambda store: write_dataset_record(store.workspace, store.registry, _dataset(store, version))


def _specification(gates: tuple[str, ...] = ()) -> Any:
    declared = [{"metric": metric, "min": 0} for metric in gates]
    return model_specification(MODEL, dataset="scenes", inputs="patch", gates=declared)


def _train(version: str) -> Step:
    run_id = f"{version}{'0' * 30}"
    return lambda store: train(store, _specification(), version, {}, 0, run_id=run_id)


def _row(store: Store, version: str) -> Any:
    return store.registry.model_versions(MODEL, data_version=version)[-1]


def _export(version: str) -> Step:
    return lambda store: export(store, _specification(), _row(store, version))


def _evaluate(version: str, *gates: str) -> Step:
    return lambda store: evaluate_version(store, _specification(gates), _row(store, version))


def _record_model(version: str, title: str) -> Step:
    return lambda store: write_model_record(store.workspace, store.registry, _row(store, version), title, "")


def _promote(version: str) -> Step:
    return lambda store: promote(store, _row(store, version), [], "tester")


def _predict(version: str, scene: str) -> Step:
    """Predict; the map has the same name whatever the scene, and so replaces another."""

    def predict(store: Store) -> object:
        path = store.workspace.root / f"landing/scenes/images/{scene}.tif"
        return predict_scene(store, _row(store, version), path, "map")

    return predict


STEPS: dict[str, Step] = {
    "commit v1": _commit,
    "assess v1": _assess("v1"),
    "record v1": _record("v1"),
    "train on v1": _train("v1"),
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
}
LANDED = {"commit v1": ("a", 0), "commit v2": ("b", 1)}
