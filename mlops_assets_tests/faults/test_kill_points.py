"""A process killed between any two durable operations leaves nothing half-written.

The next process completes its work.
"""

from __future__ import annotations

import itertools

import pytest

from mlops_assets_tests.faults.forks import KILLED, forked
from mlops_assets_tests.faults.life import STEPS, SUPERVISED
from mlops_assets_tests.faults.lives import Life
from mlops_assets_tests.faults.tally import Tally

pytestmark = [
    pytest.mark.faults("killed between two durable operations"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.mark.parametrize("step", [step for step in STEPS if step != SUPERVISED])
def test_wherever_a_step_is_killed_nothing_is_half_and_the_next_run_repairs(
    step: str, life: Life, tally: Tally
) -> None:
    for number in itertools.count():
        life.restore(step)
        ended = forked(life.root, step, die_before=number)
        if ended.status != KILLED:  # it came to its end
            assert (ended.status, ended.error) == (0, None)
            assert number > 0
            break
        # landed files are remembered a second later
        what = "".join(life.operations[step][number : number + 1])
        with tally.trial(f"{step}, before {number}, {what}") as trial:
            trial.outcome = life.outcome(step, ended)


def test_steps_of_all_kinds_replace_what_was_published(life: Life) -> None:
    replacing = {
        name
        for name, done in life.operations.items()
        if any(o.startswith("delete staged/") for o in done)
    }
    assert replacing == {
        "assess v1",
        "record the model",
        "assess v1 by other thresholds",
        "record v2 and link v1",
        "evaluate again",
        "record the model again",
        "predict",  # its Item is linked from the root of the catalogue
        "predict again",
    }
