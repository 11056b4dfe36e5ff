"""Reads that many clients share, and how long their answers are kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mlops_assets.hub.views import kept
from mlops_assets.hub.views.kept import SharedReads


def test_an_answer_is_read_again_when_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((0.0, 60.0, 60.1, 60.1))
    monkeypatch.setattr(kept, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    answers = iter("ab")
    reads: SharedReads[str] = SharedReads(2, 60.0)
    found = [reads.get("question", lambda: next(answers)) for _ in range(3)]
    assert found == ["a", "a", "b"]
