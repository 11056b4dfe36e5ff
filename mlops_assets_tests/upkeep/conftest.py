"""Landings whose files are remembered as soon as they are stored."""

from __future__ import annotations

import pytest

from mlops_assets.datasets.sources import folder


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "CLOCK_SECONDS", -3600.0)
