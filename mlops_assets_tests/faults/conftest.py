"""A whole life in which nothing goes wrong, and what a fault led to compared with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.scratch import scratch_folder
from mlops_assets.training.store import Store
from mlops_assets.training.verification import verify_all
from mlops_assets_tests import interpreter
from mlops_assets_tests.faults.forks import Ended
from mlops_assets_tests.faults.life import LANDED, ONCE, STEPS, held_locks, kept_files, land, opened, state, watched


@dataclass
class Life:
    """A workspace, copies of it as it was before each step, what each step did, and what it led to.

    Attributes:
        root: the workspace.
        temporary: the folder for temporary files of all who work on it.
        before: step → copy of the workspace.
        operations: step → its durable operations.
        states: step → state and files before and after it.
    """

    root: Path
    temporary: Path
    before: dict[str, Path] = field(default_factory=dict)
    operations: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def restore(self, step: str) -> None:
        """Put the workspace back as it was before a step."""
        shutil.rmtree(self.root)
        shutil.copytree(self.before[step], self.root)
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()

    def outcome(self, step: str, ended: Ended) -> str:
        """Look at what a fault has left, run the step again, and look again; return `held` or `repaired`.

        Raises:
            AssertionError: something is lost, doubled, half, or left behind.
        """
        store = opened(self.root)
        try:
            assert verify_all(store).problems == []
            _require_acknowledged(store, ended)
            before, after = self.states[step]
            found = _everything(self.root, store)
            clean = found in (before, after) and not any(self.temporary.iterdir())
            if "step" in ended.acknowledged:
                assert found[0] == after[0]
            assert held_locks(self.root) == []
            if not (step in ONCE and found[0] == after[0]):
                STEPS[step](store)
            elif not clean:
                with scratch_folder("test"):  # as the next run of anything does
                    pass
            assert verify_all(store).problems == []
            assert _everything(self.root, store) == after
            assert list(self.temporary.iterdir()) == []
            return "held" if clean else "repaired"
        finally:
            store.registry.close()


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """A whole life that nothing befalls."""
    folder = tmp_path_factory.mktemp("life")
    found = Life(folder / "workspace", folder / "temporary")
    found.root.mkdir()
    found.temporary.mkdir()
    interpreter.start_server()  # which has temporary files of its own
    kept, tempfile.tempdir = tempfile.tempdir, str(found.temporary)
    for name, step in STEPS.items():
        if name in LANDED:
            land(found.root, *LANDED[name])
        found.before[name] = folder / name
        shutil.copytree(found.root, found.before[name])
        operations: list[str] = []
        with watched(found.root, operations.append):
            store = opened(found.root)
            before = _everything(found.root, store)
            step(store)
        found.operations[name], found.states[name] = operations, (before, _everything(found.root, store))
        assert verify_all(store).problems == []
        store.registry.close()
    yield found
    tempfile.tempdir = kept


def _everything(root: Path, store: Store) -> tuple[dict[str, Any], set[str]]:
    return state(store), kept_files(root)


def _require_acknowledged(store: Store, ended: Ended) -> None:
    """See that what a process was told is recorded is there, once, in order."""
    if "points" in ended.acknowledged:
        run_id, count = ended.acknowledged["points"]
        numbers = [point[0] for point in store.registry.points(run_id)]
        assert numbers == list(range(len(numbers))) and len(numbers) >= count
    if "checkpoint" in ended.acknowledged:
        run_id, step = ended.acknowledged["checkpoint"]
        assert max(row.step for row in store.registry.checkpoints(run_id)) >= step
