"""Text of others on a terminal, which must show it and do nothing else."""

from __future__ import annotations

import pytest

from mlops_assets.text.markup import code, plain
from mlops_assets.text.printable import printable, printable_log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("all\rnone", r"all\rnone"),
        ("x\u202etxt.exe", r"x\u202etxt.exe"),
        ("a\x85b\u2028c\x7f\b", r"a\x85b\u2028c\x7f\x08"),
        ("two\r\nlines\tand Größe, 水", "two\nlines\tand Größe, 水"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_log_keeps_the_lines_that_a_progress_bar_wrote_over() -> None:
    assert printable_log("1 %\r2 %\r\n\x1b[31mred") == "1 %\n2 %\n\\x1b[31mred"


def test_cards_and_reports_may_be_read_in_a_terminal() -> None:
    assert "\x1b" not in plain("a\x1b[2Jb") + code("a\x1b[2Jb")
