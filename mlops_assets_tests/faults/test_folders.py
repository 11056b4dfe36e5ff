"""Folders that cannot be written, and disks that are full.

The error names the place, nothing is published, and the next run does it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_assets_tests.faults.forks import Ended, forked
from mlops_assets_tests.faults.life import STEPS, SUPERVISED
from mlops_assets_tests.faults.lives import Life
from mlops_assets_tests.faults.tally import LONG, Tally

# steps that are tried when time is short
SHORT = (
    "commit v2",
    "evaluate again",
    "train patiently",
    "predict",
)
LONG_STEPS = [step for step in STEPS if step != SUPERVISED]
READ_ONLY = 0o555
DISK_BYTES = 24 << 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.faults("a folder is read-only")
@pytest.mark.parametrize("step", LONG_STEPS if LONG else SHORT)
def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_published(
    step: str, life: Life, tally: Tally
) -> None:
    life.restore(step)
    places = _written_folders(life, step)
    assert {"", "locks"} & places
    for place in sorted(places):
        life.restore(step)
        folder = life.root / place if place != "temporary" else life.temporary
        mode = folder.stat().st_mode
        folder.chmod(READ_ONLY)
        try:
            ended = forked(life.root, step, unprivileged=True)
        finally:
            folder.chmod(mode)
        with tally.trial(f"{step}, {place or 'the workspace itself'}") as trial:
            if "step" not in ended.acknowledged:  # nothing had to be written there
                _require_explained(ended, folder)
            trial.outcome = life.outcome(step, ended)


def _written_folders(life: Life, step: str) -> set[str]:
    """The folders of the workspace that a step writes to, as they are before it.

    And that for temporary files.
    """
    keys = {
        operation.partition(" ")[2]
        for operation in life.operations[step]
        if not operation.startswith("commit")
    }
    keys |= {"registry.db", "locks/any", "cache/any"}
    found = set()
    for key in keys:
        folder = (life.root / key).parent
        while not folder.exists():
            folder = folder.parent
        found.add(folder.relative_to(life.root).as_posix().removeprefix("."))
    return {*found, "temporary"}


def _require_explained(ended: Ended, place: Path) -> None:
    assert ended.error is not None
    kind, message = ended.error
    assert kind in ("StorageError", "TrainerError", "Conflict"), ended.error
    assert str(place) in message or place.name in message, f"{place} is not named: {message}"
    assert "; " in message, f"no remedy: {message}"


@pytest.mark.faults("the disk is full")
@pytest.mark.parametrize("step", LONG_STEPS if LONG else SHORT)
def test_a_full_disk_is_reported_and_nothing_is_published(
    step: str, life: Life, tally: Tally
) -> None:
    for free in (0, 40_000, 120_000) if LONG else (40_000,):
        life.restore(step)
        with _small_disk(life.root):
            shutil.copytree(life.before[step], life.root, dirs_exist_ok=True)
            filler = life.root / "filler"
            room = shutil.disk_usage(life.root).free - free
            filler.write_bytes(bytes(max(0, room)))
            ended = forked(life.root, step)
            filler.unlink()
            with tally.trial(f"{step}, {free} bytes free") as trial:
                if "step" not in ended.acknowledged:
                    _require_explained(ended, life.root)
                trial.outcome = life.outcome(step, ended)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
