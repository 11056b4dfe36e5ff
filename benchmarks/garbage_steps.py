"""`mlops gc` and `mlops backup` in a fresh process: `python -m benchmarks.garbage_steps PLACE`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measured import Steps
from mlops_assets.settings import Settings
from mlops_assets.store import open_store
from mlops_assets.upkeep.backup.create import create_backup
from mlops_assets.upkeep.gc import collect
from mlops_assets.upkeep.rules import Kind, Rules


def main(place: str) -> None:
    """Count, remove, and back up twice."""
    store = open_store(Settings.from_environment())
    taken = Steps()
    with taken.step("count"):
        collect(store, Rules(), ())
    with taken.step("delete"):
        found = collect(store, Rules(), (), delete=True)
    removed = sum(tally.files for tally in found if tally.kind is Kind.OBJECTS)
    for name in ("backup", "backup again"):
        with taken.step(name):
            create_backup(store, Path(place).as_uri())
    taken.report(removed=removed)


if __name__ == "__main__":
    main(*sys.argv[1:])
