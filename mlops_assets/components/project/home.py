"""The Dagster home of a project."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def prepare_home(home: Path) -> Path:
    """Make a Dagster home with our dagster.yaml (no telemetry, GPU pool) if needed; return it."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        with (home / "dagster.yaml").open("w") as target:
            target.write((files("mlops_assets.cli") / "templates" / "dagster.yaml").read_text())
    return home
