"""A process that is killed at any moment loses nothing that it was told is recorded, and the next run does the rest."""

from __future__ import annotations

import random

import pytest

from mlops_assets_tests.faults.forks import forked
from mlops_assets_tests.faults.life import STEPS
from mlops_assets_tests.faults.lives import Life
from mlops_assets_tests.faults.tally import LONG, Tally

KILLS = 12 if LONG else 1  # of each step: 200 and more in all
TWICE = 0.25  # how often the next run is killed too

pytestmark = [
    pytest.mark.faults("killed at a random moment"), pytest.mark.slow, pytest.mark.timeout(900)
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_whenever_a_step_is_killed_nothing_is_lost_doubled_or_half(step: str, life: Life, tally: Tally) -> None:
    draw = random.Random(step)
    life.restore(step)
    undisturbed = forked(life.root, step)
    assert (undisturbed.status, undisturbed.error) == (0, None)
    for number in range(KILLS):
        life.restore(step)
        for _ in range(2 if draw.random() < TWICE else 1):
            after = draw.uniform(0, undisturbed.seconds)
            ended = forked(life.root, step, kill_after=after)
        with tally.trial(f"{step}, {number}: after {after:.3f} s of {undisturbed.seconds:.3f}") as trial:
            trial.outcome = life.outcome(step, ended)
