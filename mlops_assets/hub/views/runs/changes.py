"""The number of the newest change of any run, for pages that show runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from mlops_assets.store import Store

# entries of the log that are read at once; after more, runs are taken for changed
_MAX_ENTRIES = 200
# in the text of an entry, in which quotes of values are escaped
_CHANGES = ('["runs",', '["run_notes",', '["data_versions",', '["model_versions",')


@dataclass
class _Seen:
    """The newest entry of a registry's log that was read, and the newest about runs."""

    entry: int = 0
    change: int = 0


_seen: dict[str, _Seen] = {}
_lock = threading.Lock()


def newest_change(store: Store) -> int:
    """Return the number of the newest entry of the log that is about runs, or who may see them.

    Args:
        store: has the registry.
    """
    registry = store.registry
    newest = registry.newest_number()
    with _lock:
        seen = _seen.setdefault(registry.url, _Seen())
        first = seen.entry + 1
        if newest == seen.entry:
            return seen.change
    changed: int | None = newest
    if 0 <= newest - first < _MAX_ENTRIES:
        texts = registry.log_texts(first, newest)
        about = [
            first + number
            for number, text in enumerate(texts)
            if any(change in text for change in _CHANGES)
        ]
        changed = about[-1] if about else None
    with _lock:
        # smaller than before where a registry was rebuilt
        if newest > seen.entry or newest < first - 1:
            seen.entry = newest
            seen.change = seen.change if changed is None else changed
        return seen.change
