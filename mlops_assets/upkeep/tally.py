"""Counts of the files that are unneeded, or were removed, by kind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from mlops_assets.registry.schema import Removal
from mlops_assets.storage.workspace import StoredEntry
from mlops_assets.store import Store
from mlops_assets.upkeep.rules import Kind, Rules

EXAMPLES = 5  # keys of each kind that are named
_THREADS = 16
# removed before it is asked again whether the lock is held; less than a second of requests
_AT_ONCE = 200


@dataclass
class Tally:
    """The files of one kind.

    Attributes:
        kind: of the files.
        rule: why they are not needed, in words.
        files: how many there are.
        size: of all, in bytes.
        examples: some of their keys.
    """

    kind: Kind
    rule: str
    files: int = 0
    size: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Collection:
    """A collection of unneeded files under way.

    Attributes:
        store: workspace and registry.
        rules: how long files are kept nevertheless.
        moment: the present, from which the rules count.
        delete: whether the files are removed, and not only counted.
        wait: seconds to wait for those who are storing objects.
        listed: is called with the key of every file that is unneeded, or was removed.
    """

    store: Store
    rules: Rules
    moment: datetime
    delete: bool
    wait: float
    listed: Callable[[str], None] | None = None
    tallies: dict[Kind, Tally] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no file of any kind."""
        self.tallies = {kind: Tally(kind, self.rules.text(kind)) for kind in Kind}

    def add(self, kind: Kind, entries: Iterable[StoredEntry]) -> None:
        """Count files of a kind."""
        tally = self.tallies[kind]
        for entry in entries:
            tally.files += 1
            tally.size += entry.size
            if len(tally.examples) < EXAMPLES:
                tally.examples.append(entry.key)
            if self.listed is not None:
                self.listed(entry.key)

    def row(self, kind: Kind, entries: Sequence[StoredEntry]) -> Removal:
        """Return the row of the registry that states a removal."""
        return Removal(
            kind=kind,
            files=len(entries),
            size=sum(entry.size for entry in entries),
            sha256=keys_digest(entry.key for entry in entries),
            rule=self.rules.text(kind),
        )

    def remove(self, entries: Sequence[StoredEntry], held: Callable[[], None] | None) -> None:
        """Remove files.

        Args:
            entries: the files.
            held: is called every now and then; raises if a lock is lost that protects others.
        """
        with ThreadPoolExecutor(_THREADS) as pool:
            for first in range(0, len(entries), _AT_ONCE):
                if held is not None:
                    held()
                keys = [entry.key for entry in entries[first : first + _AT_ONCE]]
                for _ in pool.map(self.store.workspace.remove, keys):
                    pass


def keys_digest(keys: Iterable[str]) -> str:
    """Return the sha256 (hex) of keys, sorted, one a line, as a `Removal` states it."""
    digest = hashlib.sha256()
    for key in sorted(keys):
        digest.update(f"{key}\n".encode())
    return digest.hexdigest()
