from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets_tests.interpreter import forked_workers

__all__ = ["forked_workers"]


@pytest.fixture(autouse=True)
def fields(land_table: Callable[..., Commit], tmp_path: Path) -> None:
    """The dataset `fields`, version v1, in a project that declares `declared_crops`."""
    land_table()
    project = "mlops_assets_tests.integrations.external.project"
    (tmp_path / "pyproject.toml").write_text(f'[tool.dg.project]\nroot_module = "{project}"\n')
