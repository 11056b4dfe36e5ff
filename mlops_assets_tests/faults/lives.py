"""A life in which nothing goes wrong, and what a fault led to compared with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_assets.models.verify import verify_all
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.faults.forks import Ended
from mlops_assets_tests.faults.life import (
    LANDED,
    ONCE,
    STEPS,
    held_locks,
    kept_files,
    land,
    opened,
    state,
    watched,
)


@dataclass
class Life:
    """A workspace, copies of it as it was before each step, what each step did, and what it led to.

    Attributes:
        root: the workspace.
        temporary: the folder for temporary files of all who work on it.
        copy: copies a workspace, and its files outside of it.
        before: step → copy of the workspace.
        operations: step → its durable operations.
        states: step → state and files before and after it.
    """

    root: Path
    temporary: Path
    copy: Callable[[Path, Path], object] = shutil.copytree
    before: dict[str, Path] = field(default_factory=dict)
    operations: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @contextmanager
    def temporary_files(self) -> Iterator[None]:
        """Let this process and its forks make their temporary files in a folder of their own."""
        interpreter.start_server()  # which has some that stay
        kept, tempfile.tempdir = tempfile.tempdir, str(self.temporary)
        try:
            yield
        finally:
            tempfile.tempdir = kept

    def live(self, steps: Iterable[str] = STEPS) -> None:
        """Do steps one after the other; nothing befalls them."""
        for name in steps:
            if name in LANDED:
                land(self.root, *LANDED[name])
            self.before[name] = self.root.with_name(name)
            self.copy(self.root, self.before[name])
            operations: list[str] = []
            with watched(self.root, operations.append):
                store = opened(self.root)
                before = _everything(self.root, store)
                STEPS[name](store)
            self.operations[name], self.states[name] = (
                operations,
                (
                    before,
                    _everything(self.root, store),
                ),
            )
            assert verify_all(store).problems == []
            store.registry.close()

    def restore(self, step: str) -> None:
        """Put the workspace back as it was before a step."""
        shutil.rmtree(self.root)
        self.copy(self.before[step], self.root)
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()

    def is_done(self, step: str) -> bool:
        """Return whether a step has been done."""
        store = opened(self.root)
        try:
            return bool(state(store) == self.states[step][1][0])
        finally:
            store.registry.close()

    def outcome(self, step: str, ended: Ended) -> str:
        """Check the state after a fault, run the step again, and check again.

        Return `held` or `repaired`.

        Raises:
            AssertionError: something is lost, doubled, half, or left behind.
        """
        store = opened(self.root)
        try:
            assert verify_all(store).problems == []
            _require_acknowledged(store, ended)
            before, after = self.states[step]
            found = _everything(self.root, store)
            clean = found in (before, after) and not any(self.temporary.glob("*.scratch"))
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
            assert list(self.temporary.glob("*.scratch")) == []
            return "held" if clean else "repaired"
        finally:
            store.registry.close()


def new_life(folder: Path, copy: Callable[[Path, Path], object] = shutil.copytree) -> Life:
    """A life in which nothing has been done yet, in an empty folder."""
    life = Life(folder / "workspace", folder / "temporary", copy)
    life.root.mkdir()
    life.temporary.mkdir()
    return life


def _everything(root: Path, store: Store) -> tuple[dict[str, object], set[str]]:
    return state(store), kept_files(root)


def _require_acknowledged(store: Store, ended: Ended) -> None:
    """Check that everything reported to a process as recorded is there, once, in order."""
    if "points" in ended.acknowledged:
        run_id, count = ended.acknowledged["points"]
        numbers = [point[0] for point in store.registry.points(run_id)]
        assert numbers == list(range(len(numbers))) and len(numbers) >= count
    if "checkpoint" in ended.acknowledged:
        run_id, step = ended.acknowledged["checkpoint"]
        assert max(row.step for row in store.registry.checkpoints(run_id)) >= step
