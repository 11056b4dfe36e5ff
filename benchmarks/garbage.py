"""Removing objects that nothing names from among those that a version names, and backups of it.

A fifth of the objects is of a data version, one file each; the others are of commits that were
killed, and three days old. Time and peak memory are those of one process.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

from benchmarks.landings import CHIP_3KB, add_chips, settle
from benchmarks.options import Options
from benchmarks.our_project import OurProject
from benchmarks.processes import take_steps
from benchmarks.tables import print_table
from mlops_assets.paths import object_key
from mlops_assets.storage.checksums import sha256_of

_SIZES = (25_000, 100_000)
_ALL_SIZES = (100_000, 1_000_000)
_NAMED = 5  # one of so many objects is named
_ORPHAN = 1_000  # bytes
_AGE_SECONDS = 3 * 86_400
_STEPS = ("count", "delete", "backup", "backup again")


def measure(options: Options) -> None:
    """Print seconds and objects a second of each step, and the peak memory of all."""
    rows = []
    for size in _ALL_SIZES if options.all else _SIZES:
        folder = options.folder / str(size)
        workspace = folder / "workspace"
        landing = folder / "landing"
        add_chips(landing, range(size // _NAMED), CHIP_3KB)
        ours = OurProject.make(folder / "ours", workspace.as_uri(), landing=landing)
        # single objects only
        ours = replace(ours, environment={**ours.environment, "MLOPS_PACK_BELOW": "0"})
        settle()
        ours.commit_in_process()
        written = time.time() - _AGE_SECONDS
        for number in range(size - size // _NAMED):
            content = number.to_bytes(8, "big") * (_ORPHAN // 8)
            path = workspace / object_key(sha256_of(content))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (written, written))
        found = take_steps(
            "benchmarks.garbage_steps",
            str(folder / "backups"),
            environment=ours.environment,
            folder=folder,
        )
        if found.facts["removed"] != size - size // _NAMED:
            raise RuntimeError(f"{found.facts['removed']:.0f} of {size} objects were removed")
        seconds = [f"{found.seconds[name]:.1f}" for name in _STEPS]
        rates = [f"{size / found.seconds[name]:,.0f}" for name in _STEPS[:2]]
        rows.append((f"{size:,}", *seconds, *rates, f"{found.peak_mib or 0:.0f}"))
    titles = (*(f"{name}, s" for name in _STEPS), "counted/s", "listed and deleted/s", "peak MiB")
    print_table(("objects", *titles), rows)
