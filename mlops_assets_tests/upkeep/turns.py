"""Threads of which one runs at a time, in an order that a seed decides.

The turn may pass before every operation on the workspace and every transaction of the registry, and
whenever a thread waits for a lock. What a pool of threads does, the thread does that waits for it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from filelock import FileLock, Timeout

from mlops_assets.datasets.commit import ingest
from mlops_assets.registry import locks
from mlops_assets.registry.session import RegistrySession
from mlops_assets.storage import Workspace
from mlops_assets.upkeep import objects, tally
from mlops_assets.upkeep.backup import create

_OPERATIONS = (
    "_has",
    "_put",
    "entries",
    "exists",
    "fetch",
    "get",
    "list",
    "local_path",
    "put_pack",
    "remove",
    "stat",
    "still_has_pack",
)
_WAIT_SECONDS = 120.0


class Inline:
    """A pool that does what it is given at once, in the thread that gives it."""

    def __init__(self, _threads: int = 1) -> None:
        """Begin without any thread."""

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        """End without any thread."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call a function."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 (as a pool does)
            future.set_exception(error)
        return future

    def map(self, function: Callable[..., Any], values: Any) -> Iterator[Any]:
        """Call a function with each value."""
        return iter([function(value) for value in values])


class Turns:
    """Who runs next.

    Attributes:
        taken: the names of those who had a turn, in order.
    """

    def __init__(self, seed: int) -> None:
        """Decide all turns by a seed."""
        self._random = random.Random(seed)
        self._stay = self._random.choice((0.2, 0.6, 0.9, 0.97))
        # else whoever takes a lock early would mostly be first
        self._ahead = self._random.choice((0, 0, 4, 8, 16, 32, 64))
        self._passing = threading.Condition()
        self._running: list[str] = []
        self._turn = ""
        self._inside = threading.local()
        self.taken: list[str] = []

    def point(self, *_: object) -> None:
        """Let another thread run now, or not."""
        name = threading.current_thread().name
        if name not in self._running or getattr(self._inside, "transaction", False):
            return
        with self._passing:
            self._next(name)
            self._await(name)

    def waiting(self, *_: object) -> None:
        """Let another thread run: this one waits for it."""
        name = threading.current_thread().name
        with self._passing:
            self._next("" if len(self._running) > 1 else name, without=name)
            self._await(name)

    def run(self, **functions: Callable[[], object]) -> Mapping[str, object]:
        """Run functions by turns; return what each has returned, or raised."""
        results: dict[str, object] = {}

        def run(name: str, function: Callable[[], object]) -> None:
            with self._passing:
                self._await(name)
            try:
                results[name] = function()
            except BaseException as error:  # noqa: BLE001 (it is returned)
                results[name] = error
            with self._passing:
                self._running.remove(name)
                self._next("")

        threads = [
            threading.Thread(target=run, args=item, name=item[0]) for item in functions.items()
        ]
        self._running = sorted(functions)
        for thread in threads:
            thread.start()
        with self._passing:
            self._next("")
        for thread in threads:
            thread.join(_WAIT_SECONDS)
            assert not thread.is_alive(), f"{thread.name} waits forever; turns: {self.taken[-20:]}"
        return results

    def _next(self, name: str, without: str = "") -> None:
        if name and self._ahead > 0:
            self._ahead -= 1
            self._turn = name
            return
        others = [other for other in self._running if other not in (name, without)]
        if name and (not others or self._random.random() < self._stay):
            self._turn = name
        elif others:
            self._turn = self._random.choice(others)
        self.taken.append(self._turn)
        self._passing.notify_all()

    def _await(self, name: str) -> None:
        assert self._passing.wait_for(lambda: self._turn == name, _WAIT_SECONDS)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep the turn: the other thread would wait for the database."""
        self._inside.transaction = True
        try:
            yield
        finally:
            self._inside.transaction = False


def by_turns(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that is done to a workspace and a registry be done by turns."""
    for name in _OPERATIONS:
        monkeypatch.setattr(Workspace, name, _announced(turns, getattr(Workspace, name)))
    session = RegistrySession._session

    @contextmanager
    def in_turn(self: RegistrySession, *arguments: Any, **options: Any) -> Iterator[Any]:
        turns.point()
        with turns.transaction(), session(self, *arguments, **options) as opened:
            yield opened

    class TurnLock(FileLock):
        def acquire(self, *_: Any, **__: Any) -> Any:
            while True:
                turns.point()
                try:
                    return super().acquire(timeout=0)
                except Timeout:
                    turns.waiting()

    monkeypatch.setattr(RegistrySession, "_session", in_turn)
    monkeypatch.setattr(locks, "FileLock", TurnLock)
    monkeypatch.setattr(locks, "pause", turns.waiting)
    monkeypatch.setattr(objects, "pause", turns.point)
    for module in (ingest, tally, create):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Inline)


def _announced(turns: Turns, operation: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        turns.point()
        return operation(*arguments, **options)

    return call
