"""The lines about a run in the log of its step."""

from __future__ import annotations

from itertools import pairwise

from mlops_assets.training.process.run_progress import Lines


def test_a_day_of_steps_has_about_a_hundred_lines_and_ends_with_the_last_step() -> None:
    reported: list[tuple[int, str]] = []
    now = 0
    lines = Lines(lambda line: reported.append((now, line)), None, started=0.0)
    for now in range(86_400):
        lines.follow([(now, "loss", now, 1 / (now + 1), 0.0)], now)
    lines.follow([(now, "loss", now, 0.0, 0.0)], now, last=True)
    times = [time for time, _ in reported]
    assert times[:4] == [0, 10, 20, 30]
    assert all(later - earlier >= 10 for earlier, later in pairwise(times[:-1]))
    assert 50 < len(times) < 150
    assert reported[0][1] == "step 1: loss 1"
    assert reported[-1][1] == "step 86400: loss 0"


def test_slow_epochs_have_a_line_each() -> None:
    reported: list[str] = []
    lines = Lines(reported.append, 3, started=0.0)
    for now in range(0, 3600, 5):
        epoch = now // 1200
        lines.follow([(epoch, "loss\x1b[2J", epoch, 0.5, 0.0)], now)
    lines.follow([(3, "loss", 3, 0.5, 0.0)], 3600.0)
    assert reported[:3] == [f"epoch {n} of 3: loss\\x1b[2J 0.5" for n in (1, 2, 3)]
    assert reported[3:] == ["step 4: loss 0.5"]
