"""The registry's memory of landed files survives the process, whatever their names and number."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{tmp_path / 'registry.db'}")


def test_identities_are_kept_after_reopening(registry: Registry) -> None:
    registry.remember_landed(
        "file:///a", [("x.tif", 3, "1-1", "a" * 64), ("y ü.tif", 2**40, "2-2", "b" * 64)]
    )
    again = sorted(Registry(registry.url).landed("file:///a"))
    assert again == [("x.tif", 3, "1-1", "a" * 64), ("y ü.tif", 2**40, "2-2", "b" * 64)]


def test_more_files_than_one_statement_holds_are_remembered(registry: Registry) -> None:
    files = [(f"{i:06d}.tif", i, str(i), f"{i:064d}") for i in range(40_000)]
    registry.remember_landed("file:///a", files)
    assert sorted(registry.landed("file:///a")) == files
