"""A process that is killed between any two durable operations leaves nothing half, and the next one ends its work."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.training.store import Store
from mlops_assets.training.verification import verify_all
from mlops_assets_tests.training.kill_points import KILLED, LANDED, STEPS, killed_before, land, opened, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Life:
    """A workspace, copies of it as it was before each step, what each step did, and the state it led to."""

    root: Path
    before: dict[str, Path]
    operations: dict[str, list[str]]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A whole life in which nobody is killed."""
    folder = tmp_path_factory.mktemp("life")
    found = Life(folder / "workspace", {}, {}, {})
    for name, step in STEPS.items():
        store = opened(found.root)
        if name in LANDED:
            land(store, *LANDED[name])
        store.registry.close()
        found.before[name] = folder / name
        shutil.copytree(found.root, found.before[name])
        operations: list[str] = []
        store = opened(found.root)
        with watched(operations.append):
            step(store)
        found.operations[name], found.after[name] = operations, _state(store)
        assert verify_all(store).problems == []
        store.registry.close()
    return found


@pytest.fixture
def restored(life: Life) -> Iterator[Any]:
    """Return the workspace as it was before a step; registries are closed at the end."""
    stores: list[Store] = []

    def restore(step: str) -> None:
        while stores:
            stores.pop().registry.close()
        shutil.rmtree(life.root)
        shutil.copytree(life.before[step], life.root)

    def reopened() -> Store:
        stores.append(opened(life.root))
        return stores[-1]

    yield restore, reopened
    while stores:
        stores.pop().registry.close()


@pytest.mark.parametrize("step", STEPS)
def test_wherever_a_step_is_killed_nothing_is_half_and_the_next_run_repairs(
    step: str, life: Life, restored: Any
) -> None:
    restore, reopened = restored
    for number in itertools.count():
        restore(step)
        status = killed_before(life.root, step, number)
        store = reopened()
        assert verify_all(store).problems == [], f"killed before operation {number}"
        if status != KILLED:  # it came to its end
            assert (status, _state(store)) == (0, life.after[step])
            assert number > 0
            break
        STEPS[step](store)
        assert verify_all(store).problems == [], f"done again, killed before operation {number}"
        assert _state(store) == life.after[step], f"done again, killed before operation {number}"


def test_steps_of_all_kinds_replace_what_was_published(life: Life) -> None:
    replacing = {name for name, operations in life.operations.items() if any(o.startswith("move") for o in operations)}
    assert replacing == {
        "assess v1", "record the model", "assess v1 by other thresholds", "record v2 and link v1", "evaluate again",
        "record the model again", "predict again",
    }  # fmt: skip


def _state(store: Store) -> dict[str, Any]:
    """What there is, whatever it was called while it was made."""
    registry = store.registry
    return {
        "data versions": [(row.version, row.digest) for row in registry.data_versions()],
        "model versions": [(row.version, row.stage, row.metrics) for row in registry.model_versions()],
        "runs": [(run.run_id, run.status) for run in registry.runs()],
        "aliases": registry.aliases("crops"),
        "promotions": len(registry.promotions("crops")),
        "files": [file.path for file in registry.files()],
        "staged": list(store.workspace.list("staged")),
    }
