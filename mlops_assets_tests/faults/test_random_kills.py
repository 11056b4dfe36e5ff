"""A process killed at any moment loses nothing reported as recorded; the next run does the rest."""

from __future__ import annotations

import multiprocessing
import os
import random
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from mlops_assets.storage import Workspace
from mlops_assets.storage.workspace import AT_ONCE
from mlops_assets_tests import interpreter
from mlops_assets_tests.faults.forks import DEADLINE, forked
from mlops_assets_tests.faults.life import ONCE, STEPS, SUPERVISED, kept_files
from mlops_assets_tests.faults.lives import Life
from mlops_assets_tests.faults.tally import LONG, Tally

LARGE = 4 * AT_ONCE  # bytes
KILLS = 12 if LONG else 1  # of each step: 200 and more in all
TWICE = 0.25  # how often the next run is killed too

pytestmark = [
    pytest.mark.faults("killed at a random moment"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.mark.parametrize("step", STEPS)
def test_whenever_a_step_is_killed_nothing_is_lost_doubled_or_half(
    step: str, life: Life, tally: Tally
) -> None:
    draw = random.Random(step)
    life.restore(step)
    undisturbed = forked(life.root, step)
    assert (undisturbed.status, undisturbed.error) == (0, None)
    for number in range(-(-KILLS // 2) if step == SUPERVISED else KILLS):
        life.restore(step)
        after = draw.uniform(0, undisturbed.seconds)
        ended = forked(life.root, step, kill_after=after)
        if draw.random() < TWICE and not (step in ONCE and life.is_done(step)):
            ended = forked(life.root, step, kill_after=draw.uniform(0, undisturbed.seconds))
        with tally.trial(
            f"{step}, {number}: after {after:.3f} s of {undisturbed.seconds:.3f}"
        ) as trial:
            trial.outcome = life.outcome(step, ended)


def test_whenever_a_large_file_is_cut_off_nothing_of_it_stays(tmp_path: Path, tally: Tally) -> None:
    source = tmp_path / "large.tif"
    source.write_bytes(os.urandom(LARGE))
    root, draw = tmp_path / "workspace", random.Random(0)
    interpreter.start_server()
    context = multiprocessing.get_context("forkserver")
    for number in range(KILLS):
        begun = context.Event()
        writer = context.Process(target=_put_again_and_again, args=(root.as_uri(), source, begun))
        writer.start()
        assert begun.wait(DEADLINE)
        after = draw.uniform(0, 0.3)
        writer.join(after)
        writer.kill()
        writer.join()
        with tally.trial(f"{number}: after {after:.3f} s") as trial:
            trial.outcome = "held" if kept_files(root) <= {"folder/large.tif"} else "repaired"
            written = Workspace(root.as_uri()).put("folder/large.tif", source)
            assert Workspace(root.as_uri()).stat("folder/large.tif") == written
            assert kept_files(root) == {"folder/large.tif"}


def _put_again_and_again(url: str, source: Path, begun: Event) -> None:
    workspace = Workspace(url)
    begun.set()
    while True:
        workspace.put("folder/large.tif", source)
