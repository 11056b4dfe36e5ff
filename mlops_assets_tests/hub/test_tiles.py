"""Tiles of another host: what is accepted, and what a policy must allow."""

from __future__ import annotations

import pytest

from mlops_assets.errors import SettingsError
from mlops_assets.hub.tiles import declared_tiles, tile_origin


@pytest.mark.parametrize(
    ("value", "origin", "attribution"),
    [
        ("https://{s}.tile.example/{z}/{x}/{y}.png © Survey", "https://*.tile.example", "© Survey"),
        ("http://tiles:8080/{z}/{y}/{x}?k=1", "http://tiles:8080", "tiles:8080"),
    ],
)
def test_tiles_have_an_origin_and_an_attribution(
    monkeypatch: pytest.MonkeyPatch, value: str, origin: str, attribution: str
) -> None:
    monkeypatch.setenv("MLOPS_TILES", value)
    tiles = declared_tiles()
    assert tiles is not None and tiles.attribution == attribution
    assert tile_origin() == origin


@pytest.mark.parametrize(
    "value",
    [
        "/tiles/{z}/{x}/{y}.png",
        "https://tile.example/{z}/{x}.png",
        "https://user:secret@tile.example/{z}/{x}/{y}.png",
        "https://a;script-src *.example/{z}/{x}/{y}",
        "https://{host}/{z}/{x}/{y}",
        "javascript:{z}{x}{y}",
    ],
)
def test_other_texts_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MLOPS_TILES", value)
    with pytest.raises(SettingsError, match="MLOPS_TILES") as error:
        tile_origin()
    assert "secret@" not in str(error.value)


def test_without_the_setting_no_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLOPS_TILES", raising=False)
    assert tile_origin() is None
