"""The output of a worker as it is passed on, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from mlops_assets.training.process import output
from mlops_assets.training.process.output import OutputRelay


@pytest.fixture
def written(tmp_path: Path) -> Iterator[IO[bytes]]:
    """The file that a worker writes."""
    with (tmp_path / "log.txt").open("w+b", buffering=0) as file:
        yield file


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Größe\n".encode(), "Größe\n"),
        (b"\xff\xfe bytes\n", "�� bytes\n"),
        (b"\x1b]0;title\x07\x00\n", "\\x1b]0;title\\x07\\x00\n"),
        (b"10 %\r20 %\r\nnext\r", "10 %\n20 %\nnext\n"),
        (b"no end", "no end"),
        (b"torn \xe2\x82", "torn �"),
    ],
    ids=["text", "no UTF-8", "control characters", "overwritten", "no end", "torn character"],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_output_of_any_content_is_printable(
    content: bytes,
    text: str,
    chunk: int,
    written: IO[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "CHUNK_BYTES", chunk)
    relay = OutputRelay(written.fileno(), 100)
    for byte in content:
        written.write(bytes([byte]))
        relay.pass_on()
    relay.finish()
    assert capsys.readouterr().err == text


def test_of_output_that_is_faster_than_it_is_read_the_end_is_passed_on(
    written: IO[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    relay = OutputRelay(written.fileno(), 3 << 20)
    written.write(b"the beginning\n")
    relay.pass_on()
    written.write(b"x" * (100 << 20) + b"the end")
    relay.finish()
    printed = capsys.readouterr().err
    assert printed.startswith("the beginning\n\n[101711879 bytes of output are left out here]\nxx")
    assert printed.endswith("xthe end")
    assert len(printed) < 4 << 20
