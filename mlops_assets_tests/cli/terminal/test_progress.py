"""Progress as commands show it.

Plain lines where stderr is no terminal, bars on one, nothing with `--quiet`.
"""

from __future__ import annotations

import io
import os
import pty
import time
from pathlib import Path

import pytest
from rich.console import Console

from mlops_assets.cli.terminal import progress
from mlops_assets.cli.terminal.progress import (
    Lines,
    Terminal,
    bytes_text,
    outcome,
    seconds_text,
    showing_progress,
    state,
)
from mlops_assets.progress import Step, each, is_listened_to, listening, step
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.steps import Steps


def some_step(done: int, **arguments: int | None) -> Step:
    found = Step("storing", unit="files", **arguments)
    found.started -= 20.0
    found.reach(0)
    found.first = found.started, 0, 0
    found.advance(done, size=done * 1000)
    return found


def test_a_state_has_counts_bytes_time_left_and_rates() -> None:
    assert (
        state(some_step(50, total=200, size=200_000))
        == "50/200 files, 50 kB of 200 kB, 60 s left, 2.5 files/s, 2.5 kB/s"
    )
    assert state(some_step(10)) == "10 files, 10 kB, 2.0 s each, 500 bytes/s"
    assert state(Step("assessing")).endswith(" s")


def test_rates_count_from_the_first_progress_and_a_note_comes_before_them() -> None:
    resumed = some_step(0, total=40)
    resumed.first = time.monotonic() - 10.0, 30, 0
    resumed.reach(35, "train_loss 0.5")
    assert state(resumed) == "35/40 files, 10 s left, train_loss 0.5, 2.0 s each"


def test_an_outcome_states_whether_the_step_was_finished() -> None:
    done = some_step(1, total=1)
    assert outcome(done) == "done in 20 s, 1 file, 1 kB"
    done.failed = True
    assert outcome(done).startswith("stopped after 20 s")


def test_quantities_are_written_for_people() -> None:
    assert [bytes_text(size) for size in (1, 1234, 12_345_678, 2e15)] == [
        "1 bytes",
        "1.23 kB",
        "12.3 MB",
        "2e+03 TB",
    ]
    assert [seconds_text(s) for s in (0.04, 42, 119, 7200)] == ["0.0 s", "42 s", "2 min", "2.0 h"]


def test_a_step_reports_its_beginning_and_its_end_even_if_it_fails() -> None:
    assert not is_listened_to()
    with (
        pytest.raises(ValueError, match="boom"),
        listening(Steps()) as steps,
        step("reading", 3, "files") as done,
    ):
        done.advance(2)
        raise ValueError("boom")
    (found,) = steps
    assert (found.done, found.failed) == (2, True)
    assert not is_listened_to()


def test_nothing_is_reported_of_no_work_and_each_counts() -> None:
    with listening(Steps()) as steps:
        assert list(each("reading", [], "files")) == []
        assert list(each("reading", "abc", "files")) == ["a", "b", "c"]
    assert [(found.total, found.done) for found in steps] == [(3, 3)]


def test_lines_begin_and_end_a_piece_of_work_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    written = io.StringIO()
    with (
        listening(Lines(Console(file=written, markup=False, soft_wrap=True))),
        step("storing [a]", 9, "files") as done,
    ):
        done.advance(4)
        deadline = time.monotonic() + 60
        while "4/9" not in written.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = written.getvalue().splitlines()
    assert lines[0] == "storing [a], 9 files …"
    assert any(line.startswith("storing [a]: 4/9 files") for line in lines)
    assert lines[-1].startswith("storing [a]: done in ")
    assert "\x1b" not in written.getvalue()


def test_bars_are_drawn_on_a_terminal_and_the_last_state_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w") as terminal:
            console = Console(file=terminal, width=80, markup=False)
            with listening(Terminal(console)), step("training [x]", 4, "epochs") as outer:
                outer.reach(2, "loss 0.5")
                with step("storing"):
                    pass
            written = b""
            while b"done in" not in written.rpartition(b"training [x]")[2]:
                written += os.read(ours, 65536)
    finally:
        os.close(ours)
    assert "loss 0.5" in written.decode() and "━" in written.decode()


def test_a_command_reports_on_stderr_and_quiet_prints_only_the_result(
    project: Path, mlops: Mlops
) -> None:
    first = mlops("dataset", "commit", "samples", "--no-assess")
    result, *notes = first.out.splitlines()
    assert "is new" in result and all(
        line.startswith("  note: split method 'group'") for line in notes
    )
    assert "hashing and storing, 1 file" in first.err and "hashing and storing: done" in first.err
    again = mlops("dataset", "commit", "samples", "--rehash", "--no-assess", "--quiet")
    assert ("nothing new" in again.out, again.err) == (True, "")
    with showing_progress():
        assert is_listened_to()
